"""Kill commands at many moments, run them again, and hold what is there at the end against commands that nobody killed.

``python tests/kills.py --kills 10`` (``make kills``) prints a table: a run, a sweep, a publication, a board and a site, each killed
(SIGKILL, the whole group of processes) after evenly spread shares of its time. What must be equal are predictions, trials, files of the repository and
of the site, byte for byte, and records but for time, place, cost and what was found computed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from hub_server import Hub
from tiny_checkpoints import write_checkpoint
from tiny_project import write_project

BENCH = [sys.executable, "-m", "hubtools.cli.main"]
TASK = "tiny-sequence-classification"
REPOSITORY = "me/killed"
# Seconds after which a command is taken to hang.
PATIENCE = 600
# What two unbroken runs differ in.
OF_THE_MOMENT = ("started", "finished", "cost", "environment", "command", "outputs")
# Of training, how much of the work was found done: what an attempt that was killed had kept is not computed again.
OF_THE_ATTEMPT = ("embeddings", "tokens", "seeds_together")
PUBLISHED = ("model.safetensors", "config.json", "tokenizer_config.json", "predictions.parquet")


@dataclass(frozen=True)
class Stage:
    """A command that is killed.

    Attributes:
        name: as the table shows it.
        command: without the program's name.
        state: what must be there at the end, by name; content or its hash.
        begins: from which project it starts: the empty one or the one with a run.
    """

    name: str
    command: tuple[str, ...]
    state: Callable[[Path, Hub], dict[str, Any]]
    begins: str


def of_runs(here: Path, hub: Hub) -> dict[str, Any]:
    """Predictions of the runs and what their records say."""
    found: dict[str, Any] = {}
    for path in sorted((here / "runs").glob("[!.]*/run.json")):
        record = json.loads(path.read_text())
        kept = {key: value for key, value in record.items() if key not in OF_THE_MOMENT}
        if kept.get("training"):
            kept["training"] = {key: value for key, value in kept["training"].items() if key not in OF_THE_ATTEMPT}
        found[path.parent.name] = kept
        found[f"{path.parent.name}/predictions"] = digest(path.with_name("predictions.parquet"))
    return found


def of_sweep(here: Path, hub: Hub) -> dict[str, Any]:
    """Trials with their scores, and the runs of the best."""
    lines = [json.loads(line) for path in (here / "runs" / "sweeps").glob("*/trials.jsonl") for line in path.open()]
    return {"trials": [{**line, "seconds": None} for line in lines], **of_runs(here, hub)}


def of_repository(here: Path, hub: Hub) -> dict[str, Any]:
    """Commits, and the files of the last."""
    repo = hub.model(REPOSITORY)
    commit = repo.find("main")
    assert commit is not None
    files = {path: file.sha256 for path, file in commit.files.items() if path in PUBLISHED}
    return {"files": sorted(commit.files), "content": files}


def of_pages(here: Path, hub: Hub) -> dict[str, Any]:
    """Every file of the site."""
    return {str(path.relative_to(here)): digest(path) for path in sorted((here / "site").rglob("*")) if path.is_file()}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


RUN = ("run", "--checkpoint", "./esm", "--task", TASK, "--device", "cpu", "--token-budget", "512")
LONG = ("--set", "epochs=12", "--set", "patience=null", "--set", "batch_size=8")
STAGES = (
    Stage("a run, fine-tuned", (*RUN, "--recipe", "full", *LONG), of_runs, "empty"),
    Stage(
        "two runs of a probe, and baselines",
        (*RUN, "--recipe", "probe", "--seeds", "1,2", "--baselines"),
        of_runs,
        "empty",
    ),
    Stage(
        "a sweep",
        ("sweep", *RUN[1:], "--recipe", "full", "--over", "epochs=2,3,4,5", "--trials", "3", "--set", "batch_size=8"),
        of_sweep,
        "empty",
    ),
    Stage(
        "a publication", ("publish", "{run}", "--repo", REPOSITORY, "--licence", "mit", "--push"), of_repository, "run"
    ),
    Stage("a site", ("board", "--site", "site"), of_pages, "run"),
)


def started(command: tuple[str, ...], here: Path, hub: Hub) -> subprocess.Popen[str]:
    """The command, in a group of processes of its own."""
    run = next((str(path.parent) for path in sorted((here / "runs").glob("[!.]*/run.json"))), "")
    environment = {**os.environ, **hub.env, "OMP_NUM_THREADS": "1", "BENCH_CACHE": str(here / "cache")}
    return subprocess.Popen(
        [*BENCH, *(part.format(run=run) for part in command)],
        cwd=here,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def to_the_end(stage: Stage, here: Path, hub: Hub) -> float:
    """Do the command whole; the seconds that it took.

    Raises:
        RuntimeError: it failed.
    """
    since = time.perf_counter()
    process = started(stage.command, here, hub)
    out = process.communicate(timeout=PATIENCE)[0]
    if process.returncode != 0:
        raise RuntimeError(f"{stage.name}: exit {process.returncode}\n{out}")
    return time.perf_counter() - since


def killed(stage: Stage, here: Path, hub: Hub, after: float) -> bool:
    """Begin the command and kill it after so many seconds; whether it was still at work then."""
    process = started(stage.command, here, hub)
    try:
        process.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return True
    return False


def trial(
    stage: Stage, start: Path, folder: Path, share: float | None, seconds: float
) -> tuple[dict[str, Any], bool, float]:
    """One pass through a stage, killed after a share of its seconds or not at all: what is there, whether a kill met it, how long the end took."""
    here = folder / "here"
    shutil.copytree(start, here)
    with Hub(folder / "hub") as hub:
        met = share is not None and killed(stage, here, hub, share * seconds)
        took = to_the_end(stage, here, hub)
        state = stage.state(here, hub)
    shutil.rmtree(folder)
    return state, met, took


def differences(found: Any, expected: Any, at: str = "") -> list[str]:
    """Where the two are not the same: paths of keys."""
    if not (isinstance(found, dict) and isinstance(expected, dict)):
        return [] if found == expected else [at]
    return [
        path
        for key in sorted({*found, *expected})
        for path in differences(found.get(key), expected.get(key), f"{at} > {key}" if at else key)
    ]


def main() -> int:
    """Print a line a stage; 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, help="of each stage")
    parser.add_argument("--only", help="stages whose name holds this")
    asked = parser.parse_args()
    lost = 0
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        empty = write_project(base / "empty", "sequence-classification")
        write_checkpoint(empty / "esm", "esm")
        start = {"empty": empty, "run": base / "run"}
        shutil.copytree(empty, start["run"])
        with Hub(base / "no-hub") as hub:
            to_the_end(Stage("", (*RUN, "--recipe", "full"), of_runs, "empty"), start["run"], hub)
        for stage in STAGES:
            if asked.only and asked.only not in stage.name:
                continue
            expected, _, seconds = trial(stage, start[stage.begins], base / "trial", None, 0)
            counts: Counter[str] = Counter()
            for number in range(asked.kills):
                share = (number + 0.5) / asked.kills
                found, met, _ = trial(stage, start[stage.begins], base / "trial", share, seconds)
                different = differences(found, expected)
                counts["killed" if met else "over before"] += 1
                counts["equal" if not different else "different"] += 1
                if different:
                    lost += 1
                    print(f"  {stage.name}, killed at {share:.2f}: {', '.join(different)}", flush=True)
            said = ", ".join(f"{number} {what}" for what, number in counts.items())
            print(f"{stage.name}: unbroken {seconds:.1f} s; {asked.kills} trials: {said}", flush=True)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
