"""What one row of a task is: a protein, a pair of proteins or a variant of a wild type. One object a level tells.

Canonical rows have the columns ``id``, ``sequence``, ``label`` and ``cluster``, and further ones by level (see
:class:`hubtools.data.task_data.TaskData`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hubtools.data.rows.canonical import (
    Canonical,
    contact_rows,
    pair_rows,
    protein_rows,
    refuse_ids,
    residue_rows,
    structure_rows,
    variant_rows,
)
from hubtools.data.rows.pairs import PARTNER, proteins, seen_proteins, unordered
from hubtools.data.rows.variants import VARIANT_COLUMNS
from hubtools.data.structures.row_structures import STRUCTURE, has_structures, refuse_two_structures, row_structures
from hubtools.specs.problem import Problem

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from hubtools.data.sources.file_cache import DataCache
    from hubtools.specs.task import Task

# From the sequences of proteins, and the cluster of each where there are any, to the split of each.
Draw = Callable[[list[str], list[Any]], "np.ndarray[Any, Any]"]


class ProteinRows:
    """Rows of one protein each, and what is asked of the rows of any level.

    Attributes:
        question: what two rows that ask the same have in common.
        asked: how the question is spoken of, before "in test".
        sequences: columns of the sequences that a row is about.
        clusters: columns of the clusters of its proteins.
        content: columns beside ``id`` and ``sequence`` that the digest of the data covers.
        texts: text columns of the finished table beside ``id``, ``sequence`` and clusters.
        structured: column of the sequence whose structure a row may have.
    """

    question = "sequence"
    asked = "their sequence is"
    sequences: tuple[str, ...] = ("sequence",)
    clusters: tuple[str, ...] = ("cluster",)
    content: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    structured = "sequence"

    def canonical(self, raw: pd.DataFrame, task: Task, cache: DataCache) -> Canonical:
        """Rows in canonical form, how many sequences were altered, by reason, and findings."""
        return protein_rows(raw, task, cache)

    def same(self, rows: pd.DataFrame) -> pd.Series:
        """What makes two rows the same question."""
        return rows["sequence"]

    def text(self, rows: pd.DataFrame) -> pd.Series:
        """What a row is about, as text."""
        return rows["sequence"]

    def read(self, rows: pd.DataFrame) -> pd.DataFrame:
        """What a model reads, as columns ``sequence`` and ``cluster``."""
        return rows

    def sequences_read(self, rows: Any) -> list[str]:
        """The sequences of :meth:`read`, of a data set or a frame."""
        return list(rows["sequence"][:])

    def structures_read(self, rows: Any) -> list[str]:
        """3Di letters of those sequences, of rows that have them."""
        return list(rows["structure"][:])

    def with_clusters(self, rows: pd.DataFrame, find: Callable[[list[str]], list[str]]) -> pd.DataFrame:
        """Rows with the cluster of each protein, found from sequences."""
        return rows.assign(cluster=find(rows["sequence"].tolist()))

    def drawn(self, rows: pd.DataFrame, draw: Draw) -> np.ndarray[Any, Any]:
        """The split of each row by a draw of proteins, None for a row that falls apart."""
        return draw(rows["sequence"].tolist(), rows["cluster"].tolist())

    def findings(self, rows: pd.DataFrame, task: Task) -> list[str]:
        """Lines about what the rows of the splits have in common, for the record."""
        return []


class ResidueRows(ProteinRows):
    """Rows of one protein each, with a label for each residue."""

    def canonical(self, raw: pd.DataFrame, task: Task, cache: DataCache) -> Canonical:
        """A label for each residue."""
        return residue_rows(raw, task, cache)


class PairRows(ProteinRows):
    """Rows of two proteins each: the same question in either order, split by protein."""

    question = "pair"
    asked = "the pair is"
    sequences = ("sequence", PARTNER["sequence"])
    clusters = ("cluster", PARTNER["cluster"])
    content = ("partner",)
    texts = ("partner", "protein", "partner_protein")

    def canonical(self, raw: pd.DataFrame, task: Task, cache: DataCache) -> Canonical:
        """Two proteins a row."""
        return pair_rows(raw, task, cache)

    def same(self, rows: pd.DataFrame) -> pd.Series:
        """The two proteins, in either order."""
        return unordered(rows)

    def text(self, rows: pd.DataFrame) -> pd.Series:
        """Both sequences."""
        return rows["sequence"] + "|" + rows["partner"]

    def read(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The distinct proteins."""
        return proteins(rows)

    def sequences_read(self, rows: Any) -> list[str]:
        """Those of the distinct proteins."""
        return list(dict.fromkeys([*rows["sequence"][:], *rows["partner"][:]]))

    def with_clusters(self, rows: pd.DataFrame, find: Callable[[list[str]], list[str]]) -> pd.DataFrame:
        """Each distinct protein is clustered once."""
        each = proteins(rows)
        cluster = dict(zip(each["protein"], find(each["sequence"].tolist()), strict=True))
        return rows.assign(cluster=rows["protein"].map(cluster), partner_cluster=rows["partner_protein"].map(cluster))

    def drawn(self, rows: pd.DataFrame, draw: Draw) -> np.ndarray[Any, Any]:
        """None for a pair whose two proteins are in different splits.

        Such a pair would show a test protein to training, or be scored on a protein that was trained on.
        """
        each = proteins(rows)
        drawn = draw(each["sequence"].tolist(), each["cluster"].tolist())
        split_of = dict(zip(each["protein"], drawn, strict=True))
        first, second = rows["protein"].map(split_of), rows["partner_protein"].map(split_of)
        return first.where(first == second, None).to_numpy(dtype=object)

    def findings(self, rows: pd.DataFrame, task: Task) -> list[str]:
        """How many test pairs have proteins that training pairs have."""
        return seen_proteins(rows, task)


class VariantRows(ProteinRows):
    """Rows of one variant of a wild type each."""

    content = (*VARIANT_COLUMNS, "active")
    texts = VARIANT_COLUMNS
    structured = "wildtype"

    def canonical(self, raw: pd.DataFrame, task: Task, cache: DataCache) -> Canonical:
        """A mutant of a wild type a row."""
        return variant_rows(raw, task, cache)

    def read(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The wild types."""
        return rows.drop_duplicates("wildtype").assign(sequence=lambda wild: wild["wildtype"])

    def sequences_read(self, rows: Any) -> list[str]:
        """Those of the wild types."""
        return list(dict.fromkeys(rows["wildtype"][:]))

    def structures_read(self, rows: Any) -> list[str]:
        """Those of the wild types."""
        return list(dict(zip(rows["wildtype"][:], rows["structure"][:], strict=True)).values())


class ContactRows(ProteinRows):
    """Rows of one protein each, with a label for each pair of its residues."""

    def canonical(self, raw: pd.DataFrame, task: Task, cache: DataCache) -> Canonical:
        """A label for each pair of residues."""
        return contact_rows(raw, task, cache)


class StructureRows(ProteinRows):
    """Rows of one protein each, with the coordinates of its residues."""

    def canonical(self, raw: pd.DataFrame, task: Task, cache: DataCache) -> Canonical:
        """Coordinates of α carbons."""
        return structure_rows(raw, task, cache)


# By the name of the level.
ROWS: dict[str, ProteinRows] = {
    "protein": ProteinRows(),
    "residue": ResidueRows(),
    "pair": PairRows(),
    "variant": VariantRows(),
    "residue pair": ContactRows(),
    "structure": StructureRows(),
}


def rows_of(problem: Problem) -> ProteinRows:
    """What the rows of a task of this problem are."""
    return ROWS[problem.level.name]


def canonical_rows(raw: pd.DataFrame, task: Task, cache: DataCache) -> Canonical:
    """Rows with the columns that their level has, in the order of ``raw``; nothing is dropped.

    Returns:
        The rows; how many sequences were altered, by reason; findings.

    Raises:
        UserError: a missing or repeated id, a missing cell, a sequence, label or structure that cannot be.
    """
    refuse_ids(raw, task)
    kind = rows_of(task.problem)
    rows, changed, findings = kind.canonical(raw, task, cache)
    if has_structures(task):
        sequences = rows[kind.structured].tolist()
        rows[STRUCTURE] = row_structures(sequences, rows["id"].tolist(), raw, task, cache)
        refuse_two_structures(rows, kind.structured, task)
    return rows, changed, findings
