"""Published results: the files that bench ships hold what the sources print, and can be run."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import yaml
from scipy import stats

from hubtools.common.errors import UserError
from hubtools.specs.lookup.content import shipped_root
from hubtools.specs.lookup.spec_files import load_recipe, load_task
from hubtools.specs.lookup.trusted import TrustedSpecs
from hubtools.specs.published_results import Cell, find_cell, read_source

CELLS = TrustedSpecs().cells()
FILES = sorted((shipped_root() / "benchmarks" / "published").glob("*.yaml"))
EXPERIMENTS = {cell.id.rpartition("/")[0]: cell for cell in CELLS.values()}
# How the task files word the procedures of experiments.
HOW = {"frozen": "frozen, small head", "full": "full fine-tuning", "lora": "LoRA"}


def test_every_file_holds_results() -> None:
    assert {cell.source.name for cell in CELLS.values()} == {path.stem for path in FILES}
    assert len(FILES) >= 3 and len(CELLS) > 100


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_can_be_run(name: str) -> None:
    experiment = EXPERIMENTS[name].experiment
    task, recipe = load_task(experiment.task), load_recipe(experiment.recipe, experiment.settings)
    assert task.version == experiment.version
    assert experiment.metric in task.metrics.names
    assert experiment.split in task.data.test_splits
    assert recipe.why_not(task.problem) is None
    # A tolerance below the task's own margin would call differences that do not count a contradiction.
    assert experiment.tolerance >= task.margin


@pytest.mark.parametrize("cell", [c for c in CELLS.values() if c.source.name == "schmirler-2024"], ids=lambda c: c.id)
def test_numbers_are_those_of_the_task_files(cell: Cell) -> None:
    """The task files were filled from the tables of means, these from the scores of single runs."""
    kind = cell.id.split("/")[1].rpartition("-")[2]
    listed = [
        entry
        for entry in load_task(cell.experiment.task).published
        if (entry.what, entry.how, entry.split) == (cell.result.checkpoint, HOW[kind], cell.experiment.split)
    ]
    if not listed:
        assert kind == "lora" and cell.result.printed == "no mean printed"
        return
    (entry,) = listed
    assert entry.value == pytest.approx(cell.result.value)
    value, spread = map(float, re.fullmatch(r"([\d.]+)% ± ([\d.]+)", cell.result.printed).groups())
    assert value == pytest.approx(100 * cell.result.value)
    # ± is 1.96 standard errors of the runs, as far as these are printed: of frozen encoders to a tenth of a point.
    assert cell.standard_error is not None
    assert 196 * cell.standard_error == pytest.approx(spread, abs=0.1)


def test_the_spread_of_runs_and_of_what_is_printed() -> None:
    runs = CELLS["schmirler-2024/gb1-full/esm2-8m"]
    assert (runs.result.runs, runs.degrees) == ([0.8914, 0.8821, 0.8746], 2)
    assert runs.standard_error == pytest.approx(stats.sem(runs.result.runs))
    printed = CELLS["peer/fold-full/esm-1b"]
    assert printed.standard_error == pytest.approx(0.0205 / math.sqrt(3)) and printed.degrees == 2
    none = CELLS["proteingym/blat-stiffler/esm2-650m"]
    assert none.standard_error is None and math.isinf(none.degrees)


def small(**changes: object) -> dict:
    experiment = {
        "title": "T",
        "where": "Table 1",
        "task": "disorder",
        "version": 1,
        "metric": "spearman",
        "recipe": "probe",
        "tolerance": 0.02,
        "reason": "Two points.",
        "same_test": True,
        "data": "The same.",
        "differences": [],
        "results": {"a": {"checkpoint": "lab/a", "value": 0.5, "printed": "0.50"}},
    }
    return {"name": "mine", "citation": "Me", "numbers": "here", "experiments": {"x": experiment | changes}}


def write(folder: Path, values: dict) -> Path:
    path = folder / "benchmarks" / "published" / "mine.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(values))
    return path


def result(**changes: object) -> dict:
    return {"results": {"a": {"checkpoint": "lab/a", "value": 0.5, "printed": "0.50"} | changes}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (result(runs=[0.4, 0.45]), "their mean is 0.4250, the value 0.5"),
        (result(runs=[0.5]), "one run has no spread"),
        (result(spread=0.01), "Say what it is: 1.96 SEM, SEM or SD"),
        (result(spread=0.01) | {"spread_is": "SD"}, "the spread of a is of several runs. Say of how many"),
        (result(checkpoint="a"), "checkpoint"),
        ({"seeds": [1, 1]}, "the same seed is listed twice"),
        ({"tolerance": 0}, "tolerance"),
        ({"tolerence": 0.1}, "tolerence: unknown key"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, changes: dict, said: str) -> None:
    path = write(tmp_path, small(**changes))
    with pytest.raises(UserError) as mistake:
        read_source(path)
    assert said in str(mistake.value) and "mine.yaml" in str(mistake.value) and "\n" not in str(mistake.value)


def test_a_folder_that_is_named_adds_and_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, small())
    monkeypatch.chdir(tmp_path)
    # The current folder may be whose numbers are looked at.
    assert TrustedSpecs().cells() == CELLS
    cells = TrustedSpecs(tmp_path).cells()
    assert set(cells) == {*CELLS, "mine/x/a"} and find_cell("mine/x/a", cells).result.value == 0.5
    own = small()["experiments"]["x"] | result(value=0.6)
    path = tmp_path / "benchmarks" / "published" / "proteingym.yaml"
    path.write_text(yaml.safe_dump(small() | {"name": "proteingym", "experiments": {"blat-stiffler": own}}))
    names = [name for name in TrustedSpecs(tmp_path).cells() if name.startswith("proteingym/")]
    assert names == ["proteingym/blat-stiffler/a"]


def test_a_near_miss_is_named() -> None:
    with pytest.raises(UserError, match=r"Did you mean .*proteingym/blat-stiffler/esm2-8m"):
        find_cell("proteingym/blat-stifler/esm2-8m", CELLS)
    with pytest.raises(UserError, match="bench reproduce --list"):
        find_cell("qqqq", CELLS)
