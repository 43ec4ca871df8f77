"""Where the residues of proteins are: as a folding model says, or on one ideal helix."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hubtools.common.errors import UserError
from hubtools.common.hashing import digest
from hubtools.common.telling import bar
from hubtools.evaluation.predictions import Predictions
from hubtools.models.folding.folding_models import folding_model
from hubtools.specs.level import STRUCTURE
from hubtools.specs.problem import problem_of
from hubtools.training.compute.memory import out_of_memory, release
from hubtools.training.folding.fold_limits import refuse_long

if TYPE_CHECKING:
    import torch
    from datasets import Dataset

    from hubtools.models.checkpoint import Checkpoint
    from hubtools.models.folding.folding_models import FoldedStructure, FoldingModel

# Of an ideal α helix (Pauling et al. 1951): Å from its axis of an α carbon, Å along it and degrees about it a residue.
_RADIUS, _RISE, _TURN = 2.3, 1.5, 100.0


def draw_of(seed: int, sequence: str) -> int:
    """The seed of one protein's draws: by its residues, so that what was folded before it changes nothing."""
    return int(digest([seed, sequence])[:15], 16)


def fold_one(model: FoldingModel, chains: Sequence[str], seed: int, name: str, fix: str) -> FoldedStructure:
    """The structure of one protein.

    Args:
        model: that folds.
        chains: residues of each.
        seed: of its draws.
        name: of the protein, for messages.
        fix: what to do where memory does not suffice.

    Raises:
        UserError: it does not.
    """
    try:
        return model.fold(chains, seed)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
    # Outside of the handler, where the traceback no longer keeps the tensors alive.
    release(model.device)
    raise UserError(f"out of memory with its {model.read_length(chains):,} residues", where=name, fix=fix)


def folded_places(
    checkpoint: Checkpoint, splits: Sequence[Dataset], seed: int, device: torch.device
) -> tuple[Any, dict[str, Any], dict[str, np.ndarray]]:
    """The structures of the proteins of a task, each sequence folded once, by a checkpoint with its own settings, in float32.

    Args:
        checkpoint: that folds.
        splits: canonical rows.
        seed: of what the model draws.
        device: where it computes.

    Returns:
        The model; of one that draws, the number of ``samples``; and (L, 3) α carbons in Å of each sequence, NaN of letters that the model knows no atoms of.

    Raises:
        UserError: the checkpoint does not fold, or a protein is too long for the device.
    """
    model = folding_model(checkpoint, device, exact=True)
    names = {s: str(name) for split in splits for name, s in zip(split["id"], split["sequence"], strict=True)}
    told = "Use a GPU with more memory, or leave the protein out of the task."
    refuse_long(model, list(names.values()), [len(sequence) for sequence in names], told, patient=True)
    found = {}
    with contextlib.closing(bar("folding", len(names), unit=" proteins")) as shown:
        for sequence, name in names.items():
            atoms = fold_one(model, [sequence], draw_of(seed, sequence), name, told).atoms
            alphas = atoms[atoms.atom_name == "CA"]
            found[sequence] = np.full((len(sequence), 3), np.nan)
            found[sequence][alphas.res_id - 1] = alphas.coord
            shown.update()
    return model.model, {"samples": model.samples} if model.draws else {}, found


def structure_predictions(dataset: Dataset, places: Mapping[str, np.ndarray]) -> Predictions:
    """Predictions of the coordinates that are scored.

    Args:
        dataset: canonical rows of proteins; labels as :func:`hubtools.data.rows.canonical.structure_rows` has them.
        places: (L, 3) of each sequence.

    Raises:
        UserError: a residue that is scored has none.
    """
    labels = [np.asarray(label, dtype=np.float64) for label in dataset["label"]]
    chosen = [np.flatnonzero(np.isfinite(label)) for label in labels]
    scores = [places[sequence].ravel()[at] for sequence, at in zip(dataset["sequence"], chosen, strict=True)]
    ids, sizes = np.array(dataset["id"][:], dtype=np.str_), [len(at) for at in chosen]
    for name, given in zip(ids, scores, strict=True):
        if not np.isfinite(given).all():
            raise UserError("the model knows no atoms of one of its residues", where=str(name), fix="Leave it out.")
    clusters = dataset["cluster"][:] if "cluster" in dataset.column_names else [None]
    return Predictions(
        problem=problem_of(STRUCTURE, "regression"),
        ids=np.repeat(ids, sizes),
        positions=np.concatenate(chosen) + 1,
        clusters=None if None in clusters else np.repeat(np.array(clusters, dtype=np.str_), sizes),
        truth=np.concatenate([label[at] for label, at in zip(labels, chosen, strict=True)]),
        scores=np.concatenate(scores),
    )


def helix(dataset: Dataset) -> Predictions:
    """Every protein as one straight α helix."""
    return structure_predictions(dataset, {sequence: helix_places(len(sequence)) for sequence in dataset["sequence"]})


def helix_places(length: int) -> np.ndarray:
    """(L, 3) α carbons of a straight, right-handed α helix in Å."""
    angles = np.radians(_TURN) * np.arange(length)
    return np.stack([_RADIUS * np.cos(angles), _RADIUS * np.sin(angles), _RISE * np.arange(length)], axis=1)
