"""A metric, added as docs/extending.md says: named by a task, scored, resampled, shown."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from extending_page import blocks, install
from sklearn.metrics import cohen_kappa_score
from tiny_project import task_name, write_task

from hubtools.cli.main import cli
from hubtools.common.errors import UserError
from hubtools.evaluation import bootstrap_units, bootstrap_weights, metric, read_predictions
from hubtools.evaluation.statistics.resampled import read_replicates
from hubtools.reporting.card.model_card import build_card
from hubtools.runs.store import PREDICTIONS, find_records
from hubtools.specs.lookup.spec_files import load_task
from hubtools.specs.metric_names import METRICS

PROBLEM = "sequence-classification"


@pytest.fixture
def nothing_added(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test adds is forgotten after it."""
    monkeypatch.setattr(METRICS, "_added", {})
    monkeypatch.setattr(METRICS, "_looked", False)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nothing_added: None) -> Path:
    """A working directory with a task that names the metric."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    write_task(tmp_path, PROBLEM, metrics={"primary": "kappa", "also": ["accuracy"]})
    return tmp_path


def bench(*arguments: str) -> str:
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_it_ranks_runs_and_each_replicate_is_that_of_scikit_learn(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="there is no metric 'kappa'"):
        load_task(str(here / "tasks" / f"{task_name(PROBLEM)}.yaml"))
    monkeypatch.setattr(METRICS, "_looked", False)
    site = here / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    install(site, {"my_lab_metrics.py": blocks("A metric", "python")[0]}, blocks("A metric", "toml")[0])

    bench("run", "--task", task_name(PROBLEM), "--recipe", "composition")
    ((folder, record),) = find_records([here / "runs"])[0]
    score = record.results["test"].scores["kappa"]
    assert score.higher_is_better and score.low < score.value < score.high

    predictions = read_predictions(folder / PREDICTIONS)["test"]
    truth, called = predictions.truth, predictions.scores.argmax(axis=1)
    assert score.value == pytest.approx(cohen_kappa_score(truth, called))
    kept, _ = read_replicates(folder / "replicates.safetensors", [("test", "kappa")])["test", "kappa"]
    units, n_units, _ = bootstrap_units(predictions)
    weights = next(bootstrap_weights(n_units, len(kept), seed=0))
    assert len(weights) > 100
    for multiplicities, replicate in zip(weights, kept, strict=False):
        rows = np.repeat(np.arange(len(units)), multiplicities[units])
        # Runs keep float32.
        assert replicate == pytest.approx(cohen_kappa_score(truth[rows], called[rows]), abs=1e-6)

    task = load_task(str(here / "tasks" / f"{task_name(PROBLEM)}.yaml"))
    assert task.hash == record.identity.task.hash
    with (site / "my_lab_metrics.py").open("a") as file:
        file.write("\n# Otherwise.\n")
    assert task.hash != record.identity.task.hash

    assert "Cohen's κ" in bench("board") and "1 is perfect" in bench("explain", "kappa")
    card = build_card(folder).read_text()
    assert "Cohen's κ" in card and "- cohen_kappa" in card
    assert metric("kappa").compute(predictions=called, references=truth) == {"kappa": pytest.approx(score.value)}


def test_a_script_may_add_one_too(nothing_added: None, monkeypatch: pytest.MonkeyPatch) -> None:
    module, script = blocks("A metric", "python")
    own = types.ModuleType("my_lab_metrics")
    exec(module, own.__dict__)
    monkeypatch.setitem(sys.modules, "my_lab_metrics", own)
    assert "kappa" not in METRICS
    exec(script, {})
    assert METRICS["kappa"].title == "Cohen's κ" and METRICS["kappa"].load() is own.kappa


@pytest.mark.parametrize("name", METRICS.shipped)
def test_the_formula_of_each_that_bench_ships_is_where_its_object_says(name: str) -> None:
    assert METRICS[name].load().__doc__
