"""Checkpoints that predict structures: ``folding_models`` loads and asks those that transformers knows, ``fold_memory`` says beforehand what they need."""
