"""A model that bench saved, asked about proteins that nobody has labelled."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hubtools.common.errors import UserError
from hubtools.common.version import __version__
from hubtools.data.rows.chain_breaks import BREAK, chains_of
from hubtools.evaluation.metrics.thresholds import thresholds_needed
from hubtools.inference.asking import Protein, questions_of
from hubtools.runs.store import OpenRun, open_run
from hubtools.specs.problem import Problem
from hubtools.specs.recipe import Window
from hubtools.specs.record import RunRecord

if TYPE_CHECKING:
    from hubtools.models.tokenisation import ResidueTokeniser
    from hubtools.training.compute.device import Execution
    from hubtools.training.compute.engine import Engine
    from hubtools.training.encoding import Encoded

# Proteins that are read together, sorted by length among themselves.
CHUNK, CHUNK_RESIDUES = 256, 200_000


@dataclass(frozen=True)
class ProteinPrediction:
    """What the model says of one protein or pair.

    Attributes:
        protein: that was asked about.
        scores: probabilities or values: (outputs,) of a protein; (residues, outputs) where the task is about residues.
            A regression has one output.
        windows: pieces that it was read in.
    """

    protein: Protein
    scores: np.ndarray
    windows: int = 1


class Predictor:
    """A loaded model with what its record says about it.

    Attributes:
        record: of the run that made it.
        task: that it was trained on.
        problem: of the task.
        labels: names of the outputs, in order; of a regression, none.
    """

    def __init__(
        self, model: Any, tokeniser: ResidueTokeniser, record: RunRecord, execution: Execution, bf16: bool = False
    ) -> None:
        self.model, self.tokeniser, self.record, self.execution, self.bf16 = model, tokeniser, record, execution, bf16
        self.task = record.task_spec
        self.problem: Problem = self.task.problem
        self.labels = [] if self.problem.kind == "regression" else self.task.label_names
        self.window = _window(record)
        # What was found when the first proteins were read in a batch and alone.
        self._proven: Engine | None = None

    @classmethod
    def open(cls, run: OpenRun | Path, execution: Execution | None = None) -> Predictor:
        """Load a run's folder, or a repository as published: model and ``run.json`` side by side.

        Args:
            run: as it was opened, or its folder.
            execution: where and how it computes; by default on the best device there is.

        Raises:
            UserError: there is no such model, or it cannot be asked as it was trained.
        """
        from hubtools.runs.whole_model import model_of
        from hubtools.training.compute.device import Execution

        run = open_run(run)
        folder, record = run
        _require_readable(record, str(folder))
        execution = execution or Execution.choose()
        model, tokeniser = model_of(run)
        tokeniser = tokeniser.as_recorded(record.alignment, record.tokens)
        return cls(model.to(execution.device), tokeniser, record, execution)

    @property
    def calibrated(self) -> bool:
        """Whether it was measured what its probabilities are worth."""
        return any(result.calibration is not None for result in self.record.results.values())

    def about(self, name: str) -> dict[str, str]:
        """How predictions are made, for whoever finds them.

        Args:
            name: under which the model was asked for.
        """
        record, found = self.record, {}
        for split in record.test_splits[:1]:
            score = record.score(split)
            if score is not None and score.value is not None:
                found[f"{record.primary_metric} on {split}"] = f"{score.value:.4g}"
            if (measured := record.results[split].calibration) is not None:
                found[f"expected calibration error on {split}"] = f"{measured.ece:.3g}"
        return {
            "model": name,
            "run": record.run_id,
            "task": f"{record.identity.task.name} version {record.identity.task.version}",
            "checkpoint": record.subject,
            "recipe": record.identity.recipe.name,
            **found,
            "bench": __version__,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def predict(self, proteins: Iterable[Protein], *, many: bool = False) -> Iterator[ProteinPrediction]:
        """Answers in the order of the proteins, which are read a chunk at a time: a stream may be endless.

        Args:
            proteins: in canonical form.
            many: for long streams: first make the model faster, where it then proves to compute the same
                (:mod:`hubtools.training.compute.engine`), and count proteins on a bar where a person watches.

        Raises:
            UserError: what the model says of a protein depends on those that it is read with.
        """
        from hubtools.common.telling import bar

        chunks = _chunks(proteins)
        with contextlib.ExitStack() as stack:
            progress = stack.enter_context(
                contextlib.closing(bar("predicting", None, unit=" proteins", hidden=not many))
            )
            packed: bool | None = None
            for chunk in chunks:
                if packed is None:
                    packed = stack.enter_context(self._reading(chunk, many)).packed
                yield from self._of(chunk, packed)
                progress.update(len(chunk))

    @contextlib.contextmanager
    def _reading(self, first: Sequence[Protein], many: bool) -> Iterator[Engine]:
        """The model ready to read, after it was proven on the first proteins."""
        from hubtools.training.compute.engine import engine
        from hubtools.training.compute.together import chosen

        if self._proven is not None and not many and self._proven.layout == "padded":
            yield self._proven
            return
        split = self._encode(first)
        proteins = chosen(split.tokens, split.windows)
        with engine(
            self.model, self.tokeniser, self.execution, bf16=self.bf16, trains=False, proteins=proteins, faster=many
        ) as made:
            self._proven = self._proven or made
            yield made

    def _of(self, proteins: Sequence[Protein], packed: bool) -> Iterator[ProteinPrediction]:
        from hubtools.training.loss import Loss
        from hubtools.training.prediction import predict

        split = replace(self._encode(proteins), packed=packed)
        found = predict(
            self.model,
            split,
            Loss(self.problem.kind),
            token_budget=self.execution.token_budget,
            device=self.execution.device,
            bf16=self.bf16,
        )
        scores = found.scores.reshape(len(found.scores), -1)
        parts = questions_of(self.problem).answers(proteins, scores)
        for index, (protein, part) in enumerate(zip(proteins, parts, strict=True)):
            yield ProteinPrediction(protein, part, len(split.windows[index]) if split.pairs is None else 1)

    def _encode(self, proteins: Sequence[Protein]) -> Encoded:
        """The proteins as a split whose labels all count and mean nothing.

        Raises:
            UserError: a protein has another number of chains than those that the model learnt from.
        """
        from hubtools.training.encoding import Encoded, read_chains

        chains = self.task.chains
        if other := next((one for one in proteins if len(chains_of(one.sequence)) != chains), None):
            raise UserError(
                f"it has {len(chains_of(other.sequence))} of the {chains} chains that the model reads of a protein",
                where=other.id,
                fix=f"Write all of them, with {BREAK} between.",
            )

        blank: Any = np.zeros(len(self.labels), np.int64) if self.problem.kind == "multilabel" else np.int64(0)
        asked = questions_of(self.problem).asked(proteins, blank)
        tokens, windows = read_chains(self.tokeniser, self.window, asked.sequences, asked.structures)
        positions = getattr(self.model.config, "pool_positions", None)
        return Encoded(
            problem=self.problem,
            ids=[str(index) for index in range(len(proteins))],
            clusters=None,
            tokens=tokens,
            labels=asked.labels,
            windows=windows,
            tokeniser=self.tokeniser,
            pool=None if positions is None else np.asarray(positions),
            names=asked.names,
            pairs=asked.pairs,
            chains=chains,
        )


def _require_readable(record: RunRecord, where: str) -> None:
    """Make sure that thresholds were chosen as the task needs them: the record is anybody's.

    Raises:
        UserError: they are not.
    """
    task = record.task_spec
    chosen = (record.training.choices if record.training else {}).get("thresholds")
    needed = 0 if task.problem.kind == "regression" else thresholds_needed(task)
    given = [] if chosen is None else chosen
    if not isinstance(given, list) or len(given) != needed or not all(map(_is_probability, given)):
        raise UserError(
            "what its record says of training.choices.thresholds is not what bench writes",
            where=where,
            fix="Get the model again, or another.",
        )


def _is_probability(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and bool(np.isfinite(value))


def _chunks(proteins: Iterable[Protein]) -> Iterator[list[Protein]]:
    """Proteins that are read together: up to a number of them, and of residues."""
    chunk: list[Protein] = []
    residues = 0
    for protein in proteins:
        chunk.append(protein)
        residues += len(protein.sequence) + len(protein.partner or "")
        if len(chunk) == CHUNK or residues >= CHUNK_RESIDUES:
            yield chunk
            chunk, residues = [], 0
    if chunk:
        yield chunk


def _window(record: RunRecord) -> Window:
    """The window that the run read with."""
    window = record.recipe_spec.window
    if record.windows is None:
        return window
    cut = {"residues": record.windows.residues_per_window, "overlap": record.windows.overlap}
    return window.model_copy(update=cut)
