"""A trained model at work: predictions for sequences that nobody has labelled."""
