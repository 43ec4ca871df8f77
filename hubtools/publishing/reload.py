"""Does a published model do what its record says? Run in a fresh process, on nothing but the published files.

    python -m hubtools.publishing.reload FOLDER

FOLDER is a repository as published (or downloaded): model, ``run.json`` and ``predictions.parquet`` side by side.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hubtools.common import telling
from hubtools.common.bounds import json_values
from hubtools.common.errors import UserError
from hubtools.common.files import write_atomic
from hubtools.common.telling import step
from hubtools.publishing.card_lines import largest_difference, run_lines
from hubtools.runs.public_record import task_reference
from hubtools.runs.store import open_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hubtools.data import DataCache
    from hubtools.data.task_data import TaskData
    from hubtools.evaluation.predictions import Predictions
    from hubtools.specs.record import RunRecord
    from hubtools.specs.task import Task

# Largest difference of a probability (or of a value, in units of the largest recorded one) that is rounding:
# of float32 sums in another order, and of bfloat16's eight bits.
TOLERANCE = {"float32": 1e-4, "bf16": 2e-2}


# Names the task where the record cannot: its data are files of the machine that made the run.
TASK_VARIABLE = "BENCH_RELOAD_TASK"


@dataclass(frozen=True)
class ReloadedPredictions:
    """How the reloaded model's predictions compare with the recorded ones.

    Attributes:
        rows: predictions compared: proteins, or residues.
        splits: the test splits they are of.
        difference: largest absolute difference of a probability (or scaled value).
        tolerance: what counts as rounding at the recorded precision.
        lines: blocks of Python on the card that were run.
        of_lines: largest difference between what they and bench say of a protein with every letter.
    """

    rows: int
    splits: tuple[str, ...]
    difference: float
    tolerance: float
    lines: int = 0
    of_lines: float = 0.0

    def __str__(self) -> str:
        splits = ", ".join(self.splits)
        said = (
            f"{self.rows:,} predictions ({splits}) reproduced by a fresh process, "
            f"largest difference {self.difference:.1e} (rounding: {self.tolerance:.0e})"
        )
        if not self.lines:
            return said
        return f"{said}; the Python on its card reads every letter, in either case, as bench does ({self.of_lines:.1e})"


def compare(
    recorded: Mapping[str, Predictions], again: Mapping[str, Predictions], precision: str
) -> ReloadedPredictions:
    """Compare predictions of the same splits.

    Args:
        recorded: what the run wrote.
        again: what the reloaded model says.
        precision: of the run, ``float32`` or ``bf16``.

    Raises:
        UserError: other proteins or labels, or differences beyond rounding.
    """
    tolerance = TOLERANCE.get(precision, TOLERANCE["float32"])
    rows, worst = 0, 0.0
    for split, first in recorded.items():
        second = again[split]
        same = len(first) == len(second) and np.array_equal(first.ids, second.ids)
        if first.positions is not None and second.positions is not None:
            same = same and np.array_equal(first.positions, second.positions)
        if not same or not np.array_equal(first.truth, second.truth):
            raise UserError(
                f"split {split} now has other proteins or labels than the run recorded",
                fix="The data changed: run it again.",
            )
        scale = max(1.0, float(np.abs(first.scores).max(initial=0.0)))
        worst = max(worst, float(np.abs(first.scores - second.scores).max(initial=0.0)) / scale)
        rows += len(first)
    if not worst <= tolerance:
        raise UserError(
            f"the saved model does not do what was measured: its predictions differ by up to {worst:.2g} "
            f"(rounding: {tolerance:.0e})",
            fix="Do not publish it. Run it again with --force, and report this if it stays.",
        )
    return ReloadedPredictions(rows, tuple(recorded), worst, tolerance)


def reproduce(folder: Path) -> ReloadedPredictions:
    """Predict the recorded test splits again with the model in the folder, in this process, and run the lines on its card.

    Raises:
        UserError: the model or data cannot be loaded, or do not reproduce the record; or the lines say something else.
    """
    run = open_run(folder)
    # First, as a stranger's process: without what bench imports.
    answers = run_lines(folder, run.record)
    record, recorded = run.record, run.predictions
    tests = {name: recorded[name] for name in recorded if name not in {"train", "validation"}}
    if not tests:
        raise UserError("no test predictions are recorded", where=str(folder), fix="Run it again with --force.")
    # A merged model and its adapter are one model twice: each must do what was measured.
    models = [folder, *([run.adapter] if run.adapter.is_dir() else [])]
    found = [
        compare(tests, predict_again(model, record, list(tests)), record.environment.precision) for model in models
    ]
    result = max(found, key=lambda one: one.difference)
    if not answers:
        return result
    worst = largest_difference(answers, folder, record)
    if not worst <= TOLERANCE["float32"]:
        raise UserError(
            f"the Python on its card does not do what was measured: of a protein with every letter, in either case, it says "
            f"what differs by up to {worst:.2g} from what bench says (rounding: {TOLERANCE['float32']:.0e})",
            fix="Do not publish it, and report this.",
        )
    return replace(result, lines=len(answers), of_lines=worst)


def reproduce_in_fresh_process(
    folder: Path, mirrors: Sequence[Path] = (), task: dict[str, Any] | None = None
) -> ReloadedPredictions:
    """:func:`reproduce` in a new Python process with an empty cache of model code, as on a stranger's machine.

    Args:
        folder: as for :func:`reproduce`.
        mirrors: further folders of source data.
        task: as recorded on this machine, with the paths that the published record leaves out.

    Raises:
        UserError: as :func:`reproduce`, or the process died.
    """
    with tempfile.TemporaryDirectory(prefix="bench-reload-") as scratch:
        out = Path(scratch) / "reproduction.json"
        command = [sys.executable, "-m", "hubtools.publishing.reload", str(folder), "--out", str(out)]
        listed = [*map(str, mirrors), *filter(None, [os.environ.get("BENCH_DATA_MIRROR")])]
        environment = (
            os.environ
            | {"BENCH_DATA_MIRROR": os.pathsep.join(listed)}
            | {"HF_MODULES_CACHE": str(Path(scratch) / "modules"), "HF_HUB_VERBOSITY": "error"}
        )
        if task is not None:
            environment[TASK_VARIABLE] = str(Path(scratch) / "task.json")
            write_atomic(Path(environment[TASK_VARIABLE]), json.dumps(task))
        # Nobody is there to answer: a question of transformers must not wait for one behind our captured output.
        with step("reload check, in a fresh process"):
            done = subprocess.run(
                command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
        if out.is_file():
            values = json_values(out.read_text())
            if "error" in values:
                raise UserError(values["error"], fix=values["fix"])
            return ReloadedPredictions(**values | {"splits": tuple(values["splits"])})
    last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), f"exit code {done.returncode}")
    raise UserError(
        f"the saved model could not be loaded and run ({last.strip()[:300]})",
        fix="Do not publish it. Run it again with --force, and report this if it stays.",
    )


def main(arguments: list[str]) -> int:
    """Check that a published model reproduces its recorded test predictions."""
    parser = argparse.ArgumentParser(prog="python -m hubtools.publishing.reload", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="a repository as published")
    parser.add_argument("--out", type=Path, help="write the verdict here as JSON")
    asked = parser.parse_args(arguments)
    folder, out = asked.folder, asked.out
    try:
        with telling.on_stderr():
            result = reproduce(folder)
    except UserError as error:
        if out is not None:
            write_atomic(out, json.dumps({"error": error.what, "fix": error.fix}))
        print(f"error: {error}", file=sys.stderr)
        return 2
    if out is not None:
        write_atomic(out, json.dumps(asdict(result)))
    print(result)
    return 0


def _task_of(record: RunRecord) -> Task:
    """The task as the record has it, its local files found again.

    Raises:
        UserError: they are files of the machine that made the run, or another task has their place.
    """
    from hubtools.data.sources.task_repositories import open_task

    task = record.exact_task()
    files = task.local_files
    if not files:
        return task
    reference = os.environ.get(TASK_VARIABLE) or task_reference(record)
    if reference is not None:
        task = open_task(reference)[1] if not reference.endswith(".json") else _read_task(Path(reference))
    elif not all(path.exists() for path in files):
        raise UserError(
            "the data are local files of whoever made the run",
            where=", ".join(path.name for path in files),
            fix=f"Get them, and name the task file that reads them: {TASK_VARIABLE}=task.yaml.",
        )
    if task.hash != record.identity.task.hash:
        raise UserError(f"{reference} is another task than the run's", fix="Name the task file that the run used.")
    return task


def _read_task(path: Path) -> Task:
    from hubtools.specs.task import Task

    return Task.model_validate_json(path.read_text(encoding="utf-8"))


def data_of_run(record: RunRecord, cache: DataCache) -> tuple[Task, TaskData]:
    """The task of a run, its local files found again, and the data that it read.

    Raises:
        UserError: they are not to be had, or changed since.
    """
    from hubtools.data import load_task_data, source_digest

    task, asked = _task_of(record), record.identity
    if source_digest(task, cache) != asked.data:
        raise UserError("the source files of the task changed since the run", fix="Run it again.")
    return task, load_task_data(task, cache, subset=asked.subset, fraction=asked.fraction, seed=asked.seed)


def predict_again(folder: Path, record: RunRecord, splits: list[str]) -> dict[str, Predictions]:
    """Scores of the model in the folder on splits of the record's task, computed as the run computed them.

    The recorded device and precision are used where this machine has them, else float32 on what it has. In float32 a
    model computes as it does for a stranger. In bfloat16 it computes as in the run, packed or not: there each way to
    compute attention rounds so differently that a wrong model would hardly stand out.
    """
    import torch

    from hubtools.data import DataCache
    from hubtools.models.saved import load_model
    from hubtools.training.compute.device import Execution
    from hubtools.training.compute.engine import engine
    from hubtools.training.encoding import encode
    from hubtools.training.loss import Loss
    from hubtools.training.prediction import predict

    recipe, made_on = record.exact_recipe(), record.environment
    task, data = data_of_run(record, DataCache.default())
    model, tokeniser = load_model(folder, task)
    tokeniser = tokeniser.as_recorded(record.alignment, record.tokens)
    device = made_on.device if made_on.device != "cuda" or torch.cuda.is_available() else "cpu"
    packing = made_on.layout == "packed"
    execution = Execution.choose(device, made_on.token_budget, packing=packing, compile=made_on.compiled)
    model.to(execution.device)
    # Every CPU computes bfloat16, if slowly; what a GPU made is not asked of one.
    bf16 = made_on.precision == "bf16" and (execution.bf16("auto") or made_on.device == device == "cpu")
    window = recipe.window
    if record.windows is not None:
        cut = {"residues": record.windows.residues_per_window, "overlap": record.windows.overlap}
        window = window.model_copy(update=cut)
    pool = getattr(model.config, "pool_positions", None)
    with contextlib.ExitStack() as attached:
        if bf16 or made_on.layout == "grouped":
            trained = recipe.adaptation != "probe"
            packing = attached.enter_context(engine(model, tokeniser, execution, bf16=bf16, trains=trained)).packed
        return {
            name: predict(
                model,
                replace(encode(data.splits[name], task, tokeniser, window, pool), packed=bf16 and packing),
                Loss(task.problem.kind),
                token_budget=execution.token_budget,
                device=execution.device,
                bf16=bf16,
            )
            for name in splits
        }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
