"""From probabilities to decisions: thresholds, chosen on validation and nowhere else."""

from __future__ import annotations

import logging

import numpy as np

from hubtools.evaluation.predictions import Predictions
from hubtools.specs.task import Task

log = logging.getLogger(__name__)

DEFAULT = 0.5
# More labels than this are counted rather than named.
_NAMED = 20


def choose_thresholds(task: Task, validation: Predictions) -> list[float] | None:
    """The thresholds of largest F1 on validation: one per label, or one for the class to be detected.

    A row is called positive where its probability reaches the threshold. Thresholds that make the same decisions are
    stood for by 0.5 where it is one of them, else by the middle of their range; of several with the largest F1 the
    one nearest 0.5 is taken. A label without a positive row on validation keeps 0.5, with a warning.

    Returns:
        (L,) for multi-label, one value for a two-class task that names its positive class, None where the likeliest
        class is decided for, and for regression.
    """
    thresholds, unseen = _choose(task, validation)
    if unseen:
        named = ", ".join(unseen[:_NAMED]) + f" and {len(unseen) - _NAMED:,} more" * (len(unseen) > _NAMED)
        log.warning("no positive row on validation for %s: threshold %g", named, DEFAULT)
    return thresholds


def thresholds_needed(task: Task) -> int:
    """How many thresholds decide a task with classes: one per label, one for the class to be detected, or none."""
    return task.n_outputs if task.problem.kind == "multilabel" else 0 if task.positive_index is None else 1


def decide(task: Task, predictions: Predictions, thresholds: list[float] | None) -> np.ndarray | None:
    """Hard decisions.

    Args:
        task: the task.
        predictions: of any split.
        thresholds: what :func:`choose_thresholds` gave.

    Returns:
        (n,) int64 classes, (n, L) int8 of 0 and 1, or None for regression, where there is nothing to decide.

    Raises:
        ValueError: the number of thresholds is not what the task needs.
    """
    if task.problem.kind == "regression":
        return None
    positive, needed = task.positive_index, thresholds_needed(task)
    if len(thresholds or []) != needed:
        raise ValueError(f"{task.name} needs {needed} thresholds, got {len(thresholds or [])}: see choose_thresholds")
    if not needed:
        return predictions.scores.argmax(axis=1)
    limits = np.asarray(thresholds, dtype=np.float64)
    if positive is None:
        return (predictions.scores >= limits).astype(np.int8)
    return np.where(predictions.scores[:, positive] >= limits[0], positive, 1 - positive)


def quick_thresholds(task: Task, predictions: Predictions) -> list[float] | None:
    """As :func:`choose_thresholds`, without the warning: for every epoch's validation score."""
    return _choose(task, predictions)[0]


def _choose(task: Task, validation: Predictions) -> tuple[list[float] | None, list[str]]:
    if task.problem.kind == "multilabel":
        positive = {output: validation.truth[:, output] == 1 for output in range(validation.n_outputs)}
    elif task.positive_index is not None:
        positive = {task.positive_index: validation.truth == task.positive_index}
    else:
        return None, []
    unseen = [task.label_names[output] for output, has in positive.items() if not has.any()]
    return [best_threshold(has, validation.scores[:, output]) for output, has in positive.items()], unseen


def best_threshold(positive: np.ndarray, probability: np.ndarray) -> float:
    """The threshold of largest F1, by the rules of :func:`choose_thresholds`.

    The result is a float32 number, so that float32 and float64 comparisons with it agree.

    Args:
        positive: (n,) bool.
        probability: (n,) float32.
    """
    if not positive.any():
        return DEFAULT
    # Thresholds fall into ranges (below, at] between neighbouring distinct probabilities; within one, nothing changes.
    at, index = np.unique(probability.astype(np.float32), return_inverse=True)
    below = np.append(np.float32(min(0.0, at[0])), at[:-1])
    called = np.bincount(index)[::-1].cumsum()[::-1]
    right = np.bincount(index, weights=positive)[::-1].cumsum()[::-1]
    f1 = 2 * right / (called + positive.sum())
    middle = below + (at - below) / np.float32(2)
    # Between neighbouring floats the middle rounds to one of them, and only the upper one is in the range.
    threshold = np.where(middle > below, middle, at)
    threshold = np.where((below < DEFAULT) & (at >= DEFAULT), np.float32(DEFAULT), threshold)
    best = np.flatnonzero(f1 == f1.max())
    return float(threshold[best[np.argmin(np.abs(threshold[best] - DEFAULT))]])
