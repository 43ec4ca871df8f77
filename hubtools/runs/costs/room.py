"""The room that a run needs beside its model: tables of embeddings in memory, weights on the disk."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from hubtools.models.adapters import base_parameters
from hubtools.models.encoder_note import names_encoder
from hubtools.runs.plan import PlannedRun
from hubtools.specs.recipe import Recipe
from hubtools.specs.record import CheckpointIdentity
from hubtools.training.compute.operations import FLOAT32
from hubtools.training.encoding import Encoded
from hubtools.training.frozen.embedding import IN_MEMORY
from hubtools.training.frozen.embedding_store import Kind
from hubtools.training.frozen.heads import PARAMETERS


def embedding_rows(split: Encoded, kind: Kind, proteins: list[int] | None = None) -> int:
    """Rows of the embeddings of a split, or of some of its proteins."""
    lengths = split.lengths if proteins is None else split.lengths[proteins]
    return int(lengths.sum()) if kind == "residues" else len(lengths)


def table_bytes(
    model: Any, splits: dict[str, Encoded], run: PlannedRun, layers: list[int], kind: Kind, seeds: int
) -> int:
    """Bytes of the embeddings that heads learn from and are checked on, and of the heads in training."""
    width = model.encoder.config.hidden_size
    each = [FLOAT32 * embedding_rows(splits[name], kind) * width * len(layers) for name in ("train", "validation")]
    heads = seeds * len(layers) * max(1, len(run.recipe.probe.learning_rates))
    parameters = sum(p.numel() for p in model.head.parameters())
    return int(sum(table for table in each if table <= IN_MEMORY) + min(PARAMETERS, heads * parameters * FLOAT32 * 6))


def saved_bytes(checkpoint: CheckpointIdentity, recipe: Recipe, model: Any, head: int) -> int:
    """Bytes of the weights that a run keeps: in float32, whatever they were computed in.

    Args:
        checkpoint, recipe, model: of the run.
        head: number of weights outside the encoder.
    """
    if not names_encoder(checkpoint, recipe):
        return FLOAT32 * (base_parameters(model.encoder) + head)
    if recipe.adapter is None:
        return FLOAT32 * head
    # An adapter has the head beside it once more.
    trained: int = sum(value.numel() for value in model.parameters() if value.requires_grad)
    return FLOAT32 * (head + trained)


def free_disk(folder: Path) -> int:
    """Bytes that are free where a folder is, or will be."""
    there = next((path for path in (folder, *folder.resolve().parents) if path.is_dir()), Path())
    return shutil.disk_usage(there).free
