"""Folds of a cross-validation: which row is in which, and what the model of each fold learns from.

The schemes are those of ProteinGym's supervised benchmark, as its authors' script draws them (OATML-Markslab/ProteinNPT at 7e715f0,
``proteinnpt/utils/cv_split.py``): modulo and contiguous go over the sorted distinct positions of single substitutions, random
draws each row with equal chances. The positions that occur are counted, not residue numbers, so that one without a variant
leaves no gap. Where that script takes four folds of an assay with too few positions, here the task file has to say so. The score of an
assay there is the metric of all out-of-fold predictions together (``scripts/train.py`` at 010866a), as here.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hubtools.common.errors import UserError, near
from hubtools.data.rows.row_kinds import rows_of
from hubtools.data.sources.file_cache import DataCache
from hubtools.data.sources.source_rows import ID, cell_text, columns_present
from hubtools.data.splits.overlap import split_overlaps
from hubtools.data.splits.splitting import carved, carving, split_digest
from hubtools.data.splits.traits import Traits, row_traits
from hubtools.specs.record import SplitOverlap
from hubtools.specs.split_rules import Folds
from hubtools.specs.task import Task

if TYPE_CHECKING:
    import pandas as pd

# Of every fold's fit; ``test`` of them together is all rows.
SCORED = "test"
_SUBSTITUTION = re.compile(r"[A-Z](\d+)[A-Z]")


@dataclass(frozen=True, eq=False)
class Fold:
    """What one model learns from, chooses on and predicts: int64 places in the rows of the task, none of which is in two.

    Attributes:
        train, validation: of the other folds.
        test: all rows of the fold.
    """

    train: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]


def refuse_choosing(task: Task) -> None:
    """Raise for a task with folds where something is to be chosen on one validation split.

    Raises:
        UserError: each fold is held out of one fit and learnt from in the others.
    """
    if task.data.folds is not None:
        raise UserError(
            "a task with folds has no validation split that no fold is scored on, so that no sweep can choose on one",
            where=f"task {task.name}",
            fix="Sweep on a task with splits, or run with --set.",
        )


def by_position(positions: Sequence[int], scheme: str, k: int) -> list[int]:
    """The fold (from 0) of each row by the position of its substitution.

    Args:
        positions: of each row.
        scheme: ``modulo`` or ``contiguous``.
        k: how many folds; at most as many as there are distinct positions.
    """
    distinct = sorted(set(positions))
    if scheme == "modulo":
        fold_of = {position: place % k for place, position in enumerate(distinct)}
    else:
        size, longer = divmod(len(distinct), k)
        stretches = np.repeat(np.arange(k), [size + (fold < longer) for fold in range(k)])
        fold_of = dict(zip(distinct, stretches.tolist(), strict=True))
    return [fold_of[position] for position in positions]


def at_random(sequences: Sequence[str], clusters: Sequence[str | None], k: int, seed: int) -> list[int]:
    """The fold (from 0) of each row, with equal chances: by its cluster, or its sequence where it has none, and the seed alone."""
    keys = [cluster or sequence for cluster, sequence in zip(clusters, sequences, strict=True)]
    return [int(hashlib.sha256(f"fold:{seed}:{key}".encode()).hexdigest(), 16) % k for key in keys]


def told_folds(raw: pd.DataFrame, task: Task) -> npt.NDArray[np.object_] | None:
    """The fold of each row by the columns of the data; None where folds are drawn from sequences.

    Args:
        raw: rows as the files have them.
        task: the task, which has folds.

    Raises:
        UserError: the column is not there, a row has none, or no single substitution, or there are too few positions.
    """
    folds = task.data.folds
    assert folds is not None
    if folds.scheme == "random":
        return None
    column = folds.column or folds.mutant
    where = f"task {task.name}, data.folds"
    present = columns_present(raw)
    if column not in present:
        raise UserError(f"there is no column {column!r}", where=where, fix=near(str(column), present))
    cells = [cell_text(cell) for cell in raw[column]]
    if folds.column is not None:
        if "" in cells:
            many = cells.count("")
            raise UserError(
                f"{raw[ID].iloc[cells.index('')]} has no fold ({many:,} such rows)",
                where=where,
                fix=f"Complete the column {column}.",
            )
        return np.array(cells, dtype=object)
    matches = [_SUBSTITUTION.fullmatch(cell) for cell in cells]
    if None in matches:
        bad = cells[matches.index(None)]
        raise UserError(
            f"{bad!r} is no single substitution, such as A42G, and folds.scheme {folds.scheme} goes by its position",
            where=where,
            fix="Leave rows of several substitutions out of the data, or use scheme: random.",
        )
    positions = [int(match[1]) for match in matches if match is not None]
    if (n := len(set(positions))) < folds.k:
        raise UserError(f"{n} positions are too few for {folds.k} folds", where=where, fix=f"Write number: {n}.")
    assert folds.scheme is not None
    return np.array([str(fold) for fold in by_position(positions, folds.scheme, folds.k)], dtype=object)


def with_folds(rows: pd.DataFrame, task: Task) -> tuple[pd.DataFrame, str]:
    """Canonical rows with their ``fold``, all of them in the one split that is scored, and the digest of who is where.

    Args:
        rows: canonical, with clusters, and with ``fold`` unless folds are drawn from sequences.
        task: the task.

    Raises:
        UserError: fewer folds than the task says, or others than it pins.
    """
    folds = task.data.folds
    assert folds is not None
    of = rows_of(task.problem)
    if folds.scheme == "random":
        drawn = at_random(of.text(rows).tolist(), rows["cluster"].tolist(), folds.k, folds.seed)
        rows = rows.assign(fold=[str(fold) for fold in drawn])
    rows = rows.assign(split=SCORED)
    where, names = f"task {task.name}, data.folds", fold_names(rows["fold"].tolist())
    expected = folds.k if folds.scheme else folds.number or max(2, len(names))
    if len(names) != expected:
        fix = "Correct number." if folds.column else "Add rows, or take fewer folds: number."
        raise UserError(f"there are {len(names)} folds, and the task has {expected}", where=where, fix=fix)
    got = split_digest(of.text(rows).tolist(), rows["fold"].tolist())
    if folds.sha256 not in {None, got}:
        raise UserError(
            f"the folds came out otherwise: sha256 {got}, the task file pins {folds.sha256}",
            where=f"{where}.sha256",
            fix="Use the data that the task was made with, or pin the new value and raise version.",
        )
    return rows, got


def fold_names(folds: Sequence[str]) -> list[str]:
    """The distinct names in order, numbers by their value."""
    return sorted(set(folds), key=lambda name: (0, int(name), name) if name.isdecimal() else (1, 0, name))


def fold_words(folds: Folds, number: int) -> str:
    """How rows came into folds, in words."""
    if folds.column is not None:
        return f"{number} folds, named by the column {folds.column}"
    if folds.scheme == "random":
        return f"{number} folds, each row drawn with equal chances by seed {folds.seed}"
    how = (
        "the sorted positions in turn"
        if folds.scheme == "modulo"
        else "stretches of equally many positions, one after another"
    )
    return f"{number} folds by the position of the substitution ({folds.scheme}: {how})"


def cross_validation(rows: pd.DataFrame, task: Task) -> tuple[dict[str, Fold], Counter[str], list[str], str]:
    """The fits: what each fold's model learns from; rows left out of training by reason; findings; where validation came from.

    Of the other folds those rows are left out that ask the same as a row of the fold.

    Args:
        rows: canonical, with ``fold``, in their final order.
        task: the task.

    Raises:
        UserError: nothing is left to learn from.
    """
    assert task.data.folds is not None
    of, found, removed = rows_of(task.problem), dict[str, Fold](), Counter[str]()
    asked, fold = of.same(rows).to_numpy(), rows["fold"].to_numpy()
    names = fold_names(fold.tolist())
    for name in names:
        held = fold == name
        again = ~held & np.isin(asked.astype(str), asked[held].astype(str))
        if again.any():
            removed[f"from training: {of.question} is in the fold that is held out"] += int(again.sum())
        learnt = np.flatnonzero(~held & ~again)
        if not len(learnt):
            raise UserError(f"nothing is left to learn from for fold {name}", where=f"task {task.name}, data.folds")
        part = carved(rows.iloc[learnt], task)
        found[name] = Fold(learnt[part == "train"], learnt[part == "validation"], np.flatnonzero(held))
    sizes = ", ".join(f"{len(one.test):,}" for one in found.values())
    lines = [
        f"{fold_words(task.data.folds, len(names))}, of {sizes} {task.problem.level.rows}; each row is predicted by the one "
        "model that never saw its fold"
    ]
    lines += [f"{n:,} times a row was left out {reason}" for reason, n in removed.items()]
    if spanning := _spanning(rows):
        lines.append(
            f"{spanning:,} clusters have proteins in several folds: relatives of what is predicted were learnt from"
        )
    return found, removed, lines, f"in each fit {carving(rows, task, 'the other folds')}"


def _spanning(rows: pd.DataFrame) -> int | None:
    """Clusters that have rows in several folds; None where there are no clusters."""
    known = rows[rows["cluster"].notna()]
    return int((known.groupby("cluster")["fold"].nunique() > 1).sum()) if len(known) else None


def fold_overlaps(
    rows: pd.DataFrame, folds: Mapping[str, Fold], identities: Sequence[float], task: Task, cache: DataCache
) -> tuple[list[SplitOverlap], str | None]:
    """What rows have in common with what their own fold's model learnt from, added up over folds; and how it was looked for.

    Args:
        rows: canonical, in the order of the task.
        folds: as :func:`cross_validation` gives them.
        identities: thresholds.
        task: the task.
        cache: where the answers of searches are kept.
    """
    pairs, method, each = [("train", SCORED), ("validation", SCORED)], None, list[list[SplitOverlap]]()
    for fold in folds.values():
        found, method = split_overlaps(_parts(rows, fold), pairs, identities, task.problem, cache)
        each.append(found)
    named = rows.assign(fold="")
    for name, fold in folds.items():
        named.iloc[fold.test, named.columns.get_loc("fold")] = name
    summed = [
        SplitOverlap(
            first=first,
            second=second,
            identical=sum(one[place].identical for one in each),
            similar={key: _sum([one[place].similar[key] for one in each]) for key in each[0][place].similar},
            shared_clusters=_spanning(named) if first == "train" else None,
        )
        for place, (first, second) in enumerate(pairs)
    ]
    return summed, method


def fold_traits(rows: pd.DataFrame, folds: Mapping[str, Fold], task: Task, cache: DataCache) -> dict[str, Traits]:
    """Traits of all rows, in their order, each beside what its own fold's model learnt from; arguments as above."""
    found = [row_traits(_parts(rows, fold), [SCORED], task.problem, cache)[SCORED] for fold in folds.values()]
    order = np.argsort(np.concatenate([fold.test for fold in folds.values()]))
    identities = [one.identity for one in found if one.identity is not None]
    together = Traits(
        np.concatenate([one.ids for one in found])[order],
        np.concatenate([one.residues for one in found])[order],
        np.concatenate(identities)[order] if len(identities) == len(found) else None,
    )
    return {SCORED: together}


def _parts(rows: pd.DataFrame, fold: Fold) -> dict[str, pd.DataFrame]:
    return {part: rows.iloc[getattr(fold, part)] for part in ("train", "validation", SCORED)}


def _sum(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None
