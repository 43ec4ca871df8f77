"""What a run reads, with which model and how, before anything is trained: the run does it, and its estimate asks it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from hubtools.common.errors import UserError
from hubtools.data import TaskData
from hubtools.models import Checkpoint, ResidueTokeniser, build_model
from hubtools.models.adapters import require_four_bits
from hubtools.models.masked_lm import load_masked_lm, mask_token
from hubtools.models.windows import pieces
from hubtools.runs.plan import PlannedRun
from hubtools.runs.session import Session
from hubtools.specs.recipe import Window
from hubtools.specs.record import AlignmentFacts, TokenFacts
from hubtools.training.compute.device import Execution
from hubtools.training.compute.engine import Engine, engine
from hubtools.training.compute.speed import settle_budget
from hubtools.training.compute.together import chosen
from hubtools.training.encoding import Encoded, effective_window, encode, varying_positions
from hubtools.training.frozen.embedding_store import EmbeddingSource, KeptEmbeddings
from hubtools.training.variant_scores import lengths_to_read, log_probabilities, mutated_positions


@dataclass(frozen=True)
class Reading:
    """What a run reads.

    Attributes:
        checkpoint: whose encoder reads.
        tokeniser: the checkpoint's.
        alignment: what was proven of it; None where residues are not looked up.
        tokens: read, and how many of them the checkpoint does not know.
        window: the recipe's, or what the model can read.
        pool: residues that are pooled over; None for all.
        splits: encoded, by name; padded.
    """

    checkpoint: Checkpoint
    tokeniser: ResidueTokeniser
    alignment: AlignmentFacts | None
    tokens: TokenFacts
    window: Window
    pool: list[int] | None
    splits: dict[str, Encoded]


def read(run: PlannedRun, session: Session, data: TaskData) -> Reading:
    """The data of a run of a checkpoint as tokens, proven and cut into windows.

    Raises:
        UserError: the checkpoint does not read them as the run needs it.
    """
    assert run.checkpoint is not None
    checkpoint = session.checkpoint(run.checkpoint)
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
    alignment = None
    if tokeniser.aligned or run.task.problem.level.by_residue:
        alignment = tokeniser.prove([s for split in data.splits for s in data.sequences(split)])
    window = effective_window(run.recipe.window, checkpoint, tokeniser)
    pool = _residues_to_pool(run, data, tokeniser)
    splits = {name: encode(split, run.task, tokeniser, window, pool) for name, split in data.splits.items()}
    tokens = tokeniser.count_unknown(ids for split in splits.values() for ids in split.tokens)
    return Reading(checkpoint, tokeniser, alignment, tokens, window, pool, splits)


def _residues_to_pool(run: PlannedRun, data: TaskData, tokeniser: ResidueTokeniser) -> list[int] | None:
    """The residues that the recipe pools over; None for all.

    Raises:
        UserError: the checkpoint, or the task, has none that could be told apart.
    """
    if run.recipe.head.pooling != "mutations":
        return None
    if not tokeniser.aligned:
        raise UserError(
            f"head.pooling: mutations needs one token per residue ({tokeniser.why_not})",
            fix="Use head.pooling=mean, or another checkpoint.",
        )
    return varying_positions({name: split["sequence"][:] for name, split in data.splits.items()}, run.task.name)


def build(run: PlannedRun, reading: Reading, device: torch.device | None) -> Any:
    """Encoder and head before training, on the device; on none where None, as that is not here.

    Raises:
        UserError: weights of four bits are asked for, and the device has none.
    """
    if device is not None and run.recipe.adapter is not None and run.recipe.adapter.kind == "qlora":
        require_four_bits(device)
    model: Any = build_model(reading.checkpoint, run.task, run.recipe, reading.tokeniser, run.seed, reading.pool)
    return model if device is None else model.to(device)


@dataclass(frozen=True)
class Computing:
    """How a model computes.

    Attributes:
        execution: with the token budget that was found, where one was looked for.
        bf16: whether under autocast.
        made: what was made of the model.
    """

    execution: Execution
    bf16: bool
    made: Engine

    @property
    def rounding(self) -> str:
        """What its embeddings are rounded by."""
        return self.made.rounding(self.bf16)

    def laid_out(self, splits: Mapping[str, Encoded]) -> dict[str, Encoded]:
        """Splits as they are computed, packed or padded."""
        return {name: replace(split, packed=self.made.packed) for name, split in splits.items()}


@contextlib.contextmanager
def computing(run: PlannedRun, session: Session, model: Any, reading: Reading) -> Iterator[Computing]:
    """Make a model on its device faster inside the block, and find its token budget where that is asked for."""
    execution, recipe = session.execution, run.recipe
    bf16, trains = execution.bf16(recipe.precision), recipe.adaptation != "probe"
    train = reading.splits["train"]
    proteins = chosen(train.tokens, train.windows)
    with engine(model, reading.tokeniser, execution, bf16=bf16, trains=trains, proteins=proteins) as made:
        if execution.auto_budget:
            execution = settle_budget(model, recipe, execution)
        yield Computing(execution, bf16, made)


def kept_embeddings(run: PlannedRun, session: Session, checkpoint: Checkpoint, rounding: str) -> KeptEmbeddings:
    """What a probe may find and leave in the session's store.

    Args:
        run, session: of the probe.
        checkpoint: that reads.
        rounding: what its embeddings are rounded by.
    """
    device = session.execution.device.type
    return KeptEmbeddings(
        session.embeddings, EmbeddingSource.of(checkpoint.identity, run.recipe.weights, run.seed, rounding, device)
    )


@dataclass(frozen=True)
class Questions:
    """What a language model is asked of variants.

    Attributes:
        checkpoint, tokeniser: that answer.
        alignment: what was proven of it.
        tokens: of the wild types, and how many of them the checkpoint does not know.
        positions: of each wild type, the residues that variants change.
        window: the recipe's, or what the model can read.
        mask: token that is put in a position's place; None where the wild type is read as it is.
    """

    checkpoint: Checkpoint
    tokeniser: ResidueTokeniser
    alignment: AlignmentFacts
    tokens: TokenFacts
    positions: dict[str, np.ndarray]
    window: Window
    mask: int | None

    def lengths(self, positions: dict[str, np.ndarray]) -> np.ndarray:
        """Tokens of each row that is read to answer for some positions."""
        return lengths_to_read(positions, self.window, self.tokeniser.n_special, self.mask is not None)

    def answers(
        self, model: Any, positions: dict[str, np.ndarray], execution: Execution, *, shown: bool = False
    ) -> dict[str, np.ndarray]:
        """Log probabilities at some positions; arguments and result as of the function of that name."""
        return log_probabilities(
            model,
            self.tokeniser,
            positions,
            self.window,
            mask=self.mask,
            token_budget=execution.token_budget,
            device=execution.device,
            shown=shown,
        )


def ask(run: PlannedRun, session: Session, data: TaskData) -> Questions:
    """What a zero-shot run of a checkpoint asks it.

    Raises:
        UserError: the checkpoint does not read one token per residue, or has no mask.
    """
    assert run.checkpoint is not None
    checkpoint = session.checkpoint(run.checkpoint)
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
    positions = mutated_positions(list(data.splits.values()))
    alignment = tokeniser.prove(list(positions))
    tokens = tokeniser.count_unknown(tokeniser.encode_all(list(positions)))
    mask = mask_token(tokeniser, checkpoint.name) if run.recipe.scoring == "masked-marginals" else None
    window = effective_window(run.recipe.window, checkpoint, tokeniser)
    return Questions(checkpoint, tokeniser, alignment, tokens, positions, window, mask)


def language_model(run: PlannedRun, questions: Questions) -> Any:
    """The checkpoint with its own head.

    Raises:
        UserError: it has none.
    """
    return load_masked_lm(questions.checkpoint, weights=run.recipe.weights, seed=run.seed)


@contextlib.contextmanager
def answering(model: Any, questions: Questions, execution: Execution) -> Iterator[Engine]:
    """Make a language model on its device faster inside the block."""
    # Not packed: ESM scales a row's embeddings by the share of masks in it, and a packed row is several.
    padded, body = replace(execution, packing=False), SimpleNamespace(encoder=model.base_model)
    window, tokens = questions.window, questions.tokeniser.encode_all(list(questions.positions))
    proteins = chosen(tokens, [pieces(len(ids), window.residues, window.overlap) for ids in tokens])
    with engine(body, questions.tokeniser, padded, bf16=False, trains=False, proteins=proteins) as made:
        yield made
