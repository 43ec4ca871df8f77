"""The folder of runs: addressed by identity, written atomically, never half there."""

from __future__ import annotations

import contextlib
import gc
import json
import re
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from hubtools.common.errors import UserError
from hubtools.common.files import write_atomic
from hubtools.specs.lookup.spec_files import first_mistake
from hubtools.specs.record import Identity, RunRecord

RECORD = "run.json"
PREDICTIONS = "predictions.parquet"
REPLICATES = "replicates.safetensors"
TRAINING_LOG = "training.jsonl"
FAILURE = "failure.txt"
MODEL = "model"
ADAPTER = "adapter"
CARD = "card"
DEFAULT_ROOT = Path("runs")


def run_folder(root: Path, identity: Identity) -> Path:
    """The folder of a run: readable, and unique by its identity."""
    subject = identity.checkpoint.name if identity.checkpoint else "baseline"
    slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", subject).strip("-.").lower() or "checkpoint"
    return root / f"{identity.task.name}--{slug}--{identity.recipe.name}--s{identity.seed}--{identity.run_id}"


def write_record(folder: Path, record: RunRecord, indent: int = 2) -> None:
    """Write ``run.json``, one fact a line."""
    text = json.dumps(record.model_dump(mode="json"), indent=indent, ensure_ascii=False, allow_nan=False)
    write_atomic(folder / RECORD, text + "\n")


def read_record(folder: Path) -> RunRecord:
    """Read the record of a run folder (or the ``run.json`` itself).

    Raises:
        UserError: there is none, or it is not a record of this schema.
    """
    path = folder if folder.name == RECORD else folder / RECORD
    try:
        return parse_record(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise UserError("there is no run record", where=str(path), fix="Name a folder that bench run made.") from None
    except OSError as error:
        raise UserError(f"cannot read it ({error.strerror})", where=str(path)) from None
    except UnicodeDecodeError:
        raise UserError("not a run record (not text in UTF-8)", where=str(path)) from None


def parse_record(text: str, where: str) -> RunRecord:
    """The record that a text is.

    Raises:
        UserError: it is not a record of this schema.
    """
    try:
        return RunRecord.model_validate_json(text)
    except ValidationError as error:
        why = first_mistake(error, RunRecord)[1]
        raise UserError(f"not a run record of this version of bench ({why})", where=where) from None


def find_records(roots: list[Path], task: str | None = None) -> tuple[list[tuple[Path, RunRecord]], list[str]]:
    """All runs below the given folders (a run folder itself counts), and a line for each unreadable record.

    Args:
        roots: folders of runs, or single runs.
        task: only runs of this task; records that do not mention it are not even parsed.

    Raises:
        UserError: one of the folders is not there.
    """
    found, problems = [], []
    for root in roots:
        if not root.exists():
            raise UserError(
                f"there is no folder {root}",
                fix="Run something first: bench run --checkpoint … --task …, or name another folder of runs.",
            )
        paths = [root / RECORD] if (root / RECORD).is_file() else sorted(root.glob(f"*/{RECORD}"))
        with _uncollected():
            for path in paths:
                if task is not None and not _mentions(path, task):
                    continue
                try:
                    record = read_record(path.parent)
                except UserError as error:
                    problems.append(str(error))
                    continue
                if task in {None, record.identity.task.name}:
                    found.append((path.parent, record))
    return found, problems


def _mentions(path: Path, task: str) -> bool:
    """Whether a record can be one of a task. What cannot be read is for the reader of records to say."""
    try:
        return json.dumps(task).encode() in path.read_bytes()
    except OSError:
        return True


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


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold a run's folder for this process.

    Raises:
        UserError: another process is at this very run, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise UserError(
            "another process is running it right now", where=str(folder), fix="Wait for it, or use another --runs."
        ) from None
    except OSError as error:
        raise UserError(
            f"cannot write it ({error.strerror})", where=str(error.filename or folder), fix="Choose another --runs."
        ) from None
    try:
        yield
    finally:
        lock.release()
