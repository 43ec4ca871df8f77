"""Source files of every format, read as they are."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from hubtools.data.tables import read_table
from hubtools.specs.errors import UserError
from hubtools.specs.sources import LocalFile


def read(folder: Path, name: str, content: str | bytes, **options: object) -> list[dict[str, object]]:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    file = LocalFile(path=path, **options)  # type: ignore[arg-type]
    return read_table(file, path).to_dict("records")


def zipped(**members: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in members.items():
            archive.writestr(f"folder/{name}.csv", text)
    return buffer.getvalue()


ROWS = [{"seq": "MKT", "label": "NA"}, {"seq": "AC,D", "label": ""}]
CSV = 'seq,label\nMKT,NA\n"AC,D",\n'


def test_csv_cells_stay_text(tmp_path: Path) -> None:
    # NA is text, an empty cell is empty: neither is a missing value.
    assert read(tmp_path, "x.csv", CSV) == ROWS


def test_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    assert read(tmp_path, "x.csv", b"\xef\xbb\xbf" + CSV.replace("\n", "\r\n").encode()) == ROWS


def test_tsv_gzip_and_zip(tmp_path: Path) -> None:
    assert read(tmp_path, "x.tsv", "seq\tlabel\nMKT\tNA\nAC,D\t\n") == ROWS
    assert read(tmp_path, "x.csv.gz", gzip.compress(CSV.encode())) == ROWS
    assert read(tmp_path, "x.zip", zipped(one=CSV, two="z\n1\n"), member="folder/one.csv") == ROWS


def test_files_without_column_names(tmp_path: Path) -> None:
    rows = read(tmp_path, "x.csv", "5200,1,UniProt,AMP\nMKT, 1\nACD, 0\n", skip_rows=1, header=["seq", "label"])
    assert [row["seq"] for row in rows] == ["MKT", "ACD"]
    with pytest.raises(UserError, match="header names 1 columns and the file has 2"):
        read(tmp_path, "x.csv", "MKT,1\n", header=["seq"])


def test_parquet_keeps_lists_and_gaps(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    pd.DataFrame({"seq": ["MKT", None], "label": [[0, 1, 2], [1]]}).to_parquet(buffer)
    assert read(tmp_path, "x.parquet", buffer.getvalue()) == [
        {"seq": "MKT", "label": [0, 1, 2]},
        {"seq": None, "label": [1]},
    ]


def test_fasta_headers_become_columns(tmp_path: Path) -> None:
    text = ">sp|P1|A_HUMAN Some protein OS=Homo sapiens SET=train\nMKT\nACD \n\n>p2 SET=test\r\nGG\r\n"
    assert read(tmp_path, "x.fasta", text) == [
        {"id": "sp|P1|A_HUMAN", "OS": "Homo sapiens", "SET": "train", "sequence": "MKTACD"},
        {"id": "p2", "OS": pytest.approx(float("nan"), nan_ok=True), "SET": "test", "sequence": "GG"},
    ]


def test_fasta_whose_body_is_not_the_sequence(tmp_path: Path) -> None:
    assert read(tmp_path, "x.fasta", ">p\n0.5 1\n2\n", body="label") == [{"id": "p", "label": "0.5 1\n2"}]


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("x.csv", "a,b\n1,2\n1,2,3\n", {}, r"x\.csv: not a CSV table \(2 fields expected in line 3, there are 3\)"),
        ("x.csv", "a,b\n1\n", {}, r"2 fields expected in line 2, there are 1"),
        ("x.csv", "a,b,a\n1,2,3\n", {}, "two columns are called 'a'"),
        ("x.csv", "", {}, "not a CSV table"),
        ("x.csv", "a,b\n", {}, "the file has no rows"),
        ("x.csv", b"a,b\n\xff,2\n", {}, r"not text in UTF-8 \(byte 4\)"),
        ("x.parquet", b"PAR", {}, "not a Parquet file"),
        ("x.fasta", "\n\nMKT\n>p\nMKT\n", {}, r"x\.fasta:3: a FASTA file starts with '>'"),
        ("x.csv.gz", b"a,b\n1,2\n", {}, "not a complete gzip file"),
        ("x.csv.gz", gzip.compress(CSV.encode())[:-6], {}, "not a complete gzip file"),
        ("x.zip", b"a,b\n1,2\n", {"member": "x.csv"}, "not a zip archive"),
        ("x.zip", zipped(one=CSV), {"member": "folder/on.csv"}, r"no member 'folder/on\.csv'.*mean folder/one\.csv"),
    ],
)
def test_what_is_not_a_table_is_one_line(
    tmp_path: Path, name: str, content: str | bytes, options: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        read(tmp_path, name, content, **options)
    assert "\n" not in str(error.value)


def test_a_fasta_file_read_as_a_stream_is_what_it_is_as_a_whole(tmp_path: Path) -> None:
    """Against the same file taken apart in memory: keys that some headers lack, empty lines, both kinds of line end."""
    text = "".join(
        f">p{i}{' A=1' if i % 3 else ' B=x y C=2'}\r\nMKT\r\n\r\nAC\n" if i % 2 else f">p{i}\nMK {i * 'W'}\n"
        for i in range(200)
    )
    expected = []
    for entry in text.replace("\r\n", "\n").split(">")[1:]:
        header, _, body = entry.partition("\n")
        keys = {"A": "1"} if "A=1" in header else {"B": "x y", "C": "2"} if "B=" in header else {}
        expected.append({**keys, "sequence": "".join(body.split()), "id": header.split()[0]})
    for name, content in (("x.fasta", text.encode()), ("x.fasta.gz", gzip.compress(text.encode()))):
        (tmp_path / name).write_bytes(content)
        table = read_table(LocalFile(path=tmp_path / name), tmp_path / name)
        assert [
            {key: cell for key, cell in row.items() if cell == cell} for row in table.to_dict("records")
        ] == expected


def test_a_large_file_is_not_held_in_memory(tmp_path: Path) -> None:
    """Entries that give no row: what is allocated while they are read stays far below the file."""
    import tracemalloc

    from hubtools.data.swissprot import read_entries

    entry = "ID   A_TEST  Reviewed;  10 AA.\nAC   P1;\n" + "RA   Nobody A.;\n" * 2000 + "SQ   S\n     MKSTAAAAWW\n//\n"
    path = tmp_path / "x.dat"
    path.write_text(entry * 200)
    tracemalloc.start()
    assert sum(1 for _ in read_entries(LocalFile(path=path), path, ["ft_helix"])) == 200
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.stat().st_size > 5_000_000 and peak < 1_000_000
