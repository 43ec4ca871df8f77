"""The fits of a run on a task with folds: ``fold_work`` (what each leaves until all are done, and what they are together)."""
