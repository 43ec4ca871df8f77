"""Proteins by date: days as files write them, splits before and after one, and how many are newer than another."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from task_files import csv, load, write_task
from uniprot_server import UniProt

from hubtools.common.errors import UserError
from hubtools.data import DataCache, load_task_data
from hubtools.data.rows.dates import first_day, last_day, newer, of_sequences
from hubtools.data.sources import uniprot
from hubtools.data.sources.swissprot import read_entries
from hubtools.specs.data_sources import LocalFile
from hubtools.specs.lookup.spec_files import load_task

HEADER = "id,sequence,label,set,day"
ROWS: list[tuple[Any, ...]] = [
    ("p1", "MKTAYIAK", "a", "train", "1995-11-01"),
    ("p2", "MLLAVLYC", "b", "train", "2019-05"),
    ("p3", "MADEKWWR", "b", "validation", "2020"),
    ("p4", "MGHIKLPQ", "a", "test", "2021-11-17"),
    ("p5", "MWWYFFCC", "b", "test", "18-NOV-2021"),
    ("p6", "MQQNNSST", "a", "test", ""),
    ("p7", "MVVVLLII", "b", "test", "2021-11-18 00:00:00"),
]
COLUMNS = {"id": "id", "date": "day"}


def by_date(**rules: dict[str, str]) -> dict[str, Any]:
    return {"columns": COLUMNS, "splits": rules, "validation_fraction": 0.3}


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("2021-11-17", date(2021, 11, 17)),
        ("2021-11-17T00:00:00", date(2021, 11, 17)),
        ("17-NOV-2021", date(2021, 11, 17)),
        ("2021-11", date(2021, 11, 1)),
        ("2021", date(2021, 1, 1)),
    ],
)
def test_a_day_is_read_as_files_write_it(text: str, first: date) -> None:
    assert first_day(text) == first


@pytest.mark.parametrize("text", ["", "17/11/2021", "2021-13", "2021-02-30", "17-XXX-2021", "20211117", "٢٠٢١"])
def test_what_is_no_day_is_none(text: str) -> None:
    with pytest.raises(ValueError):
        first_day(text)


def test_what_is_not_sure_is_not_newer() -> None:
    """A month or a year of pre-training data is read to its end, one of a protein from its start."""
    assert [last_day(text) for text in ("2021-11-17", "2024-02", "2018")] == [
        date(2021, 11, 17),
        date(2024, 2, 29),
        date(2018, 12, 31),
    ]
    days = [date(2018, 3, 1), first_day("2019"), None, date(2021, 11, 17), date(2021, 11, 18)]
    assert [newer(days, until) for until in ("2018", "2019-01", "2021-11-17", "2021", "1990")] == [3, 2, 1, 0, 4]


def test_equal_sequences_are_as_old_as_the_oldest() -> None:
    old, new = date(2001, 1, 1), date(2022, 1, 1)
    assert of_sequences([new, None, old, None], ["MK", "MK", "MK", "MT"]) == [old, old, old, None]


def test_the_days_of_scored_proteins_are_kept_and_change_nothing_else(tmp_path: Path) -> None:
    dated = load(tmp_path, {"x.csv": csv(ROWS, HEADER)}, columns=COLUMNS)
    assert dated.dates == {"test": [date(2021, 11, 17), date(2021, 11, 18), None, date(2021, 11, 18)]}
    plain = load(tmp_path, {"x.csv": csv(ROWS, HEADER)}, columns={"id": "id"})
    assert plain.dates == {} == plain.without_test().dates == dated.without_test().dates
    assert plain.facts == dated.facts
    assert plain.splits["test"].column_names == dated.splits["test"].column_names


def test_splits_before_and_after_a_day(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        {"x.csv": csv(ROWS, HEADER)},
        **by_date(train={"before": "2021-11-17"}, test={"since": "2021-11-17"}),
    )
    assert found.splits["test"]["id"] == ["p4", "p5", "p7"]
    assert sorted([*found.splits["train"]["id"], *found.splits["validation"]["id"]]) == ["p1", "p2", "p3"]
    # Of p6 no day is known.
    assert "1 rows are in no split" in found.facts.findings


def test_of_several_columns_the_earliest_day_counts(tmp_path: Path) -> None:
    rows = [(*row, "1999-01-01" if row[0] == "p5" else "") for row in ROWS]
    found = load(tmp_path, {"x.csv": csv(rows, f"{HEADER},other")}, columns={"id": "id", "date": ["day", "other"]})
    assert found.dates["test"][1] == date(1999, 1, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": {"date": "dya"}}, r"there is no column 'dya' \(data.columns.date\)"),
        ({"columns": {"id": "id", "date": "label"}}, "task t, p1: label holds 'a', which is no day"),
        (by_date(train={"before": "2021"}, test={"since": "2022"}), "no protein of it became public since 2022"),
        ({"splits": {"train": {"before": "2021"}, "test": {"since": "2021"}}}, "when a protein became public"),
        (by_date(train={"before": "21-1"}, test={"since": "2021"}), "before"),
        (
            {"problem": "pair-classification", "columns": {"date": "day", "partner": "sequence"}},
            "date: this is not for pair-classification",
        ),
    ],
)
def test_what_cannot_be_is_one_line(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load(tmp_path, {"x.csv": csv(ROWS, HEADER)}, **options)
    assert "\n" not in str(caught.value)


def test_a_task_without_dates_is_the_question_that_it_was(tmp_path: Path) -> None:
    plain = load_task(str(write_task(tmp_path, {"x.csv": csv(ROWS, HEADER)}, columns={"id": "id"})))
    assert "date" not in str(plain.data.question()) and "before" not in str(plain.data.question())
    dated = load_task(str(write_task(tmp_path, {"x.csv": csv(ROWS, HEADER)}, columns=COLUMNS)))
    assert dated.hash != plain.hash


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[UniProt]:
    entries = [
        {
            "accession": f"P{number}",
            "sequence": "M" + "ACDEFGHI"[number] * 9,
            "cc_subcellular_location": f"SUBCELLULAR LOCATION: {('Cytoplasm', 'Membrane')[number % 2]}.",
            "date_created": f"20{10 + 2 * number}-05-01",
            # One that lay in TrEMBL for years before it came into Swiss-Prot.
            "date_sequence_modified": "2011-01-01" if number == 7 else f"20{10 + 2 * number}-05-01",
        }
        for number in range(8)
    ]
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(uniprot, "FIRST_PAUSE", 0.001)
    with UniProt(entries) as running:
        monkeypatch.setenv("BENCH_UNIPROT", running.address)
        yield running


def test_the_days_of_uniprot_are_asked_for_and_split_by(tmp_path: Path, server: UniProt) -> None:
    (tmp_path / "places.yaml").write_text("""\
name: places
version: 1
title: Places
problem: sequence-classification
summary: s
data:
  source: uniprot
  query: "(reviewed:true)"
  columns: {date: [date_created, date_sequence_modified]}
  annotation:
    field: cc_subcellular_location
    comment: {cytosol: {contains: [Cytoplasm]}, membrane: {contains: [Membrane]}}
  validation_fraction: 0.3
  splits:
    train: {before: 2019-01-01}
    test: {since: 2019-01-01}
labels: [cytosol, membrane]
metrics: {primary: accuracy}
licence: CC-BY-4.0
citation: none
""")
    found = load_task_data(load_task(str(tmp_path / "places.yaml")), DataCache(tmp_path / "cache"))
    asked = server.log[0]["fields"].split(",")
    assert asked == ["accession", "sequence", "date_created", "date_sequence_modified", "cc_subcellular_location"]
    assert found.splits["test"]["id"] == ["P5", "P6"]
    assert found.dates == {"test": [date(2020, 5, 1), date(2022, 5, 1)]}
    assert newer(found.dates["test"], "2021-11-17") == 1
    assert "P7" in [*found.splits["train"]["id"], *found.splits["validation"]["id"]]


@pytest.mark.parametrize(
    "lines",
    [
        "DT   01-JUL-1993, integrated into UniProtKB/Swiss-Prot.\nDT   23-JAN-2007, sequence version 3.\n"
        "DT   09-JUL-2014, entry version 166.\n",
        "DT   01-JUL-1993 (Rel. 26, Created)\nDT   23-JAN-2007 (Rel. 51, Last sequence update)\n"
        "DT   28-FEB-2014 (Rel. 52, Last annotation update)\n",
    ],
)
def test_the_days_of_a_flat_file_are_those_of_its_lines(tmp_path: Path, lines: str) -> None:
    path = tmp_path / "x.dat"
    path.write_text(f"ID   A_HUMAN   Reviewed;   4 AA.\nAC   P1;\n{lines}SQ   SEQUENCE   4 AA;\n     MKTA\n//\n")
    (entry,) = read_entries(LocalFile(path=path), path, [])
    assert entry.dates == {"date_created": "01-JUL-1993", "date_sequence_modified": "23-JAN-2007"}
    assert [str(first_day(day)) for day in entry.dates.values()] == ["1993-07-01", "2007-01-23"]
