"""What bench keeps on this machine for later: fetched once, computed once, put together or removed when asked.

``data_files`` are the source files of tasks, ``embeddings_kept`` those of frozen encoders; ``removals`` is what removing either gives. ``run_status`` says how
far the runs of a folder are, ``run_merges`` makes one folder of several, ``whole_models`` puts the model of a run together that names its encoder, and
``onnx_exports`` turns a model into graphs that others run.
"""
