"""One split, ready for a model: proteins as tokens, their windows and their labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hubtools.common.errors import UserError
from hubtools.data.rows.chain_breaks import chains_of
from hubtools.models.families import family_of
from hubtools.models.longest_input import longest_input
from hubtools.models.windows import Piece, pieces
from hubtools.specs.level import PROTEIN, RESIDUE_PAIR
from hubtools.specs.problem import Problem, problem_of
from hubtools.specs.recipe import Window
from hubtools.specs.record import AlignmentFacts, WindowFacts
from hubtools.specs.task import Task

if TYPE_CHECKING:
    from datasets import Dataset

    from hubtools.models.checkpoint import Checkpoint
    from hubtools.models.tokenisation import ResidueTokeniser

IGNORED = -100
# The residues that are pooled over where it is the last one alone.
LAST = (-1,)


@dataclass(frozen=True)
class Encoded:
    """One split, ready for the model. A row is a protein, or two in a pair task, where each distinct one is kept once.

    Attributes:
        ids: of each row.
        clusters: of each protein.
        tokens: tokens of each protein's residues, without special tokens.
        labels: per protein or pair: an int, a (labels,) or a float; per residue: (residues,) or (residues, labels); of contacts
            an int8 for each pair of residues.
        windows: pieces of each protein; one for most.
        pool: per protein: residues (from 0) that the mean runs over, those below zero counted from its end; all where None.
        names: of each protein, in a pair task.
        pairs: (rows, 2) the two proteins of each row, in a pair task.
        packed: the model computes no padding, so that only real tokens count in a batch.
        chains: of each protein; its tokens are theirs one after another, and no window goes across.
    """

    problem: Problem
    ids: list[str]
    clusters: list[str] | None
    tokens: list[np.ndarray]
    labels: list[Any]
    windows: list[list[Piece]]
    tokeniser: ResidueTokeniser
    pool: np.ndarray | None = None
    names: list[str] | None = None
    pairs: np.ndarray | None = None
    packed: bool = False
    chains: int = 1

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each protein without special tokens."""
        return np.array([len(tokens) for tokens in self.tokens])

    @property
    def row_lengths(self) -> np.ndarray:
        """What rows are sorted into batches by: the tokens of the protein, or of the longer of two."""
        return self.lengths if self.pairs is None else self.lengths[self.pairs].max(1)

    @property
    def alone(self) -> Encoded:
        """The distinct proteins of pairs as rows, without labels: to be read once each."""
        assert self.names is not None
        labels = [np.int64(IGNORED)] * len(self.names)
        return replace(
            self, problem=problem_of(PROTEIN, "classification"), ids=self.names, labels=labels, names=None, pairs=None
        )

    def pooled_over(self, positions: Sequence[int]) -> Encoded:
        """The same split with these residues (from 0, those below zero from the end) read out of each protein alone."""
        pool = np.asarray(positions, dtype=np.int64)
        return replace(self, pool=pool, windows=[_holding(windows, pool) for windows in self.windows])

    def counts(self, protein: int) -> np.ndarray:
        """Which labels of a protein count: a mask over its label array."""
        return counted(self.labels[protein])


def counted(labels: Any) -> np.ndarray:
    """True where a label counts: neither -100 nor NaN."""
    array = np.asarray(labels)
    return ~np.isnan(array) if array.dtype.kind == "f" else array != IGNORED


def effective_window(window: Window, checkpoint: Checkpoint, tokeniser: ResidueTokeniser) -> Window:
    """The recipe's window, made smaller where the checkpoint reads less at once: by what it states, or by what is measured.

    Raises:
        UserError: the checkpoint reads no protein at all.
    """
    special = tokeniser.n_special
    stated = family_of(checkpoint.config).max_tokens(checkpoint.config)
    wanted = window.residues + special
    tokens = longest_input(checkpoint, tokeniser, wanted if stated is None else min(wanted, stated))
    if (residues := tokens - special) >= window.residues:
        return window
    if residues < 1:
        raise UserError(
            f"it reads {tokens} tokens at once, {special} of them special",
            where=checkpoint.name,
            fix="Use another checkpoint.",
        )
    return window.model_copy(update={"residues": residues, "overlap": min(window.overlap, residues // 4)})


def varying_positions(splits: dict[str, Sequence[str]], task: str) -> list[int]:
    """The residues (from 0) that are not the same in all training sequences.

    Args:
        splits: sequences by split; only ``train`` is looked at for differences.
        task: name of the task, for messages.

    Raises:
        UserError: the sequences are not of one length, or all the same.
    """
    train = splits["train"]
    for name, sequences in splits.items():
        for sequence in sequences:
            if len(sequence) != len(train[0]):
                raise UserError(
                    f"head.pooling: mutations needs sequences of one length; train has one of {len(train[0])} residues, "
                    f"{name} one of {len(sequence)}",
                    where=f"task {task}",
                    fix="It is for sets of variants of one protein. Use head.pooling=mean.",
                )
    letters = np.frombuffer("".join(train).encode("ascii"), dtype=np.uint8).reshape(len(train), -1)
    varying = np.flatnonzero((letters != letters[0]).any(axis=0)).tolist()
    if not varying:
        raise UserError(
            "head.pooling: mutations finds no position that varies in train",
            where=f"task {task}",
            fix="Use head.pooling=mean.",
        )
    return varying


@dataclass(frozen=True)
class Proteins:
    """The proteins of a split's rows: one each, or the distinct ones of pairs.

    Attributes:
        sequences, clusters: of each protein.
        names, pairs: as in :class:`Encoded`.
        structures: 3Di letters of each protein, where the rows have them.
    """

    sequences: list[str]
    clusters: list[str] | None
    names: list[str] | None = None
    pairs: np.ndarray | None = None
    structures: list[str] | None = None

    @classmethod
    def of(cls, dataset: Dataset) -> Proteins:
        """Those of canonical rows."""
        clustered = "cluster" in dataset.column_names
        if "partner" not in dataset.column_names:
            structures = list(dataset["structure"]) if "structure" in dataset.column_names else None
            clusters = [str(c) for c in dataset["cluster"]] if clustered else None
            return cls(list(dataset["sequence"]), clusters, structures=structures)
        both = [*dataset["protein"], *dataset["partner_protein"]]
        sequences = dict(zip(both, [*dataset["sequence"], *dataset["partner"]], strict=True))
        cluster = dict(zip(both, [*dataset["cluster"], *dataset["partner_cluster"]], strict=True)) if clustered else {}
        place = {name: index for index, name in enumerate(sequences)}
        pairs = np.array([place[name] for name in both]).reshape(2, -1).T
        clusters = [str(cluster[name]) for name in sequences] if clustered else None
        return cls(list(sequences.values()), clusters, list(sequences), pairs)


def encode(
    dataset: Dataset, task: Task, tokeniser: ResidueTokeniser, window: Window, pool: Sequence[int] | None = None
) -> Encoded:
    """Tokenise one split of canonical rows and cut what is longer than the window.

    With ``pool``, only these residues are read out, and windows that hold none of them in their core are left out.
    """
    pooled = None if pool is None else np.asarray(pool, dtype=np.int64)
    proteins = Proteins.of(dataset)
    tokens, windows = read_chains(tokeniser, window, proteins.sequences, proteins.structures)
    dtype: type = np.float64 if task.problem.kind == "regression" else np.int64
    dtype = np.int8 if task.problem.level is RESIDUE_PAIR else dtype
    labels: list[Any] = [np.asarray(label, dtype=dtype) for label in dataset["label"]]
    return Encoded(
        problem=task.problem,
        ids=list(dataset["id"]),
        clusters=proteins.clusters,
        tokens=tokens,
        labels=labels,
        windows=[_holding(cut, pooled) for cut in windows],
        tokeniser=tokeniser,
        pool=pooled,
        names=proteins.names,
        pairs=proteins.pairs,
        chains=task.chains,
    )


def read_chains(
    tokeniser: ResidueTokeniser, window: Window, sequences: Sequence[str], structures: Sequence[str] | None = None
) -> tuple[list[np.ndarray], list[list[Piece]]]:
    """Tokens of proteins without special tokens, and the windows that they are read in.

    A chain is read alone: its windows begin and end with it, so that each is a row with special tokens of its own.

    Args:
        tokeniser: the checkpoint's.
        window: how what is longer is cut.
        sequences: in canonical form, ``:`` between chains.
        structures: 3Di letters of each, of proteins of one chain.

    Returns:
        Of each protein the tokens of its chains one after another, and its windows, counted over all of them.
    """
    chains = [chains_of(sequence) for sequence in sequences]
    read = iter(tokeniser.encode_all([chain for each in chains for chain in each], structures))
    tokens, windows = [], []
    for each in chains:
        found = [next(read) for _ in each]
        start, cut = 0, list[Piece]()
        for ids in found:
            own = pieces(len(ids), window.residues, window.overlap)
            cut += [Piece(*(place + start for place in piece)) for piece in own] if start else own
            start += len(ids)
        tokens.append(found[0] if len(found) == 1 else np.concatenate(found))
        windows.append(cut)
    return tokens, windows


def proven(
    tokeniser: ResidueTokeniser, sequences: Sequence[str], structures: Sequence[str] | None = None
) -> AlignmentFacts:
    """That token i is residue i, as the tokeniser proves it, of each chain alone.

    Args:
        tokeniser: the checkpoint's.
        sequences: in canonical form, ``:`` between chains.
        structures: 3Di letters of each, of proteins of one chain.
    """
    chains = [chain for sequence in sequences for chain in chains_of(sequence)]
    facts = tokeniser.prove(chains, structures)
    if len(chains) == len(sequences):
        return facts
    method = facts.method.replace("of these proteins", "of their chains")
    return facts.model_copy(update={"proteins": len(sequences), "method": method})


def _holding(windows: list[Piece], pool: np.ndarray | None) -> list[Piece]:
    """The windows that have one of these residues in their core."""
    if pool is None or not windows:
        return windows
    pool = np.where(pool < 0, pool + windows[-1].stop, pool)
    return [piece for piece in windows if ((pool >= piece.core_start) & (pool < piece.core_stop)).any()]


def window_facts(splits: Sequence[Encoded], window: Window) -> WindowFacts:
    """What windows did to the splits that are scored."""
    scored = total = cut = rows = 0
    for split in splits:
        for tokens, windows in zip(split.tokens, split.windows, strict=True):
            total += len(tokens)
            scored += sum(piece.core_stop - piece.core_start for piece in windows)
            cut += len(windows) > split.chains
            rows += len(windows)
    return WindowFacts(
        residues_per_window=window.residues,
        overlap=window.overlap,
        proteins_cut=cut,
        windows=rows,
        residues_scored=scored,
        residues_total=total,
    )
