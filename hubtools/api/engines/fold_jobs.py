"""Jobs of a command that folds, done in this process: proteins in turn, and a word for whoever started it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

from hubtools.api.computing import quiet
from hubtools.api.proteins.asked_folds import AskedFolds, begin, shorter
from hubtools.common.errors import UserError
from hubtools.inference.folding.folds_folder import FoldsFolder
from hubtools.models.folding.folding_models import folding_model
from hubtools.runs.engines.job_events import JobEvent, Mistake
from hubtools.training.folding.fold_limits import fold_limit, needs, refuse_long

if TYPE_CHECKING:
    from pathlib import Path

    from hubtools.api.computing import ExecutionOptions
    from hubtools.inference.folding.kept_folds import KeptFolds
    from hubtools.runs.session import Session


@dataclass
class FoldRunner:
    """Folds some of the proteins of a command after others; the model stays loaded.

    Attributes:
        kept: what was asked for.
        root: folder of the structures.
        session, execution: where and how to compute.
        tell: is told what happens.
        alone: whether nobody waits for it, who gives others what it leaves and gathers what it folds: then it folds what others
            have not begun when its own proteins are done, and gathers itself.
    """

    kept: KeptFolds
    root: Path
    session: Session
    execution: ExecutionOptions
    tell: Callable[[JobEvent], None]
    alone: bool

    @cached_property
    def asked(self) -> AskedFolds:
        """What was asked for, as this process folds it.

        Raises:
            UserError: the checkpoint is not there, or the structures that are there were made otherwise.
        """
        kept, checkpoint = self.kept, self.session.checkpoint(self.kept.checkpoint)
        model = folding_model(checkpoint, self.session.execution.device, kept.chunk_size, kept.samples)
        folder = FoldsFolder(self.root, kept.form)
        asked = AskedFolds(
            self.root, self.execution, checkpoint, model, folder, kept.given, kept.stems, kept.seed, kept.max_length
        )
        begin(asked, self.session.execution, needs(model, max(asked.lengths(range(len(asked))))))
        return asked

    @cached_property
    def too_long(self) -> dict[int, UserError]:
        """Proteins that this device cannot fold, where nobody has said how long they may be; asked before the weights are there."""
        asked = self.asked
        if asked.max_length is not None:
            return {}
        longest, _ = fold_limit(asked.model)
        found = {}
        for number, length in enumerate(asked.lengths(range(len(asked)))):
            if length > longest:
                try:
                    refuse_long(asked.model, [asked.proteins[number].id], [length], shorter(asked.model))
                except UserError as error:
                    found[number] = error
        return found

    def do(self, numbers: Sequence[int]) -> bool:
        """Do a job.

        Args:
            numbers: of its proteins, from 0.

        Returns:
            Whether each of them has its structure.
        """
        own, fine = set(numbers), True
        for number in own & self.too_long.keys():
            fine = False
            self.tell(JobEvent("not begun", number, mistake=Mistake.of(self.too_long[number])))
        passed = own | self.too_long.keys()
        others = (number for number in range(len(self.kept.proteins)) if number not in passed)

        # Who gives others what it has left blames this process for what it was given.
        def begins(number: int) -> None:
            if self.alone or number in own:
                self.tell(JobEvent("begins", number))

        turns = self.asked.turns(begins)
        short = [number for number in numbers if number not in self.too_long]
        with quiet():
            try:
                for number, why in chain(turns.in_turn(short, others), turns.free(others) if self.alone else ()):
                    fine = fine and (why is None or number not in own)
                    if self.alone or number in own:
                        mistake = None if why is None else Mistake.of(why)
                        self.tell(JobEvent("ended" if why is None else "not begun", number, mistake=mistake))
            finally:
                if self.alone:
                    self.asked.folder.gather()
        return fine
