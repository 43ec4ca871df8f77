"""Fitting: batches, the loss, full fine-tuning, adapters, frozen probes and baselines."""
