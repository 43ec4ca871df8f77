"""The work that the speed scripts give to everyone: ESM-2 shapes with random weights, the same proteins, one task."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from measuring import SHAPES, Timing, esm2, proteins

from hubtools.models import ResidueTokeniser, resolve_checkpoint
from hubtools.models.modeling_protein_task import ProteinTaskModel
from hubtools.models.task_model import bench_model
from hubtools.specs.lookup.spec_files import load_recipe
from hubtools.specs.recipe import Recipe, Window
from hubtools.specs.task import Task
from hubtools.training.encoding import Encoded, encode

TASK = {
    "name": "speed",
    "version": 1,
    "title": "Speed",
    "problem": "sequence-classification",
    "summary": "Random proteins and labels.",
    "data": {"source": "file", "files": [{"path": "x.csv"}], "split": {"fractions": {"train": 0.8, "test": 0.2}}},
    "labels": ["no", "yes"],
    "metrics": {"primary": "accuracy"},
    "licence": "CC0-1.0",
    "citation": "none",
}


@dataclass(frozen=True)
class Work:
    """What every variant is given.

    Attributes:
        shape: a key of ``SHAPES``.
        sequences, labels: the proteins, in no order of length.
        tokeniser: one token a residue, a special token before and after.
        tokens: real tokens of them all.
        flops: of one forward pass over them without padding.
    """

    shape: str
    sequences: list[str]
    labels: list[int]
    tokeniser: ResidueTokeniser
    tokens: int
    flops: float

    @classmethod
    def of(cls, shape: str, n: int) -> Work:
        """Random proteins for a shape."""
        tokeniser = ResidueTokeniser.from_checkpoint(resolve_checkpoint("embedded"))
        sequences = proteins(n)
        lengths = np.array([len(s) + tokeniser.n_special for s in sequences])
        layers, width, inner, _ = SHAPES[shape]
        each = layers * (2 * (4 * width**2 + 2 * width * inner) + 4 * width * lengths)
        labels = np.random.default_rng(2).integers(0, 2, n).tolist()
        return cls(shape, sequences, labels, tokeniser, int(lengths.sum()), float((lengths * each).sum()))

    @property
    def task(self) -> Task:
        """Two classes of proteins."""
        return Task.model_validate(TASK)

    def recipe(self, **changes: Any) -> Recipe:
        """Full fine-tuning as shipped, one epoch."""
        return load_recipe("full", {"epochs": 1, **changes})

    def model(self) -> ProteinTaskModel:
        """Bench's model: the encoder and our head."""
        from transformers import EsmModel

        torch.manual_seed(0)
        encoder = EsmModel(esm2(self.shape), add_pooling_layer=False)
        return bench_model(encoder, self.task, self.recipe(), self.tokeniser, seed=0)

    def stock_model(self) -> Any:
        """What the field's notebooks load."""
        from transformers import EsmForSequenceClassification

        torch.manual_seed(0)
        return EsmForSequenceClassification(esm2(self.shape))

    def split(self, n: int | None = None) -> Encoded:
        """The proteins as bench reads them; the first ``n`` where given."""
        rows = {"id": [str(i) for i in range(len(self.labels))], "sequence": self.sequences, "label": self.labels}
        chosen = Dataset.from_dict({key: values[:n] for key, values in rows.items()})
        return encode(chosen, self.task, self.tokeniser, Window())

    def stock_rows(self) -> list[dict[str, Any]]:
        """The proteins as a notebook's tokenised data set."""
        own = self.tokeniser
        return [
            {"input_ids": own.with_special(own.encode(s)).tolist(), "labels": label}
            for s, label in zip(self.sequences, self.labels, strict=True)
        ]


class Collator:
    """Pads to the longest of a batch, or to a length, and counts.

    Attributes:
        real, computed: tokens so far without padding and with it.
    """

    def __init__(self, work: Work, width: int | None = None) -> None:
        self.pad, self.width = work.tokeniser.pad_id, width
        self.real = self.computed = 0

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """A padded batch."""
        width = self.width or max(len(row["input_ids"]) for row in rows)
        ids = torch.full((len(rows), width), self.pad)
        mask = torch.zeros(len(rows), width, dtype=torch.long)
        for i, row in enumerate(rows):
            ids[i, : len(row["input_ids"])] = torch.tensor(row["input_ids"])
            mask[i, : len(row["input_ids"])] = 1
        self.real, self.computed = self.real + int(mask.sum()), self.computed + ids.numel()
        return {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor([row["labels"] for row in rows])}

    @property
    def padding(self) -> float:
        """Share of padding so far."""
        return 1 - self.real / self.computed


class Ceiling:
    """Matrix products of a shape's layers and nothing else: what no model of it can outrun.

    One turn runs each product about a quarter of a second; the best of all turns is the ceiling.
    """

    def __init__(self, shape: str, dtype: torch.dtype) -> None:
        _, width, inner, _ = SHAPES[shape]
        self.best = 0.0
        self.products = [
            (torch.randn(2048, a, dtype=dtype), torch.randn(a, b, dtype=dtype))
            for a, b in ((width, width), (width, inner), (inner, width))
        ]

    def __call__(self) -> None:
        """One turn."""
        import time

        for left, right in self.products:
            flops = 2 * left.shape[0] * left.shape[1] * right.shape[1]
            ends = time.perf_counter() + 0.25
            while time.perf_counter() < ends:
                started = time.perf_counter()
                for _ in range(4):
                    left @ right
                self.best = max(self.best, 4 * flops / (time.perf_counter() - started))


def table(
    work: Work, timings: dict[str, Timing], ceilings: dict[str, Ceiling], passes: int, padding: dict[str, float]
) -> list[list[str]]:
    """A row for each variant.

    Args:
        work: what they did.
        timings: of each variant.
        ceilings: of ``float32`` and ``bf16``.
        passes: a forward pass counts one, with its gradient three.
        padding: share of padding in the tokens that a variant computed.
    """
    rows = []
    for name, timing in timings.items():
        if name not in padding:
            continue
        ceiling = ceilings["bf16" if "bf16" in name else "float32"]
        rows.append(
            [
                name,
                f"{work.tokens / timing.median:,.0f}",
                f"{timing.ratio:.2f} [{timing.ratio_low:.2f}–{timing.ratio_high:.2f}]",
                f"{passes * work.flops / timing.median / ceiling.best:.2f}",
                f"{padding[name]:.1%}",
            ]
        )
    return rows


def operations(run: Callable[[], object], most: int = 8) -> list[list[str]]:
    """Where the processor's time of a turn goes: the operations that take most of it themselves, their share and how often they are called."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as seen:
        run()
    found = sorted(seen.key_averages(), key=lambda one: -one.self_cpu_time_total)
    total = sum(one.self_cpu_time_total for one in found)
    return [[one.key, f"{one.self_cpu_time_total / total:.1%}", f"{one.count:,}"] for one in found[:most]]


COLUMNS = ["variant", "real tokens/s", "× the recipe [range]", "share of its ceiling", "padding"]


def shape_options(parser: argparse.ArgumentParser, n: int) -> None:
    """The options of scripts that run a model; bars for writing weights are not wanted among figures."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    parser.add_argument("--shape", choices=sorted(SHAPES), default="8M", help="of ESM-2 (default 8M)")
    parser.add_argument("--proteins", type=int, default=n, help=f"that each turn reads (default {n})")
