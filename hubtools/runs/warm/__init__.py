"""What the runs of one session leave for the next.

``as_loaded`` gives a model back as it was, ``kept_models`` are the models of the checkpoint whose turn it is, ``recent`` holds what
was made last: data, tokens with their proofs.
"""
