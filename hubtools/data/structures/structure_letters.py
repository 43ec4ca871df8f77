"""The letters that structures are written in, beside residues: van Kempen et al. 2024, doi:10.1038/s41587-023-01773-0."""

# The twenty of 3Di, and what stands where nothing is known of a residue's surroundings.
LETTERS = "acdefghiklmnpqrstvwy"
UNKNOWN = "#"
