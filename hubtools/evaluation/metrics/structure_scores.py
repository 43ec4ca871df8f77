"""How near a predicted structure is to a known one, by the α carbons of the residues that both have: lDDT, TM-score, GDT-TS, RMSD.

    lDDT      of the distances below 15 Å in the known structure, between different residues, the share that is kept within 0.5, 1, 2 and 4 Å,
              averaged over the four (Mariani et al. 2013, doi:10.1093/bioinformatics/btt473), of α carbons; by biotite
    TM-score  max over superpositions of mean 1 / (1 + (d / d0)²), d0 = 1.24 (n - 15)^(1/3) - 1.8, at least 0.5 (Zhang & Skolnick 2004,
              doi:10.1002/prot.20264)
    GDT-TS    mean over 1, 2, 4 and 8 Å of the largest share of residues within it (Zemla 2003, doi:10.1093/nar/gkg571)
    RMSD      in Å, after the superposition of least squares; by biotite

Residues correspond by the sequence, and n is their number. Superpositions are looked for as the program TM-score looks for them: from
stretches of n, n/2, n/4 … residues, laid onto each other and again by the residues that come near, until these stay the same. GDT-TS is
of the same superpositions, as that program has it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from hubtools.evaluation.statistics.resampling import rows_of_each

if TYPE_CHECKING:
    from hubtools.evaluation.predictions import Predictions

# In the order in which they are shown.
SCORES = ("lddt", "tm_score", "gdt_ts", "rmsd")
# Fewer residues can be laid onto each other in any way.
LEAST_RESIDUES = 4
_CUTOFFS = (1.0, 2.0, 4.0, 8.0)
# Starts of stretches of one length, and rounds from each.
_STARTS, _ROUNDS = 100, 20


def compare_structures(known: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """All of :data:`SCORES`.

    Args:
        known, predicted: (n, 3) α carbons of the same residues in Å, all of them numbers; n at least four.
    """
    known, predicted = np.asarray(known, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    best, within = _superposed_best(known, predicted)
    far = rmsd(known, predicted)
    return {"lddt": lddt(known, predicted), "tm_score": best, "gdt_ts": float(np.mean(within)), "rmsd": far}


def lddt(known: np.ndarray, predicted: np.ndarray) -> float:
    """LDDT of α carbons; arguments as of :func:`compare_structures`."""
    import biotite.structure as structure

    reference = structure.AtomArray(len(known))
    reference.coord, reference.res_id = known, np.arange(len(known))
    return float(structure.lddt(reference, predicted))


def tm_score(known: np.ndarray, predicted: np.ndarray) -> float:
    """TM-score; arguments as of :func:`compare_structures`."""
    return _superposed_best(known, predicted)[0]


def gdt_ts(known: np.ndarray, predicted: np.ndarray) -> float:
    """GDT-TS; arguments as of :func:`compare_structures`."""
    return float(np.mean(_superposed_best(known, predicted)[1]))


def rmsd(known: np.ndarray, predicted: np.ndarray) -> float:
    """RMSD in Å; arguments as of :func:`compare_structures`."""
    import biotite.structure as structure

    return float(structure.rmsd(known, laid_onto(known, predicted)))


def laid_onto(known: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """What is predicted, superposed by least squares, (n, 3) in Å; by biotite. Arguments as of :func:`compare_structures`."""
    import biotite.structure as structure

    moved: np.ndarray = structure.superimpose(known, predicted)[0]
    return moved


def of_coordinates(single: Any, predictions: Predictions) -> np.ndarray:
    """A score of each protein, in order of first appearance; NaN of fewer residues than can be laid onto each other.

    Args:
        single: one of the functions above.
        predictions: a row a coordinate, those of a residue one after the other.
    """
    places = (
        (predictions.truth[rows].reshape(-1, 3), predictions.scores[rows].astype(np.float64).reshape(-1, 3))
        for rows in rows_of_each(predictions.ids)
    )
    return np.array([single(*pair) if len(pair[0]) >= LEAST_RESIDUES else np.nan for pair in places])


def _superposed_best(known: np.ndarray, predicted: np.ndarray) -> tuple[float, np.ndarray]:
    """The TM-score, and the largest share of residues within each of 1, 2, 4 and 8 Å; of one pair looked for once."""
    key = hashlib.blake2b(known.tobytes() + predicted.tobytes(), digest_size=16).digest()
    if key not in _found:
        if len(_found) == _KEPT:
            del _found[next(iter(_found))]
        _found[key] = _looked_for(known, predicted)
    return _found[key]


# What was found of the last pairs: a task asks for the TM-scores of all of its proteins, and then for their GDT-TS.
_KEPT = 50_000
_found: dict[bytes, tuple[float, np.ndarray]] = {}


def _looked_for(known: np.ndarray, predicted: np.ndarray) -> tuple[float, np.ndarray]:
    n = len(known)
    scale = max(0.5, 1.24 * np.cbrt(n - 15) - 1.8)
    near = min(8.0, max(4.5, scale)) ** 2
    best, within = 0.0, np.zeros(len(_CUTOFFS))
    lengths = sorted({max(LEAST_RESIDUES, n >> halved) for halved in range(n.bit_length())}, reverse=True)
    for length in lengths:
        starts = np.unique(np.linspace(0, n - length, _STARTS).astype(int))
        places = np.arange(n)
        chosen = (places >= starts[:, None]) & (places < starts[:, None] + length)
        for _ in range(_ROUNDS):
            squares = _squares(known, predicted, chosen)
            best = max(best, float((1 / (1 + squares / scale**2)).mean(axis=1).max()))
            shares = [(squares <= cutoff**2).mean(axis=1).max() for cutoff in _CUTOFFS]
            within = np.maximum(within, shares)
            # Where fewer than three come near, the three nearest, without which nothing can be laid onto anything.
            third = np.partition(squares, 2, axis=1)[:, 2:3]
            nearer = squares <= np.maximum(near, third)
            if np.array_equal(nearer, chosen):
                break
            chosen = nearer
    return best, within


def _squares(known: np.ndarray, predicted: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """(S, n) squared distances after S superpositions, each of the residues that (S, n) ``chosen`` says (Kabsch 1976)."""
    weights = chosen / chosen.sum(axis=1, keepdims=True)
    at, to = weights @ predicted, weights @ known
    products = (predicted[:, :, None] * known[:, None, :]).reshape(len(known), 9)
    spread = (weights @ products).reshape(-1, 3, 3) - at[:, :, None] * to[:, None, :]
    left, _, right = np.linalg.svd(spread)
    # A reflection is no way to lay a protein.
    left[:, :, -1] *= np.sign(np.linalg.det(left @ right))[:, None]
    moved = (predicted - at[:, None]) @ (left @ right) + to[:, None]
    return ((moved - known) ** 2).sum(axis=2)
