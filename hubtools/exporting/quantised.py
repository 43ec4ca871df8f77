"""Weights of a graph in eight bits, and what that costs: the task's own metric on the run's validation proteins, before and after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hubtools.common.errors import UserError
from hubtools.exporting.onnx_graph import INSTALL, MODEL
from hubtools.exporting.onnx_model import OnnxModel

if TYPE_CHECKING:
    from hubtools.inference.predictor import Predictor

# Validation proteins that are read twice, evenly spaced where there are more: a loss of a point shows on them.
MOST_PROTEINS = 500
# Numbers of a matrix below which there is nothing to save.
SMALLEST = 256


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
    """Keep the matrices of ``model.onnx`` as int8, symmetric, with a scale a column, and let the graph multiply them out.

    What is computed stays float32. Activations of eight bits as well (onnxruntime's dynamic quantisation) are no smaller, and moved
    predictions of ESM-2 8M several times as far.

    Args:
        folder: of the graphs; a head, which is small, stays as it is.

    Raises:
        UserError: onnx is not installed.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError:
        raise UserError("int8 needs onnx, which is not installed", fix=f"{INSTALL}.") from None
    path = folder / MODEL
    model = onnx.load(str(path))
    graph = model.graph
    # A matrix that something else reads as well stays: who knows what it is there.
    read = Counter(name for node in graph.node for name in node.input)
    factors = {node.input[1] for node in graph.node if node.op_type in {"MatMul", "Gemm"} and read[node.input[1]] == 1}
    dequantised = []
    for weights in [w for w in graph.initializer if w.name in factors and len(w.dims) == 2]:
        values = numpy_helper.to_array(weights)
        if values.dtype != np.float32 or values.size < SMALLEST:
            continue
        largest = np.abs(values).max(axis=0)
        scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
        small = np.clip(np.round(values / scale), -127, 127).astype(np.int8)
        name = weights.name
        graph.initializer.remove(weights)
        graph.initializer.extend(
            [numpy_helper.from_array(small, f"{name}.int8"), numpy_helper.from_array(scale, f"{name}.scale")]
        )
        dequantised.append(
            onnx.helper.make_node(
                "DequantizeLinear", [f"{name}.int8", f"{name}.scale"], [name], f"{name}.float", axis=1
            )
        )
    nodes = [*dequantised, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.save(model, str(path))


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
