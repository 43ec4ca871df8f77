"""Embeddings of proteins that somebody has: read by a checkpoint as a probe reads them, and kept where a probe keeps them."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from hubtools.common.errors import UserError
from hubtools.common.telling import bar
from hubtools.common.version import __version__
from hubtools.inference.asking import Protein, structures_of
from hubtools.models.encoder import load_encoder
from hubtools.models.windows import pieces
from hubtools.specs.level import PROTEIN
from hubtools.specs.problem import problem_of
from hubtools.specs.recipe import Recipe, Window
from hubtools.specs.record import AlignmentFacts, TogetherFacts, TokenFacts
from hubtools.training.compute.engine import engine
from hubtools.training.compute.speed import settle_budget
from hubtools.training.compute.together import chosen
from hubtools.training.encoding import LAST, Encoded, effective_window
from hubtools.training.frozen.embedding import FrozenEncoder, chosen_layers, embed
from hubtools.training.frozen.embedding_store import EmbeddingSource, EmbeddingStore, KeptEmbeddings

if TYPE_CHECKING:
    from hubtools.models.checkpoint import Checkpoint
    from hubtools.models.tokenisation import ResidueTokeniser
    from hubtools.training.compute.device import Execution

# How one vector is made of a protein's residues.
POOLINGS = ("mean", "max", "last", "cls")
# What is computed, written and let go of at a time: residues, and bytes where each residue has a row.
PART_RESIDUES, PART_BYTES = 2_000_000, 256 * 2**20


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    Attributes:
        by_residue: a row for each residue in place of one for the protein.
        pooling: how the protein's row is made: ``mean`` or ``max`` over its residues, its ``last`` residue, or ``cls``, the first
            special token.
        layer: 0 is the embedding, -1 the last.
    """

    by_residue: bool = False
    pooling: str = "mean"
    layer: int = -1

    @property
    def words(self) -> str:
        """What a row is."""
        if self.by_residue:
            return "each residue"
        words = {"mean": "mean over residues", "max": "largest value over residues", "last": "last residue"}
        return words.get(self.pooling, "first special token")


@dataclass(frozen=True)
class EmbeddedProtein:
    """What a checkpoint says of one protein.

    Attributes:
        protein: that was read.
        values: (width,) float32, or (residues, width) where each residue was asked for.
        windows: pieces that it was read in.
    """

    protein: Protein
    values: np.ndarray
    windows: int = 1


@dataclass
class EmbeddingRun:
    """How proteins were read; complete when the last one is.

    Attributes:
        layer: of the encoder, from 0.
        layers: how many it has.
        width: numbers of a row.
        alignment: what was proven of tokens and residues; None of tokens that are not residues.
        tokens: read, and how many the vocabulary does not know.
        together: what was proven of batches; None where all was kept from before.
        window: residues that are read at once, and how much windows overlap.
        windows: pieces of proteins that are longer.
        cut: such proteins.
        computed, read: distinct proteins that the encoder read, and that were kept from before.
    """

    layer: int
    layers: int
    width: int
    alignment: AlignmentFacts | None
    tokens: TokenFacts
    window: Window
    windows: int
    cut: int
    together: TogetherFacts | None = None
    computed: int = 0
    read: int = 0


class _Body(nn.Module):
    """An encoder without a head, as what reads and measures models takes it."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder: Any = encoder


class Embedder:
    """A checkpoint's encoder, ready to read: in float32, or in bfloat16 with the weights of its linear layers held so.

    Args:
        checkpoint, tokeniser: whose encoder it is, and how it reads.
        execution: where and how it computes.
        wanted: layer, and what a row is.
        store: embeddings of before; None to keep none.
        window: how a long protein is cut, where the checkpoint does not read less at once.
        bf16: whether it computes in bfloat16.

    Raises:
        UserError: there is no such layer, or the checkpoint has no such row; or the device has no bfloat16.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        tokeniser: ResidueTokeniser,
        execution: Execution,
        wanted: Wanted,
        store: EmbeddingStore | None = None,
        window: Window | None = None,
        bf16: bool = False,
    ) -> None:
        if wanted.by_residue and not tokeniser.aligned:
            raise UserError(
                f"its tokens are no residues ({tokeniser.why_not}), so that no row is that of a residue",
                where=checkpoint.name,
                fix="Ask for one row a protein, or use another checkpoint.",
            )
        if wanted.pooling == "cls" and not tokeniser.prefix:
            raise UserError(
                "its tokenizer puts no special token before a protein",
                where=checkpoint.name,
                fix="Use --pooling mean.",
            )
        self.checkpoint, self.tokeniser, self.wanted, self.store = checkpoint, tokeniser, wanted, store
        self.window = effective_window(window or Window(), checkpoint, tokeniser)
        self.bf16 = bf16 and execution.bf16("bf16")
        self.body = _Body(load_encoder(checkpoint, held=bf16).to(execution.device)).eval()
        self.layers = int(self.body.encoder.config.num_hidden_layers)
        self.layer = self._layer()
        if execution.auto_budget:
            reading = Recipe(name="reading", adaptation="probe", precision="bf16" if bf16 else "float32")
            execution = settle_budget(self.body, reading, execution)
        self.execution = execution

    def _layer(self) -> int:
        try:
            return chosen_layers([self.wanted.layer], self.layers)[0]
        except UserError:
            raise UserError(
                f"there is no layer {self.wanted.layer}; it has 0 (the embedding) to {self.layers}",
                where=self.checkpoint.name,
                fix="-1 is the last.",
            ) from None

    def about(self) -> dict[str, str]:
        """How embeddings are made, for whoever finds them."""
        return {
            **self.checkpoint.pinned(),
            "layer": f"{self.layer} of {self.layers}",
            "row": self.wanted.words,
            "precision": "bf16, weights of linear layers held in bf16" if self.bf16 else "float32",
            "window": f"{self.window.residues} residues, overlap {self.window.overlap}",
            "bench": __version__,
        }

    def prepare(self, proteins: Sequence[Protein]) -> tuple[EmbeddingRun, Encoded]:
        """The proteins as tokens, proven and cut into windows, before anything is computed.

        Raises:
            UserError: the checkpoint does not read them.
        """
        sequences, structures = [protein.sequence for protein in proteins], structures_of(proteins)
        alignment = self.tokeniser.prove(sequences, structures) if self.tokeniser.aligned else None
        tokens = self.tokeniser.encode_all(sequences, structures)
        windows = [pieces(len(ids), self.window.residues, self.window.overlap) for ids in tokens]
        split = Encoded(
            problem=problem_of(PROTEIN, "classification"),
            ids=[str(number) for number in range(len(proteins))],
            clusters=None,
            tokens=tokens,
            labels=[np.int64(0)] * len(proteins),
            windows=windows,
            tokeniser=self.tokeniser,
        )
        if not self.wanted.by_residue and self.wanted.pooling == "last":
            split = split.pooled_over(LAST)
        run = EmbeddingRun(
            layer=self.layer,
            layers=self.layers,
            width=int(self.body.encoder.config.hidden_size),
            alignment=alignment,
            tokens=self.tokeniser.count_unknown(tokens),
            window=self.window,
            windows=sum(map(len, windows)),
            cut=sum(len(found) > 1 for found in windows),
        )
        return run, split

    def read(self, proteins: Sequence[Protein], run: EmbeddingRun, split: Encoded) -> Iterator[EmbeddedProtein]:
        """Embeddings in the order of the proteins, some at a time; what is computed is kept for the next time.

        Args:
            proteins: in canonical form.
            run, split: as :meth:`prepare` gave them; the run is told what was done.

        Raises:
            UserError: what the encoder says of a protein depends on those that it is read with, or it gives no such layer.
        """
        wanted, total = self.wanted, int(split.lengths.sum())
        every_residue = wanted.by_residue or wanted.pooling == "max"
        with contextlib.ExitStack() as stack:
            real = chosen(split.tokens, split.windows)
            made = stack.enter_context(
                engine(self.body, self.tokeniser, self.execution, bf16=self.bf16, trains=False, proteins=real)
            )
            run.together = made.together
            source = EmbeddingSource.of(
                self.checkpoint.identity, "pretrained", 0, made.rounding(self.bf16), self.execution.device.type
            )
            kept = KeptEmbeddings(self.store, source)
            work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-embed-")))
            progress = stack.enter_context(contextlib.closing(bar("embedding", total, unit=" residues", scale=True)))
            encoder = FrozenEncoder(self.body, self.execution, self.bf16, [self.layer])
            split = replace(split, packed=made.packed)
            done = 0
            for part in _parts(split.lengths, run.width if every_residue else 0):
                features = embed(
                    encoder,
                    _rows(split, part),
                    work / "rows.npy",
                    "proteins",
                    pooled=every_residue,
                    first=wanted.pooling == "cls" and not wanted.by_residue,
                    kept=kept,
                    progress=progress,
                )
                # What did not fit is not tried again for the next part.
                encoder = replace(encoder, execution=replace(encoder.execution, token_budget=features.token_budget))
                table: Any = features.tables[self.layer]
                sizes = split.lengths[part.start : part.stop] if every_residue else np.ones(len(part), dtype=np.int64)
                bounds = np.r_[0, np.cumsum(sizes)]
                for place, protein in enumerate(part):
                    values = table[bounds[place] : bounds[place + 1]]
                    if not wanted.by_residue:
                        values = values.max(axis=0) if every_residue else values[0]
                    yield EmbeddedProtein(proteins[protein], values, len(split.windows[protein]))
                done += int(split.lengths[part.start : part.stop].sum())
                # What was kept from before, or is in the file twice, was not read.
                progress.update(done - progress.n)
                run.computed, run.read = kept.computed, kept.read


def _rows(split: Encoded, part: range) -> Encoded:
    """Some proteins of a split."""
    here = slice(part.start, part.stop)
    return replace(
        split, ids=split.ids[here], tokens=split.tokens[here], labels=split.labels[here], windows=split.windows[here]
    )


def _parts(lengths: np.ndarray, row_values: int) -> Iterator[range]:
    """Neighbouring proteins that are computed together.

    Args:
        lengths: residues of each protein.
        row_values: numbers that a residue takes; 0 where only one row a protein is held.
    """
    most = PART_RESIDUES if not row_values else max(1, min(PART_RESIDUES, PART_BYTES // (4 * row_values)))
    start = residues = 0
    for place, length in enumerate(lengths.tolist()):
        if place > start and residues + length > most:
            yield range(start, place)
            start, residues = place, 0
        residues += length
    if start < len(lengths):
        yield range(start, len(lengths))
