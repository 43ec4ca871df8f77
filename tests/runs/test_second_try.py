"""What failed by something that may pass is tried once more, and that is said."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_project import task_name, write_project

from hubtools.api.running import RunEvent, perform
from hubtools.common.errors import Unreachable, UserError
from hubtools.common.hub import HubUnavailable
from hubtools.data import DataCache
from hubtools.runs import second_try
from hubtools.runs.many import turns
from hubtools.runs.plan import PlannedRun
from hubtools.runs.second_try import may_pass
from hubtools.runs.session import Session
from hubtools.runs.steps import Steps
from hubtools.specs.lookup.spec_files import load_recipe, load_task
from hubtools.training.compute.device import Execution

PROBLEM = "sequence-classification"
Fail = Callable[[Steps], None]


@pytest.fixture
def planned(tmp_path: Path) -> tuple[PlannedRun, ...]:
    task = load_task(str(write_project(tmp_path, PROBLEM) / "tasks" / f"{task_name(PROBLEM)}.yaml"))
    return tuple(PlannedRun(task, load_recipe("majority", {}), None, seed) for seed in (1, 2))


def session(root: Path) -> Session:
    return Session(root / "runs", DataCache(root / "cache"), Execution(torch.device("cpu"), 512))


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[int, int]]]:
    """``failing(error, times)``: seed 1 fails so often; seed and token budget of each try."""

    def fails(error: Exception, times: int = 1) -> list[tuple[int, int]]:
        do, tries = Steps.do, list[tuple[int, int]]()

        def tried(self: Steps) -> None:
            tries.append((self.run.seed, self.session.execution.token_budget))
            if self.run.seed == 1 and [seed for seed, _ in tries].count(1) <= times:
                raise error
            do(self)

        monkeypatch.setattr(Steps, "do", tried)
        monkeypatch.setattr(turns, "PAUSE", 0.0)
        return tries

    return fails


def lines(done: list[RunEvent]) -> list[str]:
    return [str(event).partition(" 0.")[0] for event in done]


def test_memory_is_asked_for_in_smaller_pieces(planned: Any, tmp_path: Path, failing: Any) -> None:
    tries, events = failing(MemoryError()), list[RunEvent]()
    done = perform(planned, session(tmp_path), on_event=events.append)
    assert tries == [(1, 512), (2, 512), (1, 128)], "when the others are done"
    assert len(done.complete) == 2 and not done.problems
    (again,) = [str(event) for event in events if event.again]
    assert again.startswith("it comes again: out of memory") and again.endswith("Now with --token-budget 128.")
    assert done.tried_again == [f"{planned[0].title}: {done.outcomes[0].again}"]
    record = done.outcomes[0].record
    assert record.cost and [attempt.ended for attempt in record.cost.attempts] == ["failed", "complete"]


def test_what_did_not_answer_is_asked_again_once(planned: Any, tmp_path: Path, failing: Any) -> None:
    tries = failing(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), times=5)
    done = perform(planned, session(tmp_path))
    assert [seed for seed, _ in tries] == [1, 2, 1]
    assert len(done.complete) == 1 and len(done.problems) == len(done.tried_again) == 1


def test_what_would_happen_again_is_not_tried(planned: Any, tmp_path: Path, failing: Any) -> None:
    tries = failing(RuntimeError("size mismatch"))
    done = perform(planned, session(tmp_path))
    assert [seed for seed, _ in tries] == [1, 2] and len(done.problems) == 1 and not done.tried_again


def test_forced_runs_are_forced_once(planned: Any, tmp_path: Path, failing: Any) -> None:
    perform(planned, session(tmp_path))
    tries = failing(MemoryError())
    done = perform(planned, session(tmp_path), force=True)
    assert [seed for seed, _ in tries] == [1, 2, 1] and len(done.complete) == 2


def test_a_run_that_could_not_be_begun(planned: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, identify = list[int](), Session.identify

    def once(self: Session, run: PlannedRun) -> Any:
        asked.append(run.seed)
        if asked == [1]:
            raise HubUnavailable("the Hub did not answer")
        return identify(self, run)

    monkeypatch.setattr(Session, "identify", once)
    done = perform(planned, session(tmp_path))
    assert asked == [1, 2, 1] and len(done.complete) == 2
    assert done.tried_again == [f"{planned[0].title}: the Hub did not answer"]
    # Who waits for one run alone is told at once.
    asked.clear()
    with pytest.raises(HubUnavailable):
        perform(planned[:1], session(tmp_path))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), "memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "memory"),
        (Unreachable("x"), "network"),
        (TimeoutError(), "network"),
        (OSError(errno.ESTALE, "Stale file handle"), "network"),
        (OSError(errno.ENOSPC, "No space left on device"), None),
        (UserError("no such file"), None),
        (ValueError("x"), None),
    ],
)
def test_what_may_pass(error: Exception, kind: str | None) -> None:
    assert may_pass(error) == kind
    wrapped = RuntimeError("a thread failed")
    wrapped.__cause__ = error
    assert may_pass(wrapped) == (kind if kind == "network" else None)


def test_errors_of_libraries_are_known_by_name() -> None:
    httpx, requests = pytest.importorskip("httpx"), pytest.importorskip("requests")
    assert may_pass(httpx.ConnectError("x")) == "network" and may_pass(httpx.ReadTimeout("x")) == "network"
    assert may_pass(requests.exceptions.ConnectTimeout()) == "network"
    assert may_pass(httpx.InvalidURL("x")) is None and second_try.PAUSE > 0
