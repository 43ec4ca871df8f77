"""Checkpoints that tell each residue from those before it: ``causal_lm`` loads them with the head of their pre-training, and lays out what they read."""
