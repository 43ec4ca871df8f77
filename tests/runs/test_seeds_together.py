"""Seeds of one probe in one command: trained by the first, the same as alone, and the record says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_execute import plan, project, session

from hubtools.publishing.reload import reproduce
from hubtools.runs.execute import execute
from hubtools.runs.plan import PlannedRun
from hubtools.runs.store import OpenRun
from hubtools.runs.whole_model import make_whole
from hubtools.training.frozen import probe as probe_module

assert plan and project  # fixtures
Plan = Callable[..., PlannedRun]
OPTIONS: dict[str, Any] = {"epochs": 3, "probe.layers": "all", "probe.learning_rates": [1e-3, 1e-2]}


def probes(plan: Plan, seeds: tuple[int, ...] = (1, 2, 3), **options: Any) -> list[PlannedRun]:
    return [plan("residue-classification", "probe", seed, **(OPTIONS | options)) for seed in seeds]


def test_a_random_twin_in_between_does_not_part_the_seeds(plan: Plan, tmp_path: Path) -> None:
    seeds = probes(plan)
    twins = [replace(run, recipe=run.recipe.model_copy(update={"weights": "random"})) for run in seeds]
    shared = session(tmp_path)
    shared.planned = [run for both in zip(twins, seeds, strict=True) for run in both]
    data: Any = SimpleNamespace(facts=SimpleNamespace(splits={"train": SimpleNamespace(rows_sha256="0")}))
    first = shared.companions(seeds[0], data)
    assert first.seeds == [2, 3]
    assert shared.companions(twins[1], data).seeds == []
    assert shared.companions(seeds[1], data) is first, "the heads that are trained already"


@pytest.mark.slow
def test_all_seeds_are_trained_by_the_first_and_each_is_as_alone(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    original = probe_module.embed

    def counting(*arguments: Any, **options: Any) -> Any:
        read.append(arguments[3])
        return original(*arguments, **options)

    monkeypatch.setattr(probe_module, "embed", counting)
    runs, shared = probes(plan), session(tmp_path / "together")
    shared.planned = runs
    together = [execute(run, shared) for run in runs]
    assert read == ["train", "validation", "test", "test", "test"], "what is learnt from was read once for all seeds"
    for run, outcome in zip(runs, together, strict=True):
        apart = session(tmp_path / "alone")
        apart.embedding_cache = False
        alone = execute(run, apart)
        here, there = outcome.record.training, alone.record.training
        assert outcome.record.status == alone.record.status == "complete" and here and there
        assert (here.seeds_together, there.seeds_together) == (3, 1)
        assert here.best_epoch == there.best_epoch and here.tokens == there.tokens > 0
        for key in ("layer", "learning_rate"):
            assert here.choices[key] == there.choices[key]
        assert len(here.choices["candidates"]) == 6
        tables = [pd.read_parquet(o.folder / "predictions.parquet")["probability"] for o in (outcome, alone)]
        np.testing.assert_allclose(*(np.stack(list(table)) for table in tables), atol=1e-4)
    seconds = [outcome.record.cost.train_seconds for outcome in together if outcome.record.cost]
    assert len(set(seconds)) == 1, "each has an equal share"
    first, second = (
        np.stack(list(pd.read_parquet(o.folder / "predictions.parquet")["probability"])) for o in together[:2]
    )
    assert np.abs(first - second).max() > 1e-4, "and seeds differ"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("problem", "options"),
    [
        ("residue-classification", {"probe.layers": [0]}),
        ("residue-classification", {"head.hidden": 8}),
        ("sequence-regression", {"head.solver": "ridge", "probe.learning_rates": []}),
        ("sequence-classification", {"head.pooling": "attention", "probe.layers": [1]}),
    ],
)
def test_what_is_published_reads_the_chosen_layer(
    plan: Plan, tmp_path: Path, problem: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = session(tmp_path)
    outcome = execute(plan(problem, "probe", **(OPTIONS | options)), shared)
    assert outcome.record.status == "complete", outcome.record.failure
    monkeypatch.setattr("hubtools.data.DataCache.default", lambda *_: shared.cache)
    make_whole(OpenRun(outcome.folder, outcome.record))
    published = outcome.folder / "published"
    (outcome.folder / "model").rename(published)
    for name in ("run.json", "places.json", "predictions.parquet"):
        (published / name).write_bytes((outcome.folder / name).read_bytes())
    assert reproduce(published).difference < 1e-4
    choices = outcome.record.training.choices if outcome.record.training else {}
    layer = json.loads((published / "config.json").read_text()).get("layer")
    assert choices["layer"] == (2 if layer is None else layer)


def test_only_what_differs_in_the_head_alone_is_trained_together(plan: Plan, tmp_path: Path) -> None:
    shared = session(tmp_path)
    runs = probes(plan)
    other = plan("residue-classification", "probe", 4, epochs=5)
    shared.planned = [*runs, other, *probes(plan, (7,), weights="random"), *probes(plan, (8,), weights="random")]
    data = shared.data(runs[0].task, None)
    assert shared.companions(runs[0], data).seeds == [2, 3]
    assert shared.companions(runs[1], data).seeds == [3], "those before it had their turn"
    assert shared.companions(replace(runs[0], subset=10), data).seeds == []
    assert shared.companions(shared.planned[4], data).seeds == [], "random weights depend on the seed"
