"""What else commands do is a function, too: sweep, estimate, reproduce, baseline, card, submission."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import hubtools

GOLDEN = Path(__file__).resolve().parents[2] / "benchmarks" / "golden"
TASK, PROBE = str(GOLDEN / "tasks" / "golden-class.yaml"), str(GOLDEN / "recipes" / "golden-probe.yaml")
CPU = hubtools.ExecutionOptions(device="cpu", embedding_cache=False)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> hubtools.FinishedRuns:
    return hubtools.run("embedded", TASK, PROBE, runs=tmp_path_factory.mktemp("runs"), execution=CPU)


def test_events_tell_of_each_run_and_the_same_call_does_nothing(done: hubtools.FinishedRuns) -> None:
    events: list[hubtools.RunEvent] = []
    root = done[0][0].parent
    again = hubtools.run("embedded", TASK, PROBE, runs=root, execution=CPU, on_event=events.append)
    assert [event.begins for event in events] == [True, False] and again.done_before == 1
    assert "already done" in str(events[1]) and (done[0][0] / "card" / "README.md").is_file()
    assert "1 of 1 runs" in repr(again) and "golden-class" in again._repr_html_()


def test_of_several_runs_one_that_fails_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    asked: dict[str, Any] = {"task": TASK, "recipe": PROBE, "runs": tmp_path / "runs", "execution": CPU}
    both = hubtools.run(["embedded", str(tmp_path / "empty")], **asked)
    assert len(both.complete) == 1 and len(both.problems) == 1 and "Failed" in both._repr_html_()
    with pytest.raises(hubtools.UserError):
        hubtools.run(str(tmp_path / "empty"), **asked)


def test_a_sweep(tmp_path: Path) -> None:
    told: list[int] = []
    swept = hubtools.sweep(
        "embedded",
        TASK,
        PROBE,
        over=["learning_rate=1e-3,1e-2"],
        trials=2,
        runs=tmp_path,
        execution=CPU,
        on_trial=lambda trial: told.append(trial.number),
    )
    assert len(told) == len(swept.trials) == 2 and len(swept.complete) == 1 and swept.figure.is_file()
    assert set(swept.trials_to_pandas()["learning_rate"]) <= {1e-3, 1e-2} and "validation" in swept._repr_html_()


def test_an_estimate_for_another_device(tmp_path: Path) -> None:
    planned = hubtools.plan("embedded", TASK, PROBE)
    found = hubtools.estimate(planned, runs=tmp_path, execution=CPU, flops=1e12, memory=1)
    assert found.seconds[0] <= found.seconds[1] and found.cost(2.5)[1] == pytest.approx(found.seconds[1] / 3600 * 2.5)
    assert len(found.to_pandas()) == 1 and "golden-class" in found._repr_html_()
    with pytest.raises(hubtools.UserError, match="belong together"):
        hubtools.estimate(planned, flops=1e12)


def test_a_run_made_again_agrees(done: hubtools.FinishedRuns, tmp_path: Path) -> None:
    made = hubtools.reproduce(done[0][0], task=TASK, as_recorded=True, runs=tmp_path, execution=CPU)
    assert (made.verdict, made.exit_code) == ("agree", 0) and "agree" in made._repr_html_() and '"agree"' in made.json()


def test_what_is_frozen_passes_its_own_check(done: hubtools.FinishedRuns, tmp_path: Path) -> None:
    root = done[0][0].parent
    frozen = hubtools.plan_baseline("mine", root, to=tmp_path, tolerance=1e-4).freeze()
    assert hubtools.baseline_named("mine", tmp_path).sha256 == frozen.sha256
    assert not hubtools.plan_update("mine", root, to=tmp_path).changed
    checked = hubtools.check(frozen.folder, root, baseline_sha256=frozen.sha256)
    assert checked.verdict == "pass" and checked.exit_code == 0 and b"testsuite" in checked.junit()
    with pytest.raises(hubtools.UserError, match="another baseline"):
        hubtools.check(frozen.folder, root, baseline_sha256="0" * 64)


def test_a_card_and_a_submission(done: hubtools.FinishedRuns, tmp_path: Path) -> None:
    run = tmp_path / done[0][0].name
    shutil.copytree(done[0][0], run)
    (written,) = hubtools.write_cards(run, author="Nobody")
    assert written.path.read_text(encoding="utf-8").startswith("---") and not written.lost
    handed = hubtools.hand_in(run, to=tmp_path / "submissions")
    assert isinstance(handed, Path) and (handed / "run.json").is_file()
    (verdict,) = hubtools.check_submissions(handed)
    assert verdict.accepted is False  # A task of this name is not held here.
