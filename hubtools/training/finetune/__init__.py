"""Fine-tuning: all weights, or an adapter.

``fit`` is the loop, ``dropout`` what it drops, whatever memory does, ``parameters`` what is trained at which rate, ``prefetch`` makes batches ahead, ``resume`` goes on.
"""
