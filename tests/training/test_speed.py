"""How fast a device is, with a clock that is made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_fit import CPU, Setting
from tiny_checkpoints import write_checkpoint

from hubtools.models import resolve_checkpoint
from hubtools.training.compute.operations import count_flops
from hubtools.training.compute.speed import SyntheticSplit, heads_seconds, rates, reading_speed, sample, training_speed
from hubtools.training.frozen.embedding import FrozenEncoder, embed, entry_keys
from hubtools.training.prediction import predict

LEVELS = ["sequence-classification", "residue-classification", "pair-classification"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return resolve_checkpoint(str(write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "esm", "esm")))


class Clock:
    """Moves on only where it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_rates_are_those_of_the_slower_and_the_faster_half() -> None:
    clock, speeds, seen = Clock(), iter([1, 1, *[1, 4, 2, 3]]), list[int]()

    def run(rows: list[int]) -> float:
        seen.append(len(rows))
        work = float(len(rows))
        clock.now += work / next(speeds)
        return work

    # A row takes a second at first, so that in 16 seconds' time eight are tried at once.
    assert rates(run, np.arange(32), 100, CPU, 16.0, clock) == pytest.approx((4 / 3, 24 / 7))
    assert seen == [1, 1, 8, 8, 8, 8]


def test_a_fast_model_is_measured_on_whole_batches_for_a_while() -> None:
    clock, seen = Clock(), list[int]()

    def run(rows: list[int]) -> float:
        seen.append(len(rows))
        clock.now += 0.5
        return 1.0

    assert rates(run, np.arange(40), 5, CPU, 6.0, clock) == pytest.approx((2, 2))
    assert seen == [1, 1, *[5] * 12]


@pytest.mark.parametrize("problem", LEVELS)
def test_a_sample_is_predicted_as_the_whole_is(checkpoint: Any, tmp_path: Path, problem: str) -> None:
    setting = Setting(checkpoint, problem, tmp_path, n=12)
    whole, rows = setting.splits["train"], [7, 2, 9]
    part = sample(whole, rows)
    assert part.ids == [whole.ids[row] for row in rows]
    everything, some = (
        predict(setting.model, split, setting.job.loss, token_budget=200, device=CPU) for split in (whole, part)
    )
    for name in part.ids:
        np.testing.assert_allclose(
            some.scores[some.ids == name], everything.scores[everything.ids == name], rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("problem", LEVELS)
def test_training_and_reading_are_measured_on_what_will_run(checkpoint: Any, tmp_path: Path, problem: str) -> None:
    setting = Setting(checkpoint, problem, tmp_path, n=12, batch_size=4)
    model, split, job = setting.model, setting.splits["train"], setting.job
    flops, before = count_flops(model), [p.clone() for p in model.parameters()]
    ticks = iter(range(10**6))
    low, high = training_speed(model, split, job, flops, seconds=30.0, clock=lambda: float(next(ticks)))
    # Each batch takes one tick, so that rates are operations of a batch: of a row at least, of all rows at most.
    tokens = [len(ids) + 2 for ids in split.tokens]
    assert 0 < low <= high <= 2 * flops.training(sum(tokens), sum(n * n for n in tokens))
    changed = [not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)]
    assert any(changed), "these were real steps"

    def read(part: Any) -> object:
        return predict(model, part, job.loss, token_budget=200, device=CPU)

    low, high = reading_speed(
        read, split, job.recipe, job.execution, flops, seconds=30.0, clock=lambda: float(next(ticks))
    )
    assert 0 < low <= high <= 2 * flops.reading(sum(tokens), sum(n * n for n in tokens))


@pytest.mark.parametrize("problem", LEVELS)
def test_heads_are_timed_without_the_encoder(
    checkpoint: Any, tmp_path: Path, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = Setting(checkpoint, problem, tmp_path, n=12, adaptation="probe", batch_size=1)
    model, train, validation = setting.model, setting.splits["train"], setting.splits["validation"]

    def never(*arguments: Any, **options: Any) -> None:
        pytest.fail("the encoder was asked")

    monkeypatch.setattr(model.encoder, "forward", never)
    ticks = iter(range(10**6))
    found = heads_seconds(model, train, validation, setting.job, [1, 2], [1, 2, 3], clock=lambda: float(next(ticks)))
    # One tick for eight of twelve rows.
    assert found == pytest.approx((len(train) / 8, len(train) / 8))


def test_invented_embeddings_have_the_shape_of_real_ones(checkpoint: Any, tmp_path: Path) -> None:
    setting = Setting(checkpoint, "residue-classification", tmp_path, n=6)
    split, width = setting.splits["train"], setting.model.encoder.config.hidden_size
    sizes = dict(zip(entry_keys(split, True), split.lengths.tolist(), strict=True))
    real, made = (
        embed(FrozenEncoder(setting.model, setting.job.execution, False, [2]), split, tmp_path / "x.npy", "", kept=kept)
        for kept in (None, SyntheticSplit(sizes, width))
    )
    assert real.tables[2].shape == made.tables[2].shape
    assert made.tokens == 0 < real.tokens
    assert np.array_equal(real.labels, made.labels)
