"""What a task, a recipe, a suite and a run record are. No torch, no data.

Nothing is imported here: the error that the command line shows must not load what a task needs.
"""
