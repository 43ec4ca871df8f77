#!/usr/bin/env python3
"""The board and the statistics at size: many run records, and many bootstrap replicates.

usage: python benchmarks/speed/board.py [--records 1000 10000] [--replicates 1000 10000] [--only board|statistics]

Board: invented run folders (five tasks, two recipes, five seeds, as many checkpoints as it takes) are written into a
temporary folder. Then, each as a process of its own: all records are read, and nothing else; ``bench board``;
``bench board --html`` and ``bench board --site``, whose pages are then used in Chromium; ``bench card`` of one run, which looks for what stands beside it. The growth between the sizes
is printed as the exponent of CPU seconds: 1 is proportional. The card draws all its figures.

Statistics: every metric of a task, and its intervals, on 5,000 proteins and on 1,000,000 residues of 5,000 proteins,
each metric in a process of its own, since memory is measured too.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from measuring import Process, options, process, report

ROOT = Path(__file__).resolve().parents[2]
SEEDS, RECIPES, TASKS = 5, 2, 5
METRICS = {
    "sequence-classification": ("accuracy", "macro_f1", "mcc", "auroc", "auprc"),
    "sequence-regression": ("spearman", "pearson", "rmse"),
    "residue-classification": ("accuracy", "macro_f1", "mcc", "auroc", "auprc"),
}
ROWS = {
    "sequence-classification": (5_000, 1),
    "sequence-regression": (5_000, 1),
    "residue-classification": (5_000, 200),
}


def write_records(folder: Path, n: int) -> Path:
    """That many run folders, as ``bench run`` leaves them; returns one that has predictions and a training log."""
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]
    import sample_records as sample

    rng = np.random.default_rng(0)
    tasks = list(sample.TASKS.values())
    for index in range(n - 1):
        rest, seed = divmod(index, SEEDS)
        rest, recipe = divmod(rest, RECIPES)
        checkpoint, task = divmod(rest, TASKS)
        record = sample.make_record(
            tasks[task],
            (sample.FULL, sample.PROBE)[recipe],
            float(rng.uniform(0.4, 0.8)),
            checkpoint=f"lab-{checkpoint % 40}/protein-model-{checkpoint}",
            seed=seed + 1,
            half_width=float(rng.uniform(0.01, 0.03)),
        )
        sample.write_runs(folder, [(folder, record)])
    return sample.write_full_run(folder, sample.LOCALISATION)


def read_only(folder: Path) -> None:
    """In a process of its own: all records, and the seconds of reading them without imports."""
    from hubtools.runs.store import find_records

    started = time.perf_counter()
    found, problems = find_records([folder])
    print(json.dumps({"seconds": time.perf_counter() - started, "records": len(found), "problems": problems}))


def in_browser(page: Path) -> str:
    """How long Chromium takes from the address to a table, and from a click to another, in milliseconds; medians of 5."""
    sys.path[:0] = [str(ROOT / "tests")]
    from browser import browser_page

    # From a change to the frame after it: what somebody waits for.
    wait = "new Promise(done => requestAnimationFrame(() => setTimeout(() => done(performance.now() - start))))"
    steps = {
        "sort": "document.querySelector('button[data-sort=score]').click()",
        "search": "(() => { const q = document.querySelector('[name=q]'); q.value = 'model-7'; "
        "q.dispatchEvent(new Event('input', { bubbles: true })) })()",
        "heat map": "location.hash = '#/map'",
        "score and cost": "location.hash = '#/trade'",
        "overview": "location.hash = '#/'",
    }
    took: dict[str, list[float]] = {}
    try:
        for _ in range(5):
            with browser_page() as seen:
                seen.page.goto(page.as_uri())
                seen.page.wait_for_selector("main table")
                loaded = "performance.getEntriesByType('navigation')[0].domComplete"
                took.setdefault("load", []).append(seen.page.evaluate(loaded))
                for name, step in steps.items():
                    script = f"async () => {{ const start = performance.now(); {step}; return await {wait}; }}"
                    took.setdefault(name, []).append(seen.page.evaluate(script))
                if seen.complaints:
                    raise SystemExit(f"the page complains: {seen.complaints[0]}")
    except BaseException as error:
        if type(error).__name__ != "Skipped":
            raise
        return f"no browser ({error})"
    return ", ".join(f"{name} {median(times):.0f} ms" for name, times in took.items())


def measure_board(sizes: list[int], rounds: int) -> tuple[list[list[str]], dict[str, Any]]:
    """A row for each command and size."""
    rows: list[list[str]] = []
    computed: dict[str, dict[int, float]] = {}
    figures: dict[str, Any] = {}
    bench = [sys.executable, "-m", "hubtools.cli.main"]
    for size in sizes:
        with tempfile.TemporaryDirectory() as scratch:
            runs, page, site = Path(scratch) / "runs", Path(scratch) / "board.html", Path(scratch) / "site"
            one = write_records(runs, size)
            commands = {
                "records alone": [sys.executable, __file__, "--read", str(runs)],
                "bench board": [*bench, "board", str(runs)],
                "bench board --html": [*bench, "board", str(runs), "--html", str(page)],
                "bench board --site": [*bench, "board", str(runs), "--site", str(site)],
                "bench card": [*bench, "card", str(one)],
            }
            seen: dict[str, list[Process]] = {name: [] for name in commands}
            for _ in range(rounds):
                for name, command in commands.items():
                    seen[name].append(process(command, {"PYTHONPATH": str(ROOT)}))
            if json.loads(seen["records alone"][0].output)["records"] != size:
                raise SystemExit("not every record was read")
            for name, found in seen.items():
                took = median(done.seconds for done in found)
                memory = median(done.megabytes for done in found)
                cpu = median(done.cpu_seconds for done in found)
                computed.setdefault(name, {})[size] = cpu
                shown = {"bench board --html": page, "bench board --site": site / "index.html"}.get(name)
                rest = f"page of {shown.stat().st_size / 1e6:.1f} MB; {in_browser(shown)}" if shown else ""
                rows.append(
                    [name, f"{size:,}", f"{took:.2f}", f"{cpu:.2f}", f"{size / took:,.0f}", f"{memory:.0f}", rest]
                )
                figures[f"{name}, {size}"] = {"seconds": took, "cpu_seconds": cpu, "megabytes": memory, "note": rest}
    if len(sizes) > 1:
        first, last = min(sizes), max(sizes)
        for name, by_size in computed.items():
            exponent = math.log(by_size[last] / by_size[first]) / math.log(last / first)
            figures[f"{name}, growth"] = exponent
            growth = f"{first:,} to {last:,}"
            rows.append(
                [name, growth, "", f"× {by_size[last] / by_size[first]:.1f}", "", "", f"exponent {exponent:.2f}"]
            )
    return rows, figures


def score(problem: str, metric: str, replicates: int) -> None:
    """In a process of its own: one metric with its interval on made-up predictions."""
    from hubtools.evaluation import Predictions, bootstrap_weights, statistic
    from hubtools.specs.problem import Problem

    n, per = ROWS[problem]
    rng = np.random.default_rng(0)
    if problem.endswith("regression"):
        truth: np.ndarray = rng.normal(size=n)
        scores = 0.8 * truth + rng.normal(scale=0.5, size=n)
        decision = None
    else:
        truth = (rng.random(n * per) < 0.3).astype(int)
        logits = 1.5 * np.eye(2)[truth] + rng.normal(size=(n * per, 2))
        scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        decision = scores.argmax(1)
    predictions = Predictions(
        problem=Problem(problem),
        ids=np.repeat([f"P{i:05}" for i in range(n)], per),
        positions=np.tile(np.arange(1, per + 1), n) if per > 1 else None,
        clusters=None,
        truth=truth,
        scores=scores,
    )
    units = np.repeat(np.arange(n), per)
    started = time.perf_counter()
    of = statistic(metric, predictions, decision, units, n, 1 if decision is not None else None)
    drawn = np.concatenate([of(weights) for weights in bootstrap_weights(n, replicates, seed=0)])
    low, high = np.quantile(drawn, (0.025, 0.975))
    took = time.perf_counter() - started
    print(json.dumps({"seconds": took, "low": float(low), "high": float(high), "replicates": len(drawn)}))


def measure_statistics(counts: list[int]) -> tuple[list[list[str]], dict[str, Any]]:
    """A row for each problem, metric and number of replicates."""
    rows: list[list[str]] = []
    figures: dict[str, Any] = {}
    for problem, metrics in METRICS.items():
        for metric in metrics:
            for replicates in counts:
                command = [sys.executable, __file__, "--score", problem, metric, str(replicates)]
                done = process(command, {"PYTHONPATH": str(ROOT)})
                found = json.loads(done.output)
                n, per = ROWS[problem]
                took = found["seconds"]
                what = f"{n * per:,} {'residues' if per > 1 else 'proteins'}"
                interval = f"{found['low']:.4f} to {found['high']:.4f}"
                rate, cpu = f"{replicates / took:,.0f}", f"{done.cpu_seconds:.2f}"
                rows.append(
                    [metric, what, f"{replicates:,}", f"{took:.2f}", cpu, rate, f"{done.megabytes:.0f}", interval]
                )
                figures[f"{problem}, {metric}, {replicates}"] = found | {
                    "process_cpu_seconds": done.cpu_seconds,
                    "megabytes": done.megabytes,
                }
    return rows, figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, nargs="+", default=[1_000, 10_000], help="sizes of the folder of runs")
    parser.add_argument("--replicates", type=int, nargs="+", default=[1_000, 10_000], help="of the bootstrap")
    parser.add_argument("--only", choices=("board", "statistics"))
    parser.add_argument("--write", type=Path, metavar="DIR", help="only write the largest folder of runs, to look at")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--score", nargs=3, help=argparse.SUPPRESS)
    options(parser)
    parser.set_defaults(rounds=3)
    given = parser.parse_args()
    if given.read:
        read_only(given.read)
        return
    if given.score:
        score(given.score[0], given.score[1], int(given.score[2]))
        return
    if given.write:
        print(write_records(given.write, max(given.records)))
        return
    tables, figures = [], {}
    if given.only != "statistics":
        rows, figures["board"] = measure_board(given.records, given.rounds)
        columns = ["command, whole process", "records", "seconds", "CPU seconds", "records/s", "peak MB", ""]
        tables.append(("Board", columns, rows))
    if given.only != "board":
        rows, figures["statistics"] = measure_statistics(given.replicates)
        columns = [
            "metric",
            "rows",
            "replicates",
            "seconds",
            "process CPU s",
            "replicates/s",
            "peak MB",
            "95 % interval",
        ]
        tables.append(("Statistics", columns, rows))
    for title, columns, rows in tables:
        report(title, columns, rows, given, figures)


if __name__ == "__main__":
    main()
