"""What one row of a task is: a protein, a pair of proteins or a variant of a wild type. The one place that tells.

Canonical rows have the columns ``id``, ``sequence``, ``label`` and ``cluster``, and further ones by kind (see
:class:`hubtools.data.task_data.TaskData`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hubtools.data.rows.pairs import proteins, unordered
from hubtools.data.rows.variants import VARIANT_COLUMNS
from hubtools.specs.problem import Problem

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Kind:
    """How the rows of a task are spoken of, and what they have.

    Attributes:
        rows: what they are called.
        question: what two rows that ask the same have in common.
        asked: how the question is spoken of, before "in test".
        content: columns beside ``id`` and ``sequence`` that the digest of the data covers.
        columns: text columns of the finished table beside ``id``, ``sequence`` and clusters.
    """

    rows: str
    question: str
    asked: str
    content: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


_PROTEIN = Kind("proteins", "sequence", "their sequence is")
_KINDS = {
    "protein": _PROTEIN,
    "residue": _PROTEIN,
    "pair": Kind("pairs", "pair", "the pair is", ("partner",), ("partner", "protein", "partner_protein")),
    "variant": Kind("variants", "sequence", "their sequence is", (*VARIANT_COLUMNS, "active"), VARIANT_COLUMNS),
}


def kind(problem: Problem) -> Kind:
    """What the rows of a task of this problem are."""
    return _KINDS[problem.level]


def question(rows: pd.DataFrame, problem: Problem) -> pd.Series:
    """What makes two rows the same question: the sequence, or the two proteins in either order."""
    return unordered(rows) if problem.is_pair else rows["sequence"]


def content(rows: pd.DataFrame, problem: Problem) -> pd.Series:
    """What a row is about, as text: its sequence, or both of a pair."""
    return rows["sequence"] + "|" + rows["partner"] if problem.is_pair else rows["sequence"]


def proteins_read(rows: pd.DataFrame, problem: Problem) -> pd.DataFrame:
    """What a model reads, as columns ``sequence`` and ``cluster``: each row, distinct proteins of pairs, wild types."""
    if problem.is_pair:
        return proteins(rows)
    if problem.zero_shot:
        return rows.drop_duplicates("wildtype").assign(sequence=lambda wild: wild["wildtype"])
    return rows


def sequences_read(rows: Any, problem: Problem) -> list[str]:
    """The sequences of :func:`proteins_read`, of a data set or a frame."""
    if problem.is_pair:
        return list(dict.fromkeys([*rows["sequence"][:], *rows["partner"][:]]))
    return list(dict.fromkeys(rows["wildtype"][:])) if problem.zero_shot else list(rows["sequence"][:])
