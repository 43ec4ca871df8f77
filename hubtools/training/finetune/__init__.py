"""Fine-tuning: all weights, or an adapter.

``fit`` is the loop, ``parameters`` what is trained at which rate, ``prefetch`` makes batches ahead, ``resume`` goes on.
"""
