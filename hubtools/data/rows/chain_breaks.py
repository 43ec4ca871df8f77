"""Proteins that are several chains: one sequence with ``:`` between the chains, as ColabFold and ESMFold take them.

``:`` is no residue and no token. A model reads each chain alone; a search for relatives reads the chains joined by one X.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from hubtools.common.errors import UserError
from hubtools.data.rows.sequences import canonical_sequences

BREAK = ":"


def chains_of(sequence: str) -> list[str]:
    """The chains of a canonical sequence, one for most proteins."""
    return sequence.split(BREAK)


def residues_in(sequence: str) -> int:
    """How many residues a canonical sequence has, over all chains."""
    return len(sequence) - sequence.count(BREAK)


def chains_joined(sequences: Sequence[str]) -> list[str]:
    """Sequences as alignments and words see them: an X where a chain ends, which no word goes across."""
    return [sequence.replace(BREAK, "X") for sequence in sequences]


def split_chains(cells: Sequence[Any], ids: Sequence[str], chains: int, task: str) -> list[list[Any]]:
    """A column of each chain from the one column that holds them with ``:`` between.

    Args:
        cells: as the files have them.
        ids: what the proteins are called in messages.
        chains: of each protein.
        task: name of the task, for messages; empty outside of one.

    Raises:
        UserError: a protein has more chains, or fewer.
    """
    parts = [cell.split(BREAK) if isinstance(cell, str) else [cell] * chains for cell in cells]
    for name, found in zip(ids, parts, strict=True):
        if len(found) != chains:
            raise UserError(
                f"the protein has {len(found)} chain{'s' * (len(found) != 1)}, and each of this task has {chains}",
                where=f"task {task}, {name}" if task else name,
                fix=f"Write all of its chains, in the order of the task, with {BREAK} between them.",
            )
    return [list(column) for column in zip(*parts, strict=True)] if parts else [[] for _ in range(chains)]


def canonical_chains(
    columns: Sequence[Sequence[Any]], names: Sequence[str], ids: Sequence[str], task: str
) -> tuple[list[str], Counter[str]]:
    """Canonical sequences of proteins from a column of each of their chains.

    Args:
        columns: cells of each chain.
        names: of the chains, for messages.
        ids: what the proteins are called in messages.
        task: name of the task, for messages.

    Returns:
        The sequences, ``:`` between the chains; how many chains were changed, by reason.

    Raises:
        UserError: a chain is empty, or holds what is no residue.
    """
    changed: Counter[str] = Counter()
    read = []
    for cells, name in zip(columns, names, strict=True):
        sequences, _, altered = canonical_sequences(cells, [f"{one}, {name}" for one in ids], task, gaps=True)
        read.append(sequences)
        changed += altered
    return [BREAK.join(chains) for chains in zip(*read, strict=True)], changed
