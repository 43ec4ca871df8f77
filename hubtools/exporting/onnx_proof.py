"""Whether exported graphs compute what torch computes: proteins of all lengths up to the window, alone and padded together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hubtools.common.errors import UserError
from hubtools.models.windows import Piece
from hubtools.training.batches import collate
from hubtools.training.encoding import Encoded

if TYPE_CHECKING:
    from hubtools.exporting.onnx_model import OnnxModel
    from hubtools.inference.predictor import Predictor

# Largest difference of a logit or value, of its size where that is above 1. Orders of operations alone differ: ESM-2 8M by 1e-5.
ALLOWED = 1e-4
# Human ubiquitin B (UniProt P0CG47), preproinsulin (P01308) and haemoglobin alpha (P69905), and magainin 2: real proteins whose
# stretches make any length.
_PROTEINS = (
    "MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEGIPPDQQRLIFAGKQLEDGRTLSDYNIQKESTLHLVLRLRGG"
    "MALWMRLLPLLALLALWGPDPAAAFVNQHLCGSHLVEALYLVCGERGFFYTPKTRREAEDLQVGQVELGGGPGAGSLQPLALEGSLQKRGIVEQCCTSICSLYQLENYCN"
    "MVLSPADKTNVKAAWGKVGAHAGEYGAEALERMFLSFPTTKTYFPHFDLSHGSAQVKGHGKKVADALTNAVAHVDDMPNALSALSDLHAHKLRVDPVNFKLLSHCLLVTLAAHLPAEFTPAVHASLDKFLASVSTVLTSKYR"
    "GIGKFLHSAKKFGKAFVGEIMNS"
)
LENGTHS = (1, 2, 23, 76, 300, 1022)
# Ubiquitin and preproinsulin, which hold each of the twenty amino acids.
KNOWN = 186


@dataclass(frozen=True)
class GraphDifference:
    """What graphs and torch differ by.

    Attributes:
        largest: of all logits or values, of its size where that is above 1.
        lengths: residues of the proteins that were read.
        residues: of the protein where it is largest.
    """

    largest: float
    lengths: tuple[int, ...]
    residues: int


def proving_proteins(longest: int) -> list[str]:
    """Sequences from one residue to the longest that a model reads at once, one with every letter, shortest first."""
    text = _PROTEINS * (longest // len(_PROTEINS) + 1)
    lengths = sorted({*(n for n in LENGTHS if n < longest), longest})
    return ["ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:longest], *(text[:n] for n in lengths)]


@torch.no_grad()
def difference(predictor: Predictor, graphs: OnnxModel, longest: int = max(LENGTHS)) -> GraphDifference:
    """Compare torch and graphs.

    Args:
        predictor: the model.
        graphs: of the same model.
        longest: residues of the longest protein that is read.
    """
    longest = min(longest, predictor.window.residues)
    proteins = _readable(predictor, proving_proteins(longest))
    split = _in_one_piece(predictor, proteins)
    largest, where = 0.0, len(proteins[0])
    # Each alone, then all but the longest as one batch: most of it is padding.
    groups: list[Sequence[int]] = [[index] for index in range(len(proteins))]
    if len(proteins) > 2:
        groups.append(range(len(proteins) - 1))
    for group in groups:
        batch = collate(split, [(index, split.windows[index][0]) for index in group])
        ours, theirs = (_logits(model, batch.inputs) for model in (predictor.model, graphs))
        apart = np.abs(ours - theirs) / np.maximum(1, np.abs(ours))
        worst = float(apart.max()) if np.isfinite(theirs).all() else np.inf
        if worst > largest:
            largest, where = worst, max(len(proteins[index]) for index in group)
    return GraphDifference(largest, tuple(len(protein) for protein in proteins), where)


def require_same(found: GraphDifference, name: str) -> None:
    """Refuse graphs that do not compute what torch computes.

    Raises:
        UserError: they do not.
    """
    if not found.largest <= ALLOWED:
        raise UserError(
            f"what its graph gives differs from torch by {found.largest:.2g} at {found.residues:,} residues, and {ALLOWED:g} is "
            "allowed",
            where=name,
            fix="Nothing was written. Ask it with bench predict or bench demo.",
        )


def known_answer(predictor: Predictor, graphs: OnnxModel) -> tuple[str, np.ndarray]:
    """A real protein and what the graphs say of it here, to which another machine's answer is held.

    Args:
        predictor: the model.
        graphs: of the same model.

    Returns:
        The sequence, and probabilities or values: (residues, outputs), or (1, outputs) of a protein.
    """
    from hubtools.training.loss import Loss
    from hubtools.training.prediction import predict

    proteins = _readable(predictor, [_PROTEINS[: min(KNOWN, predictor.window.residues)]])
    found = predict(
        graphs,
        _in_one_piece(predictor, proteins),
        Loss(predictor.problem.kind),
        token_budget=predictor.execution.token_budget,
        device=predictor.execution.device,
    )
    return proteins[0], found.scores.reshape(len(found.scores), -1)


def _in_one_piece(predictor: Predictor, proteins: Sequence[str]) -> Encoded:
    """Proteins of no more residues than are read at once."""
    tokens = [predictor.tokeniser.encode(protein) for protein in proteins]
    return Encoded(
        predictor.problem,
        [str(index) for index in range(len(proteins))],
        None,
        tokens,
        [_blank(predictor, len(ids)) for ids in tokens],
        [[Piece(0, len(ids), 0, len(ids))] for ids in tokens],
        predictor.tokeniser,
    )


def _readable(predictor: Predictor, proteins: list[str]) -> list[str]:
    """Without letters that the model does not have at all."""
    table = predictor.tokeniser.table
    assert table is not None
    return ["".join(letter for letter in protein if table[ord(letter)] >= 0) for protein in proteins]


def _blank(predictor: Predictor, residues: int) -> Any:
    blank: Any = np.zeros(len(predictor.labels), np.int64) if predictor.problem.kind == "multilabel" else np.int64(0)
    return np.repeat(blank[None], residues, axis=0) if predictor.problem.level.by_residue else blank


def _logits(model: Any, inputs: dict[str, Any]) -> np.ndarray:
    """Of residues, or of proteins: (n, outputs)."""
    rows = (inputs["input_ids"], inputs["attention_mask"], inputs["residue_mask"])
    if "protein" in inputs:
        out: torch.Tensor = model.from_sums(*model.row_sums(*rows))
    else:
        out = model(input_ids=rows[0], attention_mask=rows[1]).logits[rows[2]]
    return out.float().numpy()
