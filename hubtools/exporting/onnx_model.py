"""Exported graphs asked as a model is asked, so that predicting, proving and scoring are the same code for both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from hubtools.common.errors import UserError, in_brackets
from hubtools.exporting.onnx_graph import HEAD, INSTALL, MODEL


class OnnxModel:
    """The graphs of a folder, called as :class:`hubtools.models.modeling_protein_task.ProteinTaskModel` is.

    Args:
        folder: that :func:`hubtools.exporting.onnx_graph.write_graphs` filled.
        config: of the model.

    Raises:
        UserError: onnxruntime is not installed, or cannot run them.
    """

    reads_residues = False

    def __init__(self, folder: Path, config: Any) -> None:
        self.config = config
        self.model = _session(folder / MODEL)
        self.head = _session(folder / HEAD) if (folder / HEAD).is_file() else None

    def eval(self) -> OnnxModel:
        """Graphs have no dropout."""
        return self

    def __call__(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **others: Any) -> Any:
        """Logits of tokens: (rows, tokens) twice -> (rows, tokens, labels)."""
        return SimpleNamespace(logits=_run(self.model, [input_ids, attention_mask]))

    def row_sums(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, residue_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What each row adds to its protein, and its weight."""
        sums = _run(self.model, [input_ids, attention_mask, residue_mask])
        return sums, residue_mask.sum(1) if self.head is not None else torch.ones(len(sums))

    def from_sums(self, sums: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Logits: (proteins, width), (proteins,) -> (proteins, labels)."""
        means = sums / counts.clamp_min(1).unsqueeze(-1)
        return means if self.head is None else _run(self.head, [means])


def _session(path: Path) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise UserError("an export is proven by onnxruntime, which is not installed", fix=f"{INSTALL}.") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Of int8 weights alone: by itself onnxruntime also rounds what they are multiplied with, which moves predictions further.
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
    # As many threads as torch has: a run that is not alone said how many.
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise UserError(
            f"onnxruntime cannot load the graph{in_brackets(error)}", fix="Export it without --quantise."
        ) from None


def _run(session: Any, values: Sequence[torch.Tensor]) -> torch.Tensor:
    named = {}
    for wanted, value in zip(session.get_inputs(), values, strict=True):
        array = value.detach().cpu().numpy()
        named[wanted.name] = array.astype(np.float32 if "float" in wanted.type else np.int64)
    return torch.from_numpy(session.run(None, named)[0])
