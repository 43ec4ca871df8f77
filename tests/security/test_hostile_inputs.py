"""Every hostile input of the table is refused in words, or does nothing; what it tries does not happen.

``hostile_outcomes.csv`` has what is printed of each: ``make bad-inputs`` writes it.
"""

from __future__ import annotations

import csv
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hostile_inputs import HOSTILE, PROBLEM, Hostile, World, world_of
from hub_server import Hub
from tiny_runs import made


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("trained"), PROBLEM)


@pytest.fixture
def world(request: pytest.FixtureRequest, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    row: Hostile = request.getfixturevalue("row")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("BENCH_DATA_MIRROR", raising=False)
    yield (found := world_of(tmp_path, hub, request.getfixturevalue("trained") if row.trained else None))
    sys.modules.pop("evil", None)
    assert found is not None


# Where the outcomes are written, if anywhere.
VARIABLE = "BENCH_HOSTILE_OUTCOMES"
TABLE = Path(__file__).with_name("hostile_outcomes.csv")
COLUMNS = ["name", "tries", "exit", "said"]


@pytest.fixture(scope="module")
def outcomes() -> Iterator[dict[str, list[str]]]:
    """What came of each row, written at the end where the variable asks for it."""
    kept: dict[str, list[str]] = {}
    yield kept
    if path := os.environ.get(VARIABLE):
        with Path(path).open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream, lineterminator="\n").writerows([COLUMNS, *(kept[row.name] for row in HOSTILE)])


def everything_in(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


ROWS = [pytest.param(row, id=row.name, marks=[pytest.mark.slow] if row.trained else []) for row in HOSTILE]


@pytest.mark.parametrize("row", ROWS)
def test_what_is_tried_does_not_happen(
    row: Hostile,
    world: World,
    bench: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    outcomes: dict[str, list[str]],
) -> None:
    monkeypatch.chdir(world.here)
    command = row.made(world)
    outside = everything_in(world.outside)
    there = set(world.here.parent.iterdir())
    # The fixture fails where a traceback is shown.
    code, out, err = bench(*command)
    assert re.search(row.says, out + err), f"{code}: {out}{err}"
    assert code == row.code, f"{code}: {out}{err}"
    refused = [line for line in err.splitlines() if line.startswith("error:")]
    assert len(refused) == (1 if code == 2 else 0), err
    assert not world.canary.exists() and not (world.here / "canary").exists()
    assert everything_in(world.outside) == outside
    assert {path.name for path in set(world.here.parent.iterdir()) - there} <= {"cache"}
    assert not [path for _, path in world.hub.log if "evil" in path]
    assert "secret,MKV" not in out + err
    said = next(line for line in (err + out).splitlines() if re.search(row.says, line))
    here = (
        said.replace(str(world.here), "HERE")
        .replace(str(world.here.parent), "THERE")
        .replace(world.hub.endpoint, "HUB")
    )
    outcomes[row.name] = [row.name, row.tries, str(code), here.strip()[:200]]


@pytest.mark.skipif(VARIABLE in os.environ, reason="it is written when all rows are done")
def test_the_table_of_outcomes_has_every_row() -> None:
    rows = list(csv.DictReader(TABLE.open(encoding="utf-8")))
    assert list(rows[0]) == COLUMNS
    assert [(row["name"], row["tries"], row["exit"]) for row in rows] == [
        (row.name, row.tries, str(row.code)) for row in HOSTILE
    ]


def test_a_row_says_what_it_tries_and_has_a_name_of_its_own() -> None:
    assert len({row.name for row in HOSTILE}) == len(HOSTILE) >= 60
    assert all(row.tries and row.says for row in HOSTILE)
