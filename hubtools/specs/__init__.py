"""What a task, a recipe, a suite and a run record are. No torch, no data.

``task``, ``data_sources``, ``annotation_rules``, ``problem``, ``metric_names``: a task and what it is made of. ``recipe``, ``head_kinds``,
``suite``, ``baseline_file``, ``published_results``: the other files that people write. ``record``: what a run leaves.
``base``, ``names``, ``references``: what they share. ``pinning`` writes pins into a task file. ``lookup`` finds and reads them.
"""
