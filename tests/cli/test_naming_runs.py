"""Every command that reads runs is asked about every way to name them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hub_server import Hub
from tiny_checkpoints import write_checkpoint
from tiny_project import task_name, write_task
from tiny_runs import whole

from hubtools.cli.main import main
from hubtools.data import DataCache
from hubtools.publishing.reload import ReloadedPredictions
from hubtools.runs.execute import execute
from hubtools.runs.plan import PlannedRun
from hubtools.runs.session import Session
from hubtools.runs.store import MODEL, PREDICTIONS, RECORD, read_record, write_record
from hubtools.specs.lookup.spec_files import load_recipe, load_task
from hubtools.specs.references import RESULT_RECORDS
from hubtools.training.compute.device import Execution

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("blank_figures"),
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
]
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
    def id(self) -> str:
        return self.run.name.rpartition("--")[2]

    @property
    def frozen(self) -> Path:
        return self.home / "benchmarks/baselines/main"

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


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """No fresh process loads the model that is to be published: other tests let it."""
    monkeypatch.setattr(
        "hubtools.publishing.reload.reproduce_in_fresh_process",
        lambda folder, mirrors=(), task=None: ReloadedPredictions(
            rows=3, splits=("test",), difference=0.0, tolerance=1e-4
        ),
    )


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def on_hub(hub: Hub, bench: Bench, made: Made) -> None:
    """A published model, a frozen baseline in a folder of its repository, and the results of both runs."""
    files = {name: (whole(made.run) / name).read_bytes() for name in (RECORD, PREDICTIONS)}
    files |= {path.name: path.read_bytes() for path in (made.run / MODEL).iterdir()}
    hub.add_model("lab/model", files)
    home = made.frozen.parent
    hub.add_dataset(
        "lab/baselines", {path.relative_to(home).as_posix(): path.read_bytes() for path in files_in(made.frozen)}
    )
    hub.owners.add("lab")
    assert bench("board", made.runs, "--results", "lab/results")[0] == 0


# How runs are named -> what is written. Of two runs, ":fraction=1" means one.
KINDS = {
    "folder": "{runs}",
    "run": "{run}",
    "record": "{run}/run.json",
    "one of a folder": "{runs}:fraction=1",
    "by its id": "{runs}:run={id}",
    "baseline": "{frozen}",
    "file of a baseline": "{frozen}/baseline.yaml",
    "one of a baseline": "{frozen}:fraction=1",
    "model": "hub://lab/model",
    "model at a revision": "hub://lab/model@main",
    "model with a selector": "hub://lab/model:seed=1",
    "baseline on the Hub": "hub://lab/baselines/main",
    "one of a baseline on the Hub": "hub://lab/baselines@main/main:fraction=1",
    "results": "hub://lab/results",
    "one of results": "hub://lab/results:fraction=1",
    "pattern that nothing fits": "{runs}:recipe=lora|full",
    "key that is none": "{runs}:colour=red",
    "nowhere": "{home}/nowhere",
    "nowhere on the Hub": "hub://lab/nowhere",
    "no address": "hub://lab",
}
# What is written for each command; the runs stand where WHERE is.
COMMANDS = {
    "board": "board WHERE --format json",
    "board --runs": "board --runs WHERE --format json",
    "curve": "curve WHERE --out {out}/curve.png",
    "card": "card WHERE",
    "compare": "compare WHERE {home}/copy --replicates 200",
    "check": "check --baseline WHERE --candidate {home}/copy --question weights --cost ignore --replicates 100",
    "baseline create": "baseline create new --runs WHERE --to {out}",
    "baseline update": "baseline update main --runs WHERE --to {home}/benchmarks/baselines --dry-run",
    "reproduce": "reproduce WHERE --dry-run --device cpu --task {task} --checkpoint {home}/esm --runs {out}/again",
    "submissions": "submissions add WHERE --to {out}/submissions",
    "publish": "publish WHERE --repo me/model --licence mit",
    "publish --all": "publish --all --suite mine --owner me --runs WHERE --licence mit",
    "predict": "predict WHERE {out}/proteins.fasta --device cpu",
    "demo": "demo WHERE --device cpu",
}
ONE = ("run", "record", "one of a folder", "by its id")
ONE_FROZEN = ("one of a baseline",)
ONE_ON_HUB = ("model", "model at a revision", "model with a selector")
ONE_FROZEN_ON_HUB = ("one of a baseline on the Hub",)
SEVERAL, SEVERAL_FROZEN, SEVERAL_ON_HUB = ("folder",), ("baseline", "file of a baseline"), ("baseline on the Hub",)
WRONG = {
    "pattern that nothing fits": "fits it. There are: ",
    "key that is none": "nothing is called colour in a selector. There are task, checkpoint, recipe, seed",
    "nowhere": "there is no folder",
    "nowhere on the Hub": "hub://lab/nowhere: there is no such repository on the Hub",
    "no address": "hub://lab: not the address of runs on the Hub. Write hub://user/repository@revision/folder.",
}
MANY = "2 runs are named, and one is wanted: tiny-sequence-classification: esm · probe"
NO_PREDICTIONS = "it has results alone, and predictions are wanted. Name a published model, a frozen baseline or"
ON_HUB = "it is on the Hub, and a folder of this machine is wanted. Download it first: hf download lab/"
NO_CURVE = "no run learnt from a share of the training data"
ON_HUB_ALL = {kind: ON_HUB for kind, where in KINDS.items() if where.startswith("hub://lab/")} | {
    "pattern that nothing fits": "no run fits it"
}


def same(answer: str, *kinds: tuple[str, ...]) -> dict[str, str]:
    return {kind: answer for group in kinds for kind in group}


SINGLE, PLURAL = (ONE, ONE_FROZEN, ONE_ON_HUB, ONE_FROZEN_ON_HUB), (SEVERAL, SEVERAL_FROZEN, SEVERAL_ON_HUB)
RESULTS, ONE_RESULT = ("results",), ("one of results",)
EVERYTHING = same("", *SINGLE, *PLURAL) | WRONG
COMPARED = EVERYTHING | same(NO_PREDICTIONS, RESULTS, ONE_RESULT)
# Command -> how a name is answered: "" where it does what is asked, else a part of the line that refuses it.
ANSWERS: dict[str, dict[str, str]] = {
    "board": EVERYTHING | same("", RESULTS, ONE_RESULT),
    "board --runs": EVERYTHING | same("", RESULTS, ONE_RESULT),
    "curve": EVERYTHING | same("", RESULTS) | same(NO_CURVE, *SINGLE, ONE_RESULT),
    "card": EVERYTHING | ON_HUB_ALL,
    "compare": COMPARED,
    "check": COMPARED,
    "baseline create": COMPARED,
    "baseline update": COMPARED,
    "reproduce": EVERYTHING
    | same(MANY, *PLURAL, RESULTS)
    | same("", ONE_RESULT)
    | {"nowhere": "there is neither a run nor a published result"},
    "submissions": COMPARED | same(MANY, *PLURAL),
    "publish": EVERYTHING
    | ON_HUB_ALL
    | same(MANY, SEVERAL, SEVERAL_FROZEN)
    | same("model/config.json is missing", ONE_FROZEN),
    "publish --all": EVERYTHING
    | ON_HUB_ALL
    | same("would be the repository of several runs", SEVERAL)
    | same("no complete run of the suite 'mine' has a model", SEVERAL_FROZEN, ONE_FROZEN),
    "predict": EVERYTHING
    | same(MANY, SEVERAL, SEVERAL_FROZEN)
    | same("there is no model in it", ONE_FROZEN)
    | same("not the address of a model on the Hub", SEVERAL_ON_HUB, ONE_FROZEN_ON_HUB)
    | same("there is no such repository on the Hub", RESULTS, ONE_RESULT, ("nowhere on the Hub",))
    | {"nowhere": "there is no such folder", "no address": "hub://lab: not the address of a model on the Hub"},
}
SINGULAR = {"reproduce", "submissions", "publish", "publish --all", "predict", "demo"}
ANSWERS["demo"] = ANSWERS["predict"]


def interrupted(seconds: float) -> None:
    raise KeyboardInterrupt


class Page:
    """Stands in for the page of a demo, and is left at once."""

    def close(self, verbose: bool) -> None:
        pass


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_knows_every_way_to_name_runs(
    hub: Hub, bench: Bench, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unloaded: None, command: str
) -> None:
    monkeypatch.setattr("hubtools.inference.demo_page.build", lambda predictor, **options: Page())
    monkeypatch.setattr("hubtools.inference.demo_page.serve", lambda page, **options: "http://127.0.0.1")
    monkeypatch.setattr("hubtools.cli.demo.time.sleep", interrupted)
    monkeypatch.setenv("BENCH_CACHE", str(made.home / "cache"))
    monkeypatch.chdir(tmp_path)
    on_hub(hub, bench, made)
    assert set(ANSWERS[command]) == set(KINDS)
    wrong = []
    for number, (kind, expected) in enumerate(ANSWERS[command].items()):
        out = tmp_path / str(number)
        out.mkdir()
        (out / "proteins.fasta").write_text(">a\nMKVLAWGY\n")
        places = {name: getattr(made, name) for name in ("home", "runs", "run", "task", "frozen", "id")} | {"out": out}
        where = KINDS[kind].format(**places)
        words = [where if word == "WHERE" else word.format(**places) for word in COMMANDS[command].split()]
        code, shown, err = bench(*words)
        refusals = [line for line in err.splitlines() if line.startswith("error: ")]
        if expected == "":
            good = code == 0 and not refusals
        else:
            good = code == 2 and len(refusals) == 1 and expected in refusals[0] + shown
        if not good:
            wrong.append(f"{kind}: exit code {code}, {err}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "demo"])
def test_a_record_that_cannot_be_read_is_told_once_and_stops_nobody(
    hub: Hub, bench: Bench, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unloaded: None, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(made.home / "cache"))
    (tmp_path / "proteins.fasta").write_text(">a\nMKVLAWGY\n")
    runs = tmp_path / "runs"
    shutil.copytree(made.runs, runs)
    (runs / "broken").mkdir()
    (runs / "broken" / RECORD).write_text("{}")
    # Of two runs one is meant where one is wanted.
    where = f"{runs}:fraction=1" if command in SINGULAR else str(runs)
    places = {"home": made.home, "task": made.task, "out": tmp_path}
    words = [where if word == "WHERE" else word.format(**places) for word in COMMANDS[command].split()]
    code, _, err = bench(*words)
    line = f"left out: {runs / 'broken' / RECORD}: not a run record of this version of bench"
    assert code == 0 and err.count(line) == err.count("left out: ") == 1, err


def test_a_row_of_results_that_cannot_be_read_is_left_out(hub: Hub, bench: Bench, made: Made, tmp_path: Path) -> None:
    assert bench("board", made.runs, "--results", "me/results")[0] == 0
    commit = hub.repos["datasets", "me/results"].history()[0]
    table = pq.read_table(hub.blob(commit.files[RESULT_RECORDS].sha256)).to_pylist()
    table[0]["record"] = "{}"
    pq.write_table(pa.Table.from_pylist(table), tmp_path / "records.parquet")
    changed: dict[str, bytes | str] = {RESULT_RECORDS: (tmp_path / "records.parquet").read_bytes()}
    hub.commit(hub.repos["datasets", "me/results"], changed)
    code, out, err = bench("board", "hub://me/results", "--format", "csv")
    assert code == 0 and len(set(out.splitlines()[1:])) >= 1
    assert f"left out: hub://me/results, row 1 of {RESULT_RECORDS}: not a run record of this version of bench" in err
    hub.commit(hub.repos["datasets", "me/results"], {RESULT_RECORDS: b"no parquet"})
    code, _, err = bench("board", "hub://me/results")
    assert code == 2 and f"error: hub://me/results: its {RESULT_RECORDS} cannot be read (" in err


def test_a_data_set_may_have_the_name_of_a_model(hub: Hub, bench: Bench, made: Made) -> None:
    assert bench("board", made.runs, "--results", "me/things")[0] == 0
    hub.add_model("me/things", {"README.md": "A model of somebody, who did not use bench."})
    code, out, _ = bench("board", "hub://me/things", "--format", "csv")
    assert code == 0 and out.count("tiny-sequence-classification,1,") == 2


@pytest.mark.parametrize("suite", ["mine", "mine.yaml", "{home}/mine.yaml"])
def test_a_suite_is_named_by_its_name_or_by_its_file(
    hub: Hub, bench: Bench, made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, unloaded: None, suite: str
) -> None:
    text = f"name: mine\ntitle: Mine\ntasks: [tiny-{PROBLEM}]\nrecipe: probe\nseeds: [1]\ncheckpoints: [esm]\n"
    project = tmp_path / "project"
    shutil.copytree(made.home / "tasks", project / "tasks")
    shutil.copytree(made.home / "esm", project / "esm")
    (project / "benchmarks").mkdir()
    for file in (project / "mine.yaml", made.home / "mine.yaml", project / "benchmarks" / "mine.yaml"):
        file.write_text(text)
    monkeypatch.chdir(project)
    monkeypatch.setenv("BENCH_CACHE", str(made.home / "cache"))
    suite = suite.format(home=made.home)
    runs = f"{made.runs}:fraction=1"
    compared = ("--baseline", runs, "--candidate", runs, "--question", "weights", "--project", project)
    for words in (
        ("run", "--suite", suite, "--dry-run"),
        ("estimate", "--suite", suite),
        ("baseline", "create", "new", "--suite", suite, "--runs", runs, "--to", tmp_path),
        ("check", "--suite", suite, *compared),
        ("publish", "--all", "--suite", suite, "--owner", "me", "--runs", runs, "--licence", "mit"),
    ):
        code, _, err = bench(*words)
        assert code == 0, (words, err)


def test_a_suite_of_records_needs_no_file(hub: Hub, bench: Bench, made: Made, tmp_path: Path, unloaded: None) -> None:
    """Who publishes may have no more of the suite than its name in the records; a file that is named must be there."""
    rest = ("--owner", "me", "--runs", f"{made.runs}:fraction=1", "--licence", "mit")
    code, out, _ = bench("publish", "--all", "--suite", "mine", *rest)
    assert code == 0 and f"--runs {made.runs}:fraction=1" in out
    code, _, err = bench("publish", "--all", "--suite", tmp_path / "absent.yaml", *rest)
    assert code == 2 and "no suite file" in err
    code, _, err = bench("publish", "--all", "--suite", "other", *rest)
    assert code == 2 and "is of the suite 'other'. There are runs of: mine." in err


def test_what_it_says_to_write_names_one_run(hub: Hub, bench: Bench, made: Made, tmp_path: Path) -> None:
    _, _, err = bench("submissions", "add", made.runs, "--to", tmp_path)
    one = err.rpartition("Name one, for example ")[2].strip().removesuffix(".")
    assert bench("submissions", "add", one, "--to", tmp_path)[0] == 0


def test_a_card_of_several_leaves_out_what_did_not_finish(bench: Bench, made: Made, tmp_path: Path) -> None:
    shutil.copytree(made.runs, tmp_path / "runs")
    stopped = next((tmp_path / "runs").glob("*/.whole")).parent
    record = read_record(stopped)
    record.status = "interrupted"
    write_record(stopped, record)
    code, out, err = bench("card", tmp_path / "runs")
    assert code == 0 and len(out.split()) == 1 and f"left out: {stopped} is interrupted" in err
    code, _, err = bench("card", stopped)
    assert code == 2 and "this run is interrupted: there is no result to put on a card" in err
