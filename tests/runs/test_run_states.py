"""How far runs are: of plans and of records, with the claims that are held, read from a folder of runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sample_records import LOCALISATION, PROBE, STRUCTURE, make_record
from test_claims import of_another_machine

from hubtools.common.errors import UserError
from hubtools.reporting.run_matrix import matrix_lines, plan_lines, status_lines
from hubtools.runs import claims
from hubtools.runs.claims import claimed
from hubtools.runs.kept_plan import keep_plan, plan_of
from hubtools.runs.many import run_states
from hubtools.runs.many.run_states import FolderReader, RunState, beginning_of, expected_seconds, last_epoch
from hubtools.runs.plan import PlannedRun
from hubtools.runs.store import run_folder, write_record
from hubtools.specs.record import Failure, RunRecord

ESM = "facebook/esm2_t6_8M_UR50D"


def asked(*seeds: int, task: Any = LOCALISATION, checkpoint: str = ESM, **more: Any) -> tuple[PlannedRun, ...]:
    return tuple(PlannedRun(task, PROBE, checkpoint, seed, **more) for seed in seeds)


def recorded(root: Path, seed: int, status: str = "complete", **more: Any) -> Path:
    record = make_record(
        more.pop("task", LOCALISATION),
        PROBE,
        0.5,
        checkpoint=more.pop("checkpoint", ESM),
        seed=seed,
        status=status,
        **more,
    )
    return written(root, record)


def written(root: Path, record: RunRecord) -> Path:
    folder = run_folder(root, record.identity)
    write_record(folder, record)
    return folder


def states(root: Path) -> list[tuple[int, str]]:
    return [(run.seed, run.state) for run in FolderReader(root).read().runs]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One of each state, of a plan of six; and a run that nobody planned."""
    keep_plan(tmp_path, plan_of(asked(1, 2, 3, 4, 5, 6), "bench run --seeds 1-6"))
    recorded(tmp_path, 1)
    of_another_machine(recorded(tmp_path, 2, "running"), silent=3)
    (
        run_folder(tmp_path, make_record(LOCALISATION, PROBE, 0, checkpoint=ESM, seed=2).identity) / "training.jsonl"
    ).write_text('{"epoch": 1}\n{"epoch": 7, "x": [1]}\n{"epo')
    of_another_machine(recorded(tmp_path, 3, "running"), silent=10**6)
    failed = make_record(LOCALISATION, PROBE, 0.5, checkpoint=ESM, seed=4, status="failed")
    failed.failure = Failure(kind="RuntimeError", message="the disk is on fire")
    written(tmp_path, failed)
    recorded(tmp_path, 5, "interrupted")
    recorded(tmp_path, 9, task=STRUCTURE)
    return tmp_path


def test_one_of_each(root: Path) -> None:
    found = FolderReader(root).read()
    assert [(run.seed, run.state) for run in found.runs] == [
        (1, "done"),
        (2, "running"),
        (3, "stopped"),
        (4, "failed"),
        (5, "stopped"),
        (6, "waiting"),
        (9, "done"),
    ]
    assert found.counts == {"done": 2, "running": 1, "stopped": 2, "failed": 1, "waiting": 1} and not found.problems
    running = found.runs[1]
    assert running.place.startswith("node7, process 4711, since 2026-01-01") and running.place.endswith("epoch 7 of 50")
    assert found.runs[2].why is not None and found.runs[2].why.startswith("its process is silent (node7, process 4711")
    assert found.runs[3].why == "the disk is on fire"
    assert found.runs[4].why is not None and found.runs[4].why.startswith("stopped by its user")
    assert found.runs[6].task == "secondary-structure"


def test_it_stands_in_eighty_columns(root: Path) -> None:
    lines = status_lines(FolderReader(root).read(), 80)
    assert lines[0] == "7 runs: 2 done, 1 running, 2 stopped, 1 failed, 1 waiting"
    assert lines[2:4] == [
        "                           localisation  secondary-structure",
        "facebook/esm2_t6_8M_UR50D         1/6*!                    1",
    ]
    assert "    the disk is on fire" in lines
    assert lines[-1] == "what is missing is done by the same command again: bench run --seeds 1-6"
    assert max(map(len, lines)) <= 100


def test_without_plans_it_is_what_is_recorded(tmp_path: Path) -> None:
    recorded(tmp_path, 1)
    recorded(tmp_path, 2, "interrupted")
    (tmp_path / "notes.txt").write_text("")
    assert states(tmp_path) == [(1, "done"), (2, "stopped")]
    with pytest.raises(UserError, match="there is no folder"):
        FolderReader(tmp_path / "none").read()


def test_what_is_claimed_and_not_yet_recorded_is_running(tmp_path: Path) -> None:
    keep_plan(tmp_path, plan_of(asked(1, 2), "bench run"))
    folder = run_folder(tmp_path, make_record(LOCALISATION, PROBE, 0, checkpoint=ESM, seed=2).identity)
    with claimed(folder):
        assert states(tmp_path) == [(1, "waiting"), (2, "running")]
    assert states(tmp_path) == [(1, "waiting"), (2, "waiting")]


def test_a_commit_or_a_share_is_another_run(tmp_path: Path) -> None:
    record = make_record(LOCALISATION, PROBE, 0.5, checkpoint=ESM, seed=1)
    commit = record.identity.checkpoint.commit if record.identity.checkpoint else ""
    keep_plan(
        tmp_path,
        plan_of(
            [
                *asked(1, checkpoint=f"{ESM}@{commit}"),
                *asked(1, checkpoint=f"{ESM}@{'0' * 40}"),
                *asked(1, fraction=0.1),
                *asked(1, subset=40),
            ],
            "bench run",
        ),
    )
    written(tmp_path, record)
    assert [run.state for run in FolderReader(tmp_path).read().runs] == ["done", "waiting", "waiting", "waiting"]


def test_a_record_of_another_protocol_is_not_this_run(tmp_path: Path) -> None:
    keep_plan(tmp_path, plan_of(asked(1), "bench run"))
    old = make_record(LOCALISATION, PROBE, 0.5, checkpoint=ESM, seed=1)
    old.identity.protocol = 2
    old.run_id = old.identity.run_id
    written(tmp_path, old)
    assert states(tmp_path) == [(1, "waiting"), (1, "done")]


def test_two_plans_of_the_same_runs_count_once(tmp_path: Path) -> None:
    for seeds in ((1, 2), (2, 3)):
        keep_plan(tmp_path, plan_of(asked(*seeds), "bench run"))
    assert sorted(states(tmp_path)) == [(1, "waiting"), (2, "waiting"), (3, "waiting")]


def test_what_was_complete_is_not_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, read = FolderReader(root), list[Path]()
    reader.read()
    begin = run_states.beginning_of
    monkeypatch.setattr(run_states, "beginning_of", lambda folder: read.append(folder) or begin(folder))
    assert reader.read().counts["done"] == 2
    assert len(read) == 4, "two are complete"


def test_a_beginning_says_what_the_record_says(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [path for path in root.iterdir() if (path / "run.json").is_file()]
    fast = [beginning_of(folder) for folder in folders]
    monkeypatch.setattr(run_states, "_HEAD", 200)
    assert [beginning_of(folder) for folder in folders] == fast, "cut short, they are read as a whole"
    (folders[0] / "run.json").write_text("{")
    with pytest.raises(UserError):
        beginning_of(folders[0])
    assert len(FolderReader(root).read().problems) == 1


@pytest.mark.parametrize("text", ["", "\n", "[1]\n", '{"epoch": "x"}\n', '{"epoch": 1e999}', "[" * 9000])
def test_a_log_without_an_epoch(tmp_path: Path, text: str) -> None:
    (tmp_path / "training.jsonl").write_text(text)
    assert last_epoch(tmp_path) is None
    assert last_epoch(tmp_path / "none") is None


def test_engines_are_asked_for_their_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = keep_plan(tmp_path, plan_of(asked(1, 2), "bench run", engine="slurm").with_jobs({"7_0": [0], "7_1": [1]}))
    engines = SimpleNamespace(states=lambda plan: dict.fromkeys(plan.jobs, "pending"))
    monkeypatch.setattr(run_states.importlib, "import_module", lambda name: engines)
    found = FolderReader(tmp_path).read()
    assert found.jobs == {plan.id: {"pending": 2}}
    assert f"jobs of slurm, plan {plan.id}: 2 pending" in status_lines(found, 80)
    engines.states = lambda plan: 1 / 0
    assert FolderReader(tmp_path).read().problems == ("slurm: division by zero",)


# The matrix as text


def test_many_tasks_are_numbered_and_stand_in_blocks() -> None:
    cells = {
        (f"me/model-{row}", "probe"): {f"a-task-of-number-{task}": "10/10" for task in range(30)} for row in range(2)
    }
    lines = matrix_lines(cells, 80)
    assert all(len(line) <= 80 for line in lines)
    heads = [line.split() for line in lines if line.startswith("   ")]
    assert [number for head in heads for number in head] == [str(n) for n in range(1, 31)]
    assert "30 a-task-of-number-29" in lines[-1] or "30 a-task-of-number-29" in lines[-2]


def test_rows_that_say_one_thing_are_counted() -> None:
    cells = {(f"me/model-{row}", "probe"): {"t": "1"} for row in range(100)}
    folded = dict.fromkeys(list(cells)[:97], "all is done")
    lines = matrix_lines(cells, 80, folded=folded)
    assert len(lines) == 5 and lines[-1] == "and 97 rows of which all is done"


def test_a_long_name_keeps_its_end() -> None:
    (_, row) = matrix_lines({("a" * 60 + "-650M", "probe"): {"t": "1"}}, 80)
    assert row.startswith("…") and "-650M " in row and len(row) <= 80


def test_a_plan_says_what_is_done_and_how_long_the_rest_takes(root: Path) -> None:
    planned = (*asked(1, 2, 3, 4, 5, 6), *asked(1, 2, task=STRUCTURE))
    runs = FolderReader(root).of(planned)
    seconds = expected_seconds(runs)
    # Four minutes took the one that is complete.
    assert seconds == [240.0] * 6 + [None] * 2
    lines = plan_lines(runs, seconds, 80, rough=3 * 3600)
    assert "1 done already, 7 to do (3/10: 3 of 10 are done)" in lines
    assert "about 20 minutes on one process for 5 of 7, as long as the recorded ones took" in lines
    assert "roughly 3.0 hours of one core for the other 2, by sizes of files alone" in lines
    assert lines[-1].startswith("measured, and what it costs: bench estimate --price-per-hour")
    assert all(len(line) <= 80 for line in lines)
    assert lines[1].split() == [ESM, "1/6", "2"]


# As a command, and from Python


def test_the_command(root: Path, bench: Any) -> None:
    code, out, err = bench("status", "--runs", root)
    assert (code, err) == (0, "") and "7 runs: 2 done" in out and "node7, process 4711" in out
    code, out, _ = bench("status", "--runs", root, "--format", "json")
    values = json.loads(out)
    assert code == 0 and values["counts"]["running"] == 1 and len(values["runs"]) == 7
    assert (
        values["plans"][0]["command"] == "bench run --seeds 1-6" and values["runs"][3]["why"] == "the disk is on fire"
    )
    (root / ".plans" / "aaaaaaaaaaaa.json").write_text("{")
    code, out, err = bench("status", "--runs", root)
    assert code == 0 and err.startswith("left out: ") and len(err.splitlines()) == 1
    code, _, err = bench("status", "--runs", root / "none")
    assert code == 2 and len(err.splitlines()) == 1


def test_watching_ends_when_nothing_is_left_to_be_done(
    tmp_path: Path, bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_plan(tmp_path, plan_of(asked(1, 2), "bench run"))
    looks = iter([lambda: recorded(tmp_path, 1), lambda: None, lambda: recorded(tmp_path, 2, "failed")])
    monkeypatch.setattr("hubtools.cli.status.time.sleep", lambda seconds: next(looks)())
    code, out, _ = bench("status", "--runs", tmp_path, "--watch")
    said = [line for line in out.splitlines() if line.startswith("2 runs:")]
    # Into a pipe what is the same is not said again.
    assert code == 0 and said == ["2 runs: 2 waiting", "2 runs: 1 done, 1 waiting", "2 runs: 1 done, 1 failed"]


def test_from_python(root: Path) -> None:
    import hubtools

    found = hubtools.status(root)
    assert repr(found) == "7 runs: 2 done, 1 running, 2 stopped, 1 failed, 1 waiting"
    assert list(found.to_pandas()["state"].value_counts().sort_index()) == [2, 1, 1, 2, 1]
    assert "secondary-structure" in found._repr_html_()
    assert replace(found.runs[0], state="waiting") != found.runs[0] and isinstance(found.runs[0], RunState)


def test_a_matrix_that_is_planned_is_a_table(tmp_path: Path, bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    what = ("--checkpoint", "embedded", "--task", "localisation", "--task", "phosphotyrosine", "--recipe", "probe")
    code, out, err = bench("run", *what, "--seeds", "1-20", "--dry-run")
    assert (code, out) == (0, "") and "40 runs planned:" in err and len(err.splitlines()) < 12
    assert "bench/esm-mini            20               20" in err and "nothing was run" in err
    assert len(bench("run", *what, "--seeds", "1-10", "--dry-run")[2].splitlines()) == 22, "few are a line each"


@pytest.fixture(autouse=True)
def _a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert claims.STALE < 10**6
