"""Export the encoder of a tiny checkpoint of each kind, and print how far onnxruntime is from torch, or why it has no graph.

    python tests/exporting/families.py [KIND ...]

A hidden state of each token is compared, on rows of 5 to 1,000 tokens (or as many as the kind reads), with padding and without.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kinds_of_checkpoints import KINDS, write_kind

from hubtools.common.errors import UserError
from hubtools.exporting.onnx_graph import _write
from hubtools.exporting.onnx_model import _run, _session
from hubtools.models.checkpoint import resolve_checkpoint
from hubtools.models.encoder import load_encoder

SHAPES = ((1, 5), (3, 40), (2, 300), (1, 1000), (5, 12))


class States(nn.Module):
    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return states


def inputs(rows: int, tokens: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
    mask = torch.ones((rows, tokens), dtype=torch.long)
    if rows > 1:
        mask[1, tokens // 2 :] = 0
    return {"input_ids": torch.randint(5, 20, (rows, tokens), generator=generator), "attention_mask": mask}


@torch.no_grad()
def apart(kind: str) -> float:
    generator = torch.Generator().manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = resolve_checkpoint(str(write_kind(Path(folder) / kind, kind)))
        states = States(load_encoder(checkpoint, weights="pretrained", seed=0).eval())
        path = Path(folder) / "model.onnx"
        free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
        _write(states, inputs(2, 17, generator), free, "states", path)
        # Of some two positions are kept for padding.
        most = (getattr(states.encoder.config, "max_position_embeddings", None) or 10**6) - 2
        session, largest = _session(path), 0.0
        for rows, tokens in SHAPES:
            given = inputs(rows, min(tokens, most), generator)
            ours, theirs = states(**given), _run(session, list(given.values()))
            real = given["attention_mask"].bool()
            largest = max(largest, float(np.abs(ours[real] - theirs[real]).max()))
        return largest


if __name__ == "__main__":
    alike: dict[object, list[str]] = {}
    for kind in sys.argv[1:] or KINDS:
        alike.setdefault(KINDS[kind], []).append(kind)
    for kinds in alike.values():
        try:
            said = f"{apart(kinds[0]):.1e}"
        except UserError as error:
            said = error.what
        print(f"| {', '.join(kinds)} | {said} |", flush=True)
