"""bench run: the plan, the table, exit codes, and one clear line for whatever is wrong."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import shutil
import subprocess
import sys
import termios
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hub_server import TOKEN, Hub
from tiny_checkpoints import write_checkpoint
from tiny_project import tiny_rows, write_project, write_rows, write_task

from hubtools.cli.main import main
from hubtools.runs import steps
from hubtools.runs.store import read_record

RESIDUES, PROTEINS = "residue-classification", "sequence-classification"
TASK = "tiny-residue-classification"
QUICK = ("--set", "epochs=1", "--set", "batch_size=20")
Bench = Callable[..., "Said"]


@dataclass(frozen=True)
class Said:
    """What a command left on the screen."""

    code: int
    out: str
    err: str

    @property
    def mistakes(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith(("error: ", "failed: "))]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "esm", "esm")


@pytest.fixture
def project(tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: two tasks and a checkpoint."""
    folder = write_project(tmp_path / "project", RESIDUES, PROTEINS)
    shutil.copytree(checkpoint, folder / "esm")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("BENCH_DATA_MIRROR", raising=False)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Bench:
    """Call the command as a shell would."""

    def call(*arguments: object) -> Said:
        monkeypatch.setattr("sys.argv", ["bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as exited:
            main()
        out, err = capfd.readouterr()
        assert TOKEN not in out + err and "Traceback" not in out + err
        return Said(int(exited.value.code or 0), out, err)

    return call


# The plan


def test_a_dry_run_shows_the_plan_and_writes_nothing(project: Path, bench: Bench) -> None:
    before = sorted(project.rglob("*"))
    said = bench("run", "--checkpoint", "./esm", "--task", TASK, "--baselines", "--seeds", "1-2", "--dry-run")
    assert (said.code, said.out) == (0, "")
    assert said.err.splitlines() == [
        "6 runs planned:",
        f"  {TASK} · baseline · majority · seed 1",
        f"  {TASK} · baseline · onehot-window · seed 1",
        f"  {TASK} · ./esm · random-probe · seed 1",
        f"  {TASK} · ./esm · random-probe · seed 2",
        f"  {TASK} · ./esm · full · seed 1",
        f"  {TASK} · ./esm · full · seed 2",
        "nothing was run (--dry-run)",
    ]
    assert sorted(project.rglob("*")) == before


@pytest.mark.parametrize(
    ("given", "seeds"),
    [
        (["--seed", "4"], [4]),
        (["--seed", "2", "--seed", "1"], [2, 1]),
        (["--seeds", "1,2,3"], [1, 2, 3]),
        (["--seeds", "3-5"], [3, 4, 5]),
        (["--seeds", "0, 7-8,7"], [0, 7, 8]),
        ([], [1]),
    ],
)
def test_seeds_are_given_in_every_natural_way(project: Path, bench: Bench, given: list[str], seeds: list[int]) -> None:
    said = bench("run", "--task", TASK, "--recipe", "majority", *given, "--dry-run")
    assert [int(line.rsplit(" ", 1)[1]) for line in said.err.splitlines() if "· seed" in line] == seeds


def test_several_checkpoints_and_tasks_are_combined_once(project: Path, bench: Bench) -> None:
    checkpoints = ("--checkpoint", "a", "--checkpoint", "b", "--checkpoint", "a")
    said = bench("run", *checkpoints, "--task", TASK, "--task", "tiny-sequence-classification", "--dry-run")
    assert [line.strip() for line in said.err.splitlines() if "seed" in line] == [
        f"{task} · {name} · full · seed 1" for task in (TASK, "tiny-sequence-classification") for name in ("a", "b")
    ]


def test_several_recipes_are_combined_with_all_else(project: Path, bench: Bench) -> None:
    """A baseline among them runs once, beside the checkpoints."""
    recipes = ("--recipe", "probe", "--recipe", "majority", "--recipe", "lora", "--recipe", "probe")
    for command in (("run", "--dry-run"), ("run", "--baselines", "--dry-run")):
        said = bench(*command, "--checkpoint", "a", "--checkpoint", "b", "--task", TASK, *recipes, "--seed", "3")
        assert [line.strip() for line in said.err.splitlines() if "seed" in line and "random" not in line] == [
            *([f"{TASK} · baseline · onehot-window · seed 3"] if "--baselines" in command else []),
            f"{TASK} · baseline · majority · seed 3",
            *(f"{TASK} · {name} · {recipe} · seed 3" for name in ("a", "b") for recipe in ("probe", "lora")),
        ]


@pytest.mark.slow
def test_two_recipes_are_two_runs_and_an_estimate_is_of_both(project: Path, bench: Bench) -> None:
    asked = ("--checkpoint", "./esm", "--task", TASK, "--recipe", "probe", "--recipe", "majority")
    settings = ("--set", "epochs=1", "--device", "cpu")
    estimated = json.loads(bench("estimate", *asked, *settings, "--json").out)
    assert [item["title"].split(" · ")[1:3] for item in estimated["runs"]] == [
        ["baseline", "majority"],
        ["./esm", "probe"],
    ]
    said = bench("run", *asked, *settings)
    assert said.code == 0, said.err
    records = [json.loads(path.read_text()) for path in Path("runs").glob("*/run.json")]
    assert {record["identity"]["recipe"]["name"] for record in records} == {"probe", "majority"}


def test_without_a_task_it_is_the_core_suite(project: Path, bench: Bench) -> None:
    said = bench("run", "--checkpoint", "./esm", "--dry-run")
    lines = said.err.splitlines()
    assert any(line.split() == ["baseline", "composition", "1", "·", "·"] for line in lines)
    assert any(line.split() == ["esm", "full", "3", "3", "3"] for line in lines)


# The result


@pytest.mark.slow
def test_a_run_ends_with_a_table_a_card_and_where_to_go_on(project: Path, bench: Bench) -> None:
    command = ("run", "--checkpoint", "./esm", "--task", TASK, *QUICK)
    said = bench(*command)
    (folder,) = (project / "runs").iterdir()
    record = read_record(folder)
    score = record.score()
    assert said.code == 0 and record.status == "complete" and score is not None
    header, row = said.out.splitlines()
    assert header.split() == ["task", "what", "recipe", "seed", "metric", "test", "95", "%", "interval", "seconds"]
    interval = [f"{score.low:.3f}", "–", f"{score.high:.3f}"]
    assert row.split()[:-1] == [TASK, "esm", "full", "1", "accuracy", f"{score.value:.3f}", *interval]
    card = f"runs/{folder.name}/card/README.md"
    assert f"card     {card}" in said.err and (project / card).is_file()
    assert f"bench publish runs/{folder.name} --repo YOU/{TASK}" in said.err and "bench board" in said.err
    assert f"{record.alignment}" in said.err, "the proof is shown"

    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if not path.name.startswith(".claim-")}
    again = bench(*command)
    assert again.code == 0 and again.out == said.out and "already done" in again.err and "1 done before" in again.err
    assert before == {
        path: path.stat().st_mtime_ns for path in folder.rglob("*") if not path.name.startswith(".claim-")
    }

    forced = bench(*command, "--force")
    assert forced.code == 0 and "already done" not in forced.err
    assert read_record(folder).started > record.started


@pytest.mark.slow
def test_a_suite_goes_on_after_a_failed_run_and_says_so(
    project: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first task's data are wrong, one checkpoint is missing, and for seed 2 bench itself is broken."""
    suite = {"name": "mine", "title": "Mine", "tasks": ["tiny-broken", TASK], "recipe": "full", "seeds": [1, 2]}
    (project / "benchmarks").mkdir()
    (project / "benchmarks" / "mine.yaml").write_text(yaml.safe_dump(suite))
    broken = write_task(project, RESIDUES, name="tiny-broken", labels={"0": "other", "2": "aromatic"})
    broken.rename(project / "tasks" / "tiny-broken.yaml")
    write_task(project, RESIDUES)
    fit = steps.fit

    def fails_for_seed_2(model: Any, train: Any, validation: Any, job: Any) -> Any:
        if job.seed == 2:
            raise ZeroDivisionError("division by zero")
        return fit(model, train, validation, job)

    monkeypatch.setattr(steps, "fit", fails_for_seed_2)
    said = bench("run", "--suite", "mine", "--checkpoint", "./missing", "--checkpoint", "./esm", *QUICK)
    assert said.code == 1 and "1 of 8 runs" in said.err
    assert len(said.out.splitlines()) == 2 and said.out.splitlines()[1].split()[:4] == [TASK, "esm", "full", "1"]
    assert len(said.mistakes) == 7 == len(set(said.mistakes))
    missing, label = "no checkpoint folder ./missing", "unknown label '1'"
    for line, (title, reason) in zip(
        said.mistakes,
        [
            ("tiny-broken · ./missing · full · seed 1", missing),
            ("tiny-broken · ./missing · full · seed 2", missing),
            ("tiny-broken · ./esm · full · seed 1", label),
            ("tiny-broken · ./esm · full · seed 2", label),
            (f"{TASK} · ./missing · full · seed 1", missing),
            (f"{TASK} · ./missing · full · seed 2", missing),
            (f"{TASK} · ./esm · full · seed 2", "ZeroDivisionError: division by zero (details: runs/"),
        ],
        strict=True,
    ):
        assert line.startswith(f"failed: {title}: ") and reason in line
    records = [read_record(folder) for folder in (project / "runs").glob("[!.]*")]
    assert sorted((r.task["name"], r.status) for r in records) == [
        ("tiny-broken", "failed"),
        ("tiny-broken", "failed"),
        (TASK, "complete"),
        (TASK, "failed"),
    ]


@pytest.mark.slow
def test_a_card_that_cannot_be_written_is_said_and_ends_nothing(
    project: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(folder: Path) -> None:
        raise KeyError("licence")

    monkeypatch.setattr("hubtools.reporting.card.model_card.build_card", broken)
    command = ("run", "--checkpoint", "./esm", "--task", TASK, "--recipe", "probe", "--set", "epochs=1")
    said = bench(*command)
    assert said.code == 1 and len(said.out.splitlines()) == 2
    assert len(said.mistakes) == 1 and "KeyError: 'licence'" in said.mistakes[0]
    # Of several runs a card is written when somebody asks for it.
    said = bench(*command, "--seeds", "1,2")
    assert said.code == 0 and len(said.out.splitlines()) == 3 and not said.mistakes
    assert "card     bench card runs/" in said.err


@pytest.mark.slow
def test_baselines_stand_beside_a_run_and_a_sentence_says_whether_it_beats_them(
    project: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the comparison says it, and what to do next as it can be typed; a card as of a single run."""
    import hubtools

    monkeypatch.delenv("BENCH_BASELINES")
    command = (
        "run",
        "--checkpoint",
        "./esm",
        "--task",
        TASK,
        "--recipe",
        "probe",
        "--set",
        "epochs=1",
        "--runs",
        "my runs",
    )
    said = bench(*command)
    assert said.code == 0 and [line.split()[2] for line in said.out.splitlines()[1:]] == [
        "majority",
        "onehot-window",
        "probe",
    ]
    found = hubtools.results("my runs")
    scores = {run.record.identity.recipe.name: run.record.score().value for run in found.runs}
    probe = scores.pop("probe")
    best = max(scores, key=lambda name: scores[name])
    (line,) = [line for line in said.err.splitlines() if "the best of 2 baselines" in line]
    assert f"{abs(probe - scores[best]):.3f}" in line and line.startswith("esm · probe, epochs=1 on tiny-")
    compared = hubtools.compare(f"my runs:recipe={best}", "my runs:recipe=probe").sides.pairs[0].found
    assert ("better than" in line and "not shown" not in line) == (compared.verdict.value == "better")
    folder = next(Path("my runs").glob("*probe*"))
    shown = dict(
        line.split(maxsplit=1) for line in said.err.splitlines() if line.startswith(("predict", "demo", "publish"))
    )
    assert [*shown] == ["predict", "demo", "publish"] and f"'{folder}'" in shown["predict"]
    assert (folder / "card" / "README.md").is_file()
    planned = bench(*command, "--no-baselines", "--dry-run").err
    assert planned.startswith("1 run planned:")
    assert bench("run", "--task", TASK, "--recipe", "majority", "--dry-run").err.startswith("1 run planned:")


@pytest.mark.slow
def test_lower_case_sequences_are_used_and_counted(project: Path, bench: Bench) -> None:
    rows = tiny_rows(RESIDUES)
    for row in rows[:7]:
        row["sequence"] = row["sequence"].lower()
    write_rows(project, RESIDUES, rows)
    said = bench("run", "--task", TASK, "--recipe", "majority")
    (folder,) = (project / "runs").iterdir()
    record = read_record(folder)
    assert said.code == 0 and record.data is not None and record.data.changed == {"upper-cased": 7}


# What is wrong gets one line


@dataclass(frozen=True)
class Case:
    """A mistake of the user's.

    Attributes:
        line: what bench says.
        arrange: makes the mistake in the project (and on the Hub); may return further arguments.
        arguments: of ``bench run``, by default the checkpoint on the residue task.
    """

    line: str
    arrange: Callable[[Path, Hub], Any] = lambda project, hub: None
    arguments: tuple[str, ...] = ("--checkpoint", "./esm", "--task", TASK)


def change_row(column: str, value: str, number: int = 3) -> Callable[[Path, Hub], None]:
    def arrange(project: Path, hub: Hub) -> None:
        rows = tiny_rows(RESIDUES)
        rows[number][column] = value
        write_rows(project, RESIDUES, rows)

    return arrange


def change_data(**changes: Any) -> Callable[[Path, Hub], None]:
    def arrange(project: Path, hub: Hub) -> None:
        path = project / "tasks" / f"{TASK}.yaml"
        task = yaml.safe_load(path.read_text())
        task["data"] |= changes
        path.write_text(yaml.safe_dump(task))

    return arrange


def another_file_at_the_address(project: Path, hub: Hub) -> None:
    hub.add_model("me/data", {"rows.csv": "not what was pinned\n"})
    url = f"{hub.endpoint}/me/data/resolve/main/rows.csv"
    change_data(source="url", files=[{"url": url, "sha256": "0" * 64}])(project, hub)


def cut_weights(project: Path, hub: Hub) -> None:
    path = project / "esm" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def other_weights(project: Path, hub: Hub) -> None:
    path = project / "esm" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "hidden_size": 24}))


def file_called_runs(project: Path, hub: Hub) -> None:
    (project / "runs").write_text("")


CASES = {
    "wrong column": Case(
        f"error: task {TASK}, {RESIDUES}: there is no column 'seq' (data.columns.sequence). Did you mean set? "
        "There are: id, sequence, label, set.",
        change_data(columns={"id": "id", "sequence": "seq"}),
    ),
    "unknown label": Case(
        f"error: task {TASK}, p0_3: unknown label '7' at residue 2; known: 0, 1. "
        "Correct the data, or list it under labels.",
        change_row("label", "[0, 7]"),
    ),
    "empty split": Case(
        f"error: task {TASK}, split test: the split is empty: no row has set = 'tset'. "
        "The values are: 'test', 'train', 'validation'.",
        change_data(splits={split: {"where": {"set": split.replace("test", "tset")}} for split in ("train", "test")}),
    ),
    "gapped sequence": Case(
        f"error: task {TASK}, p0_3: the sequence holds '-' at position 4, which is no residue. "
        "Remove the gaps: a column of an alignment is not a residue.",
        change_row("sequence", "ACD-EF"),
    ),
    "label shorter than the sequence": Case(
        f"error: task {TASK}, p0_3: 2 labels for 32 residues: shorter than the sequence. Correct the data.",
        change_row("label", "[0, 1]"),
    ),
    "missing checkpoint folder": Case(
        "error: no checkpoint folder ./my-esm. Give a folder, or a Hub id such as owner/name.",
        arguments=("--checkpoint", "./my-esm", "--task", TASK),
    ),
    "missing checkpoint on the Hub": Case(
        "error: checkpoint me/nothing: there is no such repository on the Hub, or it is private and you are not logged "
        "in. Check the name; for a private one log in: hf auth login.",
        arguments=("--checkpoint", "me/nothing", "--task", TASK),
    ),
    "gated checkpoint": Case(
        "error: checkpoint them/gated: it is gated, and your account has no access. "
        "Accept its conditions on its page of the Hub, then log in: hf auth login.",
        lambda project, hub: hub.add_model("them/gated", {"config.json": "{}"}, gated=True),
        arguments=("--checkpoint", "them/gated", "--task", TASK),
    ),
    "corrupt weights": Case(
        "error: esm/model.safetensors: damaged weights (the header does not describe this file). "
        "Delete {project}/esm/model.safetensors and get it again: a checkpoint of the Hub is then "
        "downloaded anew.",
        cut_weights,
    ),
    "weights of another configuration": Case(
        "error: esm: its weights do not fit its config.json. Check that both come from the same checkpoint.",
        other_weights,
    ),
    "wrong checksum": Case(
        "error: {endpoint}/me/data/resolve/main/rows.csv: wrong checksum: expected sha256 " + "0" * 64 + ", got "
        f"{hashlib.sha256(b'not what was pinned' + bytes([10])).hexdigest()}. "
        "The file at the address is not the one the task pins: nothing was kept.",
        another_file_at_the_address,
    ),
    "unwritable folder": Case(
        "error: runs: it is a file, not a folder. Choose another --runs.",
        file_called_runs,
        arguments=("--checkpoint", "./esm", "--task", TASK, "--runs", "runs"),
    ),
    "folder that cannot be made": Case(
        "error: esm/config.json/runs: cannot make it (Not a directory). Choose another --runs.",
        arguments=("--checkpoint", "./esm", "--task", TASK, "--runs", "esm/config.json/runs"),
    ),
    "misspelt task": Case(
        f"error: no task is called 'tiny-residue-clasification'. Did you mean {TASK}?",
        arguments=("--checkpoint", "./esm", "--task", "tiny-residue-clasification"),
    ),
    "misspelt recipe field": Case(
        "error: --set on recipe full: learning_rat: unknown key. Did you mean learning_rate?",
        arguments=("--checkpoint", "./esm", "--task", TASK, "--set", "learning_rat=1e-4"),
    ),
    "a value that is no number": Case(
        "error: --set on recipe full: learning_rate: input should be a finite number (it is inf)",
        arguments=("--checkpoint", "./esm", "--task", TASK, "--set", "learning_rate=inf"),
    ),
    "a value that cannot be read": Case(
        "error: --set: cannot read the value of 'head={{'. For example --set learning_rate=1e-4.",
        arguments=("--checkpoint", "./esm", "--task", TASK, "--set", "head={"),
    ),
    "seeds the wrong way round": Case(
        "error: --seeds: '5-1' is not a seed. Give numbers: --seeds 1,2,3 or --seeds 1-5.",
        arguments=("--checkpoint", "./esm", "--task", TASK, "--seeds", "5-1"),
    ),
    "no checkpoint": Case(
        "error: the recipe full needs a checkpoint. Name one: --checkpoint facebook/esm2_t6_8M_UR50D, a folder, or "
        "embedded.",
        arguments=("--task", TASK),
    ),
    "a checkpoint that nothing would read": Case(
        "error: --checkpoint: the recipe majority reads no checkpoint, and ./esm is named. Leave it out, or name a recipe "
        "that adapts it, --recipe probe, say.",
        arguments=("--checkpoint", "./esm", "--task", TASK, "--recipe", "majority"),
    ),
    "a recipe field that is set twice": Case(
        "error: --set: epochs is set twice. Say it once.",
        arguments=("--checkpoint", "./esm", "--task", TASK, "--set", "epochs=1", "--set", "epochs=2"),
    ),
    "a shell variable that is not set": Case(
        "error: --checkpoint: it is empty. Is the shell variable set?",
        arguments=("--checkpoint", "", "--task", TASK),
    ),
    "a baseline that does not exist there": Case(
        "error: task tiny-residue-classification: the recipe composition does not exist for residue-classification",
        arguments=("--task", TASK, "--recipe", "composition"),
    ),
    "a device that is not there": Case(
        "error: device 'cuda:99' cannot be used",
        arguments=("--checkpoint", "./esm", "--task", TASK, "--device", "cuda:99"),
    ),
}


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
@pytest.mark.parametrize("name", CASES)
def test_a_mistake_gets_one_line_that_names_what_where_and_how_to_mend_it(
    project: Path, hub: Hub, bench: Bench, name: str
) -> None:
    case = CASES[name]
    case.arrange(project, hub)
    done = bench("run", "--task", "tiny-sequence-classification", "--recipe", "majority", "--runs", "kept")
    assert done.code == 0
    kept = {path: path.read_bytes() for path in (project / "kept").rglob("*") if path.is_file()}
    runs = () if "--runs" in case.arguments else ("--runs", "kept")
    said = bench("run", *runs, *case.arguments)
    # After the plan there is one line, and only that.
    (line,) = (line for line in said.err.splitlines() if "planned:" not in line and "· seed 1" not in line)
    assert line.startswith(case.line.format(project=project, endpoint=hub.endpoint))
    assert (said.code, said.out) == (2, "")
    assert all(path.read_bytes() == content for path, content in kept.items()), "what was there is there"
    left = [
        path
        for path in Path(project).rglob("*")
        if path.name.startswith(".") and path.name != ".work" and not path.name.startswith(".claim-")
    ]
    assert not left, "nothing half-written"
    assert not [
        path
        for path in (project.parent / "cache").rglob("*")
        if path.is_file() and path.parent.name not in {"locks", "arrays"}
    ]


def test_a_data_mistake_is_on_the_record_too(project: Path, hub: Hub, bench: Bench) -> None:
    change_row("label", "[0]")(project, hub)
    said = bench("run", "--checkpoint", "./esm", "--task", TASK)
    (folder,) = (project / "runs").iterdir()
    record = read_record(folder)
    assert record.status == "failed" and record.failure is not None
    assert said.err.splitlines()[-1] == f"error: {record.failure.message}" and said.code == 2


# What a person at a terminal sees


@pytest.mark.slow
def test_a_terminal_shows_our_lines_and_no_others(project: Path) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TERM": "xterm"}
    command = [sys.executable, "-m", "hubtools.cli.main", "run", "--checkpoint", "./esm", "--task", TASK, *QUICK]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=project)
    os.close(theirs)
    seen = b""
    while True:
        try:
            block = os.read(ours, 65536)
        except OSError:  # How Linux says that the other end is closed.
            break
        if not block:
            break
        seen += block
    assert process.wait(timeout=60) == 0
    text = seen.decode()
    assert "training: " in text, "our own bar is there"
    for noise in ("Loading weights", "Writing model", "Warning", "warn", "Some weights", "LOAD REPORT", "Traceback"):
        assert noise not in text
    score = read_record(next((project / "runs").iterdir())).score()
    assert score is not None and f"{score.value:.3f}" in text and f"{score.low:.3f} – {score.high:.3f}" in text
    assert "intervals are of these weights" in text
