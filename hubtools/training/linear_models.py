"""Linear models of few features with a squared penalty: least squares, and logistic regression of classes or of each label by itself.

The models are scikit-learn's ``Ridge``, ``LogisticRegression`` and ``OneVsRestClassifier`` of it, each behind a ``StandardScaler``, and a test
holds them to it. To import it, with scipy.stats, takes longer than a fit of thousands of proteins; what minimises here comes with transformers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hubtools.training.encoding import counted

# As scikit-learn stops: at this gradient, this gain relative to the machine's precision, or after so many steps.
GRADIENT, GAIN, STEPS, LINE_STEPS = 1e-4, 64 * np.finfo(float).eps, 2000, 50


@dataclass(frozen=True)
class Linear:
    """A linear model, with the scale of its features.

    Attributes:
        mean, scale: (features,) of training.
        weights: (features, outputs) of standardised features.
        intercepts: (outputs,); infinite where training has one value of a label alone.
        link: from what is linear to predictions.
    """

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    intercepts: np.ndarray
    link: Callable[[np.ndarray], np.ndarray]

    def predict(self, features: np.ndarray) -> np.ndarray:
        """(rows, features) -> values (rows,), or probabilities (rows, classes) or (rows, labels)."""
        return self.link((features - self.mean) / self.scale @ self.weights + self.intercepts)


def fit_linear(features: np.ndarray, labels: np.ndarray, kind: str, outputs: int, strength: float) -> Linear:
    """A model of labels; rows without one do not count.

    Args:
        features: (rows, features) float64.
        labels: (rows,) values or numbers of classes; (rows, labels) 0, 1 or none.
        kind: ``regression``, ``classification`` or ``multilabel``.
        outputs: how many classes or labels there are. A class that training lacks has probability 0.
        strength: inverse of that of the penalty.
    """
    if kind != "multilabel":
        keep = counted(labels)
        features, labels = features[keep], labels[keep]
    mean, scale = _scale_of(features)
    x = (features - mean) / scale
    if kind == "regression":
        weights, intercepts = _least_squares(x, labels, 1 / strength)
        return Linear(mean, scale, weights[:, None], intercepts, lambda linear: linear[:, 0])
    if kind == "multilabel":
        fits = [_two_classes(x[keep], column[keep], strength) for column in labels.T for keep in [counted(column)]]
        weights, intercepts = np.stack([fit[:-1] for fit in fits], 1), np.array([fit[-1] for fit in fits])
        return Linear(mean, scale, weights, intercepts, _logistic)
    present, index = np.unique(labels, return_inverse=True)
    if len(present) == 2:
        fit = _two_classes(x, index, strength)
        weights, intercepts = fit[:-1, None], fit[-1:]
    else:
        weights, intercepts = _classes(x, index, len(present), strength)
    return Linear(mean, scale, weights, intercepts, lambda linear: _probabilities(linear, present, outputs))


def _scale_of(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each feature; of one that varies by rounding alone the latter is 1."""
    mean, deviation = features.mean(0), features.std(0)
    rounding = len(features) * np.abs(mean) * np.finfo(float).eps
    return mean, np.where(deviation <= rounding, 1.0, deviation)


def _least_squares(x: np.ndarray, y: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """Of ``|y - X w - b|² + penalty · |w|²`` with features whose mean is 0, so that b is the mean of y."""
    middle = y.mean()
    weights = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ (y - middle))
    return weights, np.array([middle])


def _two_classes(x: np.ndarray, y: np.ndarray, strength: float) -> np.ndarray:
    """Weights and intercept of class 1 against class 0; the mean log loss and the penalty, ``|w|² / (2 · strength · rows)``, are minimised."""
    if len(values := np.unique(y)) < 2:
        certain = np.inf if values.any() else -np.inf
        return np.append(np.zeros(x.shape[1]), certain)
    penalty = 1 / (strength * len(y))

    def loss(fit: np.ndarray) -> tuple[float, np.ndarray]:
        weights = fit[:-1]
        linear = x @ weights + fit[-1]
        error = (_logistic(linear) - y) / len(y)
        value = (np.logaddexp(0, linear) - y * linear).mean() + penalty / 2 * (weights @ weights)
        return value, np.append(x.T @ error + penalty * weights, error.sum())

    return _minimum(loss, np.zeros(x.shape[1] + 1))


def _classes(x: np.ndarray, y: np.ndarray, n: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights (features, n) and intercepts (n,) of classes that exclude each other."""
    shape, penalty, rows = (x.shape[1] + 1, n), 1 / (strength * len(y)), np.arange(len(y))

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        fit = flat.reshape(shape)
        linear = x @ fit[:-1] + fit[-1]
        linear -= linear.max(1, keepdims=True)
        shares = np.exp(linear)
        total = shares.sum(1, keepdims=True)
        value = (np.log(total[:, 0]) - linear[rows, y]).mean() + penalty / 2 * (fit[:-1] ** 2).sum()
        shares /= total
        shares[rows, y] -= 1
        shares /= len(y)
        return value, np.vstack([x.T @ shares + penalty * fit[:-1], shares.sum(0)]).ravel()

    fit = _minimum(loss, np.zeros(shape).ravel()).reshape(shape)
    return fit[:-1], fit[-1]


def _minimum(loss: Callable[[np.ndarray], tuple[float, np.ndarray]], start: np.ndarray) -> np.ndarray:
    from scipy.optimize import minimize

    limits = {"maxiter": STEPS, "maxls": LINE_STEPS, "gtol": GRADIENT, "ftol": GAIN}
    found: Any = minimize(loss, start, method="L-BFGS-B", jac=True, options=limits)
    fit: np.ndarray = found.x
    return fit


def _logistic(linear: np.ndarray) -> np.ndarray:
    from scipy.special import expit

    share: np.ndarray = expit(linear)
    return share


def _probabilities(linear: np.ndarray, present: np.ndarray, outputs: int) -> np.ndarray:
    """(rows, outputs) of the classes that training has; of two of them one is linear."""
    found = np.zeros((len(linear), outputs))
    if linear.shape[1] == 1 and len(present) == 2:
        share = _logistic(linear[:, 0])
        found[:, present] = np.stack([1 - share, share], 1)
        return found
    shares = np.exp(linear - linear.max(1, keepdims=True))
    found[:, present] = shares / shares.sum(1, keepdims=True)
    return found
