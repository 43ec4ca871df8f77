"""Workbooks of Excel as tables: what openpyxl wrote is what is read, by a task and by whoever predicts."""

from __future__ import annotations

import datetime
import io
import random
import zipfile
from pathlib import Path

import pytest

from hubtools.common.errors import SeveralErrors, UserError
from hubtools.data.rows.inspection import read_sheet, read_sheets
from hubtools.data.sources.spreadsheet import workbook_rows
from hubtools.data.sources.table_files import read_table
from hubtools.inference.proteins import Unreadable, read_proteins
from hubtools.specs.data_sources import LocalFile

openpyxl = pytest.importorskip("openpyxl")
PROTEINS = [
    ["Accession", "Sequence", "Half-life"],
    ["p1", "MKT AYI\nAKQ", 0.5],
    ["p2", "mkvlaa", 3.0],
    ["p3", "MKV", None],
]


def workbook(*sheets: list[list[object]]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, rows in enumerate(sheets):
        sheet = book.create_sheet(f"S{number}")
        for row in rows:
            sheet.append(row)
    held = io.BytesIO()
    book.save(held)
    return held.getvalue()


def test_cells_are_the_text_that_a_person_sees() -> None:
    cells = [1, 2.0, 0.25, 1e-7, True, datetime.date(2024, 1, 31), "=1/0", "a ", None, "z"]
    assert list(workbook_rows(workbook([], [cells, [], ["", " "]]), "x")) == [
        ["1", "2", "0.25", "1e-07", "TRUE", "2024-01-31", "", "a ", "", "z"]
    ]


def test_a_task_and_a_prediction_read_the_same(tmp_path: Path) -> None:
    path = tmp_path / "p.xlsx"
    path.write_bytes(workbook([], PROTEINS))
    assert read_table(LocalFile(path=path), path).values.tolist() == [
        ["p1", "MKT AYI\nAKQ", "0.5"], ["p2", "mkvlaa", "3"], ["p3", "MKV", ""]
    ]  # fmt: skip
    found = [one for one in read_proteins(str(path)) if not isinstance(one, Unreadable)]
    # A column that is called Accession is no id of whoever predicts only by chance: both read the same names.
    assert [(one.id, one.sequence) for one in found] == [("p1", "MKTAYIAKQ"), ("p2", "MKVLAA"), ("p3", "MKV")]
    with pytest.raises(UserError, match="there is no sheet 'S9'"):
        read_table(LocalFile(path=path, sheet="S9"), path)


def test_what_is_no_workbook_is_refused_in_words(tmp_path: Path) -> None:
    good = workbook(PROTEINS)
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}

    def packed(**changed: bytes) -> bytes:
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in {**parts, **changed}.items():
                archive.writestr(name, content)
        return held.getvalue()

    sheet = "xl/worksheets/sheet1.xml"
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;">]><worksheet>&b;</worksheet>'
    for content, said in (
        (b"", "not a workbook"),
        (good[:-40], "not a workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1old", "of the old form"),
        (packed(**{sheet: b"<worksheet"}), "damaged|not a workbook"),
        (packed(**{sheet: bomb}), "declares types of its own"),
        (packed(**{"xl/zeros.xml": bytes(200 << 20)}), "unpacks to more than"),
    ):
        with pytest.raises(UserError, match=said):
            list(workbook_rows(content, "x.xlsx"))


@pytest.mark.parametrize("mark", [";", "\t", ","])
def test_what_spreadsheets_write_as_text(tmp_path: Path, mark: str) -> None:
    """Semicolons and tabs, decimal commas, empty rows and columns at the end."""
    rows = [["id", "sequence", "value", "", ""], *([f"p{i}", "MKTAYIAKQRQISF", f'"0,{i}"', "", ""] for i in range(9))]
    path = tmp_path / "p.csv"
    path.write_text("\n".join(mark.join(row) for row in [*rows, [""] * 5, [""] * 7]) + "\n")
    sheet = read_sheet(path)
    assert list(sheet.columns) == ["id", "sequence", "value"]
    assert sheet.columns["value"] == [f"0.{i}" for i in range(9)]
    assert read_table(LocalFile(path=path, **sheet.options), path)["value"].tolist() == sheet.columns["value"]
    assert len(list(read_proteins(str(path)))) == 9


def test_files_of_one_class_each_and_headers_that_hold_labels(tmp_path: Path) -> None:
    for name in ("nucleus", "membrane"):
        (tmp_path / f"{name}.fasta").write_text("".join(f">{name}{i}\nMKTAY\nIAK\n" for i in range(3)))
    sheet = read_sheets([tmp_path / "nucleus.fasta", tmp_path / "membrane.fasta"])
    assert sheet.columns["label"] == ["nucleus"] * 3 + ["membrane"] * 3
    tables = [read_table(LocalFile(path=path, **options), path) for path, options in sheet.all_files]
    assert [label for table in tables for label in table["label"]] == sheet.columns["label"]
    bars = tmp_path / "bars.fasta"
    bars.write_text("".join(f">P{i}|{i % 2}|{'test' if i > 3 else 'train'}\nMKT\n" for i in range(6)))
    found = read_sheet(bars)
    assert (found.columns["label"], found.columns["set"][-1]) == ([str(i % 2) for i in range(6)], "test")
    words = tmp_path / "words.fasta"
    words.write_text("".join(f">P{i} {'in' if i % 2 else 'out'}\nMKT\n" for i in range(6)))
    assert read_sheet(words).columns["label"] == ["out", "in"] * 3


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    import hubtools

    rows = [[f"p{i}", "MKTAYIAKQRQISFVKSH"[i % 3 :] * 2, ("yes", "no")[i % 2]] for i in range(30)]
    rows[3][1], rows[5][1], rows[7][1], rows[8][0] = "MK_TAYIAK", "", "MKT1AYIA", "p9"
    path = tmp_path / "p.csv"
    path.write_text("\n".join(map(",".join, [["name", "sequence", "bound"], *rows])))
    with pytest.raises(SeveralErrors) as caught:
        hubtools.new_task(path, id="name")
    assert len(caught.value.problems) == 4
    for said in ("row 6 (p5)", "'_' in 'sequence', first at position 3", "row 8 (p7)", "row 9 (p9), row 10 (p9)"):
        assert said in str(caught.value)


def test_a_column_that_teaches_nothing_is_no_label(tmp_path: Path) -> None:
    """Names that each stand once, and cells that are alike, leave one column; numbers that differ are values."""
    import hubtools

    drawn = random.Random(0)
    sequences = ["".join(drawn.choices("ACDEFGHIKLMNPQRSTVWY", k=40)) for _ in range(40)]
    path = tmp_path / "p.csv"
    rows = [f"g{i},{sequence},{('yes', 'no')[i % 2]}," for i, sequence in enumerate(sequences)]
    path.write_text("\n".join(["gene,sequence,bound,comment", *rows]))
    assert hubtools.new_task(path).task.data.columns.label == "bound"
    path.write_text("\n".join(["gene,sequence,heat", *(f"g{i},{one},{i / 7}" for i, one in enumerate(sequences))]))
    assert hubtools.new_task(path).task.data.columns.label == "heat"
