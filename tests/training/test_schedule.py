"""The schedules are those of transformers, but for the warm-up, which is one step ahead: its first step learns."""

import math

import pytest
import torch
from transformers import get_scheduler

from hubtools.specs.recipe import Recipe
from hubtools.training.schedule import factor

TOTAL = 40
THEIRS = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}


def recipe(schedule: str, steps: float) -> Recipe:
    return Recipe(name="r", adaptation="full", schedule=schedule, warmup=steps / TOTAL)


@pytest.mark.parametrize("warmup", [0, 1, 7, 39])
@pytest.mark.parametrize("schedule", THEIRS)
def test_as_transformers(schedule: str, warmup: int) -> None:
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = get_scheduler(THEIRS[schedule], optimiser, num_warmup_steps=warmup, num_training_steps=TOTAL)
    theirs = []
    for _ in range(TOTAL + 1):
        theirs.append(scheduler.get_last_lr()[0])
        optimiser.step()
        scheduler.step()
    ours = [factor(recipe(schedule, warmup), step, TOTAL) for step in range(TOTAL + 1)]
    # In the warm-up ours is what theirs is one step later; from its end on, both are the same.
    assert ours[:warmup] == pytest.approx(theirs[1 : warmup + 1], abs=1e-12)
    assert ours[warmup:] == pytest.approx(theirs[warmup:], abs=1e-12)


@pytest.mark.parametrize("schedule", THEIRS)
@pytest.mark.parametrize("warmup", [0, 0.5, 1, 7])
def test_every_step_learns(schedule: str, warmup: float) -> None:
    found = [factor(recipe(schedule, warmup), step, TOTAL) for step in range(TOTAL)]
    # A part of a step is a step.
    steps = math.ceil(warmup)
    assert min(found) > 0 and found[steps] == max(found) == 1
    assert found[0] == (1 / steps if steps else 1)


def test_where_the_fall_ends() -> None:
    linear, cosine = (recipe(schedule, 10) for schedule in ("linear", "cosine"))
    assert factor(linear, TOTAL - 1, TOTAL) == pytest.approx(1 / 30)
    assert factor(cosine, TOTAL - 1, TOTAL) == pytest.approx(0.5 * (1 + math.cos(math.pi * 29 / 30)))
    assert [factor(one, TOTAL, TOTAL) for one in (linear, cosine)] == pytest.approx([0, 0], abs=1e-12)


def test_a_fit_of_one_step_learns() -> None:
    assert factor(Recipe(name="r", adaptation="full", warmup=0.1), 0, 1) == 1
