"""Windows tile a protein: nothing is lost, nothing is scored twice."""

import itertools

import numpy as np
import pytest

from hubtools.models.windows import pieces


@pytest.mark.parametrize("window, overlap", [(16, 0), (16, 4), (16, 8), (1022, 256)])
@pytest.mark.parametrize("length", [1, 15, 16, 17, 24, 31, 32, 33, 100, 1023, 5000, 35213])
def test_every_residue_is_scored_exactly_once(length, window, overlap):
    scored = np.zeros(length, dtype=int)
    for piece in pieces(length, window, overlap):
        assert 0 <= piece.start <= piece.core_start < piece.core_stop <= piece.stop <= length
        assert piece.stop - piece.start <= window
        scored[piece.core_start : piece.core_stop] += 1
    assert (scored == 1).all()


@pytest.mark.parametrize("length", [17, 40, 101, 3000])
def test_a_residue_is_scored_where_it_lies_most_centrally(length):
    windows = pieces(length, 16, 6)
    for piece in windows:
        for residue in range(piece.core_start, piece.core_stop):
            here = min(residue - piece.start, piece.stop - 1 - residue)
            # Next to an end of the protein there is no better window; elsewhere none beats this one.
            best = max(min(residue - w.start, w.stop - 1 - residue) for w in windows if w.start <= residue < w.stop)
            assert here >= best - 1


@pytest.mark.parametrize("length", [33, 100, 999])
def test_neighbours_share_at_least_the_overlap(length):
    windows = pieces(length, 32, 10)
    assert all(left.stop - right.start >= 10 for left, right in itertools.pairwise(windows))
