"""bench reproduce: real tiny runs made again from their records, refusals, a published result, and every exit code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from hub_server import Hub
from sample_records import relisted
from tiny_checkpoints import write_checkpoint
from tiny_project import task_name, write_task

from hubtools.cli.main import main
from hubtools.evaluation.predictions import read_label_names, read_predictions, write_predictions
from hubtools.runs.store import PREDICTIONS, RECORD, read_record, write_record

PROBLEM = "sequence-regression"
TASK = task_name(PROBLEM)
# Its own task is held to be right; a stranger who reproduces the run would not name the folder that it came in.
MINE = ("--project", ".")
QUICK = ("--set", "epochs=3", "--device", "cpu")
Bench = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one run of a probe, which the tests copy."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("made")
    write_task(folder, PROBLEM, margin=0.05)
    write_checkpoint(folder / "esm", "esm")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("BENCH_CACHE", str(folder / "cache"))
        patch.setattr("sys.argv", ["bench", *_run("--recipe", "probe", *QUICK)])
        with pytest.raises(SystemExit) as exited:
            main()
        assert exited.value.code in {0, None}
    return folder


def _run(*options: str) -> list[str]:
    return ["run", "--checkpoint", "esm", "--task", TASK, *options]


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("BENCH_CACHE", str(folder / "cache"))
    run = the_run(folder)
    record = read_record(run)
    for file in record.task["data"]["files"]:
        assert file["path"].startswith(str(made))
        file["path"] = file["path"].replace(str(made), str(folder))
    record.command = record.command.replace(str(made), str(folder))
    write_record(run, record)
    return folder


def the_run(project: Path) -> Path:
    (folder,) = (project / "runs").glob(f"*/{RECORD}")
    return folder.parent.relative_to(project)


def edited(project: Path, shift: Callable) -> Path:
    """The run as it would be with other predictions, which its record knows."""
    run = the_run(project)
    splits = read_predictions(run / PREDICTIONS)
    splits["test"] = replace(splits["test"], scores=shift(splits["test"]))
    write_predictions(run / PREDICTIONS, splits, read_label_names(run / PREDICTIONS))
    return relisted(run)


def test_a_run_made_again_is_the_run(project: Path, bench: Bench) -> None:
    code, out, err = bench("reproduce", str(the_run(project)), "--device", "cpu", "--format", "json", *MINE)
    done = json.loads(out)
    assert (code, done["verdict"]) == (0, "agree")
    assert done["largest_difference_of_predictions"] < 1e-4 and done["changed"] == []
    assert [Path(run).parent.name for run in done["runs"]] == ["runs", "reproduced"]
    again = read_record(Path(done["runs"][1]))
    assert again.run_id == read_record(the_run(project)).run_id and "[1/1]" in err
    # The encoder was run again, although the cache holds what it gave the first time.
    seen = again.training.embeddings
    assert done["notes"] == [] and seen.computed > 0 and seen.cached == 0
    cache = ("--embedding-cache", "--runs", "cached")
    done = json.loads(bench("reproduce", str(the_run(project)), "--device", "cpu", "--format", "json", *cache)[1])
    assert done["verdict"] == "agree" and "embeddings are those of earlier runs" in done["notes"][-1]
    # Nothing is done twice.
    code, out, err = bench("reproduce", str(the_run(project) / RECORD), "--device", "cpu")
    assert code == 0 and "already done" in err
    assert out.startswith(f"{TASK} · esm · probe, epochs=3 · seed 1: agree, the same predictions within 0.0001.")


def test_a_record_that_does_not_say_what_comes_out_differs(project: Path, bench: Bench) -> None:
    run = edited(project, lambda split: split.truth)
    code, out, _ = bench("reproduce", str(run), "--device", "cpu", "--format", "json")
    done = json.loads(out)
    assert (code, done["verdict"]) == (1, "differ") and done["high"] < 0 and done["before"] == pytest.approx(1.0)


def test_what_the_test_set_does_not_show_cannot_be_told(project: Path, bench: Bench) -> None:
    run = edited(project, lambda split: split.scores[::-1].copy())
    code, out, _ = bench("reproduce", str(run), "--device", "cpu", "--format", "json")
    done = json.loads(out)
    assert (code, done["verdict"]) == (3, "cannot tell") and done["low"] < 0 < done["high"]


def refusal(bench: Bench, *arguments: str) -> str:
    code, out, err = bench("reproduce", *arguments, "--device", "cpu")
    assert (code, out) == (2, "") and "Traceback" not in err
    assert not list(Path("reproduced").glob(f"*/{RECORD}"))
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    return line


def test_other_data_and_other_tasks_are_refused_before_anything_is_trained(project: Path, bench: Bench) -> None:
    run, table = str(the_run(project)), project / "tasks" / f"{PROBLEM}.csv"
    text = table.read_text()
    table.write_text(text.replace("train", "validation", 1))
    assert f"the data of {TASK} are others" in refusal(bench, run)
    table.write_text(text)
    write_task(project, PROBLEM, margin=0.05, version=2)
    task = f"tasks/{TASK}.yaml"
    assert "version 1, not" in refusal(bench, run, "--task", task)
    write_task(project, PROBLEM, margin=0.05, metrics={"primary": "spearman"})
    assert "is another one" in refusal(bench, run, "--task", task)


def test_data_that_moved_are_found_by_name_or_named(project: Path, bench: Bench, tmp_path: Path) -> None:
    run, there = the_run(project), tmp_path / "elsewhere"
    record = read_record(run)
    for file in record.task["data"]["files"]:
        file["path"] = f"/gone/{Path(file['path']).name}"
    write_record(run, record)
    # The project has the task, and is asked where it is named.
    assert "are not here" in refusal(bench, str(run))
    assert bench("reproduce", str(run), "--dry-run", *MINE)[0] == 0
    shutil.move(project / "tasks", there)
    line = refusal(bench, str(run))
    assert f"the data of the task {TASK} are not here (/gone/" in line and line.endswith("--task FILE.")
    code, _, err = bench("reproduce", str(run), "--task", str(there / f"{TASK}.yaml"), "--dry-run")
    assert code == 0 and "task, data and weights are those of the record" in err and "nothing was run" in err


def test_under_a_name_that_is_held_only_what_is_held_is_made_again(project: Path, bench: Bench) -> None:
    """A record tells which task and recipe it is of; whether these are the ones that everybody means is not its to say."""
    run = the_run(project)
    _, _, err = bench("reproduce", str(run), "--device", "cpu", "--dry-run")
    assert f"note: the task {TASK} is not held here: it is taken as the record has it" in err
    record = read_record(run)
    mine = record.model_copy(deep=True)
    mine.task["name"] = mine.identity.task.name = "solubility"
    write_record(run, mine)
    line = refusal(bench, str(run))
    assert "its task solubility is another one" in line and "--as-recorded" in line
    # Nor does a file help that lies in the current folder.
    (project / "tasks" / "solubility.yaml").write_text(
        (project / "tasks" / f"{TASK}.yaml").read_text().replace(TASK, "solubility")
    )
    assert "its task solubility is another one" in refusal(bench, str(run))
    other = record.model_copy(deep=True)
    other.recipe["learning_rate"] = 0.123
    write_record(run, other)
    assert "its recipe probe is not the one that is held here: learning_rate 0.123, here" in refusal(bench, str(run))
    code, _, err = bench("reproduce", str(run), "--device", "cpu", "--dry-run", "--as-recorded")
    assert code == 0 and "note: task and recipe are taken as the record has them (--as-recorded)" in err


def test_weights_that_moved_are_named_and_others_refused(project: Path, bench: Bench, tmp_path: Path) -> None:
    run = str(the_run(project))
    shutil.move("esm", tmp_path / "moved")
    assert "the checkpoint esm was a folder, which is not here" in refusal(bench, run)
    write_checkpoint(tmp_path / "other", "esm", seed=1)
    assert "these are other weights" in refusal(bench, run, "--checkpoint", str(tmp_path / "other"))
    code, out, _ = bench("reproduce", run, "--checkpoint", str(tmp_path / "moved"), "--device", "cpu")
    assert code == 0 and "agree, the same predictions" in out


def test_a_run_is_not_held_against_itself(project: Path, bench: Bench) -> None:
    run = the_run(project)
    assert "that is where the run itself is" in refusal(bench, str(run), "--runs", "runs")
    shutil.copytree(run, Path("copies") / run.name)
    assert "it is a copy of the run" in refusal(bench, str(run), "--runs", "copies")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["runs/nothing"], "there is neither a run nor a published result 'runs/nothing'"),
        ([], "nothing is named"),
        (["runs"], None),
        (["proteingym/blat-stiffler/esm2-8m", "--task", "x"], "--task: a published result has its own"),
        (["proteingym/blat-stiffler/esm2-8m", "--split", "x"], "--split: a published result has its own"),
    ],
)
def test_mistakes_are_one_line(project: Path, bench: Bench, arguments: list[str], said: str | None) -> None:
    if said is None:
        # A folder of runs that holds one is that run; its seed is its own.
        assert "a record has its seed" in refusal(bench, *arguments, "--seed", "2")
    else:
        assert said in refusal(bench, *arguments)


def test_older_code_is_a_note(project: Path, bench: Bench) -> None:
    run = the_run(project)
    record = read_record(run)
    record.identity.protocol -= 1
    record.environment.bench = "0.0.1"
    write_record(run, record)
    code, out, err = bench("reproduce", str(run), "--device", "cpu")
    now = record.identity.protocol + 1
    assert code == 0 and f"note: the code is another one: protocol {now - 1} then, {now} now" in err
    assert f"protocol: {now - 1} → {now}" in out and "bench: 0.0.1 →" in out


def test_a_published_model_is_made_again_with_the_data_here(project: Path, bench: Bench, hub: Hub) -> None:
    run = the_run(project)
    hub.add_model("lab/aromatic", {name: (run / name).read_bytes() for name in (RECORD, PREDICTIONS)})
    task = f"tasks/{TASK}.yaml"
    code, out, err = bench("reproduce", "hub://lab/aromatic", "--task", task, "--checkpoint", "esm", "--device", "cpu")
    assert code == 0 and "agree, the same predictions" in out and "note: hub://lab/aromatic is hub://" in err


def publish(project: Path, value: float, tolerance: float, **changes: object) -> str:
    """A published result of the project's own task."""
    experiment = {
        "title": "Aromatic residues",
        "where": "Table 1",
        "task": TASK,
        "version": 1,
        "metric": "pearson",
        "recipe": "probe",
        "settings": {"epochs": 3},
        "tolerance": tolerance,
        "reason": "As wide as it takes.",
        "same_test": True,
        "data": "The same file.",
        "differences": ["Their head is larger."],
        "results": {"tiny": {"checkpoint": "lab/tiny", "value": value, "printed": f"{value:.2f}"}},
    }
    file = project / "benchmarks" / "published" / "paper.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    paper = {"name": "paper", "citation": "Somebody (2026).", "numbers": "here"}
    file.write_text(yaml.safe_dump(paper | {"experiments": {"aromatic": experiment | changes}}))
    return "paper/aromatic/tiny"


def test_a_published_result_agrees_differs_or_cannot_be_told(project: Path, bench: Bench) -> None:
    here = ("--checkpoint", "esm", "--device", "cpu", "--format", "json", *MINE)
    code, out, err = bench("reproduce", publish(project, 0.5, 1.9), *here)
    first = json.loads(out)
    assert (code, first["verdict"], first["seeds"]) == (0, "agree", [1, 2, 3]) and "3 runs planned" in err
    assert "Their head is larger." in first["notes"]
    assert any("taken for lab/tiny" in note for note in first["notes"])
    mean = sum(first["scores"]) / 3
    assert first["after"] == pytest.approx(mean)
    # The same runs against other numbers.
    far = json.loads((found := bench("reproduce", publish(project, mean - 2, 0.05), *here))[1])
    assert (found[0], far["verdict"]) == (1, "differ")
    half = (first["high"] - first["low"]) / 2
    across = publish(project, mean - 0.3, 0.3)
    found = bench("reproduce", across, *here)
    assert (found[0], json.loads(found[1])["verdict"]) == (3, "cannot tell") and half > 0
    code, out, _ = bench("reproduce", across, *here[:4], *MINE, "--seed", "1")
    assert code == 3 and "needs at least 3 seeds, there is 1" in " ".join(out.split())


def test_a_newer_version_of_the_task_is_refused(project: Path, bench: Bench) -> None:
    name = publish(project, 0.5, 0.1, version=2)
    assert "matched with version 2 of the task" in refusal(bench, name, "--checkpoint", "esm", *MINE)


def test_the_list_has_every_result(project: Path, bench: Bench) -> None:
    name = publish(project, 0.5, 0.1)
    assert name not in bench("reproduce", "--list")[1]
    code, out, err = bench("reproduce", "--list", *MINE)
    assert code == 0 and name in out and "schmirler-2024/gb1-frozen/esm2-8m" in out
    count = int(err.split()[0])
    listed = json.loads(bench("reproduce", "--list", "--format", "json", *MINE)[1])
    assert len(listed) == count > 100
    (one,) = [entry for entry in listed if entry["id"] == name]
    assert (one["value"], one["task"], one["tolerance"]) == (0.5, TASK, 0.1)
