"""Folders of runs become one: whole runs are copied, each file held against the record, and nothing that is there is lost.

A run is named by its identity, so that the same run of two folders is one. What of a run is copied is what its record lists; its card,
which is none of its results, is made again where it is wanted.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hubtools.common.bounds import LARGEST_JSON, read_bounded
from hubtools.common.errors import UserError
from hubtools.common.files import clear, is_file, is_folder, is_there, replacing_folder
from hubtools.common.inside import inside
from hubtools.runs.claims import clock, held
from hubtools.runs.many.run_states import beginning_of
from hubtools.runs.store import PLACES, PREDICTIONS, RECORD, OpenRun, open_run, run_folder
from hubtools.specs.record import Identity, OutputFile

# Copied; there already; there with other predictions; cannot be read, or is not what its record says; not complete.
Merge = Literal["copied", "same", "conflict", "unreadable", "unfinished"]
MERGES: tuple[Merge, ...] = ("copied", "same", "conflict", "unreadable", "unfinished")
_BLOCK = 1 << 20


@dataclass(frozen=True)
class MergedRun:
    """What became of one run of a source.

    Attributes:
        source: its folder there.
        what: see :data:`Merge`.
        target: its folder where all come together, where it has one.
        why: in one line, of what was not copied and is not there.
    """

    source: Path
    what: Merge
    target: Path | None = None
    why: str | None = None


def merged(sources: Sequence[Path], into: Path) -> Iterator[MergedRun]:
    """Copy the complete runs of folders into one, one run after the other; each is there whole or not at all.

    Args:
        sources: folders of runs, or single runs.
        into: folder of runs; it is made where it is not there.

    Raises:
        UserError: a source is not there, or is the target; the target cannot be written.
    """
    for source in sources:
        if not is_folder(source):
            raise UserError("there is no such folder", where=str(source), fix="Name folders of runs.")
        if is_there(into) and source.samefile(into):
            raise UserError("it is the folder that the others go into", where=str(source), fix="Leave it out.")
    if is_file(into):
        raise UserError("it is a file, not a folder", where=str(into), fix="Choose another --into.")
    try:
        for source in sources:
            for folder in _runs_in(source):
                yield _merged(folder, into)
    finally:
        if is_there(into) and hasattr(os, "sync"):
            os.sync()


def _runs_in(source: Path) -> list[Path]:
    if is_file(source / RECORD):
        return [source]
    with os.scandir(source) as entries:
        names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
    return [source / name for name in names if is_file(source / name / RECORD)]


def _merged(folder: Path, into: Path) -> MergedRun:
    """One run."""
    try:
        beginning = beginning_of(folder)
        if beginning.status != "complete":
            return MergedRun(folder, "unfinished", why=f"{folder}: {beginning.status}")
        target = run_folder(into, beginning.identity)
        known = _same_record(folder, target)
        if known and _same_sizes(folder, target):
            return MergedRun(folder, "same", target)
        run = open_run(folder)
        _require_named(run, beginning.identity)
    except UserError as error:
        return MergedRun(folder, "unreadable", why=str(error))
    except OSError as error:
        return MergedRun(folder, "unreadable", why=f"{folder}: cannot read it ({error.strerror})")
    there = _there(target)
    # Files of a copy that a loss of power cut short are copied again.
    if not known and there is not None and there.record.status == "complete":
        return _compared(run, there)
    if (who := held(target, clock(target))) is not None and not who.lost:
        return MergedRun(
            folder, "conflict", target, f"{target}: another process is running it right now ({who.holder})"
        )
    if there is None and is_folder(target) and not is_there(target / RECORD):
        if any(path.name[0] != "." for path in target.iterdir()):
            why = f"{target}: there is something else (no {RECORD} in it)"
            return MergedRun(folder, "conflict", target, why)
        # A process that was killed before it wrote anything left its claim.
        clear(target)
    try:
        # On the disk once all are: to wait for each would take most of the time.
        with replacing_folder(target, RECORD, durable=False) as staging:
            for name, content in _contents(run):
                path = inside(staging, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as stream:
                    stream.writelines(content)
    except _OtherFile as error:
        return MergedRun(folder, "unreadable", why=str(error))
    return MergedRun(folder, "copied", target)


def _same_record(folder: Path, target: Path) -> bool:
    """Whether the very record is there already."""
    try:
        if (target / RECORD).stat().st_size != (folder / RECORD).stat().st_size:
            return False
        return read_bounded(target / RECORD, LARGEST_JSON) == read_bounded(folder / RECORD, LARGEST_JSON)
    except OSError:
        return False


def _same_sizes(folder: Path, target: Path) -> bool:
    """Whether the files of a copy are as large as those that they were copied from, as far as these are still there."""
    try:
        copied = {path.relative_to(target): path.stat().st_size for path in target.rglob("*") if path.is_file()}
        sizes = {name: (folder / name).stat().st_size for name in copied if is_file(folder / name)}
    except OSError:
        return False
    return Path(PREDICTIONS) in sizes and all(copied[name] == size for name, size in sizes.items())


def _require_named(run: OpenRun, identity: Identity) -> None:
    """Make sure that a record is that of its identity, and says what the run left.

    Raises:
        UserError: it does not.
    """
    if not run.record.run_id == run.record.identity.run_id == identity.run_id:
        raise UserError("its id is not that of what it says was run", where=str(run.folder))
    if not any(output.path == PREDICTIONS for output in run.record.outputs):
        raise UserError(
            "its record has no checksum of its predictions",
            where=str(run.folder),
            fix=f"Run it again: {run.record.command}",
        )


def _there(target: Path) -> OpenRun | None:
    """The run that has the target's name already; None where there is none, or its record is damaged, which is no loss."""
    try:
        return open_run(target) if is_there(target / RECORD) else None
    except UserError:
        return None


def _compared(run: OpenRun, there: OpenRun) -> MergedRun:
    """Two complete runs of one identity: predicted they the same, there is nothing to do."""
    from hubtools.evaluation.statistics.same_predictions import SAME, largest_difference, other_rows

    try:
        first, second = there.predictions, run.predictions
    except UserError as error:
        return MergedRun(run.folder, "unreadable", there.folder, str(error))
    why = None if first.keys() == second.keys() else "other splits"
    for split in first if why is None else ():
        if (rows := other_rows(first[split], second[split])) is not None:
            why = f"{split}: {rows}"
        elif (apart := largest_difference(first[split], second[split])) > SAME:
            why = f"{split}: predictions differ by {apart:.2g}"
        if why is not None:
            break
    if why is None:
        return MergedRun(run.folder, "same", there.folder)
    return MergedRun(
        run.folder, "conflict", there.folder, f"{run.folder} and {there.folder} are one run, and differ ({why})"
    )


class _OtherFile(UserError):
    """A file of a source is not the one that the run wrote."""


def _contents(run: OpenRun) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Names and contents of what the record lists and is still there, and of the record itself.

    Raises:
        _OtherFile: a file is another than the run wrote, or its predictions are gone; by the contents.
    """
    for output in run.record.outputs:
        source = inside(run.folder, output.path)
        try:
            handle = _opened(source)
        except FileNotFoundError:
            # A model may have been removed to make room; without predictions a run says nothing.
            if output.path == PREDICTIONS:
                raise _OtherFile("it is gone", where=str(source)) from None
            continue
        except OSError as error:
            raise _OtherFile(f"cannot read it ({error.strerror})", where=str(source)) from None
        yield output.path, _content(source, handle, output)
    for name in (PLACES, RECORD):
        if is_file(run.folder / name):
            yield name, iter([read_bounded(run.folder / name, LARGEST_JSON)])


def _content(source: Path, handle: int, output: OutputFile) -> Iterator[bytes]:
    """The bytes of a file, whose checksum is taken on the way."""
    found = hashlib.sha256()
    with os.fdopen(handle, "rb") as stream:
        while block := stream.read(_BLOCK):
            found.update(block)
            yield block
    if found.hexdigest() != output.sha256:
        raise _OtherFile("it changed after the run: it is not what was measured", where=str(source))


def _opened(path: Path) -> int:
    """A file to be read, and no link to one elsewhere.

    Raises:
        OSError: it is none.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(0, "it is no file")
    return handle
