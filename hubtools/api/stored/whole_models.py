"""The whole model of a run that keeps its head and names its encoder, put together on the disk and checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING

from hubtools.api.asked import Say, silent
from hubtools.api.computing import quiet
from hubtools.api.found_runs import said_of
from hubtools.common.files import human
from hubtools.common.notebook import line_html

if TYPE_CHECKING:
    from hubtools.publishing.reload import ReloadedPredictions
    from hubtools.runs.store import OpenRun
    from hubtools.specs.record import RunRecord


@dataclass(frozen=True)
class WholeModel:
    """A model that plain transformers loads.

    Attributes:
        run: whose it is, as it is now.
        folder: that ``from_pretrained`` takes.
        was_whole: nothing was to be done.
        reloaded: how its predictions compare with the recorded ones; None where it was not asked for.
    """

    run: OpenRun
    folder: Path
    was_whole: bool
    reloaded: ReloadedPredictions | None = None

    @property
    def bytes(self) -> int:
        """Of its files."""
        return sum(path.stat().st_size for path in self.folder.iterdir() if path.is_file())

    def __repr__(self) -> str:
        return f"{self.folder}: {human(self.bytes)}{f', {self.reloaded}' if self.reloaded else ''}"

    def _repr_html_(self) -> str:
        return line_html(repr(self))


def materialise(
    run: str | PathLike[str],
    out: str | PathLike[str] | None = None,
    *,
    encoder: str | PathLike[str] | None = None,
    check: bool = True,
    mirrors: Sequence[Path] = (),
    on_note: Say = silent,
) -> WholeModel:
    """Put the whole model of a run together: weights that plain transformers loads, beside its configuration.

    A run of a probe or an adapter keeps its head, its adapter and the name of its encoder. Asking or publishing it puts them together
    by itself; this is for whoever wants the files.

    Args:
        run: one run, named as for :func:`hubtools.results`.
        out: a new folder, which gets the model with ``run.json`` and the predictions beside, as a repository has them; by default the
            model is made whole in the run's own folder.
        encoder: folder of the checkpoint, where it is not where the run had it.
        check: whether a fresh process then loads it, and must reproduce the recorded test predictions.
        mirrors: folders of data, for the check.
        on_note: as for :func:`hubtools.results`.

    Raises:
        UserError: there is no such run, it has no model, its encoder is not to be had or another one, or the check failed: then
            nothing is left.
    """
    from hubtools.findings.naming.named_runs import Needs, run_named
    from hubtools.inference.named_model import refuse_without_model
    from hubtools.runs.whole_model import has_whole_model, make_small, make_whole, write_whole

    chosen, named = run_named(fspath(run), Needs.FOLDER)
    said_of([named], on_note)
    refuse_without_model(chosen, str(chosen.folder))
    place, was_whole = None if encoder is None else Path(encoder), has_whole_model(chosen)
    reloaded: list[ReloadedPredictions] = []

    def examine(folder: Path, record: RunRecord) -> None:
        if check:
            on_note("a fresh process predicts the test splits again")
            reloaded.append(_reloaded(folder, record, mirrors))

    with quiet():
        if out is not None:
            write_whole(chosen, Path(out), place, lambda folder: examine(folder, chosen.record))
            return WholeModel(chosen, Path(out), False, *reloaded)
        whole = make_whole(chosen, place)
        try:
            examine(whole.folder, whole.record)
        except BaseException:
            if not was_whole:
                make_small(whole)
            raise
    return WholeModel(whole, whole.model, was_whole, *reloaded)


def _reloaded(folder: Path, record: RunRecord, mirrors: Sequence[Path]) -> ReloadedPredictions:
    """What a fresh process makes of the model in a run's folder, or in one as a repository."""
    from hubtools.publishing.commit import PublishedFile
    from hubtools.publishing.contents import collect_files, lay_out
    from hubtools.publishing.reload import reproduce_in_fresh_process
    from hubtools.runs.store import MODEL

    if (folder / MODEL).is_dir():
        files = collect_files(folder)
    else:
        files = tuple(PublishedFile.of(path.name, path) for path in sorted(folder.iterdir()) if path.is_file())
    with lay_out(files) as stage:
        return reproduce_in_fresh_process(Path(stage), mirrors, record.task)
