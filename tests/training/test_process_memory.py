"""What a process takes beside the model: the peak that was measured, and what is still to come."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hubtools.training.compute import process_memory
from hubtools.training.compute.memory import forget_peak, peak_resident, resident_memory
from hubtools.training.compute.operations import COUNTED, MEASURED, Memory
from hubtools.training.compute.process_memory import held

CPU = torch.device("cpu")
MODEL = Memory(weights=100, gradients=100, optimiser=200, activations=0, tables=50)


def test_of_another_device_nothing_is_added() -> None:
    assert held(MODEL, torch.device("meta"), 10, (10_000, 40)) == MODEL
    assert MODEL.total == 450 and MODEL.span == (round(450 * COUNTED[0]), round(450 * COUNTED[1]))


def test_with_the_largest_batch_it_is_the_peak_again_and_what_was_not_computed() -> None:
    found = held(MODEL, CPU, 10, (10_000, 40))
    run = replace(found, activations=40)
    # Of few rows all replicates are drawn at once: three tables of 8-byte numbers.
    assert found.scoring == 3 * 8 * 1000 * 10
    assert run.total == 10_000 + MODEL.tables + found.scoring
    assert found.sure == MEASURED
    # Another run's batch may be smaller, its heads more.
    assert replace(run, activations=20).total == run.total - 20
    assert held(MODEL, CPU, 10**6, (10_000, 40)).scoring == 3 * 8 * 2**21


def test_where_there_is_no_room_for_it_all_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_memory, "resident_memory", lambda: 5_000)
    found = held(MODEL, CPU, 10, None)
    assert (found.process, found.sure) == (4_900, COUNTED)
    assert found.total == 5_000 + 100 + 200 + 50 + found.scoring


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
def test_a_peak_can_be_forgotten() -> None:
    large = torch.ones(2**26)
    before, now = peak_resident(), resident_memory()
    del large
    # The two are counted by pages in batches, a little apart.
    assert before > 0.9 * now and now > 2**28
    if resident_memory() > now - 2**27:
        pytest.skip("the memory was not given back to the system")
    forget_peak()
    assert peak_resident() < before - 2**27
