"""Proteins as people have them: FASTA and tables, one at a time; what is none is named, with its place."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest

from hubtools.inference.predictor import Protein
from hubtools.inference.proteins import Unreadable, nucleotides, parse_fasta, pasted, read_proteins
from hubtools.specs.errors import UserError


def read(folder: Path, text: str, name: str = "p.fasta", pairs: bool = False) -> list[Protein | Unreadable]:
    (folder / name).write_text(text)
    return list(read_proteins(str(folder / name), pairs=pairs))


def test_fasta_as_it_comes(tmp_path: Path) -> None:
    text = ">sp|P0CG48|UBC_HUMAN Polyubiquitin OS=Homo sapiens\r\nmqif\r\nVKTL\r\n\r\n>two\nMK T*\n>\nACD\n"
    assert read(tmp_path, text) == [
        Protein("sp|P0CG48|UBC_HUMAN", "MQIFVKTL"),
        Protein("two", "MKT"),
        Protein("protein_3", "ACD"),
    ]


def test_gzip_and_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "p.fa.gz").write_bytes(gzip.compress(b">a\nMKV\n"))
    assert list(read_proteins(str(tmp_path / "p.fa.gz"))) == [Protein("a", "MKV")]
    monkeypatch.setattr("sys.stdin", io.StringIO(">b\nMKV\n"))
    assert list(read_proteins("-")) == [Protein("b", "MKV")]


def test_it_is_read_one_at_a_time() -> None:
    def endless():
        while True:
            yield from (">a", "MKV")

    found = parse_fasta(endless(), "endless")
    assert [next(found) for _ in range(3)] == [Protein("a", "MKV")] * 3


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("MKT1A", r"p.fasta, bad \(record 2\): the sequence holds '1' at position 4"),
        ("MK-TA", r"holds '-' at position 3.*Remove the gaps"),
        ("", r"bad \(record 2\): the sequence is empty"),
        ("*", "the sequence is empty"),
    ],
)
def test_what_is_no_protein_is_named_and_the_others_are_read(tmp_path: Path, body: str, said: str) -> None:
    first, bad, last = read(tmp_path, f">a\nMKV\n>bad\n{body}\n>c\nACD\n")
    assert first == Protein("a", "MKV") and last == Protein("c", "ACD")
    assert isinstance(bad, Unreadable)
    with pytest.raises(UserError, match=said):
        raise bad.error


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "no protein in it"), ("\n\n", "no protein in it"), ("MKV\n", "line 1 is neither a header")],
)
def test_what_is_no_fasta(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read(tmp_path, text)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        list(read_proteins(str(tmp_path / "nowhere.fasta")))
    (tmp_path / "p.fasta.gz").write_bytes(b"not gzip")
    with pytest.raises(UserError, match="gzip"):
        list(read_proteins(str(tmp_path / "p.fasta.gz")))
    (tmp_path / "p.fasta").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(UserError, match="not text"):
        list(read_proteins(str(tmp_path / "p.fasta")))


@pytest.mark.parametrize(("name", "separator"), [("p.csv", ","), ("p.tsv", "\t")])
def test_tables(tmp_path: Path, name: str, separator: str) -> None:
    text = "Entry,Sequence,note\nP1,mkv,x\n,ACD,y\nP3,M1,z\n".replace(",", separator)
    first, second, third = read(tmp_path, text, name)
    assert (first, second) == (Protein("P1", "MKV"), Protein("row_2", "ACD"))
    assert isinstance(third, Unreadable) and "P3 (row 3)" in str(third.error)


def test_a_table_without_sequences(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no column sequence.*columns are id, residues"):
        read(tmp_path, "id,residues\na,MKV\n", "p.csv")


def test_pairs(tmp_path: Path) -> None:
    expected = [Protein("a|b", "MKV", "ACD")]
    assert read(tmp_path, ">a\nMKV\n>b\nACD\n", pairs=True) == expected
    assert read(tmp_path, "id,sequence,partner\na|b,MKV,ACD\n", "p.csv", pairs=True) == expected
    with pytest.raises(UserError, match="no partner"):
        read(tmp_path, ">a\nMKV\n>b\nACD\n>c\nMMM\n", pairs=True)
    with pytest.raises(UserError, match="no column partner"):
        read(tmp_path, "id,sequence\na,MKV\n", "p.csv", pairs=True)


def test_pasted_text() -> None:
    assert list(pasted("  mkv\n acd ")) == [Protein("sequence", "MKVACD")]
    assert list(pasted("\n>x\nMKV\n>y\nACD")) == [Protein("x", "MKV"), Protein("y", "ACD")]
    with pytest.raises(UserError, match="no sequence yet"):
        list(pasted(" \n"))


def test_dna_is_noticed() -> None:
    assert nucleotides("ACGT" * 10) and nucleotides("ACGU" * 20 + "N")
    assert not nucleotides("ACGT") and not nucleotides("MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEG")
