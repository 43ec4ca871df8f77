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
from hubtools.common.files import clear, is_file, is_there, write_atomic
from hubtools.common.inside import LONGEST_PART, inside
from hubtools.common.readers import reads
from hubtools.common.secrets import scrubbed
from hubtools.runs.public_record import placed, places_of, public_record
from hubtools.specs.lookup.spec_files import first_mistake
from hubtools.specs.recipe import Recipe
from hubtools.specs.record import SCHEMA_VERSION, Identity, OutputFile, RunRecord
from hubtools.specs.record.plausible import implausible
from hubtools.specs.task import Task

if TYPE_CHECKING:
    import numpy as np

    from hubtools.evaluation.predictions import Predictions
    from hubtools.evaluation.statistics.resampled import Units

RECORD = "run.json"
PLACES = "places.json"
PREDICTIONS = "predictions.parquet"
REPLICATES = "replicates.safetensors"
TRAINING_LOG = "training.jsonl"
FAILURE = "failure.txt"
MODEL = "model"
ADAPTER = "adapter"
# What was learnt of contacts: the weights of the head, in the units of the encoder.
LEARNT = "contacts.safetensors"
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
            UserError: they cannot be read, or are not what the run wrote.
        """
        from hubtools.evaluation.predictions import read_predictions

        return read_predictions(self.file(PREDICTIONS))

    def predictions_of(self, split: str) -> Predictions:
        """Of one split; the rows of others are not decoded.

        Raises:
            UserError: as :attr:`predictions`, or there are none of the split.
        """
        from hubtools.evaluation.predictions import read_predictions

        found = read_predictions(path := self.file(PREDICTIONS), split)
        if split not in found:
            raise UserError(f"there are no predictions of {split}", where=str(path))
        return found[split]

    def replicates(self, columns: Sequence[tuple[str, str]]) -> dict[tuple[str, str], tuple[np.ndarray, Units]]:
        """What the run kept of its resamplings (:func:`hubtools.evaluation.statistics.resampled.read_replicates`).

        Nothing where they are not there: what is published or frozen leaves them out, and they can be drawn again.

        Raises:
            UserError: the file is not what the run wrote.
        """
        from hubtools.evaluation.statistics.resampled import read_replicates

        path = self.folder / REPLICATES
        return read_replicates(self.file(REPLICATES), columns) if path.is_file() else {}

    @cached_property
    @reads("training log", refuses=())
    def training_log(self) -> list[dict[str, Any]]:
        """Lines of ``training.jsonl``, one an epoch; a last line cut short by a kill is left out.

        Raises:
            UserError: the file is not what the run wrote.
        """
        path, lines = self.folder / TRAINING_LOG, []
        if path.is_file():
            for line in self.file(TRAINING_LOG).read_text(encoding="utf-8", errors="replace").splitlines():
                with contextlib.suppress(ValueError):
                    lines.append(json_values(line))
        return [line for line in lines if isinstance(line, dict) and "epoch" in line]

    @cached_property
    def _recorded(self) -> dict[str, OutputFile]:
        return {output.path: output for output in self.record.outputs}

    @cached_property
    def _looked_at(self) -> set[tuple[str, int, int]]:
        """Name, size and time of the files that were found to be those of the run."""
        return set()

    def file(self, name: str, *, size_alone: bool = False) -> Path:
        """Where a file of the run is, once it is known to be the one that the run wrote: whoever reads one asks here.

        A record without checksums says nothing of its files: they are taken as they are.

        Args:
            name: as the record has it, such as ``predictions.parquet``.
            size_alone: whether a look at its size is enough: for what is not read.

        Raises:
            UserError: it is gone, another, or none of the run's.
        """
        path = self.folder / name
        if self._recorded:
            self.require_recorded(path, name, size_alone=size_alone)
        return path

    def model_files(self) -> Path:
        """Where its model is to be loaded from, every file of it known to be the one that the run wrote.

        That is its own folder, or in a repository as published the root.

        Raises:
            UserError: as :meth:`file`, of the first file that is not.
        """
        own = self.model.is_dir()
        root = self.model if own else self.folder
        if not self._recorded:
            return root
        for path in sorted(path for path in root.iterdir() if path.is_file() and not path.name.startswith(".")):
            # An adapter that is published alone lies at the root, too.
            names = [f"{part}/{path.name}" for part in ((MODEL,) if own else (MODEL, ADAPTER))]
            if any(name in self._recorded for name in names) or _is_loaded(path.name, own):
                self.require_recorded(path, *names)
        if own:
            for name in self._recorded:
                if name.startswith(f"{MODEL}/"):
                    self.file(name)
        return root

    def require_unaltered(self) -> None:
        """Look at every file that the run wrote and that is still here; its predictions must be.

        Raises:
            UserError: as :meth:`file`, of the first that is another, or gone.
        """
        for name in self._recorded:
            if name == PREDICTIONS or (self.folder / name).is_file():
                self.file(name)
        if self.model.is_dir():
            self.model_files()

    def require_recorded(self, path: Path, *names: str, sha256: str | None = None, size_alone: bool = False) -> None:
        """Make sure that a file is one that the run wrote: its size first, then its content, each once.

        Args:
            path: of the file.
            names: what the record may call it.
            sha256: of the file, where that is known already.
            size_alone: as for :meth:`file`.

        Raises:
            UserError: it is gone, another, or none of the run's.
        """
        from hubtools.data.sources.file_cache import remembered_sha256

        where, again = str(path), f"run it again: {self.record.command} --force"
        recorded = [self._recorded[name] for name in names if name in self._recorded]
        if not recorded:
            raise UserError(
                f"the run {self.record.run_id} did not write it", where=where, fix=f"Remove it, or {again}."
            )
        try:
            status = path.stat()
        except OSError:
            raise UserError("it is gone", where=where, fix=f"Put it back, or {again}.") from None
        seen = (names[0], status.st_size, status.st_mtime_ns)
        if sha256 is None and seen in self._looked_at:
            return
        alike = {output.sha256 for output in recorded if output.bytes == status.st_size}
        if not alike or not (size_alone or (sha256 or remembered_sha256(path)) in alike):
            raise UserError(
                f"it changed after the run {self.record.run_id}: it is not what was measured",
                where=where,
                fix=f"Put it back, or {again}.",
            )
        if not size_alone:
            self._looked_at.add(seen)


def _is_loaded(name: str, own: bool) -> bool:
    """Whether a file beside a model is read with it: in the model's own folder all but a card, else what transformers looks for."""
    from hubtools.models.checkpoint import CONFIG, README, TOKENIZER_FILES

    if own:
        return name != README
    loaded = {CONFIG, "adapter_config.json", *TOKENIZER_FILES}
    return name in loaded or name.endswith((".safetensors", ".safetensors.index.json"))


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
    for name in (RECORD, PLACES, PREDICTIONS, REPLICATES, TRAINING_LOG, FAILURE):
        if (folder / name).is_dir():
            clear(folder / name)
    for name, mark in ((MODEL, "config.json"), (ADAPTER, "adapter_config.json")):
        if not (folder / name / mark).is_file():
            clear(folder / name)
    if not (folder / CARD).is_dir():
        clear(folder / CARD)


def write_record(folder: Path, record: RunRecord, indent: int = 2) -> None:
    """Write ``run.json``, one fact a line, without passwords and tokens, and beside it where this machine has the files that it calls by their names."""
    if (places := places_of(record)) is not None:
        write_atomic(folder / PLACES, places.model_dump_json(indent=indent) + "\n")
    content = scrubbed(public_record(record).model_dump(mode="json"))
    write_atomic(folder / RECORD, json.dumps(content, indent=indent, ensure_ascii=False, allow_nan=False) + "\n")


@reads("record of a run")
def read_record(folder: Path) -> RunRecord:
    """Read the record of a run folder (or the ``run.json`` itself).

    Raises:
        UserError: there is none, or it is not a record of this schema.
    """
    path = folder if folder.name == RECORD else folder / RECORD
    return _placed(parse_record(_content(path), str(path)), path.parent)


def _placed(record: RunRecord, folder: Path) -> RunRecord:
    """The record, with the folders of this machine where it was made here."""
    try:
        return placed(record, (folder / PLACES).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return record


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
        UserError: it is not a record of this schema, or no run can have given its scores.
    """
    try:
        text = content.decode() if isinstance(content, bytes) else content
        if len(text) > LARGEST_JSON or _NUMBERLESS.search(text):
            raise UserError("not a run record (no number is as long, and no record as large)", where=where)
    except UnicodeDecodeError:
        raise UserError("not a run record (not text in UTF-8)", where=where) from None
    try:
        record = RunRecord.model_validate_json(text)
    except ValidationError as error:
        _refuse_newer(_schema(text), where)
        why = first_mistake(error, RunRecord)[1]
        raise UserError(f"not a run record of this version of bench ({why})", where=where) from None
    _refuse_newer(record.schema_version, where)
    if (found := implausible(record)) is not None:
        raise UserError(f"no run gives such a record ({found[0]})", where=where, fix=found[1])
    return record


def _schema(text: str) -> int:
    """The schema that a text says it has, which may be no record; 0 where it says none."""
    with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
        if isinstance(version := json_values(text)["schema_version"], int):
            return version
    return 0


def _refuse_newer(schema: int, where: str) -> None:
    if schema > SCHEMA_VERSION:
        raise UserError(
            f"a newer version of bench wrote it (schema {schema}; this one reads up to {SCHEMA_VERSION})",
            where=where,
            fix="Upgrade bench: pip install -U plm-hubtools.",
        )


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
        paths = [root / RECORD] if is_file(root / RECORD) else sorted(root.glob(f"[!.]*/{RECORD}"))
        with _uncollected():
            for path in paths:
                run = opened.get(path.parent.resolve()) if opened else None
                try:
                    if run is None:
                        content = _content(path)
                        if mention is not None and mention not in content:
                            continue
                        run = OpenRun(path.parent, _placed(parse_record(content, str(path)), path.parent))
                except UserError as error:
                    problems.append(str(error))
                    continue
                if task in {None, run.record.identity.task.name}:
                    found.append(run)
    return found, problems


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
