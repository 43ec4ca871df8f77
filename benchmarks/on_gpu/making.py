"""Proteins, models and fits that the checks need: all made here, nothing read but what bench ships."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from measuring import SHAPES, esm2
from workload import Work

from hubtools.models.task_model import attach_adapter, bench_model
from hubtools.specs.lookup.spec_files import load_recipe
from hubtools.specs.recipe import Recipe
from hubtools.training.compute.device import USUAL_ON_CPU, USUAL_ON_GPU, Execution
from hubtools.training.compute.engine import Engine, engine
from hubtools.training.compute.together import chosen
from hubtools.training.encoding import Encoded
from hubtools.training.finetune.fit import FairTrainer
from hubtools.training.job import Job
from hubtools.training.loss import loss_for

# (layers, width, feed-forward width, heads) of ESM C: 15 and 18 heads of 64, and SwiGLU layers of 8/3 of the width, as the
# configurations of its authors state (EvolutionaryScale, 2024).
ESMC = {"ESM C 300M": (30, 960, 2560, 15), "ESM C 600M": (36, 1152, 3072, 18)}
# For a processor that only shows that all of it runs.
TINY = "tiny"
SHAPES[TINY] = (2, 64, 128, 2)


@dataclass(frozen=True)
class Machine:
    """Where the checks run.

    Attributes:
        device: of them.
        smoke: whether shapes are tiny and times short.
    """

    device: torch.device
    smoke: bool

    @property
    def on_card(self) -> bool:
        """Whether it is a GPU of NVIDIA's (or one that says so)."""
        return self.device.type == "cuda"

    @property
    def bf16(self) -> bool:
        """Whether bfloat16 is tried: on a card that has it, and in the smoke test."""
        return self.smoke or self.execution().bf16("auto")

    def execution(self, token_budget: int | None = None, **settings: Any) -> Execution:
        """As a run would choose it."""
        usual = USUAL_ON_GPU if self.on_card else USUAL_ON_CPU
        return Execution(self.device, token_budget or usual, **settings)

    def wait(self) -> None:
        """Until the device has done all."""
        if self.on_card:
            torch.cuda.synchronize(self.device)


def work(shape: str, proteins: int) -> Work:
    """Random proteins of the lengths of real ones (log-normal, median 345 residues, cut at 1,022) and the shape's tokens."""
    return Work.of(shape if shape in SHAPES else TINY, proteins)


def encoder(shape: str, device: torch.device) -> Any:
    """An encoder of random weights, made on the device."""
    from transformers import EsmcConfig, EsmcModel, EsmModel

    torch.manual_seed(0)
    with torch.device(device):
        if shape in SHAPES:
            return EsmModel(esm2(shape), add_pooling_layer=False).to(device)
        layers, width, inner, heads = ESMC[shape]
        config = EsmcConfig(
            hidden_size=width, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
            num_key_value_heads=heads, head_dim=width // heads,
        )  # fmt: skip
        return EsmcModel(config).to(device)


def model(shape: str, given: Work, recipe: Recipe, device: torch.device) -> Any:
    """Bench's model for a recipe, on the device."""
    made = bench_model(encoder(shape, device), given.task, recipe, given.tokeniser, seed=0)
    if recipe.adapter is not None:
        attach_adapter(made, recipe.adapter, shape, 0)
    if recipe.adaptation == "probe":
        made.encoder.requires_grad_(False)
    return made.to(device)


@dataclass(frozen=True)
class Fit:
    """A model under its engine, and what a fit of it is given.

    Attributes:
        model, made: as the engine made it.
        train, validation: encoded.
        job: folder, recipe, loss, execution.
        bf16: autocast.
    """

    model: Any
    made: Engine
    train: Encoded
    validation: Encoded
    job: Job
    bf16: bool

    def trainer(self) -> FairTrainer:
        """A fresh trainer."""
        return FairTrainer(self.model, self.train, self.validation, self.job)


@contextlib.contextmanager
def fitting(
    machine: Machine,
    shape: str,
    proteins: int,
    recipe_name: str,
    *,
    budget: int | None = None,
    packing: bool = True,
    **changes: Any,
) -> Iterator[Fit]:
    """A fit of a shape by a shipped recipe, ready to begin, in a folder that is removed afterwards."""
    given, recipe = work(shape, proteins), load_recipe(recipe_name, {"epochs": 1, **changes})
    execution = machine.execution(budget, packing=packing)
    bf16 = execution.bf16(recipe.precision)
    made_model = model(shape, given, recipe, machine.device)
    train, validation = given.split(), given.split(2)
    real = chosen(train.tokens, train.windows)
    with (
        tempfile.TemporaryDirectory() as place,
        engine(made_model, given.tokeniser, execution, bf16=bf16, trains=True, proteins=real) as made,
    ):
        train = replace(train, packed=made.packed)
        validation = replace(validation, packed=made.packed)
        folder = Path(place)
        loss = loss_for(train, 2, "none")
        job = Job(given.task, recipe, loss, 0, execution, folder / "work", folder / "training.jsonl")
        yield Fit(made_model, made, train, validation, job, bf16)


class NoBar:
    """Stands for a progress bar."""

    def update(self, n: float = 1) -> None:
        """Nothing."""
