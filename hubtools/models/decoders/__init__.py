"""Checkpoints that tell each residue from those before it: the head of their pre-training, and the ways in which they read."""
