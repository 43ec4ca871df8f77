#!/usr/bin/env python3
"""The bootstrap at size: 10,000 replicates of every metric on 5,000 proteins and on 1,000,000 residues of 5,000 proteins.

usage: python benchmarks/speed/bootstrap.py [--metrics auroc spearman] [--quick] [--out FILE]

Each metric is prepared and drawn in a process of its own, since peak memory is measured too; then, in another, a plain
loop computes a few of the same replicates with scikit-learn or scipy on the rows drawn. Both take turns. The ratio is of
CPU seconds for one replicate, and the script stops where the values are not equal to a part in a billion (to 1e-5 where a
million rows are ranked in levels). Two classes of which one is to be detected; ten labels.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from measuring import options, process, report

ROOT = Path(__file__).resolve().parents[2]
PROTEINS, RESIDUES, LABELS = 5_000, 200, 10
CLASSES = ("accuracy", "balanced_accuracy", "macro_f1", "micro_f1", "f1", "mcc", "auroc", "auprc")
MULTILABEL = ("macro_f1", "micro_f1", "mcc", "auroc", "auprc", "jaccard", "subset_accuracy")
VALUES = ("spearman", "ndcg", "pearson", "rmse", "mae", "r2")
METRICS = {"classification": CLASSES, "multilabel": MULTILABEL, "regression": VALUES}


def made_up(level: str, kind: str) -> tuple[Any, np.ndarray | None]:
    """Predictions of middling quality and their decisions."""
    from hubtools.evaluation import Predictions
    from hubtools.specs.problem import Problem

    per = RESIDUES if level == "residue" else 1
    n = PROTEINS * per
    rng = np.random.default_rng(0)
    decision: np.ndarray | None = None
    if kind == "regression":
        truth: np.ndarray = rng.normal(size=n)
        scores = (0.8 * truth + rng.normal(scale=0.5, size=n)).astype(np.float32)
    elif kind == "multilabel":
        truth = (rng.random((n, LABELS)) < 0.2).astype(np.int8)
        scores = (1 / (1 + np.exp(1 - 1.5 * truth - rng.normal(size=truth.shape)))).astype(np.float32)
        decision = (scores > 0.5).astype(np.int8)
    else:
        truth = (rng.random(n) < 0.3).astype(int)
        logits = 1.5 * np.eye(2)[truth] + rng.normal(size=(n, 2))
        scores = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32)
        decision = scores.argmax(1)
    predictions = Predictions(
        problem=Problem(f"{'sequence' if level == 'protein' else level}-{kind}"),
        ids=np.repeat([f"P{i:05}" for i in range(PROTEINS)], per),
        positions=np.tile(np.arange(1, per + 1), PROTEINS) if per > 1 else None,
        clusters=None,
        truth=truth,
        scores=scores,
    )
    return predictions, decision


def ours(level: str, kind: str, metric: str, replicates: int) -> tuple[float, float, list[float]]:
    """Seconds and CPU seconds of preparing and drawing, and the first values."""
    from hubtools.evaluation import bootstrap_weights, statistic
    from hubtools.evaluation.statistics.resampling import bootstrap_units

    predictions, decision = made_up(level, kind)
    started, computed = time.perf_counter(), time.process_time()
    units, n_units, _ = bootstrap_units(predictions)
    of = statistic(metric, predictions, decision, units, n_units, 1 if kind == "classification" else None)
    drawn = np.concatenate([of(weights) for weights in bootstrap_weights(n_units, replicates, seed=0)])
    np.quantile(drawn, (0.025, 0.975))
    return time.perf_counter() - started, time.process_time() - computed, drawn[:10].tolist()


def plain(level: str, kind: str, metric: str, replicates: int) -> tuple[float, float, list[float]]:
    """The same from a loop over the rows drawn."""
    from hubtools.evaluation import bootstrap_weights

    predictions, decision = made_up(level, kind)
    score = reference(metric, kind)
    per = RESIDUES if level == "residue" else 1
    weights = next(bootstrap_weights(PROTEINS, 100, seed=0))[:replicates]
    # Imports, and what a first call sets up, are not of the loop.
    score(predictions.truth[:50], predictions.scores[:50], None if decision is None else decision[:50])
    started, computed = time.perf_counter(), time.process_time()
    values = []
    for row in weights:
        drawn = np.repeat(np.arange(PROTEINS * per), np.repeat(row, per))
        hard = None if decision is None else decision[drawn]
        values.append(float(score(predictions.truth[drawn], predictions.scores[drawn], hard)))
    return time.perf_counter() - started, time.process_time() - computed, values


def reference(metric: str, kind: str) -> Callable[..., Any]:
    """The metric as scikit-learn or scipy has it: (truth, scores, decision) -> value."""
    import sklearn.metrics as sk
    from scipy import stats

    several = kind == "multilabel"
    labels = list(range(LABELS if several else 2))
    if metric in ("auroc", "auprc"):
        ranking = {"auroc": sk.roc_auc_score, "auprc": sk.average_precision_score}[metric]
        if several:
            return lambda y, s, d: np.mean([ranking(y[:, i], s[:, i]) for i in labels])
        return lambda y, s, d: ranking(y, s[:, 1])
    if metric == "mcc" and several:
        return lambda y, s, d: np.mean([sk.matthews_corrcoef(y[:, i], d[:, i]) for i in labels])
    by_decision: dict[str, Callable[..., Any]] = {
        "accuracy": sk.accuracy_score,
        "subset_accuracy": sk.accuracy_score,
        "balanced_accuracy": sk.balanced_accuracy_score,
        "macro_f1": lambda y, d: sk.f1_score(y, d, labels=labels, average="macro", zero_division=0),
        "micro_f1": lambda y, d: sk.f1_score(y, d, labels=labels, average="micro", zero_division=0),
        "f1": lambda y, d: sk.f1_score(y, d, zero_division=0),
        "mcc": sk.matthews_corrcoef,
        "jaccard": lambda y, d: sk.jaccard_score(y, d, average="samples", zero_division=1),
    }
    if metric in by_decision:
        return lambda y, s, d: by_decision[metric](y, d)
    by_value: dict[str, Callable[..., Any]] = {
        "spearman": lambda y, s: stats.spearmanr(y, s).statistic,
        "pearson": lambda y, s: stats.pearsonr(y, s).statistic,
        "rmse": sk.root_mean_squared_error,
        "mae": sk.mean_absolute_error,
        "r2": sk.r2_score,
        "ndcg": lambda y, s: sk.ndcg_score(((y - y.min()) / np.ptp(y))[None], s[None], k=len(y) // 10),
    }
    return lambda y, s, d: by_value[metric](y, s.astype(np.float64))


def measure(given: argparse.Namespace) -> tuple[list[list[str]], dict[str, Any]]:
    """A row for each metric and size."""
    rows: list[list[str]] = []
    figures: dict[str, Any] = {}
    for level in given.levels:
        few = 2 if level == "residue" else 10
        for kind, names in METRICS.items():
            for metric in names:
                if given.metrics and metric not in given.metrics:
                    continue
                found: dict[str, list[Any]] = {"ours": [], "plain": []}
                memory = []
                for _ in range(given.rounds):
                    for which, count in (("ours", given.replicates), ("plain", few)):
                        command = [sys.executable, __file__, "--one", which, level, kind, metric, str(count)]
                        done = process(command, {"PYTHONPATH": str(given.code)})
                        found[which].append(json.loads(done.output.splitlines()[-1]))
                        if which == "ours":
                            memory.append(done.megabytes)
                values = [np.array(found[which][0][2][:few]) for which in ("ours", "plain")]
                # Very many rows are ranked in levels (hubtools.evaluation.metrics.ranking).
                near = {"rtol": 1e-9} if level == "protein" else {"rtol": 0, "atol": 1e-5}
                np.testing.assert_allclose(values[0], values[1][: len(values[0])], **near)
                took, cpu = (median(one[i] for one in found["ours"]) for i in (0, 1))
                ratios = [
                    (theirs[1] / few) / (mine[1] / given.replicates)
                    for mine, theirs in zip(found["ours"], found["plain"], strict=True)
                ]
                ratio = f"× {median(ratios):,.0f} [{min(ratios):,.0f}–{max(ratios):,.0f}]"
                size = f"{PROTEINS * (RESIDUES if level == 'residue' else 1):,} {level}s"
                rows.append([size, kind, metric, f"{took:.1f}", f"{cpu:.1f}", ratio, f"{median(memory):.0f}"])
                figures[f"{level}, {kind}, {metric}"] = {
                    "seconds": took,
                    "cpu_seconds": cpu,
                    "plain_cpu_seconds_per_replicate": median(one[1] for one in found["plain"]) / few,
                    "ratios": ratios,
                    "megabytes": median(memory),
                }
    return rows, figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = sorted({name for names in METRICS.values() for name in names})
    parser.add_argument("--replicates", type=int, default=10_000, help="of the bootstrap (default 10,000)")
    parser.add_argument("--metrics", nargs="+", choices=every, metavar="NAME", help="only these")
    parser.add_argument("--levels", nargs="+", choices=("protein", "residue"), default=["protein", "residue"])
    parser.add_argument("--quick", action="store_true", help="1,000 replicates, one round")
    parser.add_argument("--code", type=Path, default=ROOT, help="folder of the checkout to measure (default this one)")
    parser.add_argument("--one", nargs=5, help=argparse.SUPPRESS)
    options(parser)
    parser.set_defaults(rounds=3)
    given = parser.parse_args()
    if given.one:
        which, level, kind, metric, count = given.one
        print(json.dumps((ours if which == "ours" else plain)(level, kind, metric, int(count))))
        return
    if given.quick:
        given.replicates, given.rounds = 1_000, 1
    rows, figures = measure(given)
    columns = ["rows", "kind", "metric", "seconds", "CPU seconds", "as fast as a plain loop", "peak MB"]
    report(f"{given.replicates:,} bootstrap replicates", columns, rows, given, figures)


if __name__ == "__main__":
    main()
