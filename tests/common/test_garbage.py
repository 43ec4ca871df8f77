"""Garbage is looked for seldom while a command imports, and as usual when it computes, or in a program of somebody else."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import pytest

from hubtools.common import garbage


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A process that has not imported torch; what is put aside is counted, and stays where it is."""
    frozen: list[str] = []
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(garbage.gc, "freeze", lambda: frozen.append("frozen"))
    yield frozen
    garbage.atexit.unregister(gc.freeze)


def test_a_command_looks_seldom_until_it_computes(begun: list[str]) -> None:
    usual = gc.get_threshold()
    with garbage.sought_seldom():
        assert gc.isenabled() and gc.get_threshold() == garbage.SELDOM != usual
        garbage.set_aside()
        assert gc.get_threshold() == usual and begun == ["frozen"]
        # A sweep begins many times, with models in memory: those are not put aside.
        garbage.set_aside()
        assert begun == ["frozen"]
    assert gc.get_threshold() == usual


def test_it_is_as_before_also_after_a_mistake(begun: list[str]) -> None:
    usual = gc.get_threshold()
    with pytest.raises(ValueError, match="of the command"), garbage.sought_seldom():
        raise ValueError("of the command")
    assert gc.get_threshold() == usual and begun == []


def test_a_process_that_has_torch_is_somebody_elses(begun: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", sys)
    usual = gc.get_threshold()
    with garbage.sought_seldom():
        garbage.set_aside()
        assert gc.get_threshold() == usual
    garbage.set_aside()
    assert begun == []


def test_what_python_does_outside_of_a_command_is_left_alone(begun: list[str]) -> None:
    usual = gc.get_threshold()
    garbage.set_aside()
    assert gc.get_threshold() == usual and begun == []
