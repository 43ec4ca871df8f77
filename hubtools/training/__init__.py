"""Fitting: batches, the loss, full fine-tuning, adapters, frozen probes and baselines."""

from hubtools.models.four_bits import load_bitsandbytes

# transformers' Trainer and peft import it too, where it is installed; it must come from here first.
load_bitsandbytes()
