"""What a run's electricity was: measured by codecarbon where that is installed, else estimated and called so.

Nothing is sent anywhere and no service is asked where this machine is. A country (``BENCH_COUNTRY``, three letters as in
ISO 3166, such as DEU) gives grams of CO2 by codecarbon's own table; ``BENCH_CARBON_INTENSITY`` (grams a kWh) gives
them without it. ``BENCH_ENERGY=estimate`` leaves codecarbon alone, ``BENCH_ENERGY=off`` records nothing.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import threading
import time
import warnings
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from hubtools.common.errors import UserError
from hubtools.specs.record import Energy

COUNTRY, INTENSITY, MODE = "BENCH_COUNTRY", "BENCH_CARBON_INTENSITY", "BENCH_ENERGY"
# Most power of the board in watts, by the vendors' data sheets (NVIDIA, AMD; 2026). The first name that fits counts.
_BOARDS = (
    ("H200", 700),
    ("H100 PCIe", 350),
    ("H100 NVL", 400),
    ("H100", 700),
    ("A100-PCIE-40GB", 250),
    ("A100 80GB PCIe", 300),
    ("A100", 400),
    ("L40S", 350),
    ("L4", 72),
    ("A10G", 300),
    ("A10", 150),
    ("T4", 70),
    ("V100", 300),
    ("RTX 4090", 450),
    ("RTX 3090", 350),
    ("MI300X", 750),
    ("MI250X", 560),
)
# A server's core with its share of memory and the rest; those of today draw 5 to 15 W.
_WATTS_PER_THREAD = 10.0


@dataclass(frozen=True)
class PowerDraw:
    """What draws power.

    Attributes:
        name: as the driver says it.
        is_gpu: whether it is one; else CPU threads compute.
        threads: of the CPU.
        processes: that compute together, each on a device of this kind.
    """

    name: str
    is_gpu: bool
    threads: int
    processes: int = 1

    @property
    def rated(self) -> tuple[float, str] | None:
        """Watts of one process's device and where they are from; None for a GPU that is not in the table."""
        if not self.is_gpu:
            return _WATTS_PER_THREAD * self.threads, f"{self.threads} CPU threads at {_WATTS_PER_THREAD:g} W"
        watts = next((watts for name, watts in _BOARDS if name.lower() in self.name.lower()), None)
        return None if watts is None else (float(watts), f"{self.name} at its rated {watts} W")


class Meter:
    """Measures from entry to exit, its own start and end left out.

    Args:
        device: that computes.

    Attributes:
        seconds: between entry and exit.
        energy: what was found; None where nothing can be said.

    Raises:
        UserError: a setting is not what it may be.
    """

    def __init__(self, device: PowerDraw) -> None:
        self.device, self.seconds, self._started = device, 0.0, 0.0
        self.energy: Energy | None = None
        self._tracker: Any = None
        self.mode = os.environ.get(MODE, "auto")
        if self.mode not in {"auto", "estimate", "off"}:
            raise UserError(f"{MODE}={self.mode} is not known", fix="Use auto, estimate or off.")
        self.intensity = _intensity()
        self.country = (os.environ.get(COUNTRY) or "").upper() or None

    def __enter__(self) -> Meter:
        if self.mode == "auto":
            # A measurement is a courtesy: whatever it stumbles over, the run goes on.
            with contextlib.suppress(Exception):
                if _looking is not None:
                    _looking.join()
                self._tracker = _tracker(self.country)
                self._tracker.start()
        self._started = time.perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.seconds = time.perf_counter() - self._started
        if self.mode == "off":
            return
        if self._tracker is not None:
            with contextlib.suppress(Exception):
                self._tracker.stop()
                self.energy = self._measured(self._tracker.final_emissions_data)
        if self.energy is None:
            self.energy = estimated(self.device, self.seconds, self.intensity)

    def _measured(self, found: Any) -> Energy | None:
        many = self.device.processes
        kwh = float(found.energy_consumed) * many
        if not (math.isfinite(kwh) and kwh > 0):
            return None
        grams = None
        if self.intensity is not None:
            grams = kwh * self.intensity
        elif self.country is not None:
            grams = float(found.emissions) * 1000 * many
        parts = {"CPU": found.cpu_energy, "GPU": found.gpu_energy, "memory": found.ram_energy}
        share = ", ".join(f"{name} {float(value) / float(found.energy_consumed):.0%}" for name, value in parts.items())
        how = f"codecarbon {found.codecarbon_version}: {share}; where the machine shows no counter, its model of one"
        if many > 1:
            how += f"; of one process, times {many}"
        return Energy(source="codecarbon", kwh=kwh, co2_grams=grams, how=how, place=self.country)


def estimated(device: PowerDraw, seconds: float, intensity: float | None = None) -> Energy | None:
    """Hours times the power of the device; None where that power is not known.

    Args:
        device: that computed.
        seconds: how long.
        intensity: grams of CO2 a kWh, where known.
    """
    if device.rated is None:
        return None
    watts, words = device.rated
    kwh = watts * device.processes * seconds / 3.6e6
    how = f"{seconds / 3600:.2g} hours × {words}" + (f" × {device.processes}" if device.processes > 1 else "")
    grams = None if intensity is None else kwh * intensity
    return Energy(source="estimate", kwh=kwh, co2_grams=grams, how=how, place=os.environ.get(COUNTRY) or None)


def _intensity() -> float | None:
    text = os.environ.get(INTENSITY)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise UserError(f"{INTENSITY}={text} is no number of grams of CO2 a kWh", fix="Give a number such as 380.")
    return value


_looking: threading.Thread | None = None


def look_ahead() -> None:
    """Before the large libraries are imported: codecarbon finds out what processor this is, for which it waits a second, beside that."""
    global _looking
    if _looking is None and os.environ.get(MODE, "auto") == "auto":
        _looking = threading.Thread(target=_find_processor, daemon=True)
        _looking.start()


def _find_processor() -> None:
    # Where it is not installed, or another version has another way, the first run waits.
    with contextlib.suppress(Exception):
        logging.getLogger("codecarbon").disabled = True
        from codecarbon.core.util import detect_cpu_model

        # The answer is kept there.
        detect_cpu_model()


def _tracker(country: str | None) -> Any:
    """Codecarbon's tracker that knows no network: nothing is written, shown or sent.

    Raises:
        ImportError: codecarbon is not installed.
    """
    logger = logging.getLogger("codecarbon")
    logger.disabled = True
    from codecarbon import OfflineEmissionsTracker

    with warnings.catch_warnings():
        # Newer versions have another way to say that nothing is saved; this one they all understand.
        warnings.simplefilter("ignore", DeprecationWarning)
        return _offline(OfflineEmissionsTracker, country)


def _offline(tracker: Any, country: str | None) -> Any:
    return tracker(
        # Without a country its grams are not read.
        country_iso_code=country or "USA",
        tracking_mode="process",
        measure_power_secs=15,
        save_to_file=False,
        save_to_api=False,
        save_to_logger=False,
        save_to_prometheus=False,
        save_to_logfire=False,
        allow_multiple_runs=True,
        log_level="critical",
    )
