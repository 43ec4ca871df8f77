#!/usr/bin/env python3
"""A folder of very many runs: claims, how far it is, the board, and two folders that become one.

usage: python benchmarks/speed/many_records.py [--records 1000 10000] [--only claims status board merge] [--at FOLDER]

Invented complete runs (five tasks, ten seeds, two recipes, as many checkpoints as it takes), each with its record, its claim and
predictions, are written into a temporary folder, on the file system of ``--at``, beside the plan that asked for them; for every
tenth there is no record yet. Then, each as a process of its own: claims are taken and given back, one after the other, of as many
folders; ``bench status``; the states of the plan read once more by a reader that knows what was complete; ``bench board``; ``bench
merge`` of two halves. The growth between the sizes is printed as the exponent of CPU seconds: 1 is proportional.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measuring import Process, options, process, report

ROOT = Path(__file__).resolve().parents[2]
SEEDS, TASKS = 10, 5
PARTS = ("claims", "status", "board", "merge")
WAITING = 10  # Of so many one has no record yet.


def write_folder(folder: Path, n: int) -> None:
    """That many runs asked for, nine of ten done; a second folder beside it holds the same run of every other one."""
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]
    import sample_records as sample

    from hubtools.runs.kept_plan import keep_plan, plan_of
    from hubtools.runs.plan import PlannedRun
    from hubtools.runs.store import PREDICTIONS, REPLICATES, TRAINING_LOG, OpenRun, read_record, run_folder
    from hubtools.specs.record import CheckpointIdentity, Identity

    recipes, tasks = (sample.FULL, sample.PROBE), list(sample.TASKS.values())
    templates, files, planned = {}, {}, []
    with tempfile.TemporaryDirectory() as scratch:
        for task in tasks:
            for recipe in recipes:
                one = sample.write_full_run(Path(scratch) / task.name / recipe.name, task, recipe)
                # With the draws that a run keeps; else a board would draw them.
                sample.write_runs(one.parent, [OpenRun(one, read_record(one))], replicates=True)
                sample.relisted(one)
                templates[task.name, recipe.name] = json.loads((one / "run.json").read_text())
                kept = (one / PREDICTIONS, one / REPLICATES, one / TRAINING_LOG)
                files[task.name, recipe.name] = {path.name: path.read_bytes() for path in kept}
    for index in range(n):
        rest, seed = divmod(index, SEEDS)
        rest, place = divmod(rest, len(recipes))
        checkpoint, task_place = divmod(rest, TASKS)
        task, recipe = tasks[task_place], recipes[place]
        name = f"lab-{checkpoint % 40}/protein-model-{checkpoint}"
        planned.append(PlannedRun(task, recipe, name, seed + 1))
        if index % WAITING == WAITING - 1:
            continue
        record = templates[task.name, recipe.name]
        identity = Identity.model_validate(record["identity"])
        identity.checkpoint = CheckpointIdentity(name=name, source="hub", commit=f"{checkpoint:040x}")
        identity.seed = seed + 1
        record |= {"identity": identity.model_dump(mode="json"), "run_id": identity.run_id}
        target = run_folder(folder / "runs", identity)
        target.mkdir(parents=True)
        (target / "run.json").write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        for file, content in files[task.name, recipe.name].items():
            (target / file).write_bytes(content)
        (target / ".claim-1.free").touch()
    keep_plan(folder / "runs", plan_of(planned, "bench run --suite invented"))
    for half in ("a", "b"):
        (folder / half).mkdir()
    for index, path in enumerate(sorted((folder / "runs").glob("[!.]*"))):
        # Halves, of which every twentieth run is in both.
        for place, half in enumerate("ab"):
            if index % 2 == place or index % 20 == 0:
                (folder / half / path.name).symlink_to(path, target_is_directory=True)


def claim_all(folder: Path, n: int) -> None:
    """In a process of its own: take and give back as many claims, in new folders."""
    from hubtools.runs.claims import claimed

    started = time.perf_counter()
    for number in range(n):
        with claimed(folder / f"run-{number}"):
            pass
    print(json.dumps({"seconds": time.perf_counter() - started}))


def read_twice(folder: Path) -> None:
    """In a process of its own: the states, and again by a reader that knows what was complete."""
    from hubtools.runs.many.run_states import FolderReader

    reader = FolderReader(folder)
    reader.read()
    started = time.perf_counter()
    found = reader.read()
    print(json.dumps({"seconds": time.perf_counter() - started, "counts": found.counts}))


def measure(sizes: list[int], at: Path | None, only: list[str]) -> tuple[list[list[str]], dict[str, Any]]:
    """A row for each operation and size."""
    rows: list[list[str]] = []
    figures: dict[str, Any] = {}
    took: dict[str, dict[int, float]] = {}
    bench = [sys.executable, "-m", "hubtools.cli.main"]
    for size in sizes:
        scratch = Path(tempfile.mkdtemp(dir=at))
        try:
            write_folder(scratch, size)
            runs = str(scratch / "runs")
            commands = {
                "claims taken and given back": [
                    sys.executable,
                    __file__,
                    "--claim",
                    str(scratch / "claims"),
                    str(size),
                ],
                "bench status": [*bench, "status", "--runs", runs],
                "status again (--watch)": [sys.executable, __file__, "--twice", runs],
                "bench board": [*bench, "board", runs],
                "bench merge": [*bench, "merge", str(scratch / "a"), str(scratch / "b"), "--into", str(scratch / "c")],
                "bench merge again": [
                    *(*bench, "merge", str(scratch / "a"), str(scratch / "b"), "--into", str(scratch / "c"))
                ],
            }
            for name, command in commands.items():
                if not any(part in name for part in only):
                    continue
                done: Process = process(command, {"PYTHONPATH": str(ROOT)})
                inner = json.loads(done.output)["seconds"] if __file__ in command else done.seconds
                # Other users of the machine stretch these less than the time from start to end.
                took.setdefault(name, {})[size] = done.cpu_seconds
                known = list(took[name])
                grown = ""
                if len(known) > 1:
                    before = known[-2]
                    grown = f"{math.log(took[name][size] / took[name][before]) / math.log(size / before):.2f}"
                each = f"{1e3 * inner / size:.3f}"
                cells = [
                    name,
                    f"{size:,}",
                    f"{inner:.2f}",
                    f"{done.cpu_seconds:.2f}",
                    each,
                    f"{done.megabytes:.0f}",
                    grown,
                ]
                rows.append(cells)
                figures[f"{name}, {size}"] = {"seconds": inner, "cpu": done.cpu_seconds, "megabytes": done.megabytes}
                print(" | ".join(cells), file=sys.stderr, flush=True)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return rows, figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, nargs="+", default=[1_000, 10_000], help="sizes of the folder of runs")
    parser.add_argument("--at", type=Path, metavar="FOLDER", help="on whose file system; by default the temporary one")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="of what is measured")
    parser.add_argument("--claim", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--twice", type=Path, help=argparse.SUPPRESS)
    options(parser)
    given = parser.parse_args()
    if given.claim:
        claim_all(Path(given.claim[0]), int(given.claim[1]))
        return
    if given.twice:
        read_twice(given.twice)
        return
    rows, figures = measure(given.records, given.at, given.only)
    columns = ["what", "runs", "seconds", "CPU seconds", "ms a run", "peak MB", "growth"]
    report("Very many runs", columns, rows, given, figures)


if __name__ == "__main__":
    main()
