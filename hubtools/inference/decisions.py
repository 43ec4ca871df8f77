"""Answers as tables: what is predicted, by the thresholds that were chosen on validation, with every probability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hubtools.evaluation.metrics.thresholds import decide
from hubtools.evaluation.predictions import Predictions
from hubtools.inference.asking import questions_of

if TYPE_CHECKING:
    from hubtools.inference.predictor import Predictor, ProteinPrediction

# Between the labels of one protein that has several.
BETWEEN = ";"


@dataclass(frozen=True)
class Decided:
    """An answer with its decisions, a row for the protein or for each residue that the task is about.

    Attributes:
        answer: as the model gave it.
        positions: residues of the rows, from 1; None where the protein is the row.
        scores: (rows, outputs) probabilities or values.
        labels: decided labels of each row: one, any number, or none for values.
    """

    answer: ProteinPrediction
    positions: np.ndarray | None
    scores: np.ndarray
    labels: list[list[str]]


class Decider:
    """Decisions as the run made them on its test split.

    Args:
        predictor: whose task and thresholds count.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.task, self.problem, self.names = predictor.task, predictor.problem, predictor.labels
        self.questions = questions_of(self.problem)
        training = predictor.record.training
        self.thresholds: list[float] | None = (training.choices if training else {}).get("thresholds")
        self.candidates: str | None = predictor.task.data.candidates

    def decide(self, answer: ProteinPrediction) -> Decided:
        """Labels of an answer; of residues, those that the task is about (``data.candidates``)."""
        scores, positions = self.questions.rows(answer.protein, answer.scores, self.candidates)
        return Decided(answer, positions, scores, self._labels(scores, positions))

    def _labels(self, scores: np.ndarray, positions: np.ndarray | None) -> list[list[str]]:
        kind, n = self.problem.kind, len(scores)
        if kind == "regression" or not n:
            return [[] for _ in range(n)]
        nothing: Any = np.zeros(scores.shape, np.int8) if kind == "multilabel" else np.zeros(n, np.int64)
        ids = np.full(n, "-")
        asked = Predictions(
            self.problem,
            ids,
            positions,
            None,
            nothing,
            scores,
            proteins=self.questions.proteins(ids),
        )
        decision = decide(self.task, asked, self.thresholds)
        assert decision is not None
        if kind == "multilabel":
            return [[name for name, has in zip(self.names, row, strict=True) if has] for row in decision]
        return [[self.names[index]] for index in decision.tolist()]

    @property
    def columns(self) -> list[str]:
        """Names of the columns of :meth:`rows`."""
        about = self.questions.about
        if self.problem.kind == "regression":
            return [*about, "value"]
        certain = ["probability"] if self.problem.kind == "classification" else []
        return [*about, "predicted", *certain, *(f"p_{name}" for name in self.names)]

    def rows(self, decided: Decided) -> list[list[Any]]:
        """The rows of a table."""
        protein = decided.answer.protein
        rows = []
        for index, (scores, labels) in enumerate(zip(decided.scores.tolist(), decided.labels, strict=True)):
            at = None if decided.positions is None else int(decided.positions[index])
            row = self.questions.cells(protein, at)
            if self.problem.kind != "regression":
                row.append(BETWEEN.join(labels))
            if self.problem.kind == "classification":
                row.append(scores[self.names.index(labels[0])])
            rows.append([*row, *scores])
        return rows
