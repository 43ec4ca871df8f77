"""From a plan to a record.

``plan`` (pure) and ``session``; ``execute`` claims, runs and records one, and goes through many, whose turn it is by ``claims``; ``preparation`` says what it reads and with which
model, ``steps`` does it, ``run_strata`` looks closer; ``attempts``, ``energy``, ``environment`` are what it took and where;
``store`` is the folder of runs and a run once opened, ``public_record`` a record without this machine's folders, ``repeating`` what it takes to make it again, ``whole_model`` what is put together of a head and the encoder that a run names. ``run_estimate`` and ``workload`` tell
beforehand; ``sweeps`` are many tries and a choice.
"""
