"""Trivial baselines: what a number has to beat before it means anything."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from hubtools.common.errors import UserError
from hubtools.common.files import write_atomic
from hubtools.data.rows.chain_breaks import BREAK
from hubtools.evaluation import primary_score
from hubtools.evaluation.predictions import Predictions
from hubtools.models.modeling_protein_task import combine
from hubtools.models.tokenisation import STANDARD
from hubtools.specs.level import RESIDUE_PAIR, STRUCTURE
from hubtools.specs.metric_names import METRICS
from hubtools.specs.recipe import baselines_for
from hubtools.specs.task import Task
from hubtools.training.collation import collation_of
from hubtools.training.contacts.contact_scores import no_scores, separation
from hubtools.training.contacts.pair_odds import fit_pair_odds
from hubtools.training.encoding import Encoded, Proteins, counted
from hubtools.training.folding.structure_predictions import helix
from hubtools.training.frozen.examples import Examples
from hubtools.training.frozen.heads import Group, ValidationCheck, diverged, train_heads
from hubtools.training.frozen.stack import Stack
from hubtools.training.job import Fitted, Job
from hubtools.training.linear_models import Linear, fit_linear
from hubtools.training.prediction import assemble, of_rows
from hubtools.training.variant_scores import blosum62, predictions_of

if TYPE_CHECKING:
    from datasets import Dataset

WINDOW_SIDE = 10
# Baselines that learn nothing.
UNTRAINED: dict[str, Callable[[Any], Predictions]] = {
    "substitution-matrix": blosum62,
    "separation": separation,
    "helix": helix,
}

Predict = Callable[[Encoded], Predictions]


def read_plain(dataset: Dataset, task: Task) -> Encoded:
    """A split as letter codes, for methods that need no tokenizer."""
    dtype: type = np.float64 if task.problem.kind == "regression" else np.int64
    dtype = np.int8 if task.problem.level is RESIDUE_PAIR else dtype
    proteins = Proteins.of(dataset)
    return Encoded(
        problem=task.problem,
        ids=list(dataset["id"]),
        clusters=proteins.clusters,
        tokens=[CODES[np.frombuffer(s.encode("latin-1", "replace"), np.uint8)] for s in proteins.sequences],
        labels=[np.asarray(label, dtype=dtype) for label in dataset["label"]],
        windows=[],
        tokeniser=None,  # type: ignore[arg-type]
        names=proteins.names,
        pairs=proteins.pairs,
    )


# 0 to 19 the standard residues, 20 any other letter, 21 beyond the ends and between chains, which nothing counts.
CODES = np.full(256, 20, dtype=np.int64)
for _index, _letter in enumerate(STANDARD):
    CODES[ord(_letter)] = _index
OUTSIDE = 21
CODES[ord(BREAK)] = OUTSIDE


def fit_baseline(train: Encoded, validation: Encoded, job: Job) -> tuple[Fitted, Predict]:
    """Fit a baseline; returns what was done and how to predict a split.

    Raises:
        UserError: the baseline is not defined for this problem.
    """
    task, baseline = job.task, job.recipe.baseline
    assert baseline is not None
    if baseline not in (defined := baselines_for(task.problem)):
        raise UserError(
            f"the baseline {baseline} is not defined for {task.problem.value}",
            fix=f"Use one of: {', '.join(sorted(defined))}.",
        )
    if baseline == "onehot-window":
        return _onehot_window(train, validation, job)
    started = time.perf_counter()
    fit = {
        "majority": _majority,
        "composition": _composition,
        "nearest-neighbour": _nearest,
        "amino-acid-pairs": _amino_acid_pairs,
    }[baseline]
    predict, choices = fit(train, validation, task)
    return Fitted(0, None, 0, 0, time.perf_counter() - started, choices), predict


def _majority(train: Encoded, validation: Encoded, task: Task) -> tuple[Predict, dict[str, Any]]:
    """Class frequencies of training (their largest is the majority class), or the mean value."""
    labels = np.concatenate([np.atleast_1d(label) for label in train.labels]) if not _is_matrix(train) else None
    if task.problem.kind == "regression":
        assert labels is not None
        constant = np.array(labels[~np.isnan(labels)].mean())
    elif task.problem.kind == "multilabel":
        table = np.concatenate([np.asarray(label).reshape(-1, task.n_outputs) for label in train.labels])
        constant = np.array([column[column >= 0].mean() for column in table.T])
    else:
        assert labels is not None
        constant = np.bincount(labels[labels >= 0], minlength=task.n_outputs) / (labels >= 0).sum()
    return _per_split(lambda split, n: np.broadcast_to(constant, (n, *constant.shape)).copy()), {}


def _amino_acid_pairs(train: Encoded, validation: Encoded, task: Task) -> tuple[Predict, dict[str, Any]]:
    """Log-odds of contact of two amino acids in a range of separation; nothing is chosen."""
    return fit_pair_odds(train)


def _is_matrix(split: Encoded) -> bool:
    return split.problem.kind == "multilabel"


def _composition(train: Encoded, validation: Encoded, task: Task) -> tuple[Predict, dict[str, Any]]:
    """A linear model on amino-acid frequencies and log length; its regularisation chosen on validation.

    Of a pair, on both proteins' in the form that the head reads pairs in, the same in either order.
    """

    def features(split: Encoded) -> np.ndarray:
        counts = np.stack([np.bincount(codes, minlength=21)[:21] for codes in split.tokens]).astype(float)
        lengths = counts.sum(1, keepdims=True)
        made = np.hstack([counts[:, :20] / lengths, np.log(lengths)])
        if split.pairs is None:
            return made
        first, second = torch.from_numpy(made[split.pairs[:, 0]]), torch.from_numpy(made[split.pairs[:, 1]])
        return combine(first, second).numpy()

    x, y = features(train), np.stack(train.labels)
    kind, best, choice, sign = task.problem.kind, None, {}, 1 if METRICS[task.metrics.primary].higher_is_better else -1
    for strength in (0.1, 1.0, 10.0, 100.0):
        model = fit_linear(x, y, kind, task.n_outputs, strength)

        def scores(split: Encoded, n: int, model: Linear = model) -> np.ndarray:
            return model.predict(features(split))

        predict = _per_split(scores)
        score = primary_score(task, predict(validation))
        if score is not None and (best is None or sign * score > best[0]):
            best, choice = (sign * score, predict), {"inverse_regularisation": strength}
    if best is None:
        raise UserError(
            f"{task.metrics.primary} is not defined on validation", fix="It needs more than one class there."
        )
    return best[1], choice


def _nearest(train: Encoded, validation: Encoded, task: Task) -> tuple[Predict, dict[str, Any]]:
    """The label of the training protein that shares most 3-mers (cosine), the surer the more it shares.

    Of a pair, that of the training pair whose two proteins are most like its two, in the better of both orders, by the
    geometric mean of the two similarities, as interactions are transferred between species (Yu et al., Genome Research
    14, 2004).
    """
    from scipy.sparse import csr_matrix

    def vectors(split: Encoded) -> csr_matrix:
        rows, columns = [], []
        for i, codes in enumerate(split.tokens):
            words = codes[:-2] * 441 + codes[1:-1] * 21 + codes[2:]
            outside = codes == OUTSIDE
            words = words[~(outside[:-2] | outside[1:-1] | outside[2:])]
            columns.append(words)
            rows.append(np.full(len(words), i))
        table = csr_matrix(
            (np.ones(sum(map(len, columns)), np.float32), (np.concatenate(rows), np.concatenate(columns))),
            shape=(len(split.tokens), 21**3),
        )
        norm = np.sqrt(np.asarray(table.multiply(table).sum(1)).ravel())
        return csr_matrix(table.multiply(1 / np.maximum(norm, 1e-9)[:, None]))

    known, y = vectors(train), np.stack(train.labels)
    prior = y.mean(0) if task.problem.kind != "classification" else np.bincount(y, minlength=task.n_outputs) / len(y)
    values = np.eye(task.n_outputs)[y] if task.problem.kind == "classification" else y.astype(float)

    def scores(split: Encoded, n: int) -> np.ndarray:
        mine, found, sure = vectors(split), np.zeros(n, dtype=int), np.zeros(n)
        if split.pairs is not None and train.pairs is not None:
            found, sure = _nearest_pairs(mine, split.pairs, known, train.pairs)
        else:
            for start in range(0, n, 256):
                block = (mine[start : start + 256] @ known.T).tocsr()
                found[start : start + 256] = np.asarray(block.argmax(1)).ravel()
                sure[start : start + 256] = np.asarray(block.max(1).todense()).ravel()
        weight = sure if values.ndim == 1 else sure[:, None]
        return weight * values[found] + (1 - weight) * prior

    return _per_split(scores), {}


def _nearest_pairs(mine: Any, pairs: np.ndarray, known: Any, known_pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each pair the most similar known pair, and how similar it is (0 to 1)."""
    found, sure = np.zeros(len(pairs), dtype=int), np.zeros(len(pairs))
    left, right = known_pairs.T
    step = max(1, 2**22 // len(known_pairs))
    for start in range(0, len(pairs), step):
        first, second = ((mine[side] @ known.T).toarray() for side in pairs[start : start + step].T)
        likeness = np.maximum(first[:, left] * second[:, right], first[:, right] * second[:, left])
        found[start : start + step] = likeness.argmax(1)
        sure[start : start + step] = np.sqrt(likeness.max(1))
    return found, sure


def _per_split(scores: Callable[[Encoded, int], np.ndarray]) -> Predict:
    """Predictions from a function of split and number of rows (proteins, or all residues in order)."""

    def predict(split: Encoded) -> Predictions:
        owners, positions = collation_of(split.problem).all_rows(split)
        return assemble(split, scores(split, len(owners)), owners, positions)

    return predict


class OneHotWindow(nn.Module):
    """A linear model on the one-hot residues around a residue: (n, window) codes -> (n, outputs)."""

    offsets: torch.Tensor

    def __init__(self, n_outputs: int) -> None:
        super().__init__()
        size = 2 * WINDOW_SIDE + 1
        self.weights = nn.EmbeddingBag(size * (OUTSIDE + 1), n_outputs, mode="sum")
        nn.init.zeros_(self.weights.weight)
        self.bias = nn.Parameter(torch.zeros(n_outputs))
        self.register_buffer("offsets", torch.arange(size) * (OUTSIDE + 1))

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Logits."""
        return self.weights(codes.long() + self.offsets) + self.bias


def _windows(split: Encoded) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Codes around every residue whose label counts: codes (n, window) uint8, labels, owners, positions."""
    codes, labels, owners, positions = [], [], [], []
    for protein, (tokens, label) in enumerate(zip(split.tokens, split.labels, strict=True)):
        keep = counted(label) if label.ndim == 1 else counted(label).any(1)
        padded = np.pad(tokens.astype(np.uint8), WINDOW_SIDE, constant_values=OUTSIDE)
        views = np.lib.stride_tricks.sliding_window_view(padded, 2 * WINDOW_SIDE + 1)
        codes.append(views[keep])
        labels.append(label[keep])
        owners.append(np.full(keep.sum(), protein))
        positions.append(np.flatnonzero(keep))
    return np.concatenate(codes), np.concatenate(labels), np.concatenate(owners), np.concatenate(positions)


def _onehot_window(train: Encoded, validation: Encoded, job: Job) -> tuple[Fitted, Predict]:
    started, device = time.perf_counter(), job.execution.device
    module = OneHotWindow(job.task.n_outputs)
    stack = Stack(module)

    def examples(split: Encoded) -> tuple[Examples, Callable[[np.ndarray], Predictions]]:
        codes, labels, owners, positions = _windows(split)
        return Examples({0: codes}, labels, owners, device), lambda scores: of_rows(
            split, owners, positions, labels, scores
        )

    rate = job.recipe.head_learning_rate or job.recipe.learning_rate
    (trained,) = train_heads(
        {Group(job.seed, 0): module}, [rate], examples(train)[0], ValidationCheck(*examples(validation), job.loss), job
    )
    if trained.diverged:
        raise diverged()
    module.load_state_dict(module.state_dict() | trained.state)
    table = stack.table([module]).to(device)

    def predict(split: Encoded) -> Predictions:
        check = ValidationCheck(*examples(split), job.loss)
        return check.predictions(check.logits(stack, table, 0)[0])

    write_atomic(job.log, "".join(json.dumps(line) + "\n" for line in trained.lines))
    steps = trained.lines[-1]["step"]
    return Fitted(len(trained.lines), trained.best_epoch, steps, 0, time.perf_counter() - started), predict


def labelled_rows(dataset: Dataset, task: Task) -> Predictions:
    """The rows of a split that are scored, with their labels and no prediction: every score is 0, of structures a straight helix."""
    if task.problem.level is RESIDUE_PAIR:
        return no_scores(dataset)
    if task.problem.level is STRUCTURE:
        return helix(dataset)
    if not task.problem.level.trained:
        return predictions_of(dataset, lambda _, change: 0.0)
    constant = np.zeros(() if task.problem.kind == "regression" else task.n_outputs)
    predict = _per_split(lambda split, n: np.broadcast_to(constant, (n, *constant.shape)))
    return predict(read_plain(dataset, task))
