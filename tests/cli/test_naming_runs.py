"""Every command that reads runs is asked about every way to name them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hub_server import Hub
from tiny_checkpoints import write_checkpoint
from tiny_project import task_name, write_task

from hubtools.cli.main import main
from hubtools.data import DataCache
from hubtools.publishing.reload import Reproduction
from hubtools.runs.plan import PlannedRun
from hubtools.runs.session import Session
from hubtools.runs.store import MODEL, PREDICTIONS, RECORD
from hubtools.runs.unit import execute
from hubtools.specs.loading import load_recipe, load_task
from hubtools.training.device import Execution

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
PROBLEM = "sequence-classification"
Bench = Callable[..., tuple[int, str, str]]


@dataclass(frozen=True)
class Made:
    """Two runs, of all and of half of the training data, and where else they are."""

    home: Path

    @property
    def runs(self) -> Path:
        return self.home / "runs"

    @property
    def run(self) -> Path:
        (half,) = self.runs.glob("*--s1--*/.whole")
        return half.parent

    @property
    def task(self) -> Path:
        return self.home / "tasks" / f"{task_name(PROBLEM)}.yaml"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    torch.set_num_threads(1)
    home = tmp_path_factory.mktemp("named")
    write_task(home, PROBLEM)
    checkpoint = str(write_checkpoint(home / "esm", "esm"))
    session = Session(home / "runs", DataCache(home / "cache"), Execution(torch.device("cpu"), 512))
    task = load_task(str(home / "tasks" / f"{task_name(PROBLEM)}.yaml"))
    for fraction in (None, 0.5):
        settings = {"epochs": 2}
        recipe = load_recipe("probe", settings)
        asked = PlannedRun(task, recipe, checkpoint, 1, overrides=settings, fraction=fraction, suite="mine")
        done = execute(asked, session)
        assert done.record.status == "complete", done.record.failure
        if fraction is None:
            (done.folder / ".whole").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["bench", "baseline", "create", "main", "--runs", str(home / "runs")])
        patch.chdir(home)
        with pytest.raises(SystemExit) as exited:
            main()
        assert not exited.value.code
    shutil.copytree(home / "runs", home / "copy")
    return Made(home)


def on_hub(hub: Hub, bench: Bench, made: Made) -> None:
    """A published model, a frozen baseline in a folder of its repository, and the results of both runs."""
    files = {name: (made.run / name).read_bytes() for name in (RECORD, PREDICTIONS)}
    files |= {path.name: path.read_bytes() for path in (made.run / MODEL).iterdir()}
    hub.add_model("lab/model", files)
    baseline = made.home / "benchmarks/baselines/main"
    frozen = {p.relative_to(baseline.parent).as_posix(): p.read_bytes() for p in baseline.rglob("*") if p.is_file()}
    hub.add_dataset("lab/baselines", frozen)
    hub.owners.add("lab")
    assert bench("board", made.runs, "--results", "lab/results")[0] == 0


KINDS = {
    "folder": "{runs}",
    "run": "{run}",
    "record": "{run}/run.json",
    "baseline": "{home}/benchmarks/baselines/main",
    "selected": "{runs}:fraction=1",
    "selected of a baseline": "{home}/benchmarks/baselines/main:fraction=1",
    "model": "hub://lab/model",
    "revision": "hub://lab/model@main",
    "baseline on the Hub": "hub://lab/baselines/main",
    "results": "hub://lab/results",
}
# What is written for each command; the runs stand where WHERE is.
COMMANDS = {
    "board": "board WHERE --format json",
    "curve": "curve WHERE --out {out}/curve.png",
    "card": "card WHERE",
    "compare": "compare WHERE {home}/copy --replicates 200",
    "check": "check --baseline WHERE --candidate {home}/copy --question weights --cost ignore --replicates 100",
    "baseline": "baseline create new --runs WHERE --to {out}",
    "reproduce": "reproduce WHERE --dry-run --device cpu --task {task} --checkpoint {home}/esm --runs {out}/again",
    "submissions": "submissions add WHERE --to {out}/submissions",
    "publish": "publish WHERE --repo me/model --licence mit",
    "predict": "predict WHERE {out}/proteins.fasta --device cpu",
}
# Command -> how a name is answered: "" where it does what is asked, else a part of the line that refuses it.
ANSWERS: dict[str, dict[str, str]] = {
    "board": {"folder": "", "run": "", "baseline": "", "results": ""},
    "curve": {"folder": "", "run": "no run learnt from a share of the training data", "baseline": ""},
    "card": {"run": ""},
    "compare": {kind: "" for kind in KINDS if kind != "results"},
    "check": {kind: "" for kind in KINDS if kind != "results"},
    "baseline": {"folder": "", "run": "", "baseline": ""},
    "reproduce": {"folder": "it holds 2 runs", "run": "", "record": "", "model": "", "revision": ""},
    "submissions": {"run": ""},
    "publish": {"run": ""},
    "predict": {"run": "", "record": "", "model": "", "revision": ""},
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_knows_every_way_to_name_runs(
    hub: Hub, bench: Bench, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(
        "hubtools.publishing.reload.reproduce_in_fresh_process",
        lambda folder, mirrors=(), task=None: Reproduction(rows=3, splits=("test",), difference=0.0, tolerance=1e-4),
    )
    monkeypatch.setenv("BENCH_CACHE", str(made.home / "cache"))
    monkeypatch.chdir(tmp_path)
    on_hub(hub, bench, made)
    wrong = []
    for number, (kind, expected) in enumerate(ANSWERS[command].items()):
        out = tmp_path / str(number)
        out.mkdir()
        (out / "proteins.fasta").write_text(">a\nMKVLAWGY\n")
        places = {"home": made.home, "runs": made.runs, "run": made.run, "task": made.task, "out": out}
        where = KINDS[kind].format(**places)
        words = [where if word == "WHERE" else word.format(**places) for word in COMMANDS[command].split()]
        code, _, err = bench(*words)
        if (code != 0) != bool(expected) or expected not in err:
            wrong.append(f"{kind}: exit code {code}, {err}")
    assert not wrong, "\n".join(wrong)
