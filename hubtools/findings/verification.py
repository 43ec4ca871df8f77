"""Results that somebody else hands in: what of them can be recomputed is, from the predictions and the pinned data.

A submission is a folder called by its run's id, with ``run.json`` (as others may see it) and ``predictions.parquet``. That the
predictions are of the checkpoint that it names is beyond this check: ``bench reproduce`` makes the run again.
"""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hubtools.common.errors import UserError
from hubtools.common.files import is_file, is_folder, replacing_folder
from hubtools.common.hub import HubUnavailable, hub_api, hub_errors
from hubtools.common.inside import inside
from hubtools.common.readers import reads
from hubtools.common.secrets import scrub
from hubtools.data import DataCache, load_task_data, source_digest
from hubtools.evaluation import choose_thresholds, score_split
from hubtools.evaluation.predictions import Predictions, read_predictions
from hubtools.evaluation.split_strata import strata_of
from hubtools.models.checkpoint import EMBEDDED, EMBEDDED_NAME, resolve_checkpoint
from hubtools.runs.public_record import public_record
from hubtools.runs.store import PREDICTIONS, RECORD, REPLICATES, OpenRun, open_run, read_record, write_record
from hubtools.specs.lookup.trusted import TrustedSpecs
from hubtools.specs.record import PROTOCOL_VERSION, RunRecord, Score
from hubtools.specs.task import Task
from hubtools.training.collation import collation_of
from hubtools.training.prediction import assemble
from hubtools.training.trivial_baselines import labelled_rows, read_plain

if TYPE_CHECKING:
    from hubtools.data import TaskData

FOLDER = "submissions"
FILES = {RECORD, PREDICTIONS, REPLICATES}
LARGEST = 2 * 2**30  # bytes of one file
# Scores are recomputed on other processors, and sums are rounded.
SAME = 1e-6


class NotAsked(Exception):
    """A check that could not be made here, and why."""


@dataclass(frozen=True)
class VerifiedPart:
    """One thing that was looked at.

    Attributes:
        title: what.
        detail: what was found, or why it could not be looked at.
        holds: None where it could not be looked at.
        fix: what the submitter can do.
    """

    title: str
    detail: str
    holds: bool | None
    fix: str | None = None


@dataclass
class Verification:
    """A submission and all that was looked at."""

    folder: Path
    record: RunRecord | None = None
    findings: list[VerifiedPart] = field(default_factory=list)

    @property
    def accepted(self) -> bool | None:
        """False where something is wrong, None where something could not be looked at."""
        if any(one.holds is False for one in self.findings):
            return False
        return None if any(one.holds is None for one in self.findings) else True

    def look(self, title: str, examine: Callable[[], str]) -> bool:
        """Examine one thing; whether it holds."""
        try:
            self.findings.append(VerifiedPart(title, examine(), True))
        except NotAsked as why:
            self.findings.append(VerifiedPart(title, str(why), None))
        except HubUnavailable as error:
            self.findings.append(VerifiedPart(title, f"the Hub was not asked ({error.what})", None))
        except UserError as error:
            place = f"{error.where}: " if error.where else ""
            self.findings.append(VerifiedPart(title, f"{place}{error.what}", False, error.fix))
        return self.findings[-1].holds is True


def add_submission(run: OpenRun | Path, folder: Path) -> Path:
    """Copy of a run what a submission holds.

    Args:
        run: a finished run, as it was opened, or its folder.
        folder: that will hold it under its id.

    Raises:
        UserError: there is no finished run.
    """
    source, record = run = open_run(run)
    if record.status != "complete":
        raise UserError(f"this run is {record.status}", where=str(source), fix=f"Finish it first: {record.command}")
    target = inside(folder, record.run_id)
    with replacing_folder(target, RECORD) as staging:
        write_record(staging, public_record(record))
        for name in (PREDICTIONS, REPLICATES):
            if (source / name).is_file():
                shutil.copyfile(run.file(name), staging / name)
    return target


def submissions_in(folder: Path) -> list[Path]:
    """A submission's folder, or those inside a folder.

    Raises:
        UserError: there is none.
    """
    if is_file(folder / RECORD):
        return [folder]
    inside = folder / FOLDER if is_folder(folder / FOLDER) else folder
    listed = inside.iterdir() if is_folder(inside) else ()
    # What a process that was killed left half written has a name that begins with a dot.
    found = sorted(path for path in listed if is_folder(path) and not path.name.startswith("."))
    if not found:
        raise UserError(
            "there is no submission in it", where=str(folder), fix="Make one: bench submissions add RUN --to DIR"
        )
    return found


@reads("submission", refuses=())
def check_submission(
    folder: Path, cache: DataCache, held: TrustedSpecs, known: dict[str, RunRecord] | None = None
) -> Verification:
    """Look at everything that can be looked at without training.

    Args:
        folder: of the submission.
        cache: where the task's data come from.
        held: the tasks, recipes and suites of whoever checks.
        known: records that were accepted before, by run id.
    """
    verdict = Verification(folder)
    if not verdict.look("files", lambda: _files(folder)) or not verdict.look("record", lambda: _record(verdict)):
        return verdict
    record = verdict.record
    assert record is not None
    verdict.look("identity", lambda: _identity(folder, record))
    verdict.look("no secrets", lambda: _no_secrets(folder))
    verdict.look("checksums", lambda: _checksums(folder, record))
    verdict.look("not known with another result", lambda: _not_known(record, known or {}))
    verdict.look("checkpoint", lambda: _checkpoint(record))
    verdict.look("recipe", lambda: _recipe(record, held))
    verdict.look("suite", lambda: _suite(record, held))
    tasks: list[Task] = []
    if not verdict.look("task", lambda: _task(record, held, tasks)):
        return verdict
    predictions: dict[str, Predictions] = {}
    if not verdict.look("predictions", lambda: _predictions(folder, tasks[0], record, predictions)):
        return verdict
    data: list[TaskData] = []
    if verdict.look("data", lambda: _data(record, tasks[0], cache, data)) and verdict.look(
        "rows and labels are those of the data", lambda: _rows(tasks[0], data[0], predictions)
    ):
        verdict.look("strata", lambda: _strata(tasks[0], data[0], record, predictions))
        if data[0].folds:
            verdict.look("folds", lambda: _folds(tasks[0], data[0], record, predictions))
    verdict.look("scores", lambda: _scores(tasks[0], record, predictions))
    return verdict


def _files(folder: Path) -> str:
    if not is_folder(folder):
        raise UserError("there is no such folder", where=str(folder))
    total = 0
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or name not in FILES:
            raise UserError(
                f"{name[:80]} does not belong to a submission", fix=f"It holds {', '.join(sorted(FILES))} alone."
            )
        if path.stat().st_size > LARGEST:
            raise UserError(
                f"{name} has {path.stat().st_size / 2**30:.1f} GiB", fix=f"At most {LARGEST / 2**30:g} GiB."
            )
        total += 1
    for name in (RECORD, PREDICTIONS):
        if not (folder / name).is_file():
            raise UserError(f"{name} is missing", fix="Make it by bench submissions add.")
    return f"{total} files"


def _record(verdict: Verification) -> str:
    verdict.record = record = read_record(verdict.folder)
    if record.status != "complete":
        raise UserError(f"the run is {record.status}")
    if record.identity.protocol != PROTOCOL_VERSION:
        raise UserError(
            f"protocol {record.identity.protocol}; this board compares protocol {PROTOCOL_VERSION}",
            fix="Run it again with this version of bench.",
        )
    return f"{record.identity.task.name}, {record.subject}, {record.identity.recipe.name}, seed {record.identity.seed}"


def _identity(folder: Path, record: RunRecord) -> str:
    if record.run_id != record.identity.run_id:
        raise UserError(f"run_id {record.run_id} is not that of its identity ({record.identity.run_id})")
    if folder.name != record.run_id:
        raise UserError(f"the folder must be called {record.run_id}")
    return f"run {record.run_id}"


def _no_secrets(folder: Path) -> str:
    text = (folder / RECORD).read_text(encoding="utf-8")
    if scrub(text) != text:
        raise UserError(f"{RECORD} holds what looks like a token", fix="Remove it, and revoke it.")
    if re.search(r'"/(home|Users|root|tmp|mnt|scratch)/', text):
        raise UserError(f"{RECORD} names folders of a machine", fix="Make the submission by bench submissions add.")
    return "none found"


def _checksums(folder: Path, record: RunRecord) -> str:
    run = OpenRun(folder, record)
    there = [name for name in (PREDICTIONS, REPLICATES) if (folder / name).is_file()]
    for name in there:
        try:
            run.require_recorded(folder / name, name)
        except UserError:
            raise UserError(f"{name} is not the file that the run wrote", fix="Submit the run as it is.") from None
    return f"{len(there)} files are those that the run wrote"


def _not_known(record: RunRecord, known: dict[str, RunRecord]) -> str:
    other = known.get(record.run_id)
    if other is None:
        return "not known yet"
    for split in record.test_splits:
        first, second = record.score(split), other.score(split)
        if not (first and second and _alike(first.value, second.value)):
            raise UserError(
                f"the run is known, with another {record.primary_metric} on {split}",
                fix="Ask whoever submitted the first.",
            )
    return "known, with the same scores"


def _checkpoint(record: RunRecord) -> str:
    checkpoint = record.identity.checkpoint
    if checkpoint is None:
        return "a baseline has none"
    if checkpoint.source == "local" and checkpoint.sha256 == resolve_checkpoint(EMBEDDED).identity.sha256:
        return f"{EMBEDDED_NAME} comes with bench: anybody can make the run again"
    if checkpoint.source != "hub":
        raise NotAsked("its checkpoint is a folder of whoever made the run: nobody else can repeat it")
    with hub_errors(f"checkpoint {checkpoint.name}"):
        hub_api().model_info(checkpoint.name, revision=checkpoint.commit)
    return f"{checkpoint.name} is on the Hub at {checkpoint.commit}"


def _recipe(record: RunRecord, held: TrustedSpecs) -> str:
    asked = record.identity.recipe
    recipe = held.recipe(asked.name, record.overrides)
    if recipe.hash != asked.hash:
        settings = " with its settings" if record.overrides else ""
        raise UserError(
            f"it is of another {asked.name}{settings} ({asked.hash[:12]}) than is held here ({recipe.hash[:12]})",
            fix="Use the recipe as this board has it, or one of another name.",
        )
    if record.exact_recipe().hash != recipe.hash:
        raise UserError("the recipe in the record is not the one that it names")
    return f"{asked.name}, {asked.hash[:12]}"


def _suite(record: RunRecord, held: TrustedSpecs) -> str:
    """A suite determines no result; but whoever says that a run is of one shall not say it of another task."""
    if record.suite is None:
        return "none is named"
    if not held.holds("suite", record.suite):
        return f"{record.suite}, which is not held here and says nothing"
    tasks = [Path(name).stem for name in held.suite(record.suite).tasks]
    if record.identity.task.name not in tasks:
        raise UserError(f"{record.identity.task.name} is no task of the suite {record.suite} as it is held here")
    return record.suite


def _task(record: RunRecord, held: TrustedSpecs, found: list[Task]) -> str:
    asked = record.identity.task
    task = held.task(asked.name)
    if (task.version, task.hash) != (asked.version, asked.hash):
        raise UserError(
            f"it is of {asked.name} version {asked.version} ({asked.hash[:12]}); here is version {task.version} ({task.hash[:12]})",
            fix="Use the task as this board has it.",
        )
    if record.exact_task().hash != task.hash:
        raise UserError("the task in the record is not the one that it names")
    found.append(task)
    return f"{task.name} version {task.version}, {task.hash[:12]}"


def _data(record: RunRecord, task: Task, cache: DataCache, found: list[TaskData]) -> str:
    identity = record.identity
    try:
        digest = source_digest(task, cache)
        if digest == identity.data:
            found.append(
                load_task_data(task, cache, subset=identity.subset, fraction=identity.fraction, seed=identity.seed)
            )
    except UserError as error:
        raise NotAsked(f"the task's data cannot be had here ({error.what})") from None
    if not found:
        raise UserError(f"it was run on other data ({identity.data[:12]}); the task's have {digest[:12]}")
    return f"{identity.data[:12]}"


def _predictions(folder: Path, task: Task, record: RunRecord, found: dict[str, Predictions]) -> str:
    found |= read_predictions(folder / PREDICTIONS)
    scored = set(record.results)
    if missing := sorted({*task.data.test_splits, *scored} - set(found)):
        raise UserError(f"there are none of the split {missing[0]}")
    if missing := sorted({*task.data.test_splits} - scored):
        raise UserError(f"the record has no result on {missing[0]}")
    for split in found.values():
        if split.problem is not task.problem:
            raise UserError(f"they are of {split.problem.value}, and the task is {task.problem.value}")
        if task.problem.kind == "classification" and not np.allclose(split.scores.sum(1), 1, atol=1e-3):
            raise UserError("the probabilities of a row do not add up to one")
    return f"{sum(map(len, found.values())):,} rows"


def _rows(task: Task, data: TaskData, predictions: dict[str, Predictions]) -> str:
    """Compare ids, positions and truth with the data that were loaded here, whatever the submission says of them."""
    for name, got in predictions.items():
        expected = _expected(task, data, name)
        if len(expected) != len(got) or not np.array_equal(expected.ids, got.ids):
            raise UserError(f"{name} has other rows than the task ({len(got):,}, expected {len(expected):,})")
        if not _same(expected.positions, got.positions) or not _same(expected.residues, got.residues):
            raise UserError(f"{name} has other residues than the task")
        if not np.array_equal(expected.truth, got.truth, equal_nan=task.problem.kind == "regression"):
            raise UserError(f"{name} has other labels than the task", fix="The labels are those of the pinned data.")
        if expected.clusters is not None and not _same(expected.clusters, got.clusters):
            raise UserError(f"{name} has other clusters than the task")
    return f"{len(predictions)} splits, row by row"


def _same(first: np.ndarray | None, second: np.ndarray | None) -> bool:
    if first is None or second is None:
        return first is second
    return np.array_equal(first, second)


def _expected(task: Task, data: TaskData, name: str) -> Predictions:
    """The rows of a split as every run of the task has them; the scores are nothing."""
    if not task.problem.level.trained:
        return labelled_rows(data.splits[name], task)
    split = read_plain(data.splits[name], task)
    owners, positions = collation_of(task.problem).all_rows(split)
    shape = (len(owners),) if task.problem.kind == "regression" else (len(owners), task.n_outputs)
    return assemble(split, np.zeros(shape, dtype=np.float32), owners, positions)


def _scores(task: Task, record: RunRecord, predictions: dict[str, Predictions]) -> str:
    """Compute every score again, with thresholds chosen again on the validation predictions."""
    claimed = (record.training.choices if record.training else {}).get("thresholds")
    thresholds = choose_thresholds(task, predictions["validation"]) if "validation" in predictions else None
    if not _alike(thresholds, claimed):
        raise UserError("the thresholds are not those of largest F1 on its validation predictions")
    compared = 0
    for name, result in record.results.items():
        again = score_split(task, predictions[name], thresholds)
        if set(again.scores) != set(result.scores):
            raise UserError(f"{name} has other metrics than the task")
        for metric, score in again.scores.items():
            for part, first, second in _parts(result.scores[metric], score):
                if not _alike(first, second):
                    raise UserError(f"{metric} on {name}: {part} is {second}, and {first} is claimed")
                compared += 1
        if (result.n_proteins, result.n_labelled) != (again.n_proteins, again.n_labelled):
            raise UserError(f"{name} does not have {result.n_proteins:,} proteins and {result.n_labelled:,} labels")
        if not _alike(result.per_class, again.per_class) or result.confusion != again.confusion:
            raise UserError(f"the results by class on {name} are others")
        claimed_calibration = result.calibration.model_dump() if result.calibration else None
        if claimed_calibration and not _alike(
            claimed_calibration, again.calibration and again.calibration.model_dump()
        ):
            raise UserError(f"the calibration on {name} is another")
    return f"{compared} numbers recomputed"


def _parts(first: Score, second: Score) -> Iterator[tuple[str, float | None, float | None]]:
    for part in ("value", "low", "high"):
        yield part, getattr(first, part), getattr(second, part)


def _strata(task: Task, data: TaskData, record: RunRecord, predictions: dict[str, Predictions]) -> str:
    """Compute the results by identity and length again."""
    thresholds = (record.training.choices if record.training else {}).get("thresholds")
    compared = 0
    for name, traits in data.traits.items():
        claimed = {key: [one.model_dump() for one in found] for key, found in record.results[name].strata.items()}
        again = strata_of(task, predictions[name], thresholds, traits)
        if claimed and not _alike(claimed, {key: [one.model_dump() for one in found] for key, found in again.items()}):
            raise UserError(f"the results by identity or length on {name} are others")
        compared += sum(map(len, claimed.values()))
    return f"{compared} recomputed"


def _folds(task: Task, data: TaskData, record: RunRecord, predictions: dict[str, Predictions]) -> str:
    """Compute each fold's own scores again, on the rows that are in it here."""
    claimed, got = record.results["test"].folds, predictions["test"]
    ids, compared = list(data.splits["test"]["id"]), 0
    if [fold.name for fold in claimed] != list(data.folds):
        raise UserError(
            f"it has the folds {', '.join(fold.name for fold in claimed)}; the task's are {', '.join(data.folds)}"
        )
    for fold, own in zip(claimed, data.folds.values(), strict=True):
        held = np.flatnonzero(np.isin(got.ids, [ids[row] for row in own.test.tolist()]))
        again = score_split(task, got.rows(held), None, replicates=0).scores
        if not _alike(fold.scores, {metric: score.value for metric, score in again.items()}):
            raise UserError(f"the scores of fold {fold.name} are others")
        if (fold.rows, fold.train, fold.validation) != (len(own.test), len(own.train), len(own.validation)):
            raise UserError(f"fold {fold.name} has other rows than the task's")
        compared += len(again)
    return f"{compared} recomputed"


def _alike(first: Any, second: Any) -> bool:
    """Whether two values, or nested ones, are equal up to rounding."""
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    if isinstance(first, (int, float)) and isinstance(second, (int, float)):
        return math.isclose(first, second, rel_tol=SAME, abs_tol=SAME)
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_alike(first[key], second[key]) for key in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(_alike, first, second))
    return bool(first == second)
