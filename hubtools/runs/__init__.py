"""From a plan to a record.

``plan`` (pure), ``jobs`` (a plan by checkpoints) and ``session``, with what is ``warm`` in it; what was asked for is kept by ``kept_plan``.
``execute`` claims, runs and records one, and goes through many (what may pass is tried twice, ``second_try``), whose turn it is by
``claims``.
``preparation`` says what it reads and with which model, ``steps`` does it, on a task with ``folds`` once a fold; ``costs``
are what it took and where; ``store`` is the folder of runs and a run once opened, ``public_record`` a record without this machine's
folders, ``repeating`` what it takes to make it again, ``whole_model`` what is put together of a head and the encoder that a run names.
``run_estimate`` and ``workload`` tell
beforehand; ``sweeps`` are many tries and a choice; ``tracking`` tells a tracker of all of it; ``many`` looks at whole folders of runs,
``engines`` do the jobs of a plan elsewhere.
"""
