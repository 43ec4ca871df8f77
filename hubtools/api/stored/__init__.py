"""What bench keeps on this machine for later: fetched once, computed once, put together or removed when asked.

``data_files`` are the source files of tasks, ``embeddings_kept`` those of frozen encoders; ``removals`` is what removing either gives. ``whole_models``
puts the model of a run together that names its encoder.
"""
