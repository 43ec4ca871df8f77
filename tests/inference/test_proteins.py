"""Proteins as people have them: FASTA and tables, one at a time; what is none is named, with its place."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import pytest
from optional_packages import needs_biotite
from tiny_structures import chain_atoms, write_structure

from hubtools.common.errors import UserError
from hubtools.inference.predictor import Protein
from hubtools.inference.proteins import Unreadable, nucleotides, parse_fasta, pasted, read_proteins


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


TWO = "; of a friend\n>a\nMKV\n>b x\nAC D\nEF\n"
STORED = {
    "LF": TWO.encode(),
    "CRLF and a mark": b"\xef\xbb\xbf" + TWO.replace("\n", "\r\n").encode(),
    "CR": TWO.replace("\n", "\r").encode(),
    "UTF-16": TWO.encode("utf-16"),
    "gzip": gzip.compress(TWO.encode()),
    "gzip of a marked text": gzip.compress(b"\xef\xbb\xbf" + TWO.encode()),
}


@pytest.mark.parametrize("how", STORED)
def test_how_fasta_is_stored_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    expected = [Protein("a", "MKV"), Protein("b", "ACDEF")]
    (tmp_path / "p.fasta").write_bytes(STORED[how])
    assert list(read_proteins(str(tmp_path / "p.fasta"))) == expected
    piped = io.TextIOWrapper(io.BytesIO(STORED[how]), encoding="ascii")
    monkeypatch.setattr("sys.stdin", piped)
    assert list(read_proteins("-")) == expected
    assert not piped.closed


def zipped(path: Path, **members: str) -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("folder")
        for name, text in members.items():
            archive.writestr(f"folder/{name.replace('_', '.')}", text)
        archive.writestr("__MACOSX/folder/._p", "of macOS")
    return str(path)


def test_a_zip_archive_of_one_file(tmp_path: Path) -> None:
    one = zipped(tmp_path / "a.zip", p_tsv="id\tsequence\na\tMKV\n")
    assert list(read_proteins(one)) == [Protein("a", "MKV")]
    several = zipped(tmp_path / "b.zip", p_fasta=TWO, q_fasta=TWO)
    with pytest.raises(UserError, match=r"b\.zip: the archive holds 2 files \(folder/p\.fasta, folder/q\.fasta\)"):
        list(read_proteins(several))
    with pytest.raises(UserError, match="no file"):
        list(read_proteins(zipped(tmp_path / "c.zip")))


def test_a_row_of_an_alignment_is_the_protein_without_its_gaps(tmp_path: Path) -> None:
    assert list(read(tmp_path, ">a\n--MK-V\nA..C*\n>b\nMK\n")) == [Protein("a", "MKVAC"), Protein("b", "MK")]


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
        ("MK_TA", r"holds '_' at position 3"),
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
    [("", "no protein in it"), ("\n\n", "no protein in it"), ("\nMKV\n", r"p\.fasta:2: a FASTA file starts with '>'")],
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
    packed = gzip.compress("".join(f">p{number**5}\nMKV\n" for number in range(3000)).encode())
    (tmp_path / "p.fasta.gz").write_bytes(packed[:5000] + 40 * b"\xff" + packed[5040:])
    with pytest.raises(UserError, match="not a complete gzip file"):
        list(read_proteins(str(tmp_path / "p.fasta.gz")))
    (tmp_path / "p.zip").write_bytes(b"not zip")
    with pytest.raises(UserError, match="not a zip archive"):
        list(read_proteins(str(tmp_path / "p.zip")))
    (tmp_path / "p.fasta").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(UserError, match="not text"):
        list(read_proteins(str(tmp_path / "p.fasta")))


@pytest.mark.parametrize(("name", "separator"), [("p.csv", ","), ("p.tsv", "\t")])
def test_tables(tmp_path: Path, name: str, separator: str) -> None:
    text = "Entry,Sequence,note\nP1,mkv,x\n,ACD,y\nP3,M1,z\n".replace(",", separator)
    first, second, third = read(tmp_path, text, name)
    assert (first, second) == (Protein("P1", "MKV"), Protein("row_2", "ACD"))
    assert isinstance(third, Unreadable) and "P3 (row 3)" in str(third.error)


NAMES = "id,name,sequence\n"


@pytest.mark.parametrize(
    ("rows", "done", "said"),
    [
        pytest.param('a,A,MKV\nb,"B,MKTAYIAKQR\nc,C,ACDEFGHIKL\n', 1, "row 2, line 3: a quote opens", id="open quote"),
        pytest.param('a,A,MKV\nb,"B,MKT\nc,C,"ACD"\n', 1, "row 2, line 3: a quote opens", id="met by another"),
        pytest.param("a,A,MKV\nb,B, putative,MKT\n", 1, "row 2, line 3: 3 fields expected, there are 4", id="comma"),
        pytest.param("a,A,MKV\n\nb,MKT\n", 1, "row 2, line 4: 3 fields expected, there are 2", id="a cell is lost"),
    ],
)
def test_a_row_that_is_not_whole_ends_the_table(tmp_path: Path, rows: str, done: int, said: str) -> None:
    (tmp_path / "p.csv").write_text(NAMES + rows)
    found = read_proteins(str(tmp_path / "p.csv"))
    assert [next(found) for _ in range(done)] == [Protein("a", "MKV")]
    with pytest.raises(UserError, match=said) as error:
        next(found)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("names", ["sequence,sequence", "sequence,Sequence"])
def test_two_columns_of_one_name(tmp_path: Path, names: str) -> None:
    with pytest.raises(UserError, match="two columns are called 'sequence'"):
        read(tmp_path, f"{names}\nMKV,ACD\n", "p.csv")


def test_blank_lines_and_columns_without_names(tmp_path: Path) -> None:
    text = "id,sequence,,\n\na,MKV,,\n\n,ACD,,\n"
    assert read(tmp_path, text, "p.csv") == [Protein("a", "MKV"), Protein("row_2", "ACD")]


def test_lines_of_labels_are_no_residues(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sequence, labels = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQWY", 20 * "H" + 15 * "C"
    text = f">a\n{sequence}\n{labels}\n"
    with caplog.at_level("WARNING", logger="hubtools"):
        assert read(tmp_path, text) == [Protein("a", sequence)]
    assert caplog.messages == [
        f"{tmp_path / 'p.fasta'}: below each sequence is a line of labels (HHHHHHHHHHHH…): only the sequences are read"
    ]
    with pytest.raises(UserError, match=r"p\.fasta:1: two lines of 35 letters .* looks like labels"):
        list(read_proteins(str(tmp_path / "p.fasta"), on_labels=None))
    with pytest.raises(UserError, match="looks like labels"):
        list(pasted(text))
    assert read(tmp_path, f">a\n{sequence}\n{sequence[::-1]}\n") == [Protein("a", sequence + sequence[::-1])]


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
    with pytest.raises(UserError, match=r"what was pasted:1: a FASTA file starts with '>', not with 'MKV'"):
        list(pasted("MKV\n>y\nACD"))
    with pytest.raises(UserError, match="no sequence yet"):
        list(pasted(" \n"))


def test_dna_is_noticed() -> None:
    assert nucleotides("ACGT" * 10) and nucleotides("ACGU" * 20 + "N")
    assert not nucleotides("ACGT") and not nucleotides("MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEG")


@needs_biotite
def test_the_chains_of_a_structure_file_are_proteins(tmp_path: Path) -> None:
    path = write_structure(tmp_path / "x.pdb", chain_atoms("MKTAYG") + chain_atoms("GAVLI", chain="B"))
    found = [one for one in read_proteins(str(path)) if isinstance(one, Protein)]
    assert [(one.id, one.sequence) for one in found] == [("x_A", "MKTAYG"), ("x_B", "GAVLI")]
