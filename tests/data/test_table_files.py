"""Source files of every format, read as they are."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from hubtools.common.errors import UserError
from hubtools.data.sources.table_files import read_table
from hubtools.specs.data_sources import LocalFile


def read(folder: Path, name: str, content: str | bytes, **options: object) -> list[dict[str, object]]:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    file = LocalFile(path=path, **options)  # type: ignore[arg-type]
    return read_table(file, path).to_dict("records")


def zipped(**members: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(f"folder/{name}.csv", text)
    return buffer.getvalue()


def damaged(packed: bytes) -> bytes:
    """With some bytes in the middle that were something else."""
    middle = len(packed) // 2
    return packed[:middle] + 40 * b"\xff" + packed[middle + 40 :]


def encrypted(archive: bytes) -> bytes:
    """With the flag of a password set, in the archive's list and before the file."""
    listed = archive.index(b"PK\x01\x02")
    return archive[:6] + b"\x01" + archive[7 : listed + 8] + b"\x01" + archive[listed + 9 :]


PROTEIN = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQWY"
LONG = "a,b\n" + "".join(f"{number},{number**5}\n" for number in range(3000))
ROWS = [{"seq": "MKT", "label": "NA"}, {"seq": "AC,D", "label": ""}]
CSV = 'seq,label\nMKT,NA\n"AC,D",\n'


def test_csv_cells_stay_text(tmp_path: Path) -> None:
    # NA is text, an empty cell is empty: neither is a missing value.
    assert read(tmp_path, "x.csv", CSV) == ROWS


def test_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    assert read(tmp_path, "x.csv", b"\xef\xbb\xbf" + CSV.replace("\n", "\r\n").encode()) == ROWS


def test_tsv_gzip_and_zip(tmp_path: Path) -> None:
    assert read(tmp_path, "x.tsv", "seq\tlabel\nMKT\tNA\nAC,D\t\n") == ROWS
    assert read(tmp_path, "x.csv.gz", gzip.compress(CSV.encode(), mtime=0)) == ROWS
    assert read(tmp_path, "x.zip", zipped(one=CSV, two="z\n1\n"), member="folder/one.csv") == ROWS


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(b"\xef\xbb\xbf" + CSV.encode(), id="UTF-8 with a mark"),
        pytest.param(CSV.encode("utf-16"), id="UTF-16"),
        pytest.param(b"\xfe\xff" + CSV.encode("utf-16-be"), id="UTF-16, the other way round"),
        pytest.param(CSV.replace("\n", "\r").encode(), id="CR"),
        pytest.param(CSV.replace("\n", "\r\n").encode(), id="CRLF"),
        pytest.param(gzip.compress(b"\xef\xbb\xbf" + CSV.encode(), mtime=0), id="gzip that is not called so"),
        pytest.param(CSV.replace("\n", "\n\n").encode(), id="blank lines"),
    ],
)
def test_what_a_table_is_stored_as_does_not_matter(tmp_path: Path, stored: bytes) -> None:
    assert read(tmp_path, "x.csv", stored) == ROWS


def test_columns_without_names_are_left_out_where_there_are_several(tmp_path: Path) -> None:
    assert read(tmp_path, "x.csv", "seq,label,,\nMKT,1,,\n") == [{"seq": "MKT", "label": "1"}]
    assert read(tmp_path, "x.csv", ",seq\n0,MKT\n") == [{"": "0", "seq": "MKT"}]


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


def test_lines_of_labels_that_a_task_names(tmp_path: Path) -> None:
    text = f"; a comment\n>p\n{PROTEIN}\n{20 * 'H' + 15 * 'C'}\n"
    (row,) = read(tmp_path, "x.fasta", text, lines=["sequence", "label"])
    assert (row["sequence"], row["label"]) == (PROTEIN, 20 * "H" + 15 * "C")


def test_fasta_whose_body_is_not_the_sequence(tmp_path: Path) -> None:
    assert read(tmp_path, "x.fasta", ">p\n0.5 1\n2\n", body="label") == [{"id": "p", "label": "0.5 1\n2"}]


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        (
            "x.csv",
            "a,b\n1,2\n1,2,3\n",
            {},
            r"x\.csv: not a CSV table \(row 2, line 3: 2 fields expected, there are 3\)",
        ),
        ("x.csv", "a,b\n1\n", {}, r"row 1, line 2: 2 fields expected, there are 1"),
        ("x.csv", 'a,b\n1,2\n3,"4\n5,6\n', {}, r"row 2, line 3: a quote opens and is not closed"),
        ("x.csv", "a,b,a\n1,2,3\n", {}, "two columns are called 'a'"),
        ("x.csv", "", {}, "not a CSV table"),
        ("x.csv", "a,b\n", {}, "the file has no rows"),
        ("x.csv", b"a,b\n1,2\n\xff,2\n", {}, r"not text in UTF-8 \(line 3\), perhaps Latin-1"),
        ("x.csv", b"a,b\n" + 9000 * b"1,2\n" + b"\xff,2\n", {}, r"not text in UTF-8 \(line 9002\), perhaps Latin-1"),
        ("x.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", {}, "not text"),
        ("x.parquet", b"PAR", {}, "not a Parquet file"),
        ("x.fasta", "\n\nMKT\n>p\nMKT\n", {}, r"x\.fasta:3: a FASTA file starts with '>'"),
        ("x.csv.gz", b"a,b\n1,2\n", {}, "not a complete gzip file"),
        ("x.csv.gz", gzip.compress(CSV.encode(), mtime=0)[:-6], {}, "not a complete gzip file"),
        ("x.csv.gz", damaged(gzip.compress(LONG.encode(), mtime=0)), {}, "not a complete gzip file"),
        ("x.zip", damaged(zipped(one=LONG)), {"member": "folder/one.csv"}, "the zip archive is damaged"),
        ("x.zip", encrypted(zipped(one=CSV)), {"member": "folder/one.csv"}, "cannot unpack it.*encrypted"),
        ("x.fasta", f">a\n{PROTEIN}\n{20 * 'H' + 15 * 'C'}\n", {}, r"x\.fasta:1: .* looks like labels.*lines: \["),
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
    for name, content in (("x.fasta", text.encode()), ("x.fasta.gz", gzip.compress(text.encode(), mtime=0))):
        (tmp_path / name).write_bytes(content)
        table = read_table(LocalFile(path=tmp_path / name), tmp_path / name)
        assert [
            {key: cell for key, cell in row.items() if cell == cell} for row in table.to_dict("records")
        ] == expected


@pytest.mark.slow
def test_a_large_file_is_not_held_in_memory(tmp_path: Path) -> None:
    """Entries that give no row: what is allocated while they are read stays far below the file."""
    import tracemalloc

    from hubtools.data.sources.swissprot import read_entries

    entry = "ID   A_TEST  Reviewed;  10 AA.\nAC   P1;\n" + "RA   Nobody A.;\n" * 2000 + "SQ   S\n     MKSTAAAAWW\n//\n"
    path = tmp_path / "x.dat"
    path.write_text(entry * 200)
    tracemalloc.start()
    assert sum(1 for _ in read_entries(LocalFile(path=path), path, ["ft_helix"])) == 200
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.stat().st_size > 5_000_000 and peak < 1_000_000
