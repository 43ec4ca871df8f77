"""Board and model card, built from run records and predictions alone."""
