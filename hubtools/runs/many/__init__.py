"""Whole folders of runs: ``turns`` does the runs of a plan one after the other, ``run_states`` says how far what was asked for
is, ``merging`` makes one of several.
"""
