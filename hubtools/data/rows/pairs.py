"""Pairs of proteins: looked up and named, the same in either order, split by protein.

A pair and its mirror image are one question. A protein is its sequence, whatever ids it has: so two ids of one sequence
cannot put the same protein on both sides of a split.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hubtools.common.errors import UserError, nearest
from hubtools.data.rows.labels import Labels
from hubtools.data.rows.sequences import canonical_sequences
from hubtools.data.sources.source_rows import cell_text
from hubtools.specs.task import Task

if TYPE_CHECKING:
    import pandas as pd

# Columns of the second protein, by that of the first.
PARTNER = {"sequence": "partner", "protein": "partner_protein", "cluster": "partner_cluster"}


def canonical_pairs(
    ids: Sequence[str],
    first: Sequence[Any],
    second: Sequence[Any],
    labels: Sequence[Any],
    task: Task,
    lookup: dict[str, str] | None,
) -> tuple[pd.DataFrame, Counter[str], list[str]]:
    """Rows of pairs in canonical form.

    Args:
        ids: of the rows, for messages; kept as ids of the pairs where the task names a column of ids, or there is no
            lookup. Else a pair is called ``A|B`` by the ids of its proteins, a later row of the same name ``A|B#2``.
        first, second: cells of the two proteins: ids in the lookup, or sequences.
        labels: cells.
        task: what the labels are.
        lookup: canonical sequences by id, or None where the rows hold sequences.

    Returns:
        Columns ``id``, ``sequence``, ``partner`` (sequences), ``protein``, ``partner_protein`` (a name for each
        distinct sequence: the first of its ids in the lookup, or a checksum), ``label``, ``cluster`` and
        ``partner_cluster`` (None so far); how many sequences were altered, by reason; findings.

    Raises:
        UserError: an id that is not in the lookup, a sequence or label that cannot be.
    """
    import pandas as pd

    changed: Counter[str] = Counter()
    findings = []
    if lookup is None:
        sequences, _, changed = canonical_sequences([*first, *second], [*ids, *ids], task.name, gaps=True)
        names = {sequence: hashlib.sha256(sequence.encode()).hexdigest()[:12] for sequence in sequences}
    else:
        asked = [cell_text(cell) for cell in [*first, *second]]
        sequences = [looked_up(name, row, lookup, task) for name, row in zip(asked, [*ids, *ids], strict=True)]
        names = {}
        for name, sequence in lookup.items():
            names[sequence] = min(names.get(sequence, name), name)
        if task.data.columns.id is None:
            ids = _pair_ids(asked[: len(ids)], asked[len(ids) :])
        if surplus := len(set(asked)) - len(set(sequences)):
            findings.append(f"{surplus:,} ids have the sequence of another id: taken as one protein")
    encoded = Labels(task)
    n = len(ids)
    rows = pd.DataFrame({"id": list(ids), "sequence": sequences[:n], "partner": sequences[n:]}, dtype=object)
    rows["protein"], rows["partner_protein"] = rows["sequence"].map(names), rows["partner"].map(names)
    rows["label"] = pd.Series(
        [encoded.protein(cell, name) for cell, name in zip(labels, ids, strict=True)], dtype=object
    )
    rows["cluster"] = rows["partner_cluster"] = pd.Series([None] * n, dtype=object)
    return rows, changed, findings


def looked_up(name: str, row: str, lookup: dict[str, str], task: Task) -> str:
    """The sequence of a protein that a row names.

    Raises:
        UserError: the lookup file has none of that name.
    """
    if name not in lookup:
        close = nearest(name, lookup)
        hint = f"Did it mean {close}? " if close else ""
        raise UserError(
            f"there is no protein {name!r} in the lookup file ({len(lookup):,} proteins)",
            where=f"task {task.name}, {row}",
            fix=f"{hint}Correct the id, or add its sequence.",
        )
    return lookup[name]


def _pair_ids(first: list[str], second: list[str]) -> list[str]:
    seen: Counter[str] = Counter()
    ids = []
    for name in (f"{a}|{b}" for a, b in zip(first, second, strict=True)):
        seen[name] += 1
        ids.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return ids


def unordered(rows: pd.DataFrame) -> pd.Series:
    """One text for a pair and its mirror image."""
    first, second = rows["protein"], rows["partner_protein"]
    ordered = first <= second
    return first.where(ordered, second) + "\0" + second.where(ordered, first)


def proteins(rows: pd.DataFrame) -> pd.DataFrame:
    """The distinct proteins of pairs: columns ``sequence``, ``protein`` and ``cluster``."""
    import pandas as pd

    columns = list(PARTNER)
    second = rows[[PARTNER[column] for column in columns]].set_axis(columns, axis=1)
    return pd.concat([rows[columns], second]).drop_duplicates("protein", ignore_index=True)


def seen_proteins(rows: pd.DataFrame, task: Task) -> list[str]:
    """Lines about how many proteins of the test pairs are in training pairs.

    The classes C1 to C3 are those of Park & Marcotte (Nature Methods 9, 2012): a method can score well on C1 by
    knowing how often a protein interacts at all, and fall to chance on C3.
    """
    trained = set(proteins(rows[rows["split"] == "train"])["protein"])
    lines = []
    for split in task.data.test_splits:
        part = rows[rows["split"] == split]
        seen = part["protein"].isin(trained).astype(int) + part["partner_protein"].isin(trained)
        both, one, none = (int((seen == count).sum()) for count in (2, 1, 0))
        lines.append(
            f"{split}: of {len(part):,} pairs {both:,} have both proteins in training pairs (class C1), {one:,} one (C2), "
            f"{none:,} none (C3)"
        )
    return lines
