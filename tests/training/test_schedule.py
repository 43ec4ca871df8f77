"""The schedules are those of transformers, step by step."""

import pytest
import torch
from transformers import get_scheduler

from hubtools.training.schedule import factor


@pytest.mark.parametrize("warmup", [0, 1, 7])
@pytest.mark.parametrize(
    ("ours", "theirs"), [("linear", "linear"), ("cosine", "cosine"), ("constant", "constant_with_warmup")]
)
def test_as_transformers(ours, theirs, warmup):
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = get_scheduler(theirs, optimiser, num_warmup_steps=warmup, num_training_steps=40)
    for step in range(41):
        assert factor(ours, step, warmup, 40) == pytest.approx(scheduler.get_last_lr()[0], abs=1e-12)
        optimiser.step()
        scheduler.step()
