"""Bad inputs of every kind are refused in one clear line, or change nothing; ``outcomes.csv`` has all of them."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from bad_cases import Case, all_cases, some_cases
from outcomes import COLUMNS, GOOD, TABLE, Judge, Outcome, clear


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    """A project with trained runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.delenv("BENCH_DATA_MIRROR", raising=False)
        yield Judge(tmp_path_factory.mktemp("bad"))


CASES = [pytest.param(case, id=f"{case.kind[:30]}-{case.command}-{case.place}") for case in some_cases()]


@pytest.mark.slow
@pytest.mark.skipif(
    os.name != "posix" or not Path("/proc/self/statm").exists(), reason="bounds and streams are Linux's"
)
@pytest.mark.parametrize("case", CASES)
def test_one_clear_line_or_nothing_changes(case: Case, judge: Judge) -> None:
    found = judge.outcome(case)
    assert judge.class_of(case, found) in GOOD, (
        f"bench {' '.join(case.arguments)}\n{found.code}\n{found.out}\n{found.err}"
    )


def test_there_are_hundreds_of_every_kind_and_the_same_each_time() -> None:
    cases = all_cases()
    names = [(case.kind, case.command, case.place, case.arguments) for case in cases]
    assert len(set(names)) == len(names) >= 600
    assert names == [(case.kind, case.command, case.place, case.arguments) for case in all_cases()]
    assert len({case.kind for case in cases}) > 200 and len({case.command for case in cases}) > 25
    assert len(some_cases()) == 100


def test_the_table_that_is_kept_has_every_case_and_nothing_bad() -> None:
    rows = list(csv.DictReader(TABLE.open(encoding="utf-8")))
    assert tuple(rows[0]) == COLUMNS
    assert sorted(int(row["id"]) for row in rows) == list(range(1, len(all_cases()) + 1))
    assert [row["class"] for row in rows if row["class"] not in GOOD] == []


@pytest.mark.parametrize(
    ("code", "err", "is_clear"),
    [
        (2, "error: x.yaml:3: unknown key. Did you mean name?\n", True),
        (2, "error: x.yaml: 'utf-8' codec can't decode byte 0xff in position 0\n", False),
        (2, "error: x.yaml: wrong value\nerror: and another that is wrong\n", False),
        (1, "error: x.yaml:3: unknown key. Did you mean name?\n", False),
        (2, "error: KeyError: 'columns' in the task file\n", False),
        (2, "error: wrong\n", False),
        (2, "Traceback (most recent call last):\nKeyError: 1\n", False),
    ],
)
def test_what_counts_as_clear(code: int, err: str, is_clear: bool) -> None:
    assert clear(Outcome(code, "", err)) is is_clear
