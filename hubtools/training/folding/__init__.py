"""Structures of the proteins of a task: ``fold_limits`` says how long one may be, ``structure_predictions`` folds, or lays a straight helix."""
