"""The still picture of a structure: the colours of what is said of each residue, no bond across a gap."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tiny_structures import chain_atoms, write_structure

from hubtools.data.structures.chains import whole_structure
from hubtools.reporting.figures.structure_trace import _seen, structure_trace
from hubtools.reporting.structures.structure_page import ShownStructure

SEQUENCE = "MKTAYGAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGD"


def test_bonds_have_the_colours_of_their_residues_and_a_gap_has_none(tmp_path: Path) -> None:
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_hex

    atoms = chain_atoms(SEQUENCE, confidence=[95.0] * 20 + [30.0] * 22, left_out=(10, 11))
    figure = structure_trace(ShownStructure(whole_structure(write_structure(tmp_path / "x.pdb", atoms))))
    lines = [one for one in figure.axes[0].collections if isinstance(one, LineCollection)]
    tones = [to_hex(tone) for line in lines for tone in line.get_colors()]
    # 40 residues, 38 bonds, each of two halves; those below are dark.
    assert len(tones) == 2 * 2 * 38
    assert tones.count("#0053d6") == 18 + 14 + 1 and tones.count("#ff7d45") == 2 * 38 - 33


def test_it_is_seen_where_it_is_widest_and_is_no_mirror_image() -> None:
    rng = np.random.default_rng(3)
    places = rng.normal(size=(60, 3)) * [1.0, 9.0, 4.0]
    seen = _seen(places)
    spread = seen.std(axis=0)
    assert spread[0] > spread[1] > spread[2]
    # A rotation keeps the volume of three vectors, with its sign.
    before = np.linalg.det(places[1:4] - places[0])
    np.testing.assert_allclose(np.linalg.det(seen[1:4] - seen[0]), before, rtol=1e-9)
