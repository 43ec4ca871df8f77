"""Fitting and predicting: fine-tuning, adapters, frozen probes, baselines.

``encoding`` turns a split into tokens, windows and labels; ``collation`` says what a level has in a batch,
``batches`` cuts, ``loss`` weighs; ``job`` is what every way of
fitting is told; ``prediction`` is how everything is predicted; ``temperature`` calibrates; ``schedule`` is the learning rate of both ways; ``trivial_baselines`` (with ``linear_models``) and
``variant_scores`` (with ``likelihoods``, of decoders) and ``contacts`` do without training an encoder, ``folding`` asks what predicts structures. ``finetune`` and ``frozen`` are the two ways to fit, ``compute`` where and how.
"""
