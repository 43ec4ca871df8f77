"""What ``benchmarks/gpu.py`` looks at, on a card or, tiny, on a processor.

``checking`` runs checks within their time; ``making`` makes proteins, models and fits; ``correctness`` is whether the card computes
what is true, ``throughput`` how fast, ``waiting`` whether it is kept waiting.
"""
