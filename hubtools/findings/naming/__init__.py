"""How a user names runs, for every command.

``named_runs`` finds them: a folder, a run, a frozen baseline, ``hub://`` (``hub_runs``), each with a selector (``selectors``).
"""
