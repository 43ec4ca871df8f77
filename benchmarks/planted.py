"""Does the gate catch what it is there for? Bugs planted in the code, real runs with them, and ``bench check`` on each.

    python benchmarks/planted.py --checkpoint facebook/esm2_t6_8M_UR50D --runs planted-runs

Runs as they are make the baseline; an unchanged rerun and one arm for each bug are the candidates. A bug is planted in the
code, for the time of its runs: data files, task, recipe and seed stay, and with them the identity of the runs, so that
nothing but what the runs predict can give it away. Each candidate goes through two checks by the command line:

score        ``bench check --question recipe`` against the runs: does the test score get worse by more than the margin?
predictions  ``bench check`` against the same runs frozen with a tolerance (``bench baseline create --tolerance``): does any
             prediction change? It is the golden check, and sees bugs that cost nothing, or that a score cannot see.

The bugs are: labels shuffled in a part of the training proteins (one fixed part, the same for all seeds; of a residue task
within each of them); a learning rate thirty times too high or too low, in the optimiser; residue labels one residue off
in training; embeddings one residue off in training and evaluation alike, so that the score hardly moves; labels one
residue off in training and evaluation alike, which are other labels, and refused.

Expected of the score check is what it must see on any task: that nothing changed, a rate too low, labels one off in
training. What a few shuffled labels or too high a rate cost depends on the task and on how much the recipe memorises;
the table says what a test set of this size would have shown, and ``--caught`` names those that must be seen here.
Exit code 1 where a verdict is not the expected one. Complete runs in the folder are not done again. Their models are
removed: a check needs records and predictions.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from hubtools.cli.shared.terminal import hush_transformers
from hubtools.data import DataCache
from hubtools.data.sources.task_repositories import open_task
from hubtools.runs.execute import execute
from hubtools.runs.plan import AskedRecipe, PlannedRun, expand
from hubtools.runs.session import Session
from hubtools.runs.steps import Prepared, Steps
from hubtools.runs.store import MODEL
from hubtools.specs.lookup.spec_files import load_recipe
from hubtools.training.compute.device import Execution
from hubtools.training.encoding import Encoded
from hubtools.training.finetune.fit import FairTrainer
from hubtools.training.frozen import probe
from hubtools.training.frozen.embedding import Features

# Verdicts of the command, by its exit code.
VERDICTS = {0: "pass", 1: "worse", 2: "refused", 3: "cannot tell"}
# Predictions of an unchanged rerun on the same machine differ by less.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Bug:
    """What is planted.

    Attributes:
        name: of the folder of its runs.
        title: for the table.
        plant: the context in which runs have it.
        score, predictions: the verdict that each check should come to; None where there is nothing to expect.
        residues: whether it is one of residue tasks alone.
        probes: whether it lies in code of probes alone.
    """

    name: str
    title: str
    plant: Callable[[], contextlib.AbstractContextManager[Any]]
    score: str | None = "worse"
    predictions: str = "worse"
    residues: bool = False
    probes: bool = False


def bugs(shares: Sequence[float], factor: float = 30.0) -> list[Bug]:
    """All of them, the unchanged rerun first."""
    return [
        Bug("unchanged", "nothing: an unchanged rerun", contextlib.nullcontext, "pass", "pass"),
        *(
            Bug(
                f"shuffled-{share:g}",
                f"labels of {share:.0%} of train shuffled",
                lambda share=share: shuffles(share),
                None,
            )
            for share in shares
        ),
        Bug("rate-high", f"learning rate × {factor:g}", lambda: scales_rates(factor), None),
        Bug("rate-low", f"learning rate ÷ {factor:g}", lambda: scales_rates(1 / factor)),
        Bug("shifted", "residue labels one off, in training", lambda: shifts_labels(["train"]), residues=True),
        Bug(
            "shifted-embeddings",
            "embeddings one residue off, in training and evaluation",
            shifts_embeddings,
            None,
            residues=True,
            probes=True,
        ),
        Bug(
            "shifted-everywhere",
            "residue labels one off, in training and evaluation",
            lambda: shifts_labels(None),
            "refused",
            "refused",
            residues=True,
        ),
    ]


@contextlib.contextmanager
def changes_splits(change: Callable[[Encoded], Encoded], names: Sequence[str] | None) -> Iterator[None]:
    """Change splits (all, without names) after data are loaded, described and encoded, and before anything is learnt."""
    prepare = Steps._prepare

    def prepared(self: Steps, data: Any) -> Prepared:
        ready = prepare(self, data)
        ready.splits |= {name: change(split) for name, split in ready.splits.items() if names is None or name in names}
        return ready

    with mock.patch.object(Steps, "_prepare", prepared):
        yield


def shuffles(share: float) -> contextlib.AbstractContextManager[None]:
    """Shuffle the labels of a share of the training proteins among them, or within each where residues have them."""

    def shuffled(split: Encoded) -> Encoded:
        rng = np.random.default_rng(0)
        chosen = rng.choice(len(split), max(2, round(share * len(split))), replace=False)
        labels = list(split.labels)
        for row, source in zip(chosen, rng.permutation(chosen), strict=True):
            labels[row] = rng.permutation(labels[row]) if split.problem.level.by_residue else split.labels[source]
        return replace(split, labels=labels)

    return changes_splits(shuffled, ["train"])


def shifts_labels(names: Sequence[str] | None) -> contextlib.AbstractContextManager[None]:
    """Give each residue the label of the one before it."""
    return changes_splits(
        lambda split: replace(split, labels=[np.roll(label, 1, axis=0) for label in split.labels]), names
    )


@contextlib.contextmanager
def shifts_embeddings() -> Iterator[None]:
    """Give each residue the embedding of the next one, in every split, after embeddings were computed or read."""
    embedded = probe._embedded

    def shifted(*arguments: Any) -> Features:
        found = embedded(*arguments)
        starts = np.flatnonzero(np.r_[True, found.owners[1:] != found.owners[:-1]])
        lengths = np.diff(np.r_[starts, len(found.owners)])
        within = np.arange(len(found.owners)) - np.repeat(starts, lengths)
        rows = np.repeat(starts, lengths) + (within + 1) % np.repeat(lengths, lengths)
        return replace(found, tables={layer: np.asarray(table)[rows] for layer, table in found.tables.items()})

    with mock.patch.object(probe, "_embedded", shifted):
        yield


@contextlib.contextmanager
def scales_rates(factor: float) -> Iterator[None]:
    """Multiply every learning rate where it reaches an optimiser: that of heads, and that of fine-tuning."""
    train_heads, create = probe.train_heads, FairTrainer.create_optimizer

    def trained(heads: Any, rates: Sequence[float], *others: Any) -> Any:
        return train_heads(heads, [factor * rate for rate in rates], *others)

    def created(self: FairTrainer, model: Any) -> Any:
        optimiser = create(self, model)
        for group in optimiser.param_groups:
            group["lr"] *= factor
        return optimiser

    with (
        mock.patch.object(probe, "train_heads", trained),
        mock.patch.object(FairTrainer, "create_optimizer", created),
    ):
        yield


def make_runs(planned: Sequence[PlannedRun], root: Path, execution: Execution) -> None:
    """Do the runs of one arm, by the code as it is now."""
    session = Session(root, DataCache.default(), execution, planned=tuple(planned))
    for run in planned:
        outcome = execute(run, session)
        if outcome.record.status != "complete":
            raise SystemExit(f"{run.title}: {outcome.record.failure and outcome.record.failure.message}")
        shutil.rmtree(outcome.folder / MODEL, ignore_errors=True)


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, in a process of its own in which nothing is planted; a CI job's summary is left alone."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GITHUB_")}
    command = [sys.executable, "-m", "hubtools.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@dataclass(frozen=True)
class Checked:
    """What one check said.

    Attributes:
        verdict, exit_code: of the command.
        report: its JSON; of one comparison, or none where it refused.
        said: what it wrote to the terminal's error stream, first line.
    """

    verdict: str
    exit_code: int
    report: dict[str, Any]
    said: str


def checked(baseline: Path, candidate: Path, file: Path, *options: str) -> Checked:
    """Ask ``bench check``."""
    file.unlink(missing_ok=True)
    done = bench("check", "--baseline", str(baseline), "--candidate", str(candidate), "--json", str(file), *options)
    if done.returncode not in VERDICTS or not file.is_file():
        raise SystemExit(f"bench check ended with {done.returncode}:\n{done.stderr}")
    report = json.loads(file.read_text())
    said = report["problems"][0] if report["problems"] else report["headline"]
    return Checked(VERDICTS[done.returncode], done.returncode, report, said)


def freeze(runs: Path, name: str, home: Path) -> Path:
    """The runs as a baseline whose checks compare predictions."""
    shutil.rmtree(home / name, ignore_errors=True)
    done = bench(
        *("baseline", "create", name, "--runs", str(runs), "--to", str(home)),
        *("--tolerance", str(TOLERANCE), "--any-size"),
    )
    if done.returncode:
        raise SystemExit(f"bench baseline create ended with {done.returncode}:\n{done.stderr}")
    return home / name


COLUMNS = (
    *("task", "planted", "seeds", "baseline", "candidate", "difference (95 %)", "margin", "would detect"),
    *("score check (exit code)", "predictions check (exit code)", "as expected"),
)


def row(task: str, bug: Bug, seeds: int, score: Checked, predictions: Checked) -> dict[str, Any]:
    """What the table and the JSON say of one bug."""
    (item,) = score.report["comparisons"] or [None]
    found = {
        "task": task,
        "planted": bug.title,
        "seeds": seeds,
        "score_check": {"verdict": score.verdict, "exit_code": score.exit_code, "said": score.said},
        "predictions_check": {
            "verdict": predictions.verdict,
            "exit_code": predictions.exit_code,
            "said": predictions.said,
        },
        "expected": {"score": bug.score, "predictions": bug.predictions},
        "met": bug.score in {None, score.verdict} and bug.predictions == predictions.verdict,
    }
    if item is not None:
        found |= {key: item[key] for key in ("metric", "margin", "reason", "largest_difference_of_predictions")}
        found |= {side: item[side]["score"] for side in ("baseline", "candidate")} | {"difference": item["difference"]}
    return found


def line(found: dict[str, Any]) -> str:
    """One row of the Markdown table."""
    cells = [found["task"], found["planted"], str(found["seeds"])]
    if "metric" in found:
        cells += [f"{found['metric']} {found['baseline']:.4f}", f"{found['candidate']:.4f}"]
        difference = found["difference"]
        if difference is None:
            cells += ["same predictions", f"{found['margin']:g}", "—"]
        else:
            low, high, least = (difference[key] for key in ("low", "high", "detectable"))
            spread = "" if low is None else f" ({low:+.4f} to {high:+.4f})"
            cells += [f"{difference['value']:+.4f}{spread}", f"{found['margin']:g}", f"{least:.4f}" if least else "—"]
    else:
        cells += ["—"] * 5
    for check in (found["score_check"], found["predictions_check"]):
        cells.append(f"{check['verdict']} ({check['exit_code']})")
    wanted = found["expected"]["score"]
    cells.append(("yes" if found["met"] else "**no**") + (", score: nothing to expect" if wanted is None else ""))
    return f"| {' | '.join(cells)} |"


def study(planned: Sequence[PlannedRun], chosen: Sequence[Bug], asked: argparse.Namespace) -> list[dict[str, Any]]:
    """Baseline, rerun and bugs on one task; prints a row of the table for each."""
    task, recipe = planned[0].task, planned[0].recipe
    home = asked.runs / task.name
    execution = Execution.choose(asked.device)
    make_runs(planned, home / "baseline", execution)
    frozen = freeze(home / "baseline", "frozen", home)
    options = ["--question", "recipe", "--cost", "ignore"]
    if asked.margin is not None:
        options += ["--margin", f"{task.name}={asked.margin}"]
    rows = []
    for bug in chosen:
        if (bug.residues and not task.problem.level.by_residue) or (bug.probes and recipe.adaptation != "probe"):
            continue
        with bug.plant():
            make_runs(planned, home / bug.name, execution)
        score = checked(home / "baseline", home / bug.name, home / f"{bug.name}.json", *options)
        exact = checked(frozen, home / bug.name, home / f"{bug.name}-predictions.json", "--cost", "ignore")
        rows.append(row(task.name, bug, len(planned), score, exact))
        print(line(rows[-1]), flush=True)
    return rows


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--runs", type=Path, required=True, help="folder for all runs")
    parser.add_argument("--task", default="antimicrobial-peptide", help="a per-protein task; none: leave it out")
    parser.add_argument("--residue-task", default="secondary-structure", help="a residue task; none: leave it out")
    parser.add_argument("--subset", type=int, help="proteins of each split of the task")
    parser.add_argument("--residue-subset", type=int, default=400, help="proteins of each split of the residue task")
    parser.add_argument("--recipe", default="probe")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--shuffle", type=float, nargs="+", default=[0.05, 0.2], help="shares of train, one bug each")
    parser.add_argument("--bugs", nargs="+", help="names of bugs; default: all")
    parser.add_argument(
        "--caught", nargs="+", default=[], help="bugs that the score check must see here, beside the gross"
    )
    parser.add_argument("--margin", type=float, help="the loss that counts; default: each task's own")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, help="also as JSON")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 1 where an expectation is not met."""
    asked, started = parsed(arguments), time.perf_counter()
    hush_transformers()
    known = [replace(bug, score="worse") if bug.name in asked.caught else bug for bug in bugs(asked.shuffle)]
    if unknown := {*(asked.bugs or ()), *asked.caught} - {bug.name for bug in known}:
        raise SystemExit(f"no bug {min(unknown)}; there are {', '.join(bug.name for bug in known)}")
    chosen = [bug for bug in known if asked.bugs is None or bug.name in asked.bugs]
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}", flush=True)
    rows = []
    for name, subset in ((asked.task, asked.subset), (asked.residue_task, asked.residue_subset)):
        if name != "none":
            tasks, recipe = dict([open_task(name)]), load_recipe(asked.recipe)
            rows += study(
                expand(tasks, [asked.checkpoint], [AskedRecipe(recipe)], asked.seeds, subset=subset), chosen, asked
            )
    unmet = [found for found in rows if not found["met"]]
    print(f"\n{len(rows)} checks of {len(asked.seeds)} seeds, {len(unmet)} not as expected; ", end="")
    print(f"{time.perf_counter() - started:.0f} s with recipe {asked.recipe} on {Path(asked.checkpoint).name}.")
    if asked.out:
        asked.out.write_text(json.dumps(rows, indent=2) + "\n")
    return 1 if unmet else 0


if __name__ == "__main__":
    sys.exit(main())
