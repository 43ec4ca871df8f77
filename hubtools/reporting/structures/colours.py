"""Colours of what is said of residues: of confidence, of labels, of values."""

from __future__ import annotations

# Lowest pLDDT, colour and word of each band, as the AlphaFold Protein Structure Database shows them (Varadi et al. 2022,
# doi:10.1093/nar/gkab1061).
CONFIDENCE = (
    (90, "#0053D6", "very high (90 and more)"),
    (70, "#65CBF3", "confident (70 to 90)"),
    (50, "#FFDB13", "low (50 to 70)"),
    (0, "#FF7D45", "very low (below 50)"),
)
# From low to high: lightness rises evenly, so that it reads without colour too (viridis, of matplotlib).
SCALE = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")
# Of what nothing is said.
NOTHING = "#6b7280"
