"""Weights of a graph in eight bits, and what that costs: the task's own metric on the run's validation proteins, before and after."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hubtools.common.errors import UserError, in_brackets
from hubtools.exporting.onnx_graph import INSTALL, MODEL
from hubtools.exporting.onnx_model import OnnxModel

if TYPE_CHECKING:
    from hubtools.inference.predictor import Predictor

# Validation proteins that are read twice, evenly spaced where there are more: a loss of a point shows on them.
MOST_PROTEINS = 500


@dataclass(frozen=True)
class QuantisedCost:
    """What int8 weights cost.

    Attributes:
        metric: the task's primary one.
        proteins: of validation that were read.
        float32, int8: its value with the weights as they were trained, and with int8.
        largest: difference of a probability or value.
        mean: difference of all of them.
    """

    metric: str
    proteins: int
    float32: float
    int8: float
    largest: float
    mean: float


def quantise(folder: Path) -> None:
    """Turn the matrices of ``model.onnx`` into int8, per channel, activations being quantised as they come (dynamic).

    Args:
        folder: of the graphs; a head, which is small, stays as it is.

    Raises:
        UserError: onnxruntime is not installed, or cannot do it.
    """
    try:
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError:
        raise UserError("int8 needs onnx and onnxruntime, which are not installed", fix=f"{INSTALL}.") from None
    path, small = folder / MODEL, folder / f"{MODEL}.int8"
    try:
        # int8 of seven bits: products of two of eight overflow in the 16 bits that processors without VNNI add them in.
        quantize_dynamic(path, small, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True)
    except Exception as error:
        raise UserError(
            f"onnxruntime cannot quantise it{in_brackets(error)}", fix="Export it without --quantise."
        ) from None
    finally:
        if not small.is_file():
            small.unlink(missing_ok=True)
    shutil.move(small, path)


def cost_of(predictor: Predictor, folder: Path, mirrors: Sequence[Path] = ()) -> QuantisedCost:
    """Read validation proteins of the run with torch and with the graphs.

    Args:
        predictor: the model.
        folder: of the quantised graphs.
        mirrors: folders of data.

    Raises:
        UserError: the run's data cannot be had, or hold no validation.
    """
    from hubtools.data import DataCache
    from hubtools.evaluation.metrics.scoring import primary_score
    from hubtools.publishing.reload import data_of_run
    from hubtools.training.encoding import encode
    from hubtools.training.loss import Loss
    from hubtools.training.prediction import predict

    task, data = data_of_run(predictor.record, DataCache.default(mirrors))
    rows = data.splits.get("validation")
    if rows is None or not len(rows):
        raise UserError("the task has no validation", where=f"task {task.name}")
    if len(rows) > MOST_PROTEINS:
        rows = rows.select(np.unique(np.linspace(0, len(rows) - 1, MOST_PROTEINS).round().astype(int)))
    split = encode(rows, task, predictor.tokeniser, predictor.window, None)
    execution = predictor.execution

    def of(model: Any) -> Any:
        return predict(
            model, split, Loss(task.problem.kind), token_budget=execution.token_budget, device=execution.device
        )

    before, after = of(predictor.model), of(OnnxModel(folder, predictor.model.config))
    training = predictor.record.training
    thresholds = (training.choices if training else {}).get("thresholds")
    apart = np.abs(before.scores.astype(np.float64) - after.scores)
    return QuantisedCost(
        task.metrics.primary,
        len(rows),
        primary_score(task, before, thresholds),
        primary_score(task, after, thresholds),
        float(apart.max()),
        float(apart.mean()),
    )
