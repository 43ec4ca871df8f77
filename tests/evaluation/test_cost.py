"""Cost against budgets: ratios where they compare, and silence where they do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sample_records import FITNESS, FULL, PROBE, make_record

from hubtools.evaluation.statistics.cost import Costs, compare_cost, typical
from hubtools.specs.record import Attempt, EmbeddingFacts, RunRecord

ESM = "facebook/esm2_t6_8M_UR50D"


def record(seed: int = 1, *, edit: Callable[[RunRecord], Any] = lambda one: None, **cost: Any) -> RunRecord:
    made = make_record(FITNESS, FULL, 0.7, checkpoint=ESM, seed=seed)
    assert made.cost is not None
    made.cost = made.cost.model_copy(update={"wall_seconds": 100.0, "tokens_per_second": 1000.0} | cost)
    edit(made)
    return made


def embeddings(computed: int, cached: int) -> Callable[[RunRecord], Any]:
    def edit(made: RunRecord) -> None:
        assert made.training is not None
        made.training.embeddings = EmbeddingFacts(computed=computed, cached=cached)

    return edit


def test_ratios_are_medians_over_seeds_and_above_one_is_worse() -> None:
    before = [record(seed) for seed in (1, 2, 3)]
    after = [
        record(1, wall_seconds=300.0, tokens_per_second=500.0, peak_memory_bytes=5 * 2**30),
        record(2, wall_seconds=120.0, tokens_per_second=400.0, peak_memory_bytes=5 * 2**30),
        record(3, wall_seconds=110.0, tokens_per_second=900.0, peak_memory_bytes=9 * 2**30),
    ]
    found = compare_cost(before, after)
    assert {ratio.quantity: ratio.ratio for ratio in found.ratios} == {
        "wall_seconds": 1.2,
        "tokens_per_second": 2.0,
        "peak_memory_bytes": 1.0,
    }
    assert found.not_compared is None
    assert [str(ratio) for ratio in found.over] == ["slower: 2 x (tolerance 1.5 x)"]


def test_a_budget_takes_the_place_of_what_the_baseline_took() -> None:
    budget, tolerances = Costs(peak_memory_bytes=2**30), Costs(1.5, 1.5, 6.0)
    found = compare_cost([record()], [record()], budget, tolerances)
    assert [(ratio.quantity, ratio.ratio, ratio.over) for ratio in found.ratios] == [("peak_memory_bytes", 5.0, False)]


@pytest.mark.parametrize(
    ("field", "value"),
    [("device_name", "NVIDIA H100"), ("device", "cpu"), ("threads", 1), ("cpu_count", 64), ("processes", 2)],
)
def test_another_machine_is_not_compared(field: str, value: Any) -> None:
    other = record(edit=lambda made: setattr(made.environment, field, value))
    found = compare_cost([record()], [other])
    assert found.ratios == () and found.not_compared is not None
    assert found.not_compared.startswith("other hardware (") and str(value) in found.not_compared
    # Nor are seeds that ran on two machines.
    assert compare_cost([record()], [record(1), other]).ratios == ()


def test_runs_that_read_embeddings_from_the_cache_do_not_count() -> None:
    fresh, cached = record(1, edit=embeddings(100, 0)), record(2, edit=embeddings(0, 100), wall_seconds=1.0)
    assert typical([fresh, cached]).wall_seconds == 100.0
    assert compare_cost([fresh], [cached]).not_compared == "embeddings were read from the cache"
    found = compare_cost([fresh, cached], [fresh, cached])
    assert [ratio.ratio for ratio in found.ratios] == [1.0, 1.0, 1.0]


def test_seconds_of_seeds_trained_together_compare_with_as_many_only() -> None:
    def together(n: int) -> Callable[[RunRecord], Any]:
        return lambda made: setattr(made.training, "seeds_together", n)

    found = compare_cost([record(edit=together(3))], [record(edit=together(1), wall_seconds=900.0)])
    assert [ratio.quantity for ratio in found.ratios] == ["peak_memory_bytes"]
    assert found.not_compared == "time: seeds were trained together (3 and 1 of them)"


def test_seconds_below_ten_are_start_up() -> None:
    found = compare_cost([record(wall_seconds=2.0)], [record(wall_seconds=7.0)])
    assert [ratio.quantity for ratio in found.ratios] == ["peak_memory_bytes"]
    assert found.not_compared == "time: below 10 s it is mostly start-up"
    # What grows beyond is no start-up.
    assert compare_cost([record(wall_seconds=2.0)], [record(wall_seconds=70.0)]).over[0].ratio == 35.0


def test_a_record_without_cost_is_said() -> None:
    without = make_record(FITNESS, PROBE, 0.7, checkpoint=ESM)
    without.cost = None
    assert compare_cost([without], [without]).not_compared == "the records hold no cost"


def attempts(*endings: Any) -> Callable[[RunRecord], Any]:
    def edit(made: RunRecord) -> None:
        assert made.cost is not None
        made.cost.attempts = [Attempt(started=made.started, wall_seconds=50.0, ended=ended) for ended in endings]

    return edit


def test_seconds_of_several_attempts_are_no_budget_and_are_not_held_to_one() -> None:
    once, twice = record(edit=attempts("complete")), record(2, edit=attempts("killed", "complete"), wall_seconds=900.0)
    for before, after in (([once], [twice]), ([twice], [once])):
        found = compare_cost(before, after)
        assert [ratio.quantity for ratio in found.ratios] == ["peak_memory_bytes"] and not found.over
        assert found.not_compared == "time: runs took several attempts, with start-up and lost work more than once"
    # Seeds that were done in one go speak for the arm.
    found = compare_cost([once, twice], [once, twice])
    assert [ratio.ratio for ratio in found.ratios] == [1.0, 1.0, 1.0] and found.not_compared is None
    # Nor do they become one where a baseline is frozen; what somebody wrote down as one is.
    assert typical([twice]) == Costs(peak_memory_bytes=typical([once]).peak_memory_bytes)
    budget = Costs(wall_seconds=50.0)
    assert compare_cost([twice], [once], budget).over[0].ratio == 2.0
    assert compare_cost([once], [twice], budget).ratios == ()
