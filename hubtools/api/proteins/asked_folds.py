"""Proteins that somebody asks to fold: read, checked, and folded by this process or divided among others."""

from __future__ import annotations

import heapq
import platform
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hubtools.api.asked import Say
from hubtools.api.computing import ExecutionOptions
from hubtools.api.engines.divisible import Divisible, live
from hubtools.common import telling
from hubtools.common.errors import UserError
from hubtools.common.version import __version__
from hubtools.data.rows.chain_breaks import chains_of
from hubtools.inference.folding.folds_folder import FoldedRow, FoldsFolder
from hubtools.inference.folding.folds_in_turn import FoldTurns
from hubtools.inference.folding.kept_folds import KeptFolds, all_folds, folds_of, keep_folds, read_folds
from hubtools.runs.engines.capacity import PROCESS
from hubtools.training.folding.fold_limits import needs, refuse_long

if TYPE_CHECKING:
    from hubtools.api.engines.dispatch import Dispatched
    from hubtools.inference.asking import Protein
    from hubtools.models.checkpoint import Checkpoint
    from hubtools.models.folding.folding_models import FoldingModel
    from hubtools.runs.engines.job_engine import DetachedEngine
    from hubtools.runs.engines.job_events import JobEvent
    from hubtools.training.compute.device import Execution

# The work of a protein grows with this power of its residues: to divide proteins evenly, not to say when all are folded.
_POWER = 2.5


@dataclass
class AskedFolds(Divisible):
    """Proteins that are to be folded, and how.

    Attributes:
        root: folder of the structures.
        execution: where and how to compute.
        checkpoint, model: that folds.
        folder: what is there of them.
        proteins, stems: in order, with what their files are called.
        seed: of what the model draws.
        mistakes: why proteins could not be folded, by their numbers.
        max_length: residues up to which all are folded, whatever the estimate of memory; None where each process asks its own.
    """

    root: Path
    execution: ExecutionOptions
    checkpoint: Checkpoint
    model: FoldingModel
    folder: FoldsFolder
    proteins: Sequence[Protein]
    stems: Sequence[str]
    seed: int = 0
    max_length: int | None = None
    mistakes: dict[int, UserError] = field(default_factory=dict)

    part = "protein"
    all_cores = True

    def __len__(self) -> int:
        return len(self.proteins)

    def done(self) -> set[int]:
        """As :meth:`Divisible.done`: what was there when it was first asked for."""
        return self._earlier

    @cached_property
    def _earlier(self) -> set[int]:
        pairs = zip(self.proteins, self.stems, strict=True)
        return {number for number, pair in enumerate(pairs) if self.folder.found(*pair) is not None}

    def taken(self, engine: DetachedEngine) -> set[int]:
        """As :meth:`Divisible.taken`."""
        under_way = live(engine, all_folds(self.root))
        taken = {key for kept, numbers in under_way for keys in [kept.keys()] for key in map(keys.__getitem__, numbers)}
        return {number for number, key in enumerate(self._kept(engine.name).keys()) if key in taken}

    def needs(self, left: Collection[int]) -> float:
        """As :meth:`Divisible.needs`."""
        return PROCESS + self.model.memory(max(self.lengths(left))).total

    def cut(self, left: Sequence[int], workers: int, warm: bool) -> list[tuple[int, ...]]:
        """As :meth:`Divisible.cut`: a protein a job where a process stays, else equal shares; the longest proteins first."""
        lengths = dict(zip(left, self.lengths(left), strict=True))
        ordered = sorted(left, key=lambda number: -lengths[number])
        shares: list[tuple[float, int, list[int]]] = [
            (0.0, place, []) for place in range(len(left) if warm else workers)
        ]
        for number in ordered:
            work, place, numbers = shares[0]
            heapq.heapreplace(shares, (work + lengths[number] ** _POWER, place, [*numbers, number]))
        return [tuple(numbers) for _, _, numbers in sorted(shares, key=lambda one: (-one[0], one[1])) if numbers]

    def keep(self, engine: str, options: Mapping[str, Any]) -> str:
        """As :meth:`Divisible.keep`."""
        return keep_folds(self.root, self._kept(engine)).id

    def give(self, plan: str, jobs: Mapping[str, Sequence[int]]) -> None:
        """As :meth:`Divisible.give`."""
        keep_folds(self.root, read_folds(self.root, plan).with_jobs(jobs))

    def fold(self, made_on: Execution, memory: str, say: Say) -> None:
        """Fold what is not there yet in this process.

        Args:
            made_on: where.
            memory: that it takes, in words.
            say: takes that, where there is something to fold.

        Raises:
            UserError: the structures that are there were made otherwise, the weights are not to be had, or the folder cannot be written.
        """
        begin(self, made_on, memory)
        waiting = sorted(set(range(len(self))) - self.done())
        if waiting:
            say(f"{memory}; {len(waiting):,} to fold")
        try:
            with closing(telling.bar("folding", len(waiting), unit=" proteins")) as shown:
                for number, why in self.turns(lambda number: None).in_turn(waiting, iter(())):
                    if why is not None:
                        self.mistakes[number] = why
                    shown.update()
        finally:
            self.gather()

    def fold_by(self, to: Dispatched, memory: str, say: Say) -> None:
        """Have an engine fold what is not there yet, which works for as long as this call.

        Args:
            to: the engine, and what it is given.
            memory: that a protein takes, in words; empty where that is not known.
            say: takes that, and who folds.

        Raises:
            UserError: no job can be done.
        """
        proteins = sum(map(len, to.work.jobs))
        try:
            if proteins:
                say(f"{memory and f'{memory}; '}{proteins:,} to fold: {to.why}")
                self._follow(to, proteins, say)
        finally:
            self.gather()

    def _follow(self, to: Dispatched, proteins: int, say: Say) -> None:
        with (
            closing(telling.bar("folding", proteins, unit=" proteins")) as shown,
            closing(cast("Generator[JobEvent]", to.engine.events(to.work))) as events,
        ):
            for event in events:
                if event.kind in {"not begun", "lost"} and event.mistake is not None:
                    self.mistakes[event.number] = event.mistake.error()
                elif event.kind == "again" and event.mistake is not None:
                    shown.clear()
                    say(f"{self.proteins[event.number].id}: {event.mistake.error()}; it comes again")
                shown.update(event.kind in {"not begun", "lost", "ended"})

    def gather(self) -> None:
        """Have the table of the folder list all that is there, as those who folded it may have been stopped before they could."""
        self.folder.order_as(self.stems)
        self.folder.gather()

    def rows(self) -> list[FoldedRow]:
        """What is there of each protein.

        Raises:
            UserError: of some there is nothing; why, of one of them.
        """
        pairs = enumerate(zip(self.proteins, self.stems, strict=True))
        # What was there has been looked at.
        found = [self.folder.found(*pair, whole=number not in self._earlier) for number, pair in pairs]
        missing = [number for number, row in enumerate(found) if row is None]
        if not missing:
            return [row for row in found if row is not None]
        there = f"{len(self.folder.rows):,} structures stay in {self.folder.folder}."
        others = f", nor could {len(missing) - 1:,} others be folded" if len(missing) > 1 else ""
        first = next((self.mistakes[number] for number in missing if number in self.mistakes), None)
        if first is None:
            name = self.proteins[missing[0]].id
            raise UserError(f"it was not folded{others}", where=name, fix=f"{there} The same command goes on.")
        raise UserError(f"{first.what}{others}", where=first.where, fix=f"{there} {first.fix or 'Leave it out.'}")

    def turns(self, begins: Callable[[int], None]) -> FoldTurns:
        """What folds them in this process.

        Args:
            begins: is told the number of a protein that is about to be folded.
        """
        return FoldTurns(self.model, self.folder, self.proteins, self.stems, self.seed, begins)

    def lengths(self, numbers: Collection[int]) -> list[int]:
        """Residues that the model reads of some of the proteins."""
        return [self.model.read_length(chains_of(self.proteins[number].sequence)) for number in numbers]

    def _kept(self, engine: str) -> KeptFolds:
        """What other processes are told."""
        path, commit = self.checkpoint.path, self.checkpoint.identity.commit
        return folds_of(
            self.proteins,
            self.stems,
            engine,
            checkpoint=f"{self.checkpoint.name}@{commit}" if path is None else str(path.absolute()),
            form=self.folder.form,
            seed=self.seed,
            samples=self.model.samples if self.model.draws else None,
            chunk_size=self.model.chunk,
            max_length=self.max_length,
        )


def settings_of(checkpoint: Checkpoint, model: FoldingModel, seed: int) -> dict[str, Any]:
    """What determines a structure, whatever the device is."""
    drawn = {"samples": model.samples, "seed": seed} if model.draws else {}
    return {**checkpoint.pinned(), "model": model.kind, **drawn}


def begin(asked: AskedFolds, made_on: Execution, memory: str) -> None:
    """Say in the folder how this process folds.

    Args:
        asked: what it folds.
        made_on: where.
        memory: that it takes, in words.

    Raises:
        UserError: the structures that are there were made otherwise, or it cannot be written.
    """
    model, pins = asked.model, asked.checkpoint.pinned()
    about = {
        **pins,
        "model": model.kind,
        "bench": __version__,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": f"{model.device.type}: {made_on.device_name}",
        "chunk size": model.chunk,
        "memory, estimated": memory,
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers", "biotite")},
    }
    settings = settings_of(asked.checkpoint, model, asked.seed) | {"precision": model.precision}
    asked.folder.begin(settings, about, asked.stems)


def foldable(
    model: FoldingModel, proteins: Sequence[Protein], longest: int | None, *, here: bool = True
) -> tuple[list[Protein], list[str], str]:
    """The proteins that are folded, what is left out, a line each, and what memory they take, in words.

    Args:
        model: that folds.
        proteins: that were asked for.
        longest: residues up to which all are folded; None where memory decides.
        here: whether it is this machine whose memory decides.

    Raises:
        UserError: nobody said how long they may be, and one is too long.
    """
    lengths = [model.read_length(chains_of(protein.sequence)) for protein in proteins]
    if longest is None:
        told = refuse_long(model, [protein.id for protein in proteins], lengths, shorter(model)) if here else ""
        return list(proteins), [], told
    sized = list(zip(proteins, lengths, strict=True))
    kept = [protein for protein, length in sized if length <= longest]
    if not kept:
        raise UserError(f"all proteins have more than {longest:,} residues", where="--max-length", fix="Give more.")
    left = [f"{one.id}: {n:,} residues, more than --max-length {longest:,}" for one, n in sized if n > longest]
    return kept, left, needs(model, max(length for length in lengths if length <= longest))


def shorter(model: FoldingModel) -> str:
    """What to do where a protein is too long for the device."""
    help = (
        "Use a GPU, a smaller --chunk-size or fewer --samples."
        if model.draws
        else "Use a GPU, or a smaller --chunk-size."
    )
    return f"{help} --max-length N folds all up to N residues whatever the estimate, and leaves out longer ones."
