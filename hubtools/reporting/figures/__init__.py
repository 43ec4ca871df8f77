"""Plots, drawn by matplotlib: light and dark, as PNG.

``plots`` of one run, ``strata_figure``, ``calibration_figure``, ``contact_map``; ``substitution_map`` of one protein, ``structure_trace`` of one structure, ``predicted_structures`` on the known ones; ``forest`` of a comparison, ``board_figure``, ``curve_figure`` and ``sweep_figure`` of
many runs.
"""
