"""Contacts from attention maps: a sparse logistic regression on all heads of all layers, fitted on few known structures.

As Rao et al. did it ("Transformer protein language models are unsupervised structure learners", ICLR 2021,
doi:10.1101/2020.12.15.422761): the attention of each head among residues is symmetrised by adding its transpose, and corrected by
the average product; pairs at least six apart of up to twenty proteins are the examples; the penalty is L1 with C = 0.15.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hubtools.common.errors import UserError
from hubtools.common.telling import bar, step
from hubtools.data.structures.contacts import pairs_of
from hubtools.evaluation.predictions import Predictions
from hubtools.specs.recipe import Recipe
from hubtools.training.contacts.contact_scores import joined, scored_places
from hubtools.training.contacts.pair_odds import of_split
from hubtools.training.encoding import Encoded
from hubtools.training.job import Fitted, Job

# In memory of a feature of a pair: as read and put together (float32), as scikit-learn takes it (float64), and twice with its index in
# liblinear.
BYTES_A_FEATURE = 4 + 4 + 8 + 16 + 16
# More iterations than liblinear's hundred, which features that are alike do not always converge in.
_ITERATIONS = 1000


@dataclass(frozen=True)
class AttentionRegression:
    """What was fitted.

    Attributes:
        weights: (layers, heads) float64.
        intercept: of the logit.
        structures: names of the training proteins.
    """

    weights: np.ndarray
    intercept: float
    structures: list[str]

    @property
    def tensors(self) -> dict[str, np.ndarray]:
        """What is saved of it."""
        return {"weights": self.weights, "intercept": np.array([self.intercept])}

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Of contact, from (n, layers × heads) features."""
        logits = features @ self.weights.ravel().astype(np.float32) + np.float32(self.intercept)
        return 1 / (1 + np.exp(-logits))


def by_eager_attention(encoder: Any, name: str) -> Any:
    """An encoder that computes attention step by step, which alone gives its maps.

    Args:
        encoder: of transformers.
        name: of the checkpoint, for messages.

    Raises:
        UserError: it has no such attention.
    """
    try:
        encoder.set_attn_implementation("eager")
    except (AttributeError, ValueError, ImportError) as error:
        raise _none(name) from error
    return encoder


@torch.no_grad()
def attention_maps(encoder: Any, ids: np.ndarray, prefix: int, length: int, name: str, device: torch.device) -> Any:
    """Attention among the residues of one row of tokens, symmetrised and corrected.

    Args:
        encoder: with eager attention.
        ids: (tokens,) with special tokens.
        prefix: special tokens before the first residue.
        length: residues.
        name: of the checkpoint, for messages.
        device: where the encoder is.

    Returns:
        (layers, heads, length, length) float32 tensor.

    Raises:
        UserError: the encoder gives no attention.
    """
    tokens = torch.from_numpy(np.asarray(ids, dtype=np.int64))[None].to(device)
    try:
        given = encoder(input_ids=tokens, attention_mask=torch.ones_like(tokens), output_attentions=True).attentions
    except (TypeError, AttributeError, ValueError) as error:
        raise _none(name) from error
    maps = [layer for layer in given or () if torch.is_tensor(layer) and layer.ndim == 4]
    if not maps or any(layer.shape[-2:] != (len(ids), len(ids)) for layer in maps):
        raise _none(name)
    stacked = torch.stack([layer[0] for layer in maps]).float()
    inside = stacked[..., prefix : prefix + length, prefix : prefix + length]
    return corrected_maps(inside + inside.mT)


def corrected_maps(maps: torch.Tensor) -> torch.Tensor:
    """Symmetric (…, L, L) maps less the product of the sums of row and column over the sum of all, diagonal included (as ESM does)."""
    rows = maps.sum(-1, keepdim=True)
    return maps - rows * rows.mT / maps.sum((-1, -2), keepdim=True)


def _none(name: str) -> UserError:
    return UserError(
        "it gives no attention maps",
        where=name,
        fix="Its architecture has no attention of each residue to each, or does not show it: use --recipe probe.",
    )


@dataclass(frozen=True)
class MapReader:
    """An encoder whose attention maps are read, and of which checkpoint it is.

    Attributes:
        encoder: with eager attention, on the device.
        name: of the checkpoint.
        device: where it is.
    """

    encoder: Any
    name: str
    device: torch.device

    def features(self, split: Encoded, protein: int, window: int, places: np.ndarray) -> tuple[np.ndarray, Any]:
        """Features of pairs of residues of a window: (n, layers × heads) float32, and the numbers of layers and heads.

        Args:
            split, protein, window: what is read.
            places: of the pairs in the labels of a protein of the window's length.
        """
        piece, tokeniser = split.windows[protein][window], split.tokeniser
        tokens = split.tokens[protein][piece.start : piece.stop]
        ids, prefix = np.asarray(tokeniser.with_special(tokens)), len(tokeniser.prefix)
        maps = attention_maps(self.encoder, ids, prefix, len(tokens), self.name, self.device)
        first, second = (torch.from_numpy(ends).to(self.device) for ends in pairs_of(places))
        return maps[..., first, second].flatten(0, 1).T.cpu().numpy(), maps.shape[:2]


def fit_attention_regression(reader: MapReader, train: Encoded, job: Job) -> tuple[Fitted, AttentionRegression]:
    """Fit on the training proteins that are read in one window; where they are more than the recipe says, those that the seed draws.

    In memory at once are the features of all their pairs with the copies of the solver: 48 bytes × layers × heads × pairs.

    Raises:
        UserError: no training protein fits into one window, or their pairs all touch, or none does; the encoder gives no attention.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    started, options = time.perf_counter(), options_of(job.recipe)
    chosen = drawn(train, int(options["structures"]), job.seed)
    rows, labels, shape, tokens = [], [], (0, 0), 0
    with contextlib.closing(bar("attention of train", len(chosen), unit=" proteins")) as progress:
        for protein in chosen:
            label = train.labels[protein]
            read, shape = reader.features(train, protein, 0, places := scored_places(label))
            rows.append(read)
            labels.append(label[places])
            tokens += len(train.tokens[protein]) + train.tokeniser.n_special
            progress.update()
    truth = np.concatenate(labels)
    if len(np.unique(truth)) < 2:
        raise UserError("of its pairs of residues none touches, or all do", where="train", fix="Add structures to it.")
    with step("fitting the regression"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # scikit-learn 1.8 gave the L1 penalty another name.
        new = getattr(LogisticRegression(), "penalty", None) == "deprecated"
        penalty: dict[str, Any] = {"l1_ratio": 1.0} if new else {"penalty": "l1"}
        strength = float(options["inverse_regularisation"])
        model = LogisticRegression(
            C=strength, solver="liblinear", max_iter=_ITERATIONS, random_state=job.seed, **penalty
        ).fit(np.concatenate(rows), truth)
    found = AttentionRegression(
        model.coef_[0].reshape(shape), float(model.intercept_[0]), [train.ids[protein] for protein in chosen]
    )
    choices = {
        "structures": found.structures,
        "pairs_of_residues": len(truth),
        "heads_used": int((found.weights != 0).sum()),
        "heads": found.weights.size,
    }
    seconds = time.perf_counter() - started
    return Fitted(0, None, int(np.max(model.n_iter_)), tokens, seconds, choices), found


def options_of(recipe: Recipe) -> dict[str, Any]:
    """What the recipe says of the regression: ``structures`` and ``inverse_regularisation``."""
    return {**recipe.head.what.options, **(recipe.head.options or {})}


def predict_by_attention(reader: MapReader, found: AttentionRegression, split: Encoded, name: str) -> Predictions:
    """Predictions of a split; of a protein of several windows the mean over the windows that hold both residues of a pair.

    Args:
        reader: as in fitting.
        found: what was fitted.
        split: of proteins with labels of pairs.
        name: of the split, for the progress bar.
    """
    scores = []
    with contextlib.closing(bar(f"attention of {name}", len(split), unit=" proteins")) as progress:
        for protein, windows in enumerate(split.windows):
            maps = []
            for window, piece in enumerate(windows):
                every = np.arange((size := piece.stop - piece.start) * (size - 1) // 2)
                maps.append(found.probabilities(reader.features(split, protein, window, every)[0]))
            whole = joined(len(split.tokens[protein]), windows, maps)
            scores.append(whole[scored_places(split.labels[protein])])
            progress.update()
    return of_split(split, np.concatenate(scores))


def drawn(train: Encoded, most: int, seed: int) -> list[int]:
    """Training proteins of one window, in their order: all, or as many as asked for, drawn by the seed.

    Raises:
        UserError: there is none.
    """
    short: Sequence[int] = [protein for protein, windows in enumerate(train.windows) if len(windows) == 1]
    if not short:
        raise UserError(
            "each of its proteins is longer than what the checkpoint reads at once",
            where="train",
            fix="Add shorter ones, or choose a checkpoint that reads more.",
        )
    if len(short) <= most:
        return list(short)
    return sorted(np.random.default_rng(seed).choice(short, most, replace=False).tolist())
