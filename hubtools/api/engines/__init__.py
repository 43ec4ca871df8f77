"""What other processes do: ``divisible`` is what can be divided, as ``planned_runs`` can; ``dispatch`` says who does it and gives them what they
need; ``engine_job`` is what they do, ``fold_jobs`` where they fold.
"""
