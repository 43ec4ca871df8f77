"""FASTA entry by entry: a line of labels below a sequence is told from a sequence over two lines."""

from __future__ import annotations

import random

import pytest

from hubtools.common.errors import UserError
from hubtools.data.sources.fasta import FastaEntry, fasta_entries, labels_below, sequence_entries

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
UBIQUITIN = "MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEGIPPDQQRLIFAGKQLEDGRTLSDYNIQKESTLHLVLRLRGG"
MAGAININ = "GIGKFLHSAKKFGKAFVGEIMNS"
INSULIN = "FVNQHLCGSHLVEALYLVCGERGFFYTPKT"


def entries(*bodies: str) -> list[str]:
    return [line for number, body in enumerate(bodies) for line in (f">p{number}", *body.split("\n"))]


def wrapped(sequence: str, width: int) -> str:
    return "\n".join(sequence[at : at + width] for at in range(0, len(sequence), width))


def test_entries_as_they_come() -> None:
    lines = [";made by hand", "", ">a b\r\n", "MKT\n", " >c", "", "AC D", ">"]
    assert list(fasta_entries(lines, "x")) == [
        FastaEntry(3, "a b", "MKT"),
        FastaEntry(5, "c", "\nAC D"),
        FastaEntry(8, "", ""),
    ]


def test_what_is_above_the_first_header_is_no_fasta() -> None:
    with pytest.raises(UserError, match=r"x:2: a FASTA file starts with '>', not with 'id,sequence'"):
        list(fasta_entries(["", "id,sequence", ">a", "MKT"], "x"))


@pytest.mark.parametrize(
    "bodies",
    [
        pytest.param([f"{INSULIN}\n{'S' * 12}{'O' * 10}{'I' * 8}"], id="one long protein"),
        pytest.param([f"{INSULIN}\n{'0' * 25}{'1' * 5}"], id="digits"),
        pytest.param(
            [f"{MAGAININ}\n{'CCHHHHHHHHHHHCCHHHHHCCC'}", f"{INSULIN[:20]}\n{'CCHEHCHECHECHEHECHCC'}"],
            id="short ones of different lengths",
        ),
        pytest.param(
            [f"{UBIQUITIN[:75]}\n{'HBEGITSC-' * 8}HHH", f"{INSULIN}\n{'TTSCCHEGB-' * 3}", f"{MAGAININ}\n{'-' * 23}"],
            id="eight states, in no stretches",
        ),
        pytest.param([UBIQUITIN, f"{UBIQUITIN}\n{'M' * 30}{'I' * 46}"], id="the first has none"),
        pytest.param([f"{UBIQUITIN}\n{'M' * 75}", f"{INSULIN}\n{'M' * 30}"], id="the first are not whole"),
    ],
)
def test_labels_below_sequences_are_refused(bodies: list[str]) -> None:
    with pytest.raises(UserError, match=r"^x:\d+: two lines of .* the second looks like labels"):
        list(sequence_entries(entries(*bodies), "x"))


@pytest.mark.parametrize(
    "bodies",
    [
        pytest.param([wrapped(UBIQUITIN, 38), wrapped(INSULIN, 15)], id="two halves"),
        pytest.param([wrapped(UBIQUITIN, 19), wrapped(INSULIN, 19)], id="many lines"),
        pytest.param([wrapped(UBIQUITIN, 30), f"{INSULIN}\n{'Q' * 20}{'P' * 10}"], id="few letters where lines break"),
        pytest.param([f"{UBIQUITIN[:30]}\n{'GSGAGA' * 5}"], id="repeats"),
        pytest.param([f"{'Q' * 30}\n{'Q' * 20}{'P' * 10}"], id="few letters all over"),
        pytest.param(["ACDEFG\nAAAAAA", "MKVLSE\nAAAAAA"], id="few letters, all broken at one place"),
    ],
)
def test_sequences_over_two_lines_are_sequences(bodies: list[str]) -> None:
    read = list(sequence_entries(entries(*bodies), "x"))
    assert [entry.body for entry in read] == bodies


def test_what_cannot_be_told_is_refused() -> None:
    """Broken at different places, as no program breaks lines, and few kinds of letters below: labels, or not."""
    with pytest.raises(
        UserError, match=r"^x:1: two lines of 3 letters .* too few to tell\. Write each sequence on one"
    ):
        list(sequence_entries(entries("ACD\nAAA", "MKVL\nAAAA"), "x"))


THREE_LINES = [
    pytest.param([f"{MAGAININ}\n{'C' * 23}", f"{UBIQUITIN}\n{'M' * 30}{'I' * 46}"], id="short ones first"),
    pytest.param(["MKV\n010", "ACDE\n1100"], id="digits"),
    pytest.param([f"{INSULIN}\n{'S' * 12}{'O' * 10}{'I' * 8}", "MKV\nIII"], id="a long one first"),
]


@pytest.mark.parametrize("bodies", THREE_LINES)
def test_only_the_sequences_are_read_where_that_is_said(bodies: list[str]) -> None:
    said: list[str] = []
    read = [entry.body for entry in sequence_entries(entries(*bodies), "x", said.append)]
    assert read == [body.split("\n")[0] for body in bodies]
    (line,) = said
    assert line.startswith("x: below each sequence is a line of labels (") and line.endswith(
        "only the sequences are read"
    )
    assert labels_below(entries(*bodies), "x")
    with pytest.raises(UserError, match="the second looks like labels"):
        next(sequence_entries(entries(*bodies), "x"))


@pytest.mark.parametrize("last", [f"{INSULIN}", f"{INSULIN}\n{'S' * 29}", f"{INSULIN}\n{'S' * 30}\n{'O' * 30}"])
def test_each_entry_has_its_labels_where_the_first_have(last: str) -> None:
    bodies = [f"{INSULIN}\n{'S' * 12}{'O' * 10}{'I' * 8}"] * 3
    with pytest.raises(UserError, match=r"^x:10: a sequence and as many labels are below the headers before this one"):
        list(sequence_entries(entries(*bodies, last), "x", print))


def test_random_proteins_are_never_taken_for_labels() -> None:
    """Many of them twice as long as a line, in files whose lines break at one place, or each in its middle."""
    draw = random.Random(0)
    for _ in range(500):
        width = draw.choice([30, 60, 80])
        lengths = [2 * width if draw.random() < 0.5 else draw.randint(10, 200) for _ in range(10)]
        bodies = ["".join(draw.choices(RESIDUES, k=length)) for length in lengths]
        list(sequence_entries(entries(*(wrapped(body, width) for body in bodies)), "x"))
        list(sequence_entries(entries(*(wrapped(body[: len(body) // 2 * 2], len(body) // 2) for body in bodies)), "x"))
