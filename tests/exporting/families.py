"""Export the encoder of a tiny checkpoint of each family, and print how far onnxruntime is from torch.

    python tests/exporting/families.py [FAMILY ...]

A hidden state of each token is compared, on rows of 5 to 1,000 tokens, with padding and without.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tiny_checkpoints import _MAKERS, write_checkpoint

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
def apart(family: str) -> float:
    generator = torch.Generator().manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = write_checkpoint(Path(folder) / family, family)
        states = States(load_encoder(resolve_checkpoint(str(checkpoint)), weights="pretrained", seed=0).eval())
        path = Path(folder) / "model.onnx"
        free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
        _write(states, inputs(2, 17, generator), free, "states", path)
        session, largest = _session(path), 0.0
        for shape in SHAPES:
            given = inputs(*shape, generator)
            ours, theirs = states(**given), _run(session, list(given.values()))
            real = given["attention_mask"].bool()
            largest = max(largest, float(np.abs(ours[real] - theirs[real]).max()))
        return largest


if __name__ == "__main__":
    for name in sys.argv[1:] or _MAKERS:
        print(f"{name}  {apart(name):.1e}", flush=True)
