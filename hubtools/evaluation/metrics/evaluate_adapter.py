"""The metrics as ``evaluate.Metric`` objects, for people whose code speaks that library. Nothing is downloaded."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hubtools.common.errors import UserError
from hubtools.evaluation.metrics.weighing import value
from hubtools.evaluation.predictions import Predictions
from hubtools.specs.level import PROTEIN
from hubtools.specs.metric_names import METRICS
from hubtools.specs.problem import Problem, problem_of

if TYPE_CHECKING:
    import evaluate

_PROBLEMS: dict[str, Problem] = {kind: problem_of(PROTEIN, kind) for kind in PROTEIN.kinds.values()}


def metric(
    name: str, *, kind: str | None = None, labels: int | Sequence[str] | None = None, positive: int | None = None
) -> evaluate.Metric:
    """One of bench's metrics with the interface of ``evaluate``: ``compute``, ``add``, ``add_batch``.

    What ``predictions`` and ``references`` are:

    ==============  ================================================  =========================================
    kind            predictions                                       references
    ==============  ================================================  =========================================
    classification  classes; for auroc and auprc the probability of   classes
                    the positive class, or one per class where
                    ``labels`` says that there are more than two
    multilabel      lists of 0 and 1; for auroc and auprc lists of    lists of 0 and 1
                    probabilities
    regression      values                                            values
    ==============  ================================================  =========================================

    Args:
        name: a name of METRICS.
        kind: classification (default where the metric allows it), multilabel or regression.
        labels: all classes of the task, or how many they are; macro_f1 averages over all of them. By default as many
            as the data show.
        positive: index of the class that f1, auroc and auprc are about (two classes; default 1).

    Returns:
        The metric; its result is ``{name: value}`` with None where it is undefined.

    Raises:
        UserError: no metric has that name, or it is not for that kind.
    """
    if name not in METRICS:
        raise UserError(f"there is no metric {name!r}", fix=f"Known: {', '.join(METRICS)}.")
    if METRICS[name].needs_cleaved:
        raise UserError(
            f"metric {name!r} is about proteins and their residues, and evaluate knows rows alone",
            fix="Score a task that names it: bench run.",
        )
    if METRICS[name].level:
        raise UserError(
            f"metric {name!r} is of pairs of residues within proteins", fix="It is computed by bench run alone."
        )
    kinds = METRICS[name].kinds
    kind = kind or ("classification" if "classification" in kinds else min(kinds))
    if kind not in kinds:
        raise UserError(f"metric {name!r} is not for {kind}", fix=f"It is for: {', '.join(sorted(kinds))}.")
    if kind == "regression" and METRICS[name].zero_shot_only:
        raise UserError(
            f"metric {name!r} of values needs a cutoff", fix="Compare with it first: kind='classification'."
        )
    n_labels = labels if isinstance(labels, int) or labels is None else len(labels)
    if kind == "classification" and METRICS[name].needs_positive and (n_labels or 2) == 2:
        positive, n_labels = 1 if positive is None else positive, 2
    return _metric_class()(name, kind, n_labels, positive)


@functools.cache
def _metric_class() -> type[evaluate.Metric]:
    """The class is made on first use: importing ``evaluate`` takes seconds."""
    import datasets
    import evaluate

    class BenchMetric(evaluate.Metric):
        """One metric of bench."""

        def __init__(self, name: str, kind: str, n_labels: int | None, positive: int | None) -> None:
            self._settings = name, kind, n_labels, positive
            # In memory: no cache files and locks in the user's home for a number.
            super().__init__(keep_in_memory=True)

        def _info(self) -> evaluate.MetricInfo:
            name, kind, n_labels, _ = self._settings
            ranks = METRICS[name].reads_scores
            number = datasets.Value("float32" if ranks or kind == "regression" else "int64")
            true = datasets.Value("float64" if kind == "regression" else "int64")
            several = kind == "multilabel" or (ranks and (n_labels or 2) > 2)
            return evaluate.MetricInfo(
                description=f"{METRICS[name].title} ({kind}), as reported by bench.",
                citation="",
                inputs_description=metric.__doc__ or "",
                features=datasets.Features(
                    predictions=datasets.Sequence(number) if several else number,
                    references=datasets.Sequence(true) if kind == "multilabel" else true,
                ),
            )

        def _compute(self, predictions: Any, references: Any) -> dict[str, float | None]:
            return {self._settings[0]: _value(*self._settings, np.asarray(predictions), np.asarray(references))}

    return BenchMetric


def _value(
    name: str, kind: str, n_labels: int | None, positive: int | None, given: np.ndarray, truth: np.ndarray
) -> float | None:
    """The metric of arrays: put into the form of Predictions, where decisions stand in for scores where it has none."""
    decision, scores = None, given
    if kind == "classification" and METRICS[name].reads_scores:
        if given.ndim == 1:
            scores = np.stack([given, given], axis=1)
    elif kind == "classification":
        n = n_labels or int(max(given.max(initial=0), truth.max(initial=0))) + 1
        decision, scores = given, np.zeros((len(given), n), dtype=np.float32)
    elif kind == "multilabel" and not METRICS[name].reads_scores:
        decision = given
    ids = np.arange(len(truth)).astype(np.str_)
    return value(name, Predictions(_PROBLEMS[kind], ids, None, None, truth, scores), decision, positive=positive)
