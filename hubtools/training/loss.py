"""The loss: summed over the labels that count, divided by their weight in the whole effective batch.

So cutting a batch, padding it, or accumulating gradients changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import torch
from torch.nn import functional

from hubtools.specs.level import RESIDUE_PAIR
from hubtools.training.encoding import IGNORED, Encoded, counted


@dataclass(frozen=True)
class Loss:
    """Cross-entropy, binary cross-entropy over labels, or squared error of standardised values.

    Attributes:
        kind: of problem.
        weights: per class (classification) or weight of a label's positives (multilabel); None means equal.
        mean, std: by which a regression target is standardised.
    """

    kind: Literal["classification", "multilabel", "regression"]
    weights: tuple[float, ...] | None = None
    mean: float = 0.0
    std: float = 1.0

    def weights_of(self, labels: torch.Tensor) -> torch.Tensor:
        """Weight of the labels that count in each row: (n, …) -> (n,) float64."""
        if self.kind == "regression":
            return (~torch.isnan(labels)).double()
        valid = labels != IGNORED
        if self.kind == "multilabel":
            return valid.sum(-1).double()
        if self.weights is None:
            return valid.double()
        weight = torch.tensor(self.weights, dtype=torch.float64, device=labels.device)
        return weight[torch.where(valid, labels, 0)] * valid

    def denominator(self, labels: torch.Tensor) -> float:
        """Total weight of the labels that count."""
        return float(self.weights_of(labels).sum())

    def each(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Loss of each row, 0 where no label counts: (n,).

        Args:
            logits: (n, classes), (n, labels) or (n, 1), float32.
            labels: (n,) int, (n, labels) int, or (n,) float.
        """
        if self.kind == "classification":
            weight = None if self.weights is None else _weights(self.weights, logits.device)
            return functional.cross_entropy(logits, labels, weight=weight, ignore_index=IGNORED, reduction="none")
        if self.kind == "multilabel":
            valid = labels != IGNORED
            weight = None if self.weights is None else _weights(self.weights, logits.device)
            target = torch.where(valid, labels, 0).to(logits.dtype)
            loss = functional.binary_cross_entropy_with_logits(logits, target, pos_weight=weight, reduction="none")
            return (loss * valid).sum(-1)
        valid = ~torch.isnan(labels)
        target = (torch.where(valid, labels, self.mean) - self.mean) / self.std
        return ((logits.squeeze(-1) - target.to(logits.dtype)) ** 2) * valid

    def total(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Sum of the loss over the labels that count; arguments as in :meth:`each`."""
        return self.each(logits, labels).sum()

    def to_scores(self, logits: Any) -> np.ndarray:
        """Probabilities, or values in the target's own unit: (n, classes), (n, labels) or (n,) float32."""
        logits = torch.as_tensor(logits, dtype=torch.float32)
        if self.kind == "classification":
            return logits.softmax(-1).numpy()
        if self.kind == "multilabel":
            return logits.sigmoid().numpy()
        return (logits.squeeze(-1) * self.std + self.mean).numpy()

    @property
    def of_logits(self) -> Loss:
        """The same, whose scores are the logits as they come."""
        return _OfLogits(self.kind, self.weights, self.mean, self.std)

    @property
    def folded(self) -> Loss:
        """The same after the target's unit went into the model's last layer."""
        return Loss(self.kind, self.weights)


class _OfLogits(Loss):
    def to_scores(self, logits: Any) -> np.ndarray:
        return torch.as_tensor(logits, dtype=torch.float32).numpy()


@cache
def _weights(values: tuple[float, ...], device: torch.device) -> torch.Tensor:
    """Class weights on a device, copied once: a copy in each step would wait for the device."""
    return torch.tensor(values, dtype=torch.float32, device=device)


def loss_for(split: Encoded, n_outputs: int, class_weights: str) -> Loss:
    """The loss of a task, with class weights and standardisation measured on the training split."""
    kind = split.problem.kind
    if split.problem.level is RESIDUE_PAIR:
        # Whether two residues touch is one label that holds or does not; a score of it is a probability.
        touching = [label[:, None] for label in split.labels]
        return Loss("multilabel", None if class_weights == "none" else balanced_weights(touching, 1, "multilabel"))
    if kind == "regression":
        values = np.concatenate([np.atleast_1d(label)[counted(np.atleast_1d(label))] for label in split.labels])
        return Loss(kind, mean=float(values.mean()), std=float(values.std()) or 1.0)
    if class_weights == "none":
        return Loss(kind)
    return Loss(kind, weights=balanced_weights(split.labels, n_outputs, kind))


def balanced_weights(labels: Iterable[Any], n_outputs: int, kind: str) -> tuple[float, ...]:
    """Inverse class frequencies with mean 1 over the labels (classes), or negatives per positive (multilabel).

    A class that training lacks keeps the weight 1; a multi-label weight is at most 100.
    """
    flat = np.concatenate([np.asarray(label).reshape(-1, n_outputs if kind == "multilabel" else 1) for label in labels])
    if kind == "classification":
        counts = np.bincount(flat[flat != IGNORED], minlength=n_outputs).astype(float)
        present = counts > 0
        weights = np.ones(n_outputs)
        weights[present] = counts.sum() / (present.sum() * counts[present])
        return tuple(float(w) for w in weights)
    positives = (flat == 1).sum(0).astype(float)
    negatives = (flat == 0).sum(0).astype(float)
    ratio = np.where(positives > 0, negatives / np.maximum(positives, 1), 1.0)
    return tuple(float(w) for w in np.clip(ratio, 1e-2, 100))
