"""What a run reads, with which model and how, before anything is trained: the run does it, and its estimate asks it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hubtools.common.errors import UserError
from hubtools.data import TaskData
from hubtools.data.structures.row_structures import facts_of
from hubtools.evaluation.predictions import Predictions
from hubtools.models import Checkpoint, ResidueTokeniser, build_model
from hubtools.models.adapters import require_four_bits
from hubtools.models.decoders.causal_lm import directions_of, first_is_told, load_causal_lm
from hubtools.models.encoder import load_encoder
from hubtools.models.families import family_of
from hubtools.models.masked_lm import load_contact_model, load_masked_lm, require_mask
from hubtools.models.windows import Piece, pieces
from hubtools.runs.plan import PlannedRun
from hubtools.runs.session import Session
from hubtools.runs.warm.kept_models import ModelKey
from hubtools.specs.level import RESIDUE_PAIR
from hubtools.specs.recipe import Window
from hubtools.specs.record import AlignmentFacts, ContextFacts, StructureFacts, TokenFacts
from hubtools.training.compute.device import Execution
from hubtools.training.compute.engine import Engine, engine
from hubtools.training.compute.speed import settle_budget
from hubtools.training.compute.together import chosen
from hubtools.training.contacts.attention_regression import by_eager_attention
from hubtools.training.contacts.contact_scores import (
    SUBSTITUTIONS,
    contact_predictions,
    head_maps,
    jacobian_maps,
    joined,
    require_single_residues,
    unseen,
    windows_of,
)
from hubtools.training.encoding import LAST, Encoded, effective_window, encode, proven, varying_positions
from hubtools.training.frozen.embedding_store import EmbeddingSource, KeptEmbeddings
from hubtools.training.likelihoods import Line, likelihood_differences, lines_of, log_likelihoods
from hubtools.training.variant_scores import lengths_to_read, log_probabilities, marginals, mutated_positions, scored

if TYPE_CHECKING:
    from datasets import Dataset

# The head that reads attention maps in place of embeddings.
ATTENTION = "attention-regression"


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
        structure: what the checkpoint is shown of it; None of those that read sequences alone.
    """

    checkpoint: Checkpoint
    tokeniser: ResidueTokeniser
    alignment: AlignmentFacts | None
    tokens: TokenFacts
    window: Window
    pool: list[int] | None
    splits: dict[str, Encoded]
    structure: StructureFacts | None = None


def read(run: PlannedRun, session: Session, data: TaskData) -> Reading:
    """The data of a run of a checkpoint as tokens, proven and cut into windows.

    Raises:
        UserError: the checkpoint does not read them as the run needs it.
    """
    assert run.checkpoint is not None
    checkpoint = session.checkpoint(run.checkpoint)
    window, pooling = run.recipe.window.model_dump_json(), run.recipe.head.pooling
    pooling = pooling if pooling in {"mutations", "last"} else "mean"
    how = (window, pooling, run.recipe.protocol)
    key = ("tokens", run.checkpoint, session.data_key(run), tuple(data.splits), data.of_fold, *how)
    found: Reading = session.recent.get(key, lambda: _read(run, session, data, checkpoint))
    return found


def _read(run: PlannedRun, session: Session, data: TaskData, checkpoint: Checkpoint) -> Reading:
    tokeniser = session.tokeniser(checkpoint, run.recipe.protocol)
    alignment = None
    sequences, structures = shown(data)
    if tokeniser.aligned or run.task.problem.level.by_residue:
        alignment = proven(tokeniser, sequences, structures)
    window = effective_window(run.recipe.window, checkpoint, tokeniser)
    pool = _residues_to_pool(run, data, tokeniser)
    splits = {name: encode(split, run.task, tokeniser, window, pool) for name, split in data.splits.items()}
    tokens = tokeniser.count_unknown(ids for split in splits.values() for ids in split.tokens)
    structure = structure_read(tokeniser, data, sequences, structures)
    return Reading(checkpoint, tokeniser, alignment, tokens, window, pool, splits, structure)


def shown(data: TaskData) -> tuple[list[str], list[str] | None]:
    """The sequences of all splits that a model reads, and the 3Di letters of each where the task has structures."""
    sequences = [sequence for split in data.splits for sequence in data.sequences(split)]
    if data.facts.structures is None:
        return sequences, None
    return sequences, [letters for split in data.splits for letters in data.structures(split) or []]


def structure_read(
    tokeniser: ResidueTokeniser, data: TaskData, sequences: list[str], structures: list[str] | None
) -> StructureFacts | None:
    """What a checkpoint is shown of structure, whose tokens are of residues and structure; None of others.

    Args:
        tokeniser: the checkpoint's.
        data: of the run.
        sequences, structures: as :func:`shown` gives them.
    """
    if not tokeniser.reads_structure:
        return None
    if structures is None or data.facts.structures is None:
        return facts_of(list(dict.fromkeys(sequences)), None, "none")
    distinct = list(dict.fromkeys(zip(sequences, structures, strict=True)))
    source = data.facts.structures.source
    return facts_of([sequence for sequence, _ in distinct], [letters for _, letters in distinct], source)


def _residues_to_pool(run: PlannedRun, data: TaskData, tokeniser: ResidueTokeniser) -> list[int] | None:
    """The residues that the recipe pools over; None for all.

    Raises:
        UserError: the checkpoint, or the task, has none that could be told apart.
    """
    if run.recipe.head.pooling == "last":
        return list(LAST)
    if run.recipe.head.pooling != "mutations":
        return None
    if not tokeniser.aligned:
        raise UserError(
            f"head.pooling: mutations needs one token per residue ({tokeniser.why_not})",
            fix="Use head.pooling=mean, or another checkpoint.",
        )
    return varying_positions({name: split["sequence"][:] for name, split in data.splits.items()}, run.task.name)


def build(run: PlannedRun, reading: Reading, device: torch.device | None, session: Session | None = None) -> Any:
    """Encoder and head before training, on the device; on none where None, as that is not here.

    Args:
        run, reading: of the model.
        device: where it goes.
        session: whose encoders are shared: a frozen one is the same for all its runs; None for one of its own.

    Raises:
        UserError: weights of four bits are asked for, and the device has none.
    """
    recipe = run.recipe
    if device is not None and recipe.adapter is not None and recipe.adapter.kind == "qlora":
        require_four_bits(device)
    encoder = None
    if session is not None and device is not None and recipe.head.kind != "native":
        key, load = _encoder_of(run, reading.checkpoint)
        if recipe.head.kind == ATTENTION:
            # One of its own: others compute attention faster, and do not show it.
            name, plain = reading.checkpoint.name, load
            key, load = replace(key, kind=f"{key.kind} by eager attention"), lambda: by_eager_attention(plain(), name)
        if recipe.adaptation == "probe":
            encoder = session.models.frozen(key, load, device)
        else:
            encoder = session.models.own(key, load, again=session.comes_again(run))
    model: Any = build_model(reading.checkpoint, run.task, recipe, reading.tokeniser, run.seed, reading.pool, encoder)
    return model if device is None else model.to(device)


def _encoder_of(run: PlannedRun, checkpoint: Checkpoint) -> tuple[ModelKey, Callable[[], torch.nn.Module]]:
    weights, seed, held = run.recipe.weights, run.seed, run.recipe.holds
    kind = "encoder held in bfloat16" if held else "encoder"
    return _key(run, checkpoint, kind), partial(load_encoder, checkpoint, weights=weights, seed=seed, held=held)


def _key(run: PlannedRun, checkpoint: Checkpoint, kind: str) -> ModelKey:
    weights = "pretrained" if run.recipe.weights == "pretrained" else f"random {run.seed}"
    return ModelKey(checkpoint.identity.model_dump_json(), weights, kind)


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
    attach = partial(engine, model, reading.tokeniser, execution, bf16=bf16, trains=trains, proteins=proteins)
    # What is kept for later runs is proven once for all of them that read these proteins.
    kept = not trains and session.models.lends(model.encoder)
    key = (bf16, execution, tuple(ids.tobytes() for ids in proteins))
    if recipe.head.kind == ATTENTION:
        attach = partial(attach, faster=False)
    with session.models.engine(model, key, attach) if kept else attach() as made:
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
    """What a language model is asked of variants, or of pairs of residues.

    Attributes:
        checkpoint, tokeniser: that answer.
        alignment: what was proven of it.
        tokens: of the wild types, and how many of them the checkpoint does not know.
        positions: of each wild type, the residues that variants change; of each window of proteins whose contacts are asked for, all.
        window: the recipe's, or what the model can read.
        masked: whether a position is hidden; else the wild type is read as it is.
        structures: 3Di letters of each wild type, where the checkpoint reads them and the task has them.
        structure: what the checkpoint is shown of it; None of those that read sequences alone.
        lines: what is read for log-likelihoods of whole variants; None where the positions of wild types are asked.
        contacts: how pairs of residues are scored, as the recipe's ``scoring``; None of variants.
        cut: of each protein whose contacts are asked for, its windows.
    """

    checkpoint: Checkpoint
    tokeniser: ResidueTokeniser
    alignment: AlignmentFacts
    tokens: TokenFacts
    positions: dict[str, np.ndarray]
    window: Window
    masked: bool
    structures: dict[str, str]
    structure: StructureFacts | None
    lines: list[Line] | None = None
    contacts: str | None = None
    cut: Mapping[str, list[Piece]] = field(default_factory=dict)

    @property
    def proteins(self) -> list[str]:
        """The proteins that are read, each once: wild types, or those whose contacts are asked for."""
        return list(self.cut or self.positions)

    @property
    def pairs_apart(self) -> int:
        """How many pairs of residues no window holds, and so have no score of their own."""
        return sum(unseen(windows) for windows in self.cut.values())

    @property
    def backwards(self) -> str | None:
        """How the checkpoint's family reads from the end."""
        return family_of(self.checkpoint.config).backwards

    @property
    def units(self) -> list[Any]:
        """What can be asked by itself; the first entry of each is the wild type."""
        if self.lines is not None:
            return list(self.lines)
        if self.contacts == "contact-head":
            return [(sequence, 0) for sequence in self.positions]
        return [(wild, place) for wild, places in self.positions.items() for place in places.tolist()]

    def lengths(self, units: Sequence[Any]) -> np.ndarray:
        """Tokens of each row that is read to answer for some units."""
        special = self.tokeniser.n_special
        if self.contacts is not None:
            times = 1 if self.contacts == "contact-head" else SUBSTITUTIONS
            return np.repeat([len(sequence) + special for sequence, _ in units], times)
        if self.lines is not None:
            return np.array([line.piece.stop - line.piece.start + special for line in units])
        return lengths_to_read(_by_wild_type(units), self.window, special, self.masked)

    def answers(self, model: Any, units: Sequence[Any], execution: Execution, *, shown: bool = False) -> Any:
        """Log probabilities at some positions, or log-likelihoods of some lines; as the functions of these names."""
        budget, device = execution.token_budget, execution.device
        if self.contacts == "contact-head":
            return head_maps(model, self.tokeniser, [sequence for sequence, _ in units], device, shown=shown)
        if self.contacts is not None:
            return jacobian_maps(model, self.tokeniser, units, budget, device, shown=shown)
        if self.lines is not None:
            return log_likelihoods(
                model,
                self.tokeniser,
                units,
                backwards=self.backwards,
                token_budget=budget,
                device=device,
                shown=shown,
            )
        return log_probabilities(
            model,
            self.tokeniser,
            dict.fromkeys(self.positions, np.empty(0, np.int64)) | _by_wild_type(units),
            self.window,
            masked=self.masked,
            structures=self.structures,
            token_budget=budget,
            device=device,
            shown=shown,
        )

    def scores(self, model: Any, execution: Execution) -> Callable[[Dataset], Predictions]:
        """Ask everything; what predicts the rows of a split from the answers."""
        found = self.answers(model, self.units, execution, shown=True)
        if self.contacts is not None:
            maps = {
                sequence: joined(
                    len(sequence), windows, [found[sequence[piece.start : piece.stop]] for piece in windows]
                )
                for sequence, windows in self.cut.items()
            }
            return lambda rows: contact_predictions(rows, maps)
        if self.lines is None:
            return lambda rows: marginals(rows, found)
        ways = directions_of(self.checkpoint.config)
        return lambda rows: scored(rows, likelihood_differences(rows, found, self.window, ways))

    def context(self, measured: ContextFacts) -> ContextFacts:
        """What was measured of the model, and how it is asked."""
        if self.lines is None:
            return measured
        ways = directions_of(self.checkpoint.config)
        told = first_is_told(self.tokeniser, ways, self.backwards)
        return measured.model_copy(update={"read": list(ways), "first_scored": told})


def _by_wild_type(units: Sequence[tuple[str, int]]) -> dict[str, np.ndarray]:
    """Positions of each wild type."""
    found: dict[str, list[int]] = {}
    for wild, place in units:
        found.setdefault(wild, []).append(place)
    return {wild: np.array(places, dtype=np.int64) for wild, places in found.items()}


def ask(run: PlannedRun, session: Session, data: TaskData) -> Questions:
    """What a zero-shot run of a checkpoint asks it.

    Raises:
        UserError: the checkpoint does not read one token per residue, or has no mask.
    """
    assert run.checkpoint is not None
    checkpoint = session.checkpoint(run.checkpoint)
    tokeniser = session.tokeniser(checkpoint, run.recipe.protocol)
    if run.task.problem.level is RESIDUE_PAIR:
        return _ask_contacts(run, checkpoint, tokeniser, data)
    splits = list(data.splits.values())
    positions = mutated_positions(splits)
    sequences, letters = shown(data)
    structure = structure_read(tokeniser, data, sequences, letters)
    structures = dict(zip(sequences, letters, strict=True)) if letters is not None and structure is not None else {}
    wild = list(positions)
    known = [structures[sequence] for sequence in wild] if structures else None
    alignment = tokeniser.prove(wild, known)
    tokens = tokeniser.count_unknown(tokeniser.encode_all(wild, known))
    masked = run.recipe.scoring == "masked-marginals"
    if masked:
        require_mask(tokeniser, checkpoint.name)
    window = effective_window(run.recipe.window, checkpoint, tokeniser)
    lines = None
    if run.recipe.scoring == "log-likelihood":
        lines = lines_of(splits, window, directions_of(checkpoint.config))
    return Questions(checkpoint, tokeniser, alignment, tokens, positions, window, masked, structures, structure, lines)


def _ask_contacts(run: PlannedRun, checkpoint: Checkpoint, tokeniser: ResidueTokeniser, data: TaskData) -> Questions:
    """What is asked of pairs of residues; each distinct protein, or window of one, is read once."""
    # Nothing is learnt from the others, where the task has such.
    sequences = list(dict.fromkeys(s for split in run.task.data.test_splits for s in data.sequences(split)))
    alignment = tokeniser.prove(sequences)
    require_single_residues(tokeniser, checkpoint.name)
    window = effective_window(run.recipe.window, checkpoint, tokeniser)
    tokens = tokeniser.count_unknown(tokeniser.encode_all(sequences))
    cut = {sequence: windows_of(len(sequence), window) for sequence in sequences}
    parts = dict.fromkeys(sequence[piece.start : piece.stop] for sequence in sequences for piece in cut[sequence])
    positions = {part: np.arange(len(part)) for part in parts}
    how = run.recipe.scoring
    return Questions(
        checkpoint, tokeniser, alignment, tokens, positions, window, False, {}, None, contacts=how, cut=cut
    )


def language_model(run: PlannedRun, questions: Questions, session: Session | None = None) -> Any:
    """The checkpoint with its own head, on the session's device; without a session one of its own, on the CPU.

    Raises:
        UserError: it has none.
    """
    checkpoint = questions.checkpoint
    if questions.contacts == "contact-head":
        read = partial(load_contact_model, checkpoint)
        if session is None:
            return read()
        return session.models.frozen(_key(run, checkpoint, "contact head"), read, session.execution.device)
    kind, loader = ("language model", load_masked_lm) if questions.lines is None else ("decoder", load_causal_lm)
    load = partial(loader, checkpoint, weights=run.recipe.weights, seed=run.seed)
    if session is None:
        return load()
    return session.models.frozen(_key(run, checkpoint, kind), load, session.execution.device)


@contextlib.contextmanager
def answering(model: Any, questions: Questions, execution: Execution) -> Iterator[Engine]:
    """Make a language model on its device faster inside the block.

    Raises:
        UserError: log-likelihoods are asked of it, and it is no decoder.
    """
    # Not packed: ESM scales a row's embeddings by the share of masks in it, and a packed row is several.
    padded, body = replace(execution, packing=False), SimpleNamespace(encoder=model.base_model)
    # What is faster does not give the attention that a contact head reads.
    faster = questions.contacts != "contact-head"
    window, wild = questions.window, list(questions.positions)
    known = [questions.structures[sequence] for sequence in wild] if questions.structures else None
    tokens = questions.tokeniser.encode_all(wild, known)
    proteins = chosen(tokens, [pieces(len(ids), window.residues, window.overlap) for ids in tokens])
    with engine(body, questions.tokeniser, padded, bf16=False, trains=False, proteins=proteins, faster=faster) as made:
        if questions.lines is not None and made.context is not None and made.context.follows:
            raise UserError(
                "its residues see what follows them, so that it tells no log-likelihood of a protein",
                where=questions.checkpoint.name,
                fix="It is no decoder: use --recipe masked-marginals, or another checkpoint.",
            )
        yield made
