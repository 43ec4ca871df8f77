"""Fitting: batches, the loss, full fine-tuning, frozen probes and baselines."""
