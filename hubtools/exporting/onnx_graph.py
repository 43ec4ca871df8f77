"""A saved model as ONNX graphs with any number of rows and tokens: the encoder with what is read of it, and the head of a protein."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from hubtools.common.errors import UserError, in_brackets
from hubtools.models.modeling_protein_task import ProteinTaskModel
from hubtools.models.task_model import NativeTaskModel

if TYPE_CHECKING:
    from hubtools.inference.predictor import Predictor

INSTALL = 'pip install "plm-hubtools[export]"'
# The oldest that torch's exporter writes by itself; onnxruntime 1.14 and later, and its build for browsers, run it.
OPSET = 18
# One file of protocol buffers holds no more; a page would not hold it either.
LARGEST = 2 * 10**9
MODEL, HEAD = "model.onnx", "head.onnx"


class ResidueGraph(nn.Module):
    """Logits of each token: (rows, tokens), (rows, tokens) -> (rows, tokens, labels)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """As the model computes them."""
        logits: torch.Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


class SumGraph(nn.Module):
    """What each row adds to its protein, which several windows may: sums over the residues that count, or logits.

    The mean of it is what the head reads; of an architecture's own head the mean of the logits is the answer.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, residue_mask: torch.Tensor
    ) -> torch.Tensor:
        """(rows, tokens) three times -> (rows, width), or (rows, labels)."""
        sums: torch.Tensor = self.model.row_sums(input_ids, attention_mask, residue_mask)[0]
        return sums


class HeadGraph(nn.Module):
    """Logits of proteins from the means over their residues: (proteins, width) -> (proteins, labels)."""

    def __init__(self, model: ProteinTaskModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, means: torch.Tensor) -> torch.Tensor:
        """As the model computes them."""
        return self.model.head_logits(means)


def refuse_what_has_no_graph(predictor: Predictor, name: str) -> None:
    """Make sure that a model is one of those that are exported, before anything slow.

    Args:
        predictor: the model.
        name: under which it was asked for.

    Raises:
        UserError: it is none, with the reason.
    """
    model, config = predictor.model, predictor.model.config
    if predictor.problem.level.proteins > 1 or predictor.problem.level.name not in {"protein", "residue"}:
        what = f"its answers are about a {predictor.problem.level.name}, and models of proteins and of residues are exported"
    elif predictor.task.chains > 1:
        what = "its proteins are of several chains, each read alone, and the page in a browser reads one"
    elif not predictor.tokeniser.aligned:
        what = f"its tokens are not residues ({predictor.tokeniser.why_not}), so that no table says what they are"
    elif model.reads_residues:
        what = (
            "its head reads all residues of a protein at once, and heads that read each one or their mean are exported"
        )
    elif getattr(config, "pool_positions", None) is not None:
        what = "its head reads some positions of variants of one protein, and heads that read a residue or the mean are exported"
    elif getattr(config, "equal_lengths", False):
        what = "its encoder does not ignore padding, so that a graph of several rows would give other values"
    elif 4 * sum(weights.numel() for weights in model.parameters()) > LARGEST:
        what = "its weights are more than the 2 GB that an ONNX file holds"
    else:
        return
    raise UserError(f"it cannot be exported: {what}", where=name, fix="Ask it with bench predict or bench demo.")


def write_graphs(predictor: Predictor, folder: Path) -> list[str]:
    """Write ``model.onnx``, and of a model of proteins with a head of ours ``head.onnx``.

    ``model.onnx`` takes ``input_ids`` and ``attention_mask``, int64 (rows, tokens). Of residues it gives ``logits`` (rows, tokens,
    labels). Of proteins it takes ``residue_mask`` too, 1 for the residues of a row that count, and gives their ``sums`` (rows,
    width): divided by how many they are, over all windows of a protein, they are the ``means`` (proteins, width) of which
    ``head.onnx`` makes ``logits``. Of an architecture's own head it gives ``logits`` (rows, labels), whose mean over windows counts.

    Args:
        predictor: the model, on the CPU.
        folder: that is written.

    Returns:
        Names of the files.

    Raises:
        UserError: onnx is not installed, or torch cannot export the model.
    """
    model = predictor.model.eval().float()
    tokeniser = predictor.tokeniser
    row = torch.from_numpy(tokeniser.with_special(tokeniser.encode("MKTAYIAKQRQISFVKSHFSRQ")))
    # Two rows of different length: no dimension is 1, and padding is padding.
    ids = torch.full((2, len(row)), tokeniser.pad_id)
    ids[0], ids[1, : len(row) - 3] = row, row[3:]
    mask = torch.ones_like(ids)
    mask[1, -3:] = 0
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    if predictor.problem.level.by_residue:
        _write(ResidueGraph(model), {"input_ids": ids, "attention_mask": mask}, free, "logits", folder / MODEL)
        return [MODEL]
    native = isinstance(model, NativeTaskModel)
    inputs = {"input_ids": ids, "attention_mask": mask, "residue_mask": mask.clone()}
    _write(SumGraph(model), inputs, free, "logits" if native else "sums", folder / MODEL)
    if native:
        return [MODEL]
    width = int(model.encoder.config.hidden_size)
    only_rows = {0: torch.export.Dim.DYNAMIC}
    _write(HeadGraph(model), {"means": torch.randn(2, width)}, only_rows, "logits", folder / HEAD)
    return [MODEL, HEAD]


def _write(graph: nn.Module, inputs: dict[str, torch.Tensor], free: dict[int, Any], output: str, path: Path) -> None:
    try:
        import onnxscript  # noqa: F401 - what torch.onnx.export needs
    except ImportError:
        raise UserError("an export needs onnx and onnxscript, which are not installed", fix=f"{INSTALL}.") from None
    said = io.StringIO()
    try:
        # It tells the screen how far it is, and what else it could do.
        with _hushed(), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), torch.no_grad():
            torch.onnx.export(
                graph,
                tuple(inputs.values()),
                str(path),
                input_names=list(inputs),
                output_names=[output],
                dynamic_shapes=[dict(free) for _ in inputs],
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except (MemoryError, KeyboardInterrupt):
        raise
    # Each architecture fails in its own way.
    except Exception as error:
        raise UserError(
            f"torch cannot export its encoder as a graph{in_brackets(error)}",
            fix="docs/demo.md has the families that are exported. Ask it with bench predict or bench demo.",
        ) from None
    _without_traces(path)


def _without_traces(path: Path) -> None:
    """Leave out where in which file of this machine each node was made: it is nobody's business, and another one each time."""
    import onnx

    model = onnx.load(str(path))
    graphs = [model.graph, *model.functions]
    for part in (model, *graphs, *(node for graph in graphs for node in graph.node), *model.graph.value_info):
        del part.metadata_props[:]
        part.doc_string = ""
    onnx.save(model, str(path))


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """The exporter's own log and the warnings of what it traces, silent."""
    loud = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loud]
    try:
        for logger in loud:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loud, before, strict=True):
            logger.setLevel(level)
