"""One canonical form of sequences; what cannot have it is refused with its place."""

from __future__ import annotations

import pytest

from hubtools.common.errors import UserError
from hubtools.data.rows.sequences import canonical_sequences, letters_outside


def canonical(*cells: object, marker: str | None = None) -> tuple[list[str], object, dict[str, int]]:
    sequences, marked, changed = canonical_sequences(cells, [f"p{i}" for i in range(len(cells))], "t", marker)
    return sequences, marked, dict(changed)


def test_stripped_without_stop_and_upper_cased() -> None:
    sequences, _, changed = canonical(" MKT\n", "mkT*", "ACD**", "ACDEFGHIKLMNPQRSTVWYBJOUXZ")
    assert sequences == ["MKT", "MKT", "ACD", "ACDEFGHIKLMNPQRSTVWYBJOUXZ"]
    assert changed == {"upper-cased": 1, "stop at the end removed": 2}


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("MK-T", r"task t, p0: the sequence holds '-' at position 3, which is no residue\. Remove the gaps"),
        ("MK.T", r"'\.' at position 3.*Remove the gaps"),
        ("M*KT", r"'\*' at position 2.*stop codon"),
        ("MK3", "'3' at position 3"),
        ("MKÄ", "'Ä' at position 3"),
        ("", "the sequence is empty"),
        (" * ", "the sequence is empty"),
        (7, r"the sequence is not text \(it is 7\)"),
        (None, "the sequence is not text"),
    ],
)
def test_what_is_no_sequence_is_refused_with_its_place(cell: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        canonical(cell)


def test_gaps_of_an_alignment_are_removed_where_nothing_is_of_its_columns() -> None:
    sequences, _, changed = canonical_sequences(["--MK-V A..C*", "MK"], ["a", "b"], "t", gaps=True)
    assert sequences == ["MKVAC", "MK"] and changed["gaps of an alignment removed"] == 1
    with pytest.raises(UserError, match="the sequence is empty"):
        canonical_sequences(["--"], ["a"], "t", gaps=True)


def test_site_markers_are_taken_out() -> None:
    sequences, marked, _ = canonical("MY#KY", "ACD", "y#s#*", marker="#")
    assert sequences == ["MYKY", "ACD", "YS"]
    assert [marks.tolist() for marks in marked] == [  # type: ignore[attr-defined]
        [False, True, False, False],
        [False, False, False],
        [True, True],
    ]


@pytest.mark.parametrize("cell", ["#MY", "MY##K"])
def test_a_marker_that_marks_nothing_is_refused(cell: str) -> None:
    with pytest.raises(UserError, match="a site marker '#' follows no residue"):
        canonical(cell, marker="#")


def test_letters_outside_the_twenty_are_counted() -> None:
    assert letters_outside(["MKX", "XU"]) == {"U": 1, "X": 2}
