"""``bench fold`` by several processes: what one process gives, each protein once, and nothing lost when one is killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import warm_process
from optional_packages import needs_biotite
from tiny_folding import write_folding_checkpoint
from tiny_structures import chain_atoms, write_structure

import hubtools
from hubtools.api.engines.dispatch import to_workers
from hubtools.api.engines.fold_jobs import FoldRunner
from hubtools.api.proteins.asked_folds import AskedFolds
from hubtools.common.errors import UserError
from hubtools.inference.asking import Protein
from hubtools.inference.folding import folds_in_turn
from hubtools.inference.folding.folds_folder import CLAIMS, FoldsFolder, fold_stems
from hubtools.inference.folding.kept_folds import all_folds, folds_of, keep_folds, read_folds
from hubtools.models.checkpoint import resolve_checkpoint
from hubtools.models.folding.folding_models import FoldedStructure, FoldingModel, folding_model
from hubtools.runs.claims import claimed
from hubtools.runs.engines import workers as pool
from hubtools.runs.engines.job_engine import DetachedEngine, JobState, Submission
from hubtools.runs.engines.job_events import JobEvent
from hubtools.runs.engines.known_engines import ENGINES
from hubtools.training.folding import fold_limits

pytestmark = [needs_biotite, pytest.mark.slow]
ONE_THREAD = hubtools.ExecutionOptions(device="cpu", threads=1)
PROTEINS = {"sp|P1|A_HUMAN": "MKTAYIAKQRWG", "two": "GGWCMKLVHEGG", "dimer": "MKTAY:MKTAY", "long": "MKTAYIAKQR" * 4}
Bench = Callable[..., tuple[int, str, str]]
# The command, which notes what it folds, begins when as many processes as are wanted are about to, and hangs where it is told to.
NOTING = """
import os, time
from pathlib import Path
from hubtools.models.folding.folding_models import FoldingModel

fold, count = FoldingModel.fold, 0

def noted(self, chains, seed):
    global count
    count += 1
    Path(f"ready-{os.getpid()}").touch()
    while len(list(Path().glob("ready-*"))) < int(os.environ["TOGETHER"]):
        time.sleep(0.01)
    with open("folded.txt", "a") as log:
        log.write(f"{os.getpid()} {':'.join(chains)}\\n")
    time.sleep(600 if str(count) == os.environ.get("HANGS_AT") else 0)
    return fold(self, chains, seed)

FoldingModel.fold = noted
from hubtools.cli.main import main
main()
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folding_checkpoint(tmp_path_factory.mktemp("fold") / "esmfold2", "esmfold2")


@pytest.fixture(scope="module")
def alone(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The structures of one process."""
    folder = tmp_path_factory.mktemp("alone") / "folds"
    hubtools.fold(PROTEINS, folder, checkpoint, execution=ONE_THREAD)
    return folder


@pytest.fixture
def fasta(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "proteins.fasta"
    path.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in PROTEINS.items()))
    return path


def require_equal(folder: Path, expected: Path, hidden: Collection[str] = ()) -> None:
    """The same files, byte for byte, the same table but for the seconds, and nothing besides."""
    names = {path.name for path in expected.iterdir()}
    assert {path.name for path in folder.iterdir()} == names | set(hidden)
    for name in names - {"fold.json", "folds.tsv"}:
        assert (folder / name).read_bytes() == (expected / name).read_bytes(), name
    tables = [pd.read_csv(place / "folds.tsv", sep="\t").drop(columns="seconds") for place in (folder, expected)]
    pd.testing.assert_frame_equal(*tables)
    notes = [json.loads((place / "fold.json").read_text()) for place in (folder, expected)]
    assert notes[0]["settings"] == notes[1]["settings"] and notes[0]["about"].keys() == notes[1]["about"].keys()


def test_workers_of_which_one_is_killed(
    checkpoint: Path, alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    took, killed = pool._Pool._took, list[int]()

    def kill_first(self: Any, worker: Any, event: JobEvent) -> Any:
        if event.kind == "begins" and not killed:
            killed.append(worker.process.pid)
            os.kill(worker.process.pid, signal.SIGKILL)
        return took(self, worker, event)

    monkeypatch.setattr(pool._Pool, "_took", kill_first)
    write_structure(tmp_path / "known" / "two.pdb", chain_atoms(PROTEINS["two"]))
    told: list[str] = []
    given: dict[str, Any] = {"execution": ONE_THREAD, "against": tmp_path / "known"}
    done = hubtools.fold(PROTEINS, tmp_path / "folds", checkpoint, workers=2, on_note=told.append, **given)
    assert killed and "4 to fold: 2 workers, 1 thread each" in told[0], told
    assert [row.id for row in done] == list(PROTEINS) and done.earlier == 0
    # Scores come after: they are this process's.
    scores = [tmp_path / "folds" / name for name in ("scores.tsv", "scores.json")]
    assert done.scores is not None and [one.id for one in done.scores.scored] == ["two"]
    for path in scores:
        path.unlink()
    require_equal(tmp_path / "folds", alone, hidden=[".plans"])
    # Nothing is left to divide: nobody is started.
    monkeypatch.setattr(pool._Pool, "run", lambda self: pytest.fail("a worker was started"))
    again = hubtools.fold(PROTEINS, tmp_path / "folds", checkpoint, workers=2, execution=ONE_THREAD)
    assert again.earlier == 4 and [row.seconds for row in again] == [row.seconds for row in done]


def started(fasta: Path, checkpoint: Path, **said: str) -> warm_process.Process:
    command = ["fold", fasta, "-o", "folds", "--checkpoint", checkpoint, "--device", "cpu", "--threads", "1"]
    environment = {**os.environ, "BENCH_CACHE": str(fasta.with_name("cache")), "TOGETHER": "1", **said}
    return warm_process.start(command, cwd=fasta.parent, env=environment, code=NOTING, bench=True)


def folded(fasta: Path) -> list[list[str]]:
    """Process and chains of each time that a protein was folded."""
    path = fasta.with_name("folded.txt")
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def test_two_commands_fold_each_protein_once(fasta: Path, checkpoint: Path, alone: Path) -> None:
    commands = [started(fasta, checkpoint, TOGETHER="2") for _ in range(2)]
    ends = [command.communicate(timeout=120) for command in commands]
    assert [command.returncode for command in commands] == [0, 0], ends
    assert sorted(chains for _, chains in folded(fasta)) == sorted(PROTEINS.values())
    assert len({process for process, _ in folded(fasta)}) == 2, "both did their part"
    assert ends[0][0] == ends[1][0] and "sp|P1|A_HUMAN" in ends[0][0]
    require_equal(fasta.with_name("folds"), alone)


def test_what_a_killed_command_left_is_taken_over(fasta: Path, checkpoint: Path, alone: Path) -> None:
    first = started(fasta, checkpoint, HANGS_AT="2")
    deadline = time.monotonic() + 120
    while len(folded(fasta)) < 2:
        assert time.monotonic() < deadline and first.poll() is None, first.communicate()
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate(timeout=60)
    assert (fasta.with_name("folds") / CLAIMS).is_dir() and len(list(fasta.with_name("folds").glob("*.pdb"))) == 1
    second = started(fasta, checkpoint)
    _, told = second.communicate(timeout=120)
    assert second.returncode == 0 and "1 there already" in told, told
    # What was finished is not folded again, though no table had it yet; what the first was at is.
    times = Counter(chains for _, chains in folded(fasta))
    assert sorted(times.values()) == [1, 1, 1, 2], times
    require_equal(fasta.with_name("folds"), alone)


class Queue(DetachedEngine):
    """A cluster whose queue begins with nothing by itself."""

    name = "queue"

    def __init__(self) -> None:
        self.works: list[Submission] = []
        self.state: dict[str, JobState] = {}

    def submit(self, work: Submission) -> dict[str, tuple[int, ...]]:
        self.works.append(work)
        jobs = {f"{len(self.works)}_{place}": tuple(numbers) for place, numbers in enumerate(work.jobs)}
        self.state |= dict.fromkeys(jobs, "waiting")
        return jobs

    def states(self, jobs: Collection[str]) -> dict[str, JobState]:
        return {job: self.state[job] for job in jobs}

    def cancel(self, jobs: Collection[str]) -> None:
        self.state |= dict.fromkeys(jobs, "ended")


@pytest.fixture
def queue(fasta: Path, monkeypatch: pytest.MonkeyPatch) -> Queue:
    profiles = fasta.with_name("benchmarks") / "profiles"
    profiles.mkdir(parents=True)
    (profiles / "mine.yaml").write_text("name: mine\ntitle: Tests\nengine: queue\n")
    monkeypatch.setattr(ENGINES, "_added", {"queue": Queue()})
    return ENGINES["queue"]  # type: ignore[return-value]


def test_jobs_of_a_queue(
    bench: Bench, queue: Queue, fasta: Path, checkpoint: Path, alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two jobs, as a profile that says so would have it.
    hand = AskedFolds.cut
    monkeypatch.setattr(AskedFolds, "cut", lambda self, left, workers, warm: hand(self, left, 2, warm))
    command = ("fold", fasta, "-o", "folds", "--checkpoint", checkpoint, "--device", "cpu", "--threads", "1")
    # Of a machine that only hands over, neither memory nor patience decides.
    monkeypatch.setattr(fold_limits, "LONGEST_ON_CPU", 5)
    code, out, told = bench(*command, "--profile", "mine")
    assert code == 0 and not out and "4 proteins in 2 jobs handed to queue (1_0 to 1_1)" in told, told
    monkeypatch.undo()
    monkeypatch.chdir(fasta.parent)
    monkeypatch.setattr(ENGINES, "_added", {"queue": queue})
    (kept,) = all_folds(fasta.with_name("folds"))
    assert kept.jobs == {"1_0": [3], "1_1": [0, 1, 2]} and kept.engine == "queue"
    _, _, told = bench(*command, "--on", "queue")
    assert "nothing to hand over, 4 waiting or running" in told
    _, _, told = bench("cancel", "--runs", "folds")
    assert "2 jobs of queue stopped" in told
    _, _, told = bench(*command, "--on", "queue")
    assert "handed to queue (2_0)" in told
    # A job is done with its own proteins, and helps with those of jobs that have not begun.
    (work,) = queue.works[1:]
    argv = [*work.command, work.plan, "3"]
    code, _, told = bench(*argv[argv.index("run-job") :])
    assert code == 0 and told.splitlines()[0] == "long: folding", told
    require_equal(fasta.with_name("folds"), alone, hidden=[".plans"])
    queue.state = dict.fromkeys(queue.state, "ended")
    # Had it been killed before it could write the table, the same command would: here of a note that nobody gathered.
    _ungathered(fasta.with_name("folds"), "two")
    code, out, told = bench(*command, "--on", "queue")
    require_equal(fasta.with_name("folds"), alone, hidden=[".plans"])
    assert code == 0 and "0 structures by esmfold2, 4 there already" in told and "sp|P1|A_HUMAN" in out
    code, _, told = bench(*argv[argv.index("run-job") : -1], "0-4")
    assert code == 2 and "'0-4' are no runs of a plan of 4" in told


def _ungathered(folder: Path, name: str) -> None:
    """As a process leaves it that was killed when this protein was done."""
    note = json.loads((folder / "fold.json").read_text())
    (row,) = [row for row in note["folded"] if row["id"] == name]
    place = folder / CLAIMS / f"_{name}"
    place.mkdir(parents=True)
    (place / "fold.json").write_text(json.dumps(note | {"folded": [row]}))
    note["folded"].remove(row)
    (folder / "fold.json").write_text(json.dumps(note))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (("--workers", "2", "--on", "slurm"), "workers are processes of this machine"),
        (("--workers", "0"), "neither auto nor a number from 1"),
        (("--on", "nowhere"), "there is no engine 'nowhere'"),
        (("--on", "ray", "--profile", "slurm"), "it is a profile of slurm, not of ray"),
        (("--profile", "none"), "none"),
    ],
)
def test_what_makes_no_sense_is_refused(
    bench: Bench, fasta: Path, checkpoint: Path, given: tuple[str, ...], why: str
) -> None:
    code, _, told = bench("fold", fasta, "-o", "folds", "--checkpoint", checkpoint, *given)
    assert code == 2 and why in told and len(told.splitlines()) == 1, told
    assert not fasta.with_name("folds").exists()


def test_torchrun_is_refused(bench: Bench, fasta: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"MASTER_ADDR": "127.0.0.1", "WORLD_SIZE": "2", "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    code, _, told = bench("fold", fasta, "-o", "folds", "--checkpoint", checkpoint, "--workers", "2")
    assert code == 2 and "torchrun" in told


# What is divided, and how


def asked(checkpoint: Path, folder: Path, proteins: dict[str, str] = PROTEINS, **how: Any) -> AskedFolds:
    found = resolve_checkpoint(str(checkpoint))
    given = [Protein(name, sequence) for name, sequence in proteins.items()]
    model = folding_model(found, torch.device("cpu"), None, None)
    return AskedFolds(folder, ONE_THREAD, found, model, FoldsFolder(folder, "pdb"), given, fold_stems(given), **how)


def test_shares_are_even_and_the_longest_come_first(checkpoint: Path, tmp_path: Path) -> None:
    lengths = [10, 200, 20, 30, 100, 90, 80, 15]
    proteins = asked(checkpoint, tmp_path / "folds", {f"p{n}": "M" * length for n, length in enumerate(lengths)})
    assert proteins.cut(range(8), 4, True) == [(1,), (4,), (5,), (6,), (3,), (2,), (7,), (0,)]
    shares = proteins.cut([n for n in range(8) if n != 6], 3, False)
    assert sorted(number for share in shares for number in share) == [0, 1, 2, 3, 4, 5, 7]
    assert shares[0] == (1,) and all(share[0] in {4, 5} for share in shares[1:])
    assert proteins.cut([0, 1], 5, False) == [(1,), (0,)], "no job is empty"


def test_workers_take_all_cores_and_no_more_memory_than_there_is(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hubtools.runs.engines import capacity as counted
    from hubtools.training.compute import machine

    for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(machine, "cores", lambda: 8)
    proteins = asked(checkpoint, tmp_path / "folds")
    proteins.execution = replace(ONE_THREAD, threads=None)
    # Room for three processes with their weights; a fifth of what is free is left alone.
    monkeypatch.setattr(machine, "free_memory", lambda: 3.1 * proteins.needs(range(4)) / 0.8)
    auto, two = to_workers(proteins, "auto"), to_workers(proteins, 2)
    assert auto is not None and auto.why == "3 workers, 2 threads each (8 cores, and memory for 3)"
    assert two is not None and two.why == "2 workers, 4 threads each (8 cores, and memory for 3)"
    assert auto.work.jobs[0] == (3,) and len(auto.work.jobs) == 4
    monkeypatch.setattr(counted, "gpus", lambda: ["0", "1"])
    proteins.execution = hubtools.ExecutionOptions()
    cards = to_workers(proteins, "auto")
    assert cards is not None and [seat["CUDA_VISIBLE_DEVICES"] for seat in cards.engine.seats] == ["0", "1"]  # type: ignore[attr-defined]
    assert to_workers(proteins, 1) is None


def test_a_node_refuses_what_it_cannot_fold_and_folds_the_rest(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fold_limits, "LONGEST_ON_CPU", 20)
    proteins = asked(checkpoint, tmp_path / "folds")
    kept = read_folds(tmp_path / "folds", proteins.keep("queue", {}))
    told: list[JobEvent] = []
    runner = FoldRunner(kept, tmp_path / "folds", ONE_THREAD.session(Path()), ONE_THREAD, told.append, alone=True)
    assert not runner.do([3, 0])
    (refused,) = [event for event in told if event.kind == "not begun"]
    assert refused.number == 3 and refused.mistake is not None and "more than 20 residues" in refused.mistake.what
    # It helped with those that were not its own, too.
    assert len(pd.read_csv(tmp_path / "folds" / "folds.tsv", sep="\t")) == 3
    assert [event.number for event in told if event.kind == "ended"] == [0, 1, 2]


def test_a_worker_folds_others_rather_than_wait(
    checkpoint: Path, alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proteins = asked(checkpoint, tmp_path / "folds")
    kept = read_folds(tmp_path / "folds", proteins.keep("workers", {}))
    told: list[JobEvent] = []
    runner = FoldRunner(kept, tmp_path / "folds", ONE_THREAD.session(Path()), ONE_THREAD, told.append, alone=False)
    with contextlib.ExitStack() as elsewhere:
        elsewhere.enter_context(runner.asked.folder.claimed("long"))
        there: list[set[str]] = []

        def wait(folders: Any) -> None:
            there.append({path.stem for path in (tmp_path / "folds").glob("*.pdb")})
            elsewhere.close()

        monkeypatch.setattr(folds_in_turn, "wait_for_one", wait)
        assert runner.do([3])
    assert there == [{"sp_P1_A_HUMAN", "two", "dimer"}]
    # It was given one, and speaks of one: the others are some worker's that will find them there.
    assert [(event.kind, event.number) for event in told] == [("begins", 3), ("ended", 3)]
    assert runner.do([1, 2]) and [event.kind for event in told[2:]] == ["ended", "ended"]
    proteins.folder.order_as(proteins.stems)
    proteins.folder.gather()
    require_equal(tmp_path / "folds", alone, hidden=[".plans"])


def test_one_that_cannot_be_folded_stops_no_other(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold = FoldingModel.fold

    def full(self: FoldingModel, chains: Any, seed: int) -> Any:
        if len(chains) == 2 or chains[0].startswith("GG"):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return fold(self, chains, seed)

    monkeypatch.setattr(FoldingModel, "fold", full)
    with pytest.raises(
        UserError, match=r"^two: out of memory with its 12 residues, nor could 1 others be folded\. 2 structures stay"
    ):
        hubtools.fold(PROTEINS, tmp_path / "folds", checkpoint, execution=ONE_THREAD)
    table = pd.read_csv(tmp_path / "folds" / "folds.tsv", sep="\t")
    assert table["id"].tolist() == ["sp|P1|A_HUMAN", "long"]


# The folder


def test_the_first_of_two_settles_how_structures_are_made(tmp_path: Path) -> None:
    ours, theirs = (FoldsFolder(tmp_path / "folds", "pdb") for _ in range(2))
    ours.begin({"checkpoint": "ours"}, {"made": "1"}, ["a"])
    # Nothing is there yet, and nobody is at it: it may become another's.
    theirs.begin({"checkpoint": "theirs"}, {"made": "2"}, ["a"])
    with theirs.claimed("a"), pytest.raises(UserError, match=r"another checkpoint \(theirs, now ours\)"):
        ours.begin({"checkpoint": "ours"}, {"made": "3"}, ["a"])
    ours.begin({"checkpoint": "ours"}, {"made": "3"}, ["a"])


def test_notes_beside_claims_are_gathered(checkpoint: Path, tmp_path: Path) -> None:
    proteins = asked(checkpoint, tmp_path / "folds")
    structure = proteins.model.fold(["MKTAY"], 0)
    assert isinstance(structure, FoldedStructure)
    first, second = (FoldsFolder(tmp_path / "folds", "pdb") for _ in range(2))
    for place, folder in enumerate((first, second)):
        folder.begin({"seed": 0}, {"made": str(place)}, ["a", "b", "c"])
    a, b, c = (Protein(name, "MKTAY") for name in "abc")
    for folder, protein in ((second, b), (first, a), (second, c)):
        with folder.claimed(protein.id) as claim:
            folder.add(claim, protein, protein.id, structure, 1.0, 0)
    # Cut off by a disk, say: as if it had not been folded.
    note = tmp_path / "folds" / CLAIMS / "_c" / "fold.json"
    note.write_text(note.read_text()[:100])
    # Another process is about to do b again: it stays its own.
    fresh = FoldsFolder(tmp_path / "folds", "pdb")
    assert sorted(fresh.rows) == ["a.pdb", "b.pdb"] and fresh.found(c, "c") is None
    with claimed(tmp_path / "folds" / CLAIMS / "_b"):
        first.gather()
        assert (tmp_path / "folds" / CLAIMS / "_b" / "fold.json").is_file()
    assert {path.name for path in (tmp_path / "folds" / CLAIMS).glob("_*")} == {"_b"}
    table = pd.read_csv(tmp_path / "folds" / "folds.tsv", sep="\t")
    assert table["id"].tolist() == ["a", "b"] and first.about == {"made": "1"}
    second.gather()
    assert not (tmp_path / "folds" / CLAIMS).exists() and sorted(second.rows) == ["a.pdb", "b.pdb"]


def test_what_was_kept_is_what_is_read(tmp_path: Path) -> None:
    given = [Protein("a", "MKV"), Protein("b", "MKV:GG")]
    how: dict[str, Any] = {"checkpoint": "owner/name@0", "form": "pdb"}
    kept = keep_folds(tmp_path, folds_of(given, ["a", "b"], "queue", **how).with_jobs({"7": [1]}))
    assert read_folds(tmp_path, kept.id).given == given and kept.jobs == {"7": [1]}
    # The same again: jobs stay known, also where workers of this machine go on.
    assert keep_folds(tmp_path, folds_of(given, ["a", "b"], "workers", **how)).jobs == {"7": [1]}
    assert folds_of(given, ["a", "b"], "queue", **how, seed=1).id != kept.id
    path = tmp_path / ".plans" / f"{kept.id}.folds"
    path.write_text(path.read_text().replace("MKV:GG", "MKV:GW"))
    with pytest.raises(UserError, match="its proteins are others"):
        read_folds(tmp_path, kept.id)
    assert all_folds(tmp_path) == []
