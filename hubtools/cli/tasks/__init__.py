"""``bench tasks``: list, show, check, audit and write tasks.

``group`` is the command, the others one subcommand each.
"""
