"""A saved model asked about proteins that nobody has labelled.

``named_model`` opens, ``proteins`` reads, ``asking`` says what a question of each level is, ``structures_beside`` lays structure files beside proteins, ``predictor`` predicts, ``decisions`` decides, ``writers`` and ``drawing`` show;
``demo_page`` is all of it in a browser. ``checkpoints`` asks those that nobody has trained for a task, ``folding`` those that predict structures.
"""
