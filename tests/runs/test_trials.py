"""A sweep chooses on validation alone, goes on where it stopped, and its best is a run like any other."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_checkpoints import write_checkpoint
from tiny_project import write_project

from hubtools.common.errors import UserError
from hubtools.data import DataCache
from hubtools.data.task_data import TaskData
from hubtools.reporting.card.model_card import build_card
from hubtools.runs import claims
from hubtools.runs import steps as steps_module
from hubtools.runs.claims import claimed
from hubtools.runs.execute import execute
from hubtools.runs.plan import PlannedRun
from hubtools.runs.session import Session
from hubtools.runs.store import find_records
from hubtools.runs.sweeps import trials as sweep_module
from hubtools.runs.sweeps.search_space import Dimension, read_space
from hubtools.runs.sweeps.trials import Sweep, Trial, kept_trials, next_values, search
from hubtools.specs.lookup.spec_files import load_recipe, load_task
from hubtools.specs.problem import Problem
from hubtools.training.compute.device import Execution

pytest.importorskip("optuna")

CLASSES, VALUES = Problem("sequence-classification"), Problem("sequence-regression")
OVER = ("learning_rate=1e-4..1e-2", "head.hidden=null,4", "epochs=1..3")


# What is searched


def space_of(*over: str, recipe: str = "probe", problem: Problem = CLASSES, **settings: Any) -> tuple[Dimension, ...]:
    return read_space(over, recipe, settings, problem)


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        ("learning_rate=1e-4..1e-2", Dimension("learning_rate", low=1e-4, high=1e-2, log=True)),
        ("learning_rate=1e-3..5e-3", Dimension("learning_rate", low=1e-3, high=5e-3)),
        ("learning_rate=1e-3..5e-3 log", Dimension("learning_rate", low=1e-3, high=5e-3, log=True)),
        ("learning_rate=0.0001..0.5 linear", Dimension("learning_rate", low=1e-4, high=0.5)),
        ("weight_decay=0..1", Dimension("weight_decay", low=0, high=1)),
        ("epochs=5..20", Dimension("epochs", low=5, high=20, whole=True)),
        ("head.hidden=8..512 log", Dimension("head.hidden", low=8, high=512, whole=True, log=True)),
        ("head.hidden=null,64,256", Dimension("head.hidden", choices=(None, 64, 256))),
        ("learning_rate=1e-4,1e-3", Dimension("learning_rate", choices=(1e-4, 1e-3))),
        ("schedule=linear,cosine", Dimension("schedule", choices=("linear", "cosine"))),
        ("probe.layers=last,[0, -1]", Dimension("probe.layers", choices=("last", [0, -1]))),
    ],
)
def test_ranges_and_choices(over: str, expected: Dimension) -> None:
    assert space_of(over) == (expected,)


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ((), "a sweep needs something to search"),
        (("learning_rate",), "'learning_rate' is not field=values"),
        (("learning_rte=1e-4..1e-2",), "--over learning_rte: learning_rte: unknown key. Did you mean learning_rate?"),
        (("head.hiden=1,2",), "Did you mean hidden?"),
        (("learning_rate=1e-2..1e-4",), "the range '1e-2..1e-4' is empty"),
        (("learning_rate=0..1e-2 log",), "a logarithmic range cannot start at 0"),
        (("learning_rate=0..1e-2",), "learning_rate: expected more than 0"),
        (("epochs=0..3",), "epochs: expected at least 1"),
        (("epochs=1.5..3",), "expected whole numbers"),
        (("epochs=5",), "one value is nothing to choose from. Use --set epochs=5"),
        (("epochs=5,5",), "the same value is listed twice"),
        (("epochs=a..b",), "the ends of 'a..b' are not numbers"),
        (("schedule=linear,wavy",), "schedule: unknown value 'wavy'"),
        (("epochs=1..3", "epochs=2..4"), "--over epochs: it is given twice"),
        (("title=a,b",), "it changes nothing that is computed"),
        (("head.solver=gradient,ridge",), 'with head.solver="ridge" the recipe does not exist for sequence-classific'),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_runs(over: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError) as caught:
        space_of(*over)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_set_is_not_searched() -> None:
    with pytest.raises(UserError, match="--over epochs: it is set by --set"):
        space_of("epochs=1..3", epochs=2)
    assert space_of("head.solver=gradient,ridge", problem=VALUES)[0].choices == ("gradient", "ridge")


# Which trial comes next


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = write_project(tmp_path_factory.mktemp("project"), "sequence-classification", "sequence-regression")
    write_checkpoint(folder / "esm", "esm")
    return folder


MakeSweep = Callable[..., Sweep]


@pytest.fixture(scope="module")
def make(project: Path) -> MakeSweep:
    def sweep(
        *over: str, problem: str = "sequence-classification", trials: int = 5, seed: int = 1, **more: Any
    ) -> Sweep:
        task = load_task(str(project / "tasks" / f"tiny-{problem}.yaml"))
        base = PlannedRun(task, load_recipe("probe"), str(project / "esm"), seed)
        return Sweep(base, "probe", read_space(over or OVER, "probe", {}, task.problem), trials, **more)

    return sweep


def session(root: Path) -> Session:
    return Session(root / "runs", DataCache(root / "cache"), Execution(torch.device("cpu"), 512))


def trial(number: int, score: float | None, seconds: float = 1.0, **values: Any) -> Trial:
    status: Any = "complete" if score is not None else "failed"
    return Trial(number=number, values=values, run_id="x", status=status, score=score, seconds=seconds)


def played(sweep: Sweep, n: int, score: Callable[[dict[str, Any]], float | None]) -> list[Trial]:
    """Trials of a sweep whose scores are a formula."""
    trials: list[Trial] = []
    for number in range(1, n + 1):
        values = next_values(sweep, trials)
        if values is None:
            break
        trials.append(trial(number, score(values), **values))
    return trials


def distance(values: dict[str, Any]) -> float:
    return -abs(math.log10(values["learning_rate"]) + 3)


def test_the_recipe_as_it_is_comes_first_where_the_space_holds_it(make: MakeSweep) -> None:
    assert next_values(make("learning_rate=1e-4..1e-2", "head.hidden=null,4"), []) == {
        "learning_rate": load_recipe("probe").learning_rate,
        "head.hidden": None,
    }
    values = next_values(make("epochs=1..3"), [])
    assert values is not None and values["epochs"] in {1, 2, 3}


def test_trials_follow_from_the_seed_and_the_trials_before(make: MakeSweep) -> None:
    sweep = make(*OVER)
    assert played(sweep, 15, distance) == played(sweep, 15, distance)
    assert played(sweep, 15, distance)[:6] == played(sweep, 6, distance), "more trials do not change the first"
    assert played(make(seed=2), 6, distance) != played(sweep, 6, distance)


def test_it_finds_what_is_good(make: MakeSweep) -> None:
    early, late = [], []
    for seed in (1, 2, 3):
        trials = played(make("learning_rate=1e-4..1", seed=seed), 40, distance)
        far = [abs(math.log10(t.values["learning_rate"]) + 3) for t in trials]
        early += far[1:11]
        late += far[20:]
    assert sum(late) / len(late) < 0.5 * sum(early) / len(early)


def test_nothing_is_tried_twice_and_a_small_space_ends(make: MakeSweep) -> None:
    trials = played(make("epochs=1..2", "head.hidden=null,4"), 20, lambda values: 0.5)
    assert len(trials) == 4 and len({json.dumps(t.values) for t in trials}) == 4
    # A failed trial is not repeated either.
    assert len(played(make("epochs=1..3"), 20, lambda values: None)) == 3


@pytest.mark.parametrize(("metric", "best"), [("auroc", 2), ("rmse", 3)])
def test_the_direction_is_the_metrics(make: MakeSweep, metric: str, best: int) -> None:
    sweep = make()
    metrics = sweep.base.task.metrics.model_copy(update={"primary": metric})
    sweep = replace(sweep, base=replace(sweep.base, task=sweep.base.task.model_copy(update={"metrics": metrics})))
    found = sweep.best([trial(1, 0.5), trial(2, 0.9), trial(3, 0.1), trial(4, None), trial(5, 0.9)])
    assert found is not None and found.number == best, "the earlier of equals"


# Doing it


def done(sweep: Sweep, root: Path) -> tuple[list[Trial], str]:
    return search(sweep, session(root), lambda trial: None)


@pytest.fixture(scope="module")
def swept(make: MakeSweep, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Trial]]:
    root = tmp_path_factory.mktemp("swept")
    trials, ended = done(make(), root)
    assert ended == "5 trials are done"
    return root, trials


def test_trials_leave_a_line_each_and_nothing_a_board_could_read(
    make: MakeSweep, swept: tuple[Path, list[Trial]]
) -> None:
    root, trials = swept
    folder = make().folder(session(root))
    assert [t.number for t in trials] == [1, 2, 3, 4, 5] and all(t.status == "complete" for t in trials)
    assert all(0 <= (t.score or 0) <= 1 and t.epochs for t in trials)
    assert kept_trials(folder) == trials
    assert {p.relative_to(root / "runs").as_posix() for p in (root / "runs").rglob("*") if p.is_file()} == {
        f"sweeps/{folder.name}/trials.jsonl",
        f"sweeps/{folder.name}/.claim-1.free",
    }
    for where in (root / "runs", root / "runs" / "sweeps", folder):
        assert find_records([where]) == ([], [])


def test_a_trial_never_touches_a_test_split(make: MakeSweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test split is poisoned: whoever asks the data for it, by name or by going through all, gets an error."""
    original, seen = TaskData.without_test, []

    def poisoned(self: TaskData) -> TaskData:
        part = original(self)
        assert set(part.splits) == {"train", "validation"} == set(part.facts.splits)
        seen.append(part)
        return part

    class Poison:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"a trial reads {name} of a test split")

        __getitem__ = __iter__ = __len__ = __getattr__

    def data(self: Session, *arguments: Any) -> TaskData:
        loaded = original_data(self, *arguments)
        splits = dict(loaded.splits)
        splits["test"] = Poison()  # type: ignore[assignment]
        return TaskData(loaded.task, splits, loaded.facts)  # type: ignore[arg-type]

    original_data = Session.data
    monkeypatch.setattr(TaskData, "without_test", poisoned)
    monkeypatch.setattr(Session, "data", data)
    trials, _ = done(make(trials=2), tmp_path)
    assert [t.status for t in trials] == ["complete"] * 2 and len(seen) == 2
    # The poison works: an ordinary run does not survive it.
    outcome = execute(make().base, session(tmp_path))
    assert outcome.record.status == "failed" and "of a test split" in str(outcome.record.failure)


@pytest.mark.slow
def test_a_trials_score_is_the_runs_own_on_validation(make: MakeSweep, swept: tuple[Path, list[Trial]]) -> None:
    root, trials = swept
    sweep = make()
    best = sweep.best(trials)
    assert best is not None and best.score == max(t.score or 0 for t in trials)
    by_hand = execute(sweep.planned(best.values), session(root)).record
    validation = by_hand.score("validation")
    assert validation is not None and validation.value == best.score and by_hand.sweep is None
    assert by_hand.run_id == best.run_id

    outcome = execute(sweep.winner(trials, 1), session(root))
    assert outcome.was_done and outcome.record.run_id == by_hand.run_id, "the same run as by hand"
    facts = outcome.record.sweep
    assert facts is not None and (facts.trials, facts.chosen, facts.validation) == (5, best.values, best.score)
    assert facts.fields == {"learning_rate": "0.0001..0.01 log", "head.hidden": "null, 4", "epochs": "1..3"}
    (found,), _ = find_records([root / "runs"])
    assert found[1].sweep == facts, "and it tells that it was chosen, though it was there before"
    assert "were chosen in a sweep of 5 trials (TPE of Optuna" in build_card(outcome.folder).read_text()
    again = execute(sweep.planned(best.values), session(root), force=True)
    assert again.record.sweep == facts, "running it by hand does not wash it off"


@pytest.mark.slow
def test_a_stopped_sweep_goes_on_as_if_it_had_not_been(
    make: MakeSweep, swept: tuple[Path, list[Trial]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = steps_module.Steps.do, []

    def do(self: Any) -> None:
        calls.append(self.run.overrides)
        if len(calls) == 3:
            raise KeyboardInterrupt
        original(self)

    monkeypatch.setattr(sweep_module.Steps, "do", do)
    with pytest.raises(KeyboardInterrupt):
        done(make(), tmp_path)
    assert len(kept_trials(make().folder(session(tmp_path)))) == 2
    trials, _ = done(make(), tmp_path)
    assert [t.model_dump(exclude={"seconds"}) for t in trials] == [t.model_dump(exclude={"seconds"}) for t in swept[1]]
    assert len(calls) == 6, "two, one that was stopped, three"
    assert done(make(), tmp_path)[0] == trials and len(calls) == 6, "the same command twice is nothing to do"
    assert len(done(make(trials=6), tmp_path)[0]) == 6 and len(calls) == 7, "more trials go on"


def test_what_fails_is_recorded_and_skipped(make: MakeSweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, problems = (
        steps_module.Steps.do,
        iter([torch.OutOfMemoryError(), ValueError("odd"), None, UserError("no")]),
    )

    def do(self: Any) -> None:
        if (problem := next(problems, None)) is not None:
            raise problem
        original(self)

    monkeypatch.setattr(sweep_module.Steps, "do", do)
    trials, _ = done(make(), tmp_path)
    assert [t.status for t in trials] == ["failed", "failed", "complete", "failed", "complete"]
    assert "out of memory" in (trials[0].reason or "") and trials[1].reason == "ValueError: odd"
    folder = make().folder(session(tmp_path))
    assert "ValueError: odd" in (folder / "trial-002-failure.txt").read_text()
    assert make().winner(trials, 1).sweep.trials == 5  # type: ignore[union-attr]


def test_a_score_that_is_not_defined_is_no_score(
    make: MakeSweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = steps_module.Steps.do

    def do(self: Any) -> None:
        original(self)
        score = self.record.results["validation"].scores[self.record.primary_metric]
        score.value = None

    monkeypatch.setattr(sweep_module.Steps, "do", do)
    trials, ended = done(make(trials=9), tmp_path)
    assert ended == "the first 5 trials all failed"
    with pytest.raises(
        UserError, match=r"no trial of the sweep is complete; the last: .* is not defined on validation"
    ):
        make().winner(trials, 1)


def test_a_combination_that_does_not_exist_is_a_failed_trial(make: MakeSweep, tmp_path: Path) -> None:
    sweep = make("head.solver=gradient,ridge", "head.hidden=null,4", problem="sequence-regression", trials=9)
    over = replace(sweep, base=replace(sweep.base, overrides={"epochs": 1}))
    assert over.planned({"head.solver": "gradient", "head.hidden": 4}).recipe.epochs == 1
    with pytest.raises(UserError, match="ridge is for"):
        over.planned({"head.solver": "ridge", "head.hidden": 4})


def test_the_budget_holds(make: MakeSweep, tmp_path: Path) -> None:
    slow = [trial(n, 0.5, 50.0, **{"learning_rate": n / 1000, "head.hidden": None, "epochs": 1}) for n in (1, 2)]
    sweep = make(budget=149.0)
    folder = sweep.folder(session(tmp_path))
    folder.mkdir(parents=True)
    (folder / "trials.jsonl").write_text("".join(t.model_dump_json() + "\n" for t in slow))
    trials, ended = done(sweep, tmp_path)
    assert trials == slow and ended == "the budget of 149 s has no room for another trial (100 s spent)"
    assert len(done(make(budget=151.0, trials=3), tmp_path)[0]) == 3


def test_a_second_process_waits_and_finds_the_trials_done(
    make: MakeSweep, swept: tuple[Path, list[Trial]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, notes, looks = make(), list[str](), list[float]()
    folder = sweep.folder(session(tmp_path))
    with contextlib.ExitStack() as first:
        first.enter_context(claimed(folder))

        def sleep(seconds: float) -> None:
            """The first process ends while this one looks for the third time."""
            looks.append(seconds)
            if len(looks) == 3:
                (folder / "trials.jsonl").write_text("".join(t.model_dump_json() + "\n" for t in swept[1]))
                first.close()

        monkeypatch.setattr(claims.time, "sleep", sleep)
        monkeypatch.setattr("hubtools.runs.sweeps.trials._attempt", lambda *_: pytest.fail("it was done again"))
        found = search(sweep, session(tmp_path), lambda trial: pytest.fail("none is new"), notes.append)
    assert found == (swept[1], "5 trials are done") and len(looks) == 3
    (note,) = notes
    assert note.startswith("waiting for another process, which is at this sweep (") and f"process {os.getpid()}" in note


def test_what_determines_the_trials_names_the_sweep(make: MakeSweep, tmp_path: Path) -> None:
    here = session(tmp_path)
    folders = [make().folder(here), make("epochs=1..3").folder(here), make(seed=2).folder(here)]
    assert len(set(folders)) == 3 and make(trials=99, budget=1.0).folder(here) == folders[0]
