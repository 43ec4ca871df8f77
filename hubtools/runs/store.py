"""The folder of runs: addressed by identity, written atomically, never half there."""

from __future__ import annotations

import contextlib
import gc
import json
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from hubtools.common.bounds import LARGEST_JSON, MOST_DIGITS, json_values, read_bounded
from hubtools.common.errors import UserError
from hubtools.common.files import clear, is_there, write_atomic
from hubtools.common.inside import LONGEST_PART, inside
from hubtools.common.readers import reads
from hubtools.common.secrets import scrubbed
from hubtools.specs.lookup.spec_files import first_mistake
from hubtools.specs.recipe import Recipe
from hubtools.specs.record import Identity, RunRecord
from hubtools.specs.task import Task

if TYPE_CHECKING:
    from hubtools.evaluation.predictions import Predictions

RECORD = "run.json"
PREDICTIONS = "predictions.parquet"
REPLICATES = "replicates.safetensors"
TRAINING_LOG = "training.jsonl"
FAILURE = "failure.txt"
MODEL = "model"
ADAPTER = "adapter"
CARD = "card"
DEFAULT_ROOT = Path("runs")
# More digits than a number has: Python reads them, and cannot write them.
_NUMBERLESS = re.compile(rf"[0-9]{{{MOST_DIGITS},}}")


class FolderAndRecord(NamedTuple):
    """What every run has: a folder and a record."""

    folder: Path
    record: RunRecord


class OpenRun(FolderAndRecord):
    """A run as it was read once, passed along from the command that opened it: what is in its folder, read when it is asked for.

    It is a pair, folder and record.
    """

    @property
    def task(self) -> Task:
        """The task as used."""
        return self.record.task_spec

    @property
    def recipe(self) -> Recipe:
        """The recipe as used."""
        return self.record.recipe_spec

    @property
    def model(self) -> Path:
        """Where its model is, if it kept one."""
        return self.folder / MODEL

    @property
    def adapter(self) -> Path:
        """Where its adapter is, if it trained one."""
        return self.folder / ADAPTER

    @property
    def card(self) -> Path:
        """Where its card is, or will be."""
        return self.folder / CARD

    @cached_property
    def predictions(self) -> dict[str, Predictions]:
        """By split.

        Raises:
            UserError: they cannot be read.
        """
        from hubtools.evaluation.predictions import read_predictions

        return read_predictions(self.folder / PREDICTIONS)

    @cached_property
    @reads("training log", refuses=())
    def training_log(self) -> list[dict[str, Any]]:
        """Lines of ``training.jsonl``, one an epoch; a last line cut short by a kill is left out."""
        path, lines = self.folder / TRAINING_LOG, []
        if path.is_file():
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                with contextlib.suppress(ValueError):
                    lines.append(json_values(line))
        return [line for line in lines if isinstance(line, dict) and "epoch" in line]


def open_run(run: OpenRun | Path) -> OpenRun:
    """The run of a folder; one that is open already is passed on as it is.

    Raises:
        UserError: there is none, or its record cannot be read.
    """
    return run if isinstance(run, OpenRun) else OpenRun(run, read_record(run))


def run_folder(root: Path, identity: Identity) -> Path:
    """The folder of a run: readable, and unique by its identity."""
    subject = identity.checkpoint.name if identity.checkpoint else "baseline"
    parts = (identity.task.name, identity.recipe.name, f"s{identity.seed}", identity.run_id)
    return inside(root, folder_of(subject, *parts))


def folder_of(subject: str, task: str, *others: str) -> str:
    """The name of a folder for a checkpoint under a task and whatever else sets it apart; a long checkpoint's is cut."""
    slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", subject).strip("-.").lower() or "checkpoint"
    room = LONGEST_PART - sum(len(part) + 2 for part in (task, *others))
    return "--".join([task, slug if len(slug) <= room else slug[: max(room, 1)].rstrip("-."), *others])


def make_way(folder: Path) -> None:
    """Remove from the folder of a run that begins what has the name of something that it will write, and is another thing.

    A disk that failed, or a hand, may have left a folder in the place of a file, or a model without its configuration.
    """
    for name in (RECORD, PREDICTIONS, REPLICATES, TRAINING_LOG, FAILURE):
        if (folder / name).is_dir():
            clear(folder / name)
    for name, mark in ((MODEL, "config.json"), (ADAPTER, "adapter_config.json")):
        if not (folder / name / mark).is_file():
            clear(folder / name)
    if not (folder / CARD).is_dir():
        clear(folder / CARD)


def write_record(folder: Path, record: RunRecord, indent: int = 2) -> None:
    """Write ``run.json``, one fact a line, without passwords and tokens."""
    text = json.dumps(scrubbed(record.model_dump(mode="json")), indent=indent, ensure_ascii=False, allow_nan=False)
    write_atomic(folder / RECORD, text + "\n")


@reads("record of a run")
def read_record(folder: Path) -> RunRecord:
    """Read the record of a run folder (or the ``run.json`` itself).

    Raises:
        UserError: there is none, or it is not a record of this schema.
    """
    path = folder if folder.name == RECORD else folder / RECORD
    return parse_record(_content(path), str(path))


def _content(path: Path) -> bytes:
    try:
        return read_bounded(path, LARGEST_JSON)
    except FileNotFoundError:
        raise UserError("there is no run record", where=str(path), fix="Name a folder that bench run made.") from None
    except OSError as error:
        raise UserError(f"cannot read it ({error.strerror})", where=str(path)) from None


@reads("record of a run")
def parse_record(content: str | bytes, where: str) -> RunRecord:
    """The record that a text is.

    Raises:
        UserError: it is not a record of this schema.
    """
    try:
        text = content.decode() if isinstance(content, bytes) else content
        if len(text) > LARGEST_JSON or _NUMBERLESS.search(text):
            raise UserError("not a run record (no number is as long, and no record as large)", where=where)
        return RunRecord.model_validate_json(text)
    except UnicodeDecodeError:
        raise UserError("not a run record (not text in UTF-8)", where=where) from None
    except ValidationError as error:
        why = first_mistake(error, RunRecord)[1]
        raise UserError(f"not a run record of this version of bench ({why})", where=where) from None


@reads("records of runs", refuses=())
def find_records(
    roots: list[Path], task: str | None = None, known: Sequence[OpenRun] = ()
) -> tuple[list[OpenRun], list[str]]:
    """All runs below the given folders (a run folder itself counts), and a line for each unreadable record.

    Args:
        roots: folders of runs, or single runs.
        task: only runs of this task; records that do not mention it are not even parsed.
        known: runs that are open already, which are not read again.

    Raises:
        UserError: one of the folders is not there.
    """
    found: list[OpenRun] = []
    problems: list[str] = []
    opened = {run.folder.resolve(): run for run in known}
    mention = None if task is None else json.dumps(task).encode()
    for root in roots:
        if not is_there(root):
            raise UserError(
                f"there is no folder {root}",
                fix="Run something first: bench run --checkpoint … --task …, or name another folder of runs.",
            )
        # What a process that was killed left half written has a name that begins with a dot.
        paths = [root / RECORD] if (root / RECORD).is_file() else sorted(root.glob(f"[!.]*/{RECORD}"))
        with _uncollected():
            for path in paths:
                run = opened.get(path.parent.resolve()) if opened else None
                try:
                    if run is None:
                        content = _content(path)
                        if mention is not None and mention not in content:
                            continue
                        run = OpenRun(path.parent, parse_record(content, str(path)))
                        _require_task(run.record, path)
                except UserError as error:
                    problems.append(str(error))
                    continue
                if task in {None, run.record.identity.task.name}:
                    found.append(run)
    return found, problems


def _require_task(record: RunRecord, path: Path) -> None:
    """Raise where the task of a record lacks what every view of runs asks for: one such record must not end the view of the others."""
    try:
        task = record.task_spec
        known: tuple[object, ...] = (
            task.problem.level,
            task.metrics.primary,
            task.data.test_splits,
            record.recipe_spec.adaptation,
        )
    except AttributeError:
        known = (None,)
    if None in known:
        raise UserError("not a run record (of its task or its recipe a part is missing)", where=str(path))


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """No search for cyclic garbage: a record has none, and looking through thousands costs more than reading them."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
