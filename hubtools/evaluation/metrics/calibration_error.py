"""Whether a probability means what it says: calibration error, reliability, and the two scores that go with them.

What is decided where the field has no single convention:

===================  ==============================================================================================
classification       the probability of the class that is likeliest, and whether it is the true one (Guo et al., ICML
                     2017); where the task names a positive class, the probability of that class and whether it is so
multi-label          every label's probability; the calibration error is that of each label, averaged over the labels
                     (class-wise, Kull et al., NeurIPS 2019), while the reliability diagram pools them
calibration error    ECE: 15 bins of equal width, open below and closed above; the mean over rows of |mean confidence -
                     observed frequency| of a row's bin. ``adaptive``: 15 bins of equal numbers of rows instead, where
                     equal confidences stay together (Nixon et al., CVPR Workshops 2019)
Brier score          two classes, and each label: mean of (p - y)², from 0 to 1. More classes: summed over them, from
                     0 to 2 (Brier 1950). scikit-learn decides alike
log loss             mean of -log p of what is true, natural logarithm; a probability of 0 counts as float32's epsilon
===================  ==============================================================================================

The last two are there because a calibration error alone can be had for nothing: who says the share of positives of
every row has none, and knows nothing. Both are proper scores, which only the true probabilities make smallest.

Intervals are by the same bootstrap over whole units as those of metrics, but an ECE is a sum of absolute values: noise
makes it larger, so that by chance it is never 0, and a replicate, which has as much noise again, is larger still. So
the record says beside it what noise alone makes of a perfectly calibrated model on this split (``noise``): the 95th
percentile of the ECE of the gaps by which replicates differ from what was observed. (Consistency resampling, Bröcker &
Smith, Weather and Forecasting 2007, asks the same, and takes rows for independent.) An ECE within the noise cannot be
told from 0, and its interval begins there. One beyond it has the basic bootstrap's lower end, 2·ECE - percentile,
which takes the noise of the replicates off. The upper end is the percentile. Simulated with known truth
(``benchmarks/calibration.py``, clusters of four proteins): with 500 clusters the lower end held in 93 to 98 of 100 trials and
the upper in 98 to 100, with 100 clusters the lower in 90 to 95; the plain percentile interval of a perfectly
calibrated model never held 0.

A regression has nothing here: its model says one value and not how sure it is of it, so nothing can be calibrated.
(That predictions are too large or too small on the whole is seen by ``rmse``, ``r2`` and in the figure.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hubtools.evaluation.metrics.counting import divide
from hubtools.evaluation.predictions import Predictions
from hubtools.evaluation.statistics.resampling import blocks, bootstrap_units, bootstrap_weights, pair_weights
from hubtools.specs.record import Calibration
from hubtools.specs.task import Task

BINS = 15
# A bin's interval says something where it can vary: where rows of at least so many units fall into it.
MIN_UNITS_IN_BIN = 10

# Up to this many numbers, sums by unit are kept dense.
_DENSE = 2**22
_TAILS = (0.025, 0.975)
_EPSILON = float(np.finfo(np.float32).eps)


@dataclass(frozen=True, eq=False)
class Confidences:
    """What a model said with how much confidence, and whether it was so.

    Attributes:
        confidence: (n, L) float64 probabilities; L is 1 for classification.
        outcome: (n, L) bool.
        about: whose probability it is, in words.
    """

    confidence: np.ndarray
    outcome: np.ndarray
    about: str


def claims(task: Task, predictions: Predictions) -> Confidences:
    """The probabilities whose calibration is looked at, by the conventions above.

    Raises:
        ValueError: the task is a regression.
    """
    scores, truth = predictions.scores.astype(np.float64), predictions.truth
    if task.problem.kind == "regression":
        raise ValueError("a regression claims no probability")
    if task.problem.kind == "multilabel":
        return Confidences(scores, truth.astype(bool), "each label")
    if task.positive_index is not None:
        positive = task.positive_index
        return Confidences(scores[:, [positive]], (truth == positive)[:, None], task.label_names[positive])
    likeliest = scores.argmax(axis=1)
    confidence = np.take_along_axis(scores, likeliest[:, None], axis=1)
    return Confidences(confidence, (likeliest == truth)[:, None], "the likeliest class")


def equal_width(confidence: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Bin of each probability, (k / bins, (k + 1) / bins]: int64 of the same shape; 0 is in the first bin."""
    return np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence, side="left").astype(np.int64)


def equal_mass(confidence: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Bin of each of (n, L) probabilities by their quantiles, label by label; equal ones are in one bin."""
    quantiles = np.linspace(0, 1, bins + 1)[1:-1]
    columns = [np.searchsorted(np.quantile(column, quantiles), column, side="left") for column in confidence.T]
    return np.stack(columns, axis=1).astype(np.int64)


def expected_calibration_error(
    confidence: np.ndarray, outcome: np.ndarray, *, bins: int = BINS, adaptive: bool = False
) -> float:
    """Mean over rows of |mean confidence - observed frequency| of their bin, averaged over labels.

    Args:
        confidence: (n,) or (n, L) probabilities.
        outcome: of the same shape, whether it was so.
        bins: how many.
        adaptive: of equal numbers of rows rather than of equal width.

    Returns:
        From 0 to 1; NaN without rows.
    """
    confidence = np.asarray(confidence, dtype=np.float64).reshape(len(confidence), -1)
    gaps = confidence - np.asarray(outcome, dtype=np.float64).reshape(confidence.shape)
    if not len(gaps):
        return float("nan")
    cells = _cells((equal_mass if adaptive else equal_width)(confidence, bins), bins)
    return float(np.abs(np.bincount(cells.ravel(), weights=gaps.ravel())).sum() / gaps.size)


def brier_score(predictions: Predictions) -> float:
    """Mean squared distance of the probabilities from the truth, by the conventions above; NaN without rows."""
    scores, truth = predictions.scores.astype(np.float64), predictions.truth
    if not len(truth):
        return float("nan")
    if truth.ndim == 2:
        return float(np.mean((scores - truth) ** 2))
    total = float(np.mean(((scores - (truth[:, None] == np.arange(scores.shape[1]))) ** 2).sum(axis=1)))
    return total / 2 if scores.shape[1] == 2 else total


def log_loss(predictions: Predictions) -> float:
    """Mean -log p of what is true; of several labels the mean over them. NaN without rows."""
    scores, truth = predictions.scores.astype(np.float64), predictions.truth
    if not len(truth):
        return float("nan")
    if truth.ndim == 2:
        said = np.where(truth.astype(bool), scores, 1 - scores)
    else:
        said = np.take_along_axis(scores, truth[:, None], axis=1)
    return float(-np.log(np.clip(said, _EPSILON, 1)).mean())


def calibration(task: Task, predictions: Predictions, *, replicates: int, seed: int = 0) -> Calibration | None:
    """What the record keeps of a split: the error with interval, proper scores, and the reliability of each bin.

    Args:
        task: the task.
        predictions: of one split.
        replicates: of the bootstrap; 0 for no intervals.
        seed: of the draws.

    Returns:
        None for a regression, and where there are no rows.
    """
    if task.problem.kind == "regression" or not len(predictions):
        return None
    claimed = claims(task, predictions)
    codes = equal_width(claimed.confidence)
    rows, n_units, _ = bootstrap_units(predictions)
    drawn = _Drawn.of(claimed, codes, rows, n_units, replicates if n_units > 1 else 0, seed)
    counts, confidence, observed = (
        np.bincount(codes.ravel(), weights=values, minlength=BINS)
        for values in (None, claimed.confidence.ravel(), claimed.outcome.ravel())
    )
    error = expected_calibration_error(claimed.confidence, claimed.outcome)
    low, high, noise = drawn.interval(error)
    lows, highs = drawn.frequencies(observed / np.maximum(counts, 1))
    return Calibration(
        of=claimed.about,
        ece=round(error, 6),
        low=low,
        high=high,
        noise=noise,
        adaptive=round(expected_calibration_error(claimed.confidence, claimed.outcome, adaptive=True), 6),
        brier=round(brier_score(predictions), 6),
        log_loss=round(log_loss(predictions), 6),
        counts=[int(count) for count in counts],
        confidence=_rounded(divide(confidence, counts)),
        observed=_rounded(divide(observed, counts)),
        observed_low=_rounded(lows),
        observed_high=_rounded(highs),
    )


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Replicates.

    Attributes:
        errors: (R,) ECE.
        noise: (R,) ECE of what the gaps of a replicate differ from the observed ones by.
        observed: (R, bins) frequencies, NaN where a bin is empty.
        varies: (bins,) bool, where enough units have rows in a bin, and different ones.
    """

    errors: np.ndarray
    noise: np.ndarray
    observed: np.ndarray
    varies: np.ndarray

    @staticmethod
    def of(
        claimed: Confidences, codes: np.ndarray, units: np.ndarray, n_units: int, replicates: int, seed: int
    ) -> _Drawn:
        """Draw whole units; everything is a product of how often each is drawn with its sums."""
        n, labels = codes.shape
        drawn_by, weigh = n_units, None
        if units.ndim == 2:
            units, n_units, weigh = pair_weights(units)
        owners = np.repeat(units, labels)
        gaps = _sums(owners, _cells(codes, BINS), claimed.confidence - claimed.outcome, (n_units, labels * BINS))
        counts = _sums(owners, codes, np.ones(codes.shape), (n_units, BINS))
        observed = _sums(owners, codes, claimed.outcome.astype(np.float64), (n_units, BINS))
        sizes = np.bincount(units, minlength=n_units).astype(np.float64)
        whole = gaps.sum(axis=0) / (n * labels)
        touched = np.asarray((counts > 0).sum(axis=0)).ravel()
        happened, rows = (np.asarray(table.sum(axis=0)).ravel() for table in (observed, counts))
        varies = (touched >= MIN_UNITS_IN_BIN) & (happened > 0) & (happened < rows)
        if not replicates:
            return _Drawn(np.empty(0), np.empty(0), np.empty((0, BINS)), varies)
        parts = []
        for drawn in bootstrap_weights(drawn_by, replicates, seed):
            for block in blocks(len(drawn), max(n_units, labels * BINS)):
                weights = (drawn[block] if weigh is None else weigh(drawn[block])).astype(np.float64)
                gap = divide(weights @ gaps, (weights @ sizes * labels)[:, None])
                errors, noise = np.abs(gap).sum(axis=1), np.abs(gap - whole).sum(axis=1)
                parts.append((errors, noise, divide(weights @ observed, weights @ counts)))
        errors, noise, frequencies = (np.concatenate(part) for part in zip(*parts, strict=True))
        return _Drawn(errors, noise, frequencies, varies)

    def interval(self, error: float) -> tuple[float | None, float | None, float | None]:
        """Low, high and noise level of the ECE; None without replicates."""
        errors, noise = self.errors[~np.isnan(self.errors)], self.noise[~np.isnan(self.noise)]
        if not len(errors) or 2 * len(errors) < len(self.errors):
            return None, None, None
        above, noise_level = max(error, float(np.quantile(errors, _TAILS[1]))), float(np.quantile(noise, 0.95))
        below = 0.0 if error <= noise_level else max(0.0, 2 * error - above)
        return round(below, 6), round(above, 6), round(noise_level, 6)

    def frequencies(self, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """95 % percentile interval of each bin's frequency: (bins,) and (bins,), NaN where there is none."""
        low, high = np.full(BINS, np.nan), np.full(BINS, np.nan)
        for index in np.flatnonzero(self.varies):
            values = self.observed[:, index]
            values = values[~np.isnan(values)]
            if len(values) and 2 * len(values) >= len(self.observed):
                low[index], high[index] = np.quantile(values, _TAILS)
        return np.minimum(low, observed), np.maximum(high, observed)


def _cells(codes: np.ndarray, bins: int) -> np.ndarray:
    """(n, L) bins, those of each label counted on from those of the label before."""
    return codes + np.arange(codes.shape[1]) * bins


def _sums(owners: np.ndarray, cells: np.ndarray, values: np.ndarray, shape: tuple[int, int]) -> Any:
    """Sums by unit and cell, (units, cells) float64; sparse where few of many cells are filled."""
    if shape[0] * shape[1] <= _DENSE or shape[1] <= BINS:
        flat = np.bincount(owners * shape[1] + cells.ravel(), weights=values.ravel(), minlength=shape[0] * shape[1])
        return flat.reshape(shape)
    from scipy.sparse import csr_array

    return csr_array((values.ravel(), (owners, cells.ravel())), shape=shape)


def _rounded(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else round(float(value), 4) for value in values]
