"""Fmax and Smin written plainly, protein by protein, from the definitions of CAFA: no shared code with bench."""

from __future__ import annotations

import math


def fmax(truth, scores) -> float | None:
    """Precision over proteins with a prediction, recall over all; those without a true label are left out."""
    proteins = [
        ({j for j, t in enumerate(true) if t}, [float(s) for s in score])
        for true, score in zip(truth, scores, strict=True)
    ]
    proteins = [(true, score) for true, score in proteins if true]
    if not proteins:
        return None
    best = 0.0
    for percent in range(1, 101):
        precisions, recalls = [], []
        for true, score in proteins:
            # The tiny slack is float32's: 0.29 as float32 is a little below 0.29.
            said = {j for j, s in enumerate(score) if s >= percent / 100 - 1e-7}
            if said:
                precisions.append(len(said & true) / len(said))
            recalls.append(len(said & true) / len(true))
        if precisions:
            p, r = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
            if p + r:
                best = max(best, 2 * p * r / (p + r))
    return best


def smin(truth, scores, information) -> float | None:
    """Remaining uncertainty and misinformation, each a mean over proteins that have a true label."""
    proteins = [
        ({j for j, t in enumerate(true) if t}, [float(s) for s in score])
        for true, score in zip(truth, scores, strict=True)
    ]
    proteins = [(true, score) for true, score in proteins if true]
    if not proteins:
        return None
    found = []
    for percent in range(1, 101):
        ru = mi = 0.0
        for true, score in proteins:
            said = {j for j, s in enumerate(score) if s >= percent / 100 - 1e-7}
            ru += sum(information[j] for j in true - said)
            mi += sum(information[j] for j in said - true)
        found.append(math.sqrt((ru / len(proteins)) ** 2 + (mi / len(proteins)) ** 2))
    return min(found)
