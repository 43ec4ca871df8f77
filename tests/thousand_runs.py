"""A matrix of many runs by one command, killed and begun again: nothing is done twice, nothing is missing, and what it takes.

``python tests/thousand_runs.py`` (``make thousand``): tiny checkpoints × tiny tasks × seeds of a probe, on workers. Once unbroken, and once
killed (SIGKILL, the command and its workers) where a quarter, a half and three quarters are done. The two must end alike; a run that was
done before a kill must be untouched. Printed are time, disk, memory, and what a run takes beside its computing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from kills import BENCH, differences, of_runs
from tiny_checkpoints import write_checkpoint
from tiny_project import task_name, write_task

from hubtools.evaluation.statistics.same_predictions import largest_difference
from hubtools.runs.store import open_run

PROBLEMS = ("sequence-classification", "sequence-regression", "residue-classification", "sequence-multilabel")
FAMILIES = ("esm", "bert", "esmc", "t5", "modernbert")
PREDICTIONS = "/predictions"
# How far predictions may be apart: heads of ten seeds and of the three that were left are trained together each.
SAME = 1e-6
# Seconds between two looks at the folder and at memory.
LOOK = 0.5


@dataclass
class Seen:
    """What was seen of a command while it ran.

    Attributes:
        seconds: from its start to its end.
        megabytes: most memory of its processes together (what they share counted once), in MiB.
        done: content of each finished run's record, by folder, where it was killed.
    """

    seconds: float = 0.0
    megabytes: float = 0.0
    done: dict[str, str] = field(default_factory=dict)


def done(runs: Path) -> dict[str, str]:
    """Content of each complete run's record, by folder."""
    texts = {path.parent.name: path.read_text() for path in runs.glob("[!.]*/run.json")}
    return {folder: text for folder, text in texts.items() if json.loads(text)["status"] == "complete"}


def begun_by(process: int) -> list[int]:
    """A process and all that it began, workers in sessions of their own too."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # It ended in between.
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(status.parent.name))
    found = [process]
    for one in found:
        found += children.get(one, [])
    return found


def memory(processes: Sequence[int]) -> float:
    """MiB of processes together: proportional set size, Linux's own count."""
    total = 0
    for process in processes:
        with contextlib.suppress(OSError, StopIteration):
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def watched(command: Sequence[str], here: Path, log: Path, kill_at: int | None) -> Seen:
    """Do a command; kill it where so many runs are done.

    Raises:
        RuntimeError: it failed, or ended before the kill.
    """
    environment = {**os.environ, "BENCH_CACHE": str(here / "cache")}
    environment.pop("OMP_NUM_THREADS", None)
    seen, since = Seen(), time.perf_counter()
    with log.open("w") as stream:
        process = subprocess.Popen(command, cwd=here, env=environment, stdout=stream, stderr=subprocess.STDOUT)
        while process.poll() is None:
            processes = begun_by(process.pid)
            seen.megabytes = max(seen.megabytes, memory(processes))
            if kill_at is not None and len(done(here / "runs")) >= kill_at:
                for one in processes:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(one, signal.SIGKILL)
                process.wait()
                break
            time.sleep(LOOK)
    seen.seconds = time.perf_counter() - since
    expected = 0 if kill_at is None else -signal.SIGKILL
    if process.returncode != expected:
        raise RuntimeError(f"exit {process.returncode}: {log.read_text()[-2000:]}")
    seen.done = done(here / "runs")
    return seen


def computing(runs: Path) -> float:
    """Seconds that the records say their runs took."""
    return sum(json.loads(text)["cost"]["wall_seconds"] for text in done(runs).values())


def furthest(a: Path, b: Path) -> float:
    """The largest difference of what two runs predicted for the same rows."""
    one, other = open_run(a).predictions, open_run(b).predictions
    return max(largest_difference(one[split], other[split]) for split in one)


def kept(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> int:
    """Print what was found; 1 if anything was lost or done twice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoints", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--proteins", type=int, default=40, help="of each split")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--logs", type=Path, help="folder for what the commands print")
    asked = parser.parse_args()
    wanted = asked.checkpoints * asked.tasks * asked.seeds
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        logs = asked.logs or base
        logs.mkdir(parents=True, exist_ok=True)
        command = [*BENCH, "run", "--recipe", "probe", "--seeds", f"1-{asked.seeds}", "--device", "cpu"]
        command += ["--workers", str(asked.workers)]
        for number in range(asked.checkpoints):
            family = FAMILIES[number % len(FAMILIES)]
            folder = base / "checkpoints" / f"{family}-{number}"
            command += ["--checkpoint", str(write_checkpoint(folder, family, seed=number))]
        for number in range(asked.tasks):
            problem = PROBLEMS[number % len(PROBLEMS)]
            named = f"{task_name(problem)}-{number}"
            written = write_task(base / "tasks" / str(number), problem, asked.proteins, name=named)
            command += ["--task", str(written.rename(written.with_name(f"{named}.yaml")))]
        lost = 0
        (base / "unbroken").mkdir()
        whole = watched(command, base / "unbroken", logs / "unbroken.txt", None)
        print(f"unbroken: {len(whole.done):,} of {wanted:,} runs in {whole.seconds:.0f} s", flush=True)
        lost += len(whole.done) != wanted
        busy = computing(base / "unbroken" / "runs")
        beside = (asked.workers * whole.seconds - busy) / wanted
        print(
            f"  {busy / wanted:.3f} s a run by its record; {beside:.3f} s of a worker's time beside it, imports included"
        )
        print(
            f"  {kept(base / 'unbroken' / 'runs') / 1e6:.1f} MB of runs, {whole.megabytes:,.0f} MiB of memory at most"
        )
        broken = base / "broken"
        broken.mkdir()
        earlier: dict[str, str] = {}
        spent = 0.0
        for turn, kill_at in enumerate([*(wanted * part // 4 for part in (1, 2, 3)), None]):
            seen = watched(command, broken, logs / f"broken-{turn}.txt", kill_at)
            again = sum(seen.done.get(run) != content for run, content in earlier.items())
            lost += again
            spent += seen.seconds
            end = "killed" if kill_at is not None else "ended"
            print(f"{end} after {seen.seconds:.0f} s with {len(seen.done):,} done; done twice: {again}", flush=True)
            earlier = seen.done
        lost += len(earlier) != wanted
        different = differences(of_runs(broken, None), of_runs(base / "unbroken", None))
        apart = {path.removesuffix(PREDICTIONS) for path in different if path.endswith(PREDICTIONS)}
        largest = max(
            (furthest(*(at / "runs" / run for at in (broken, base / "unbroken"))) for run in apart), default=0.0
        )
        records = [path for path in different if not path.endswith(PREDICTIONS)]
        print(
            f"together {spent:.0f} s; of the unbroken differ {len(records)} entries of records {records[:5]}, "
            f"and the last bits of predictions of {len(apart)} runs, by {largest:.1g} at most"
        )
        lost += len(records) + (largest > SAME)
        shutil.rmtree(base / "unbroken")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
