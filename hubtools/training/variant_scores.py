"""Effects of substitutions without training: by a language model's own head, or by a substitution matrix."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scoring_matrices import ScoringMatrix

from hubtools.common.telling import bar, unless_it_fails
from hubtools.data.rows.variants import STANDARD, substitutions
from hubtools.data.structures.structure_letters import UNKNOWN
from hubtools.evaluation.predictions import Assays, Predictions
from hubtools.models.masked_lm import hidden_tokens, residue_tokens
from hubtools.models.windows import Piece, pieces
from hubtools.specs.level import VARIANT
from hubtools.specs.problem import problem_of
from hubtools.specs.recipe import Window
from hubtools.specs.record import WindowFacts
from hubtools.training.compute.memory import within_memory

if TYPE_CHECKING:
    from datasets import Dataset

    from hubtools.models.tokenisation import ResidueTokeniser

LETTER = {letter: index for index, letter in enumerate(STANDARD)}
# Log-odds of substitutions between related proteins in half bits (S. and J. G. Henikoff, PNAS 89, 10915–10919, 1992).
BLOSUM62 = ScoringMatrix.from_name("BLOSUM62")
# A wild type's row of tokens, the residues (0-based) that are asked of it, and where it starts.
Query = tuple[str, Piece, np.ndarray]


def blosum62(dataset: Dataset) -> Predictions:
    """The sum of BLOSUM62 over the substitutions of each variant; 0 for the wild type."""
    return predictions_of(dataset, lambda _, change: BLOSUM62[change.before, change.after])


def marginals(dataset: Dataset, tables: dict[str, np.ndarray]) -> Predictions:
    """Σ over a variant's substitutions of log p(mutated residue) − log p(wild type's residue).

    The positions of a multiple mutant add up, each seen in the wild type (Meier et al. 2021, "Language models enable
    zero-shot prediction of the effects of mutations on protein function", doi:10.1101/2021.07.09.450648).

    Args:
        dataset: canonical rows of variants.
        tables: for each wild type, :func:`log_probabilities` of its residues.
    """
    effects = {wild: substitution_effects(wild, table) for wild, table in tables.items()}
    return predictions_of(dataset, lambda wild, change: effects[wild][change.position, LETTER[change.after]])


def substitution_effects(wild: str, table: np.ndarray) -> np.ndarray:
    """What a language model expects of each substitution of a protein: log p(residue) − log p(wild type's residue).

    Args:
        wild: the protein.
        table: :func:`log_probabilities` of its residues: (residues, 20).

    Returns:
        (residues, 20) float64 in the order of ``STANDARD``, 0 for the wild type's own residue; NaN where that is none of the 20, or
        was not asked for.
    """
    place = np.array([LETTER.get(letter, -1) for letter in wild])
    before = np.where(place < 0, np.nan, table[np.arange(len(wild)), place])
    return table - before[:, None]


def predictions_of(dataset: Dataset, score: Callable[[str, Any], float]) -> Predictions:
    """Predictions from the score of one substitution in a wild type."""
    rows = zip(dataset["wildtype"], dataset["mutations"], strict=True)
    return scored(
        dataset, [sum(score(wild, change) for change in substitutions(mutations)) for wild, mutations in rows]
    )


def scored(dataset: Dataset, scores: Sequence[float]) -> Predictions:
    """Predictions from the score of each variant."""
    return Predictions(
        problem=problem_of(VARIANT, "regression"),
        ids=np.array(dataset["id"], dtype=object),
        positions=None,
        clusters=None,
        truth=np.array(dataset["label"], dtype=np.float64),
        scores=np.array(scores, dtype=np.float32),
        assays=Assays(
            group=np.array(dataset["group"], dtype=object),
            protein=np.array(dataset["protein"], dtype=object),
            category=np.array(dataset["category"], dtype=object),
            active=np.array(dataset["active"]) if "active" in dataset.column_names else None,
        ),
    )


def mutated_positions(datasets: Sequence[Dataset]) -> dict[str, np.ndarray]:
    """For each wild type, in order of appearance, the residues (from 0) that any variant changes."""
    found: dict[str, set[int]] = {}
    for dataset in datasets:
        for wild, mutations in zip(dataset["wildtype"], dataset["mutations"], strict=True):
            found.setdefault(wild, set()).update(change.position for change in substitutions(mutations))
    return {wild: np.array(sorted(positions), dtype=np.int64) for wild, positions in found.items()}


@torch.no_grad()
def log_probabilities(
    model: Any,
    tokeniser: ResidueTokeniser,
    positions: dict[str, np.ndarray],
    window: Window,
    *,
    masked: bool,
    token_budget: int,
    device: torch.device,
    structures: Mapping[str, str] | None = None,
    shown: bool = False,
) -> dict[str, np.ndarray]:
    """What the language model expects at each position of each wild type.

    Masked, each position is hidden alone and read in the window in which it lies most centrally: one row of the
    model a position, whatever number of variants change it. Else each window is read once as it is. Where tokens are of a residue and its structure, a
    hidden position keeps its structure, and the probability of a residue is that of all tokens that have it.

    Args:
        model: a masked language model.
        tokeniser: of the same checkpoint, aligned.
        positions: residues asked of each wild type, as :func:`mutated_positions` gives them.
        window: how a protein longer than the model's input is cut.
        masked: whether positions are hidden.
        token_budget: tokens of a batch, padding included.
        device: where the model is.
        structures: 3Di letters of each wild type, where they are known and the checkpoint reads them.
        shown: with a progress bar.

    Returns:
        For each wild type (residues, 20) float64 log probabilities of the amino acids in the order of ``STANDARD``; NaN at
        positions that were not asked for.
    """
    amino = residue_tokens(tokeniser, STANDARD)
    known = structures or {}
    queries = _queries(positions, window, masked)
    total = sum(piece.stop - piece.start + tokeniser.n_special for _, piece, _ in queries)

    def read(budget: int) -> dict[str, np.ndarray]:
        tables = {wild: np.full((len(wild), len(STANDARD)), np.nan) for wild in positions}
        with unless_it_fails(progress):
            for batch in _batches(queries, tokeniser.n_special, budget):
                found, tokens = _read(model, tokeniser, batch, known, masked, device)
                first = 0
                for wild, _, asked in batch:
                    tables[wild][asked] = _of_residues(found[first : first + len(asked)], amino)
                    first += len(asked)
                progress.update(tokens)
        return tables

    with contextlib.closing(bar("scoring", total, unit=" tokens", scale=True, hidden=not shown)) as progress:
        return within_memory(read, token_budget, device, "scoring")


def _of_residues(found: np.ndarray, amino: np.ndarray) -> np.ndarray:
    """Log probabilities of residues from those of tokens: (positions, residues)."""
    each = found[:, amino]
    # Of one token a residue nothing is added up, and so nothing rounded.
    return each[:, :, 0] if amino.shape[1] == 1 else np.logaddexp.reduce(each, axis=2)


def _read(
    model: Any,
    tokeniser: ResidueTokeniser,
    batch: list[Query],
    structures: Mapping[str, str],
    masked: bool,
    device: torch.device,
) -> tuple[np.ndarray, int]:
    """Log probabilities of all tokens at the residues asked of a batch's rows, and how many tokens were read.

    Returns:
        (residues, vocabulary) float64, row after row.
    """
    letters = [structures.get(wild, UNKNOWN * len(wild)) for wild, _, _ in batch]
    rows = [
        tokeniser.with_special(tokeniser.encode(wild[piece.start : piece.stop], structure[piece.start : piece.stop]))
        for (wild, piece, _), structure in zip(batch, letters, strict=True)
    ]
    width = max(map(len, rows))
    ids = np.full((len(rows), width), tokeniser.pad_id, dtype=np.int64)
    attention = np.zeros((len(rows), width), dtype=np.int64)
    owners, columns = [], []
    for index, ((_, piece, asked), tokens) in enumerate(zip(batch, rows, strict=True)):
        at = asked - piece.start + len(tokeniser.prefix)
        ids[index, : len(tokens)], attention[index, : len(tokens)] = tokens, 1
        if masked:
            ids[index, at] = hidden_tokens(tokeniser, "".join(letters[index][place] for place in asked))
        owners.append(np.full(len(at), index))
        columns.append(at)
    logits = model(
        input_ids=torch.from_numpy(ids).to(device), attention_mask=torch.from_numpy(attention).to(device)
    ).logits
    picked = logits[torch.from_numpy(np.concatenate(owners)), torch.from_numpy(np.concatenate(columns))]
    # On the CPU, for not every device has float64.
    return picked.float().cpu().double().log_softmax(-1).numpy(), int(attention.sum())


def _queries(positions: dict[str, np.ndarray], window: Window, one_by_one: bool) -> list[Query]:
    """One row for each position, or for each window that holds some in its core."""
    queries: list[Query] = []
    for wild, asked in positions.items():
        for piece in pieces(len(wild), window.residues, window.overlap):
            here = asked[(asked >= piece.core_start) & (asked < piece.core_stop)]
            if one_by_one:
                queries += [(wild, piece, here[index : index + 1]) for index in range(len(here))]
            elif len(here):
                queries.append((wild, piece, here))
    return queries


def _batches(queries: list[Query], n_special: int, token_budget: int) -> list[list[Query]]:
    """Rows of similar length together, each batch within the budget."""
    batches: list[list[Query]] = []
    longest = 0
    for query in sorted(queries, key=lambda query: query[1].start - query[1].stop):
        if not batches or (len(batches[-1]) + 1) * longest > token_budget:
            batches.append([])
            longest = query[1].stop - query[1].start + n_special
        batches[-1].append(query)
    return batches


def lengths_to_read(positions: dict[str, np.ndarray], window: Window, n_special: int, one_by_one: bool) -> np.ndarray:
    """Tokens of each row that :func:`log_probabilities` reads: one a position, or one a window."""
    queries = _queries(positions, window, one_by_one)
    return np.array([piece.stop - piece.start + n_special for _, piece, _ in queries])


def window_facts_of(wild_types: Sequence[str], window: Window) -> WindowFacts:
    """What windows did to the wild types."""
    cut = [pieces(len(wild), window.residues, window.overlap) for wild in wild_types]
    return WindowFacts(
        residues_per_window=window.residues,
        overlap=window.overlap,
        proteins_cut=sum(len(windows) > 1 for windows in cut),
        windows=sum(map(len, cut)),
        residues_scored=sum(piece.core_stop - piece.core_start for windows in cut for piece in windows),
        residues_total=sum(map(len, wild_types)),
    )
