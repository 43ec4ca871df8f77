"""Temperature scaling: one number that makes probabilities mean what they say (Guo et al., ICML 2017).

Logits are divided by T, fitted on validation when all is trained. The likeliest class stays the same, and with two classes,
or labels, how rows rank by their probabilities; what a probability of 0.9 means changes. The number goes into the weights
of the last layer, so that the model that is saved says the scaled probabilities by itself.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

log = logging.getLogger(__name__)

# A temperature beyond these says that the logits carry nothing, or are none.
LOWEST, HIGHEST = 0.01, 100.0
# What stands for a probability of 0: that of a baseline, which has no logits of its own.
EPSILON = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Temperature:
    """What was fitted.

    Attributes:
        value: T, finite and positive.
        before, after: mean log loss on validation without and with it; after is never the larger one.
        bound: why the value is not an optimum; empty where it is one.
    """

    value: float
    before: float
    after: float
    bound: str = ""

    @property
    def choices(self) -> dict[str, Any]:
        """As the record keeps it."""
        said: dict[str, Any] = {"temperature": self.value}
        said["temperature_log_loss"] = {"before": round(self.before, 6), "after": round(self.after, 6)}
        return said | ({"temperature_bound": self.bound} if self.bound else {})


def fit_temperature(logits: np.ndarray, truth: np.ndarray) -> Temperature:
    """The temperature of the smallest mean log loss; every label weighs the same, whatever weights training had.

    The loss is convex in 1 / T, so that there is one minimum, and a search along one line finds it.

    Args:
        logits: (n, classes), or (n, labels) of multi-label rows.
        truth: (n,) classes, or (n, labels) of 0 and 1.

    Returns:
        T between ``LOWEST`` and ``HIGHEST``. Where the logits put every row on its right side the loss falls with T
        without end: such a split says nothing of how sure to be, and T stays 1.
    """
    from scipy.optimize import minimize_scalar

    logits = np.asarray(logits, dtype=np.float64)
    before = mean_log_loss(logits, truth, 1.0)
    if _separated(logits, truth):
        bound = "1: validation has no row on the wrong side, so that no temperature is the best"
        log.warning("temperature stays %s", bound)
        return Temperature(1.0, before, before, bound)
    found: Any = minimize_scalar(
        lambda power: mean_log_loss(logits, truth, float(np.exp(power))),
        bounds=(np.log(LOWEST), np.log(HIGHEST)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    value = float(np.exp(found.x))
    after = mean_log_loss(logits, truth, value)
    if after >= before:
        return Temperature(1.0, before, before)
    bound = ""
    for limit in (LOWEST, HIGHEST):
        if abs(np.log(value / limit)) < 1e-3:
            bound = f"{limit:g}: the log loss on validation falls further beyond it"
            log.warning("temperature ends at %s", bound)
    return Temperature(value, before, after, bound)


def mean_log_loss(logits: np.ndarray, truth: np.ndarray, temperature: float) -> float:
    """Mean -log p of what is true, over rows and labels; arguments as of :func:`fit_temperature`."""
    scaled = logits / temperature
    if truth.ndim == 2:
        # -log sigmoid(z) of a label that holds, -log sigmoid(-z) of one that does not.
        return float(np.logaddexp(0, np.where(truth.astype(bool), -scaled, scaled)).mean())
    scaled -= scaled.max(axis=1, keepdims=True)
    true = np.take_along_axis(scaled, truth[:, None], axis=1)[:, 0]
    return float((np.log(np.exp(scaled).sum(axis=1)) - true).mean())


def logits_of(probabilities: np.ndarray) -> np.ndarray:
    """Logits that give probabilities of classes, up to a constant of each row; 0 counts as float32's epsilon."""
    return np.log(np.clip(probabilities.astype(np.float64), EPSILON, 1))


def label_logits_of(probabilities: np.ndarray) -> np.ndarray:
    """Logits of probabilities of labels; 0 and 1 are kept float32's epsilon away."""
    kept = np.clip(probabilities.astype(np.float64), EPSILON, 1 - EPSILON)
    return np.log(kept) - np.log1p(-kept)


def _separated(logits: np.ndarray, truth: np.ndarray) -> bool:
    """Whether no row, or label, is on its wrong side."""
    if truth.ndim == 2:
        return bool(np.where(truth.astype(bool), logits >= 0, logits <= 0).all())
    return bool((logits <= np.take_along_axis(logits, truth[:, None], axis=1)).all())
