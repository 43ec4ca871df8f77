"""What a task, a recipe, a suite and a run record are. No torch, no data.

``task``, ``data_sources`` (of ``files``), ``split_rules``, ``annotation_rules``, ``problem`` (a ``level`` times a kind), ``metric_names``: a task
and what it is made of. ``recipe``, ``head_kinds``, ``suite``, ``baseline_file``, ``published_results``: the other files that people
write. ``record``: what a run leaves. ``base``, ``names``, ``licences``, ``references``: what they share. ``lookup`` finds and reads them.
"""
