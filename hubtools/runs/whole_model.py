"""The whole model of a run: in memory, where it is asked; on the disk, where somebody wants all of it.

A run of a frozen encoder keeps its head and names its encoder. What is put together of the two is proven to be what was measured.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubtools.common.errors import UserError
from hubtools.common.files import is_folder, remove_files, replacing_folder, user_path
from hubtools.common.hashing import file_sha256
from hubtools.common.inside import inside
from hubtools.models.checkpoint import (
    CONFIG,
    EMBEDDED,
    EMBEDDED_NAME,
    ENCODER,
    HEAD,
    checkpoint_on_hub,
    resolve_checkpoint,
)
from hubtools.runs.public_record import public_record, words_of
from hubtools.runs.store import ADAPTER, MODEL, PREDICTIONS, TRAINING_LOG, OpenRun, open_run, write_record
from hubtools.specs.record import OutputFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from hubtools.models.checkpoint import Checkpoint
    from hubtools.models.encoder_note import EncoderNote
    from hubtools.models.tokenisation import ResidueTokeniser


def has_whole_model(run: OpenRun) -> bool:
    """Whether everything of its model is in its folder, which a stranger could load."""
    return not (run.model / ENCODER).is_file() or any(_is_weights(output.path) for output in run.record.outputs)


def model_of(run: OpenRun, encoder: Path | None = None) -> tuple[Any, ResidueTokeniser]:
    """The model of a run or of a repository as published, loaded without running code that lies beside it.

    Args:
        run: that has one.
        encoder: folder of the checkpoint, where it is not where the run had it.

    Raises:
        UserError: files of the run changed, or its encoder is not to be had.
    """
    from hubtools.models.saved import load_model

    folder = run.model_files()
    if has_whole_model(run):
        return load_model(folder, run.task, shipped_code=False)
    from hubtools.models.assembling import ADAPTER_WEIGHTS, put_together
    from hubtools.models.encoder_note import read_note

    note = read_note(folder)
    if note.adapter:
        run.file(f"{ADAPTER}/{ADAPTER_WEIGHTS}")
    return put_together(folder, run.task, run.recipe, _checkpoint(run, note, encoder), run.adapter)


def _checkpoint(run: OpenRun, note: EncoderNote, encoder: Path | None) -> Checkpoint:
    """The checkpoint of a run's encoder; its code is not run.

    Raises:
        UserError: it is not to be had, or is another one.
    """
    asked, where = note.checkpoint, str(run.folder)
    fix = f"Put it back, or name where it is: bench materialise {where} --encoder FOLDER."
    if encoder is None and asked.source == "hub":
        try:
            found = checkpoint_on_hub(asked.name, str(asked.commit))
            found.files()
        except UserError as error:
            what = f"its encoder is not here, {asked.name} at commit {str(asked.commit)[:12]} ({error.what})"
            raise UserError(what, where=where, fix=error.fix or fix) from None
        return found
    if encoder is None and asked.name == EMBEDDED_NAME:
        found = resolve_checkpoint(EMBEDDED)
    else:
        folder = _folder(run) if encoder is None else user_path(str(encoder))
        if folder is None or not is_folder(folder):
            gone = "is not known here" if folder is None else f"is not there ({folder})"
            what = f"the folder of its encoder, the checkpoint {asked.name}, {gone}"
            raise UserError(what, where=where, fix=fix)
        found = resolve_checkpoint(str(folder))
    if asked.source == "local" and found.identity.sha256 != asked.sha256:
        what = f"its encoder, the checkpoint {asked.name}, is not what the run read: files of it changed ({found.path})"
        raise UserError(what, where=where, fix=fix)
    return found


def _folder(run: OpenRun) -> Path | None:
    """Where the run had its checkpoint, as its command says, which on this machine has the folders."""
    words = words_of(run.record.command)
    named = words[words.index("--checkpoint") + 1] if "--checkpoint" in words[:-1] else None
    return None if named is None else user_path(named)


def write_whole(
    run: OpenRun, target: Path, encoder: Path | None = None, examine: Callable[[Path], None] | None = None
) -> None:
    """Write the whole model of a run into a folder, with the record and the predictions beside it, as it would be published.

    Args:
        run: of which.
        target: the folder.
        encoder: as for :func:`model_of`.
        examine: called with the folder before it gets its name; what it raises leaves nothing behind.

    Raises:
        UserError: as :func:`model_of`; or the folder is another one's, or cannot be written.
    """
    with replacing_folder(target, CONFIG) as staging:
        added = _write_model(run, staging, encoder)
        for name in (PREDICTIONS, TRAINING_LOG):
            if (run.folder / name).is_file():
                shutil.copyfile(run.file(name), staging / name)
        record = public_record(run.record)
        record.outputs = _with(record.outputs, added)
        write_record(staging, record)
        if examine is not None:
            examine(staging)


def make_whole(run: OpenRun, encoder: Path | None = None) -> OpenRun:
    """Put the whole model into a run's own folder, where it is not; what was kept stays beside it.

    Args:
        run: of which.
        encoder: as for :func:`model_of`.

    Returns:
        The run, whose record has the new files.

    Raises:
        UserError: as :func:`model_of`, or the folder cannot be written.
    """
    if has_whole_model(run):
        return run
    with replacing_folder(run.model, CONFIG) as staging:
        added = _write_model(run, staging, encoder)
        for name in (ENCODER, HEAD):
            shutil.copyfile(run.model / name, staging / name)
    run.record.outputs = _with(run.record.outputs, added)
    write_record(run.folder, run.record)
    return open_run(run.folder)


@contextlib.contextmanager
def kept_small(run: OpenRun) -> Iterator[None]:
    """Take the whole model out of a small run's folder again when the block ends, if it was put there meanwhile."""
    small = not has_whole_model(run)
    try:
        yield
    finally:
        if small:
            make_small(open_run(run.folder))


def make_small(run: OpenRun) -> None:
    """Take the weights that :func:`make_whole` put into a run's folder out again."""
    if (run.model / ENCODER).is_file() and has_whole_model(run):
        extra = [output for output in run.record.outputs if _is_weights(output.path)]
        run.record.outputs = [output for output in run.record.outputs if output not in extra]
        write_record(run.folder, run.record)
        remove_files(inside(run.folder, output.path) for output in extra)


def _is_weights(name: str) -> bool:
    return name.startswith(f"{MODEL}/model") and name.endswith((".safetensors", ".safetensors.index.json"))


def _with(outputs: Iterable[OutputFile], added: Iterable[OutputFile]) -> list[OutputFile]:
    new = list(added)
    return [*(output for output in outputs if output.path not in {one.path for one in new}), *new]


def _write_model(run: OpenRun, folder: Path, encoder: Path | None) -> list[OutputFile]:
    """Write the files of the whole model into an empty folder: those of the run as they are, and weights where it has none.

    Returns:
        The files of weights that were made, as a record lists them.

    Raises:
        UserError: what is read back is not what was written.
    """
    whole = has_whole_model(run)
    root = run.model_files()
    if not whole:
        from hubtools.models.assembling import require_same, write_weights

        model, _ = model_of(run, encoder)
        write_weights(model, folder)
    made = [path for path in folder.iterdir() if _is_weights(f"{MODEL}/{path.name}")]
    for path in sorted(root.iterdir()):
        if path.is_file() and not path.name.startswith(".") and path.name not in {ENCODER, HEAD}:
            shutil.copyfile(path, folder / path.name)
    if not whole:
        require_same(model, folder, run.task)
    return [
        OutputFile(path=f"{MODEL}/{path.name}", bytes=path.stat().st_size, sha256=file_sha256(path)) for path in made
    ]
