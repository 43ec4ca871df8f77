"""What the fit of one fold leaves for the run, kept until all folds are done, and what the folds are together."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from hubtools.common.bounds import json_values
from hubtools.common.errors import UserError
from hubtools.common.files import write_atomic
from hubtools.common.readers import reads
from hubtools.evaluation.predictions import Predictions, read_predictions, write_predictions
from hubtools.specs.record import EmbeddingFacts, FoldResult, TrainingFacts, WindowFacts

FOLD, FOLD_PREDICTIONS = "fold.json", "fold.parquet"


class FoldWork(BaseModel):
    """One fold's part of the record.

    Attributes:
        result: for the record.
        training: of its fit.
        windows: of the rows that it predicted; None of a baseline.
        seconds: of training.
        lines: of its log, each with the fold.
    """

    model_config = ConfigDict(extra="forbid")
    result: FoldResult
    training: TrainingFacts
    windows: WindowFacts | None
    seconds: float
    lines: list[dict[str, Any]]


def write_fold(folder: Path, predictions: Predictions, work: FoldWork) -> None:
    """Keep what a fold left; it counts as done once ``fold.json`` is there."""
    write_predictions(folder / FOLD_PREDICTIONS, {"test": predictions})
    write_atomic(folder / FOLD, work.model_dump_json() + "\n")


@reads("what a fold left", refuses=())
def read_fold(folder: Path) -> tuple[Predictions, FoldWork] | None:
    """What :func:`write_fold` kept; None where the fold is not done, or the file was damaged and the fold is done again."""
    try:
        work = FoldWork.model_validate_json((folder / FOLD).read_text(encoding="utf-8"))
        predictions = read_predictions(folder / FOLD_PREDICTIONS)["test"]
    except (OSError, ValueError, UserError, KeyError):
        return None
    # A position a row at least, of residue tasks more.
    return (predictions, work) if len(set(predictions.ids.tolist())) == work.result.rows else None


@reads("training log of a fold", refuses=())
def log_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a fold's log; none where its fit keeps none."""
    lines = []
    with contextlib.suppress(OSError):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError, RecursionError):
                lines.append(json_values(line))
    return [line for line in lines if isinstance(line, dict)]


def out_of_fold(parts: Sequence[Predictions], ids: Sequence[str]) -> Predictions:
    """Predictions of folds as those of one split, in the order of its rows.

    Args:
        parts: of each fold.
        ids: of all rows, in order; each is in one fold.

    Raises:
        ValueError: a row was predicted by no fold, or by two.
    """
    place = {name: number for number, name in enumerate(ids)}
    found = np.concatenate([part.ids for part in parts])
    rows = np.array([place[name] for name in found.tolist()])
    seen = np.concatenate([np.unique(part.ids) for part in parts])
    if len(seen) != len(ids) or len(set(seen.tolist())) != len(ids):
        raise ValueError(f"{len(ids)} rows were predicted out of fold {len(seen)} times")
    # Residues of a protein are beside each other, in order.
    order = np.argsort(rows, kind="stable")

    def joined(name: str) -> Any:
        values = [getattr(part, name) for part in parts]
        return None if values[0] is None else np.concatenate(values)[order]

    names = ("ids", "positions", "clusters", "truth", "scores", "proteins")
    return Predictions(problem=parts[0].problem, **{name: joined(name) for name in names})


def together(folds: Sequence[FoldWork], selected_by: str) -> TrainingFacts:
    """What all fits did: sums, and of the parameters those of one."""
    each = [fold.training for fold in folds]
    seen = [training.embeddings for training in each if training.embeddings is not None]
    return TrainingFacts(
        parameters_trained=each[-1].parameters_trained,
        epochs_run=sum(training.epochs_run for training in each),
        best_epoch=None,
        steps=sum(training.steps for training in each),
        tokens=sum(training.tokens for training in each),
        embeddings=EmbeddingFacts(computed=sum(one.computed for one in seen), cached=sum(one.cached for one in seen))
        if seen
        else None,
        selected_by=selected_by,
    )


def windows_together(folds: Sequence[FoldWork]) -> WindowFacts | None:
    """Windows of all rows, each counted in the fold that it was predicted in."""
    each = [fold.windows for fold in folds if fold.windows is not None]
    if not each:
        return None
    counted = ("proteins_cut", "windows", "residues_scored", "residues_total")
    return each[0].model_copy(update={name: sum(getattr(one, name) for one in each) for name in counted})
