"""Electricity: measured where codecarbon is installed, else estimated and called so; never a reason to fail or to call home."""

from __future__ import annotations

import builtins
import socket
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hubtools.common.errors import UserError
from hubtools.runs.costs import energy
from hubtools.runs.costs.energy import COUNTRY, INTENSITY, MODE, Meter, PowerDraw, estimated

CPU = PowerDraw("Some CPU", is_gpu=False, threads=4)


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (COUNTRY, INTENSITY, MODE):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("device", "watts"),
    [
        (PowerDraw("NVIDIA H100 80GB HBM3", True, 16), 700),
        (PowerDraw("NVIDIA H100 PCIe", True, 16), 350),
        (PowerDraw("NVIDIA A100-SXM4-80GB", True, 16), 400),
        (PowerDraw("NVIDIA L4", True, 8), 72),
        (PowerDraw("NVIDIA L40S", True, 8), 350),
        (PowerDraw("Tesla T4", True, 4), 70),
        (PowerDraw("NVIDIA A100-SXM4-80GB", True, 16, processes=4), 1600),
        (CPU, 40),
    ],
)
def test_an_estimate_is_hours_times_rated_power(device: PowerDraw, watts: int) -> None:
    energy = estimated(device, 1800)
    assert energy is not None and energy.source == "estimate"
    assert energy.kwh == pytest.approx(watts * 0.5 / 1000)
    assert energy.co2_grams is None and "0.5 hours" in energy.how


def test_of_an_unknown_device_nothing_is_made_up() -> None:
    assert estimated(PowerDraw("Accelerator of tomorrow", True, 8), 3600) is None


def test_grams_need_a_carbon_intensity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODE, "estimate")
    monkeypatch.setenv(INTENSITY, "400")
    with Meter(CPU) as meter:
        pass
    assert meter.energy is not None
    assert meter.energy.co2_grams == pytest.approx(400 * meter.energy.kwh)


@pytest.mark.parametrize("value", ["much", "-1", "nan"])
def test_a_wrong_intensity_is_said_before_the_run(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(INTENSITY, value)
    with pytest.raises(UserError, match="no number of grams"):
        Meter(CPU)


def test_a_wrong_mode_is_said_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODE, "guess")
    with pytest.raises(UserError, match="auto, estimate or off"):
        Meter(CPU)


def test_off_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODE, "off")
    with Meter(CPU) as meter:
        pass
    assert meter.energy is None and meter.seconds >= 0


def test_without_codecarbon_it_is_an_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("codecarbon"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with Meter(CPU) as meter:
        pass
    assert meter.energy is not None and meter.energy.source == "estimate"


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A codecarbon that takes its time to say what processor this is; in order, who was asked."""
    asked: list[str] = []

    def detect_cpu_model() -> None:
        time.sleep(0.05)
        asked.append("processor")

    for name in ("codecarbon", "codecarbon.core"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    util = ModuleType("codecarbon.core.util")
    monkeypatch.setattr(util, "detect_cpu_model", detect_cpu_model, raising=False)
    monkeypatch.setitem(sys.modules, util.__name__, util)
    monkeypatch.setattr(energy, "_tracker", lambda _: asked.append("tracker"))
    monkeypatch.setattr(energy, "_looking", None)
    return asked


def test_a_meter_waits_for_what_was_asked_ahead(answered: list[str]) -> None:
    energy.look_ahead()
    energy.look_ahead()
    with Meter(CPU):
        assert answered == ["processor", "tracker"]


def test_nobody_is_asked_ahead_where_nothing_is_measured(answered: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODE, "estimate")
    energy.look_ahead()
    assert energy._looking is None and answered == []


def test_a_failing_run_is_measured_and_still_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODE, "estimate")
    meter = Meter(CPU)
    with pytest.raises(RuntimeError), meter:
        raise RuntimeError("of the run")
    assert meter.energy is not None


@pytest.mark.slow
def test_codecarbon_measures_in_silence_and_asks_nobody(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("codecarbon", reason='codecarbon is not installed: pip install "plm-hubtools[energy]"')

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv(COUNTRY, "deu")
    monkeypatch.chdir(tmp_path)
    with Meter(CPU) as meter:
        sum(number * number for number in range(3_000_000))
    assert meter.energy is not None and meter.energy.source == "codecarbon", meter.energy
    assert meter.energy.kwh > 0 and meter.energy.co2_grams and meter.energy.place == "DEU"
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")
