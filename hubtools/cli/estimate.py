"""``bench estimate``: what the runs of ``bench run`` would take, from some seconds of calibration."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from hubtools.cli.run import plan_runs, run

if TYPE_CHECKING:
    from hubtools.runs.estimate import Device, RunEstimate

# What has no meaning before anything runs.
NOT_SHARED = {"force", "dry_run"}
HOUR, GB = 3600, 1e9


def estimate(
    *,
    device_flops: float | None,
    device_memory: float | None,
    price_per_hour: float | None,
    watts: float | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Time, memory, disk and cost of runs, before hours are spent.

    The options are those of bench run. Some seconds are measured on this device with the very model; for other
    hardware, --device-flops and --device-memory make it plain arithmetic.

    \b
    bench estimate --checkpoint facebook/esm2_t12_35M_UR50D --task secondary-structure --price-per-hour 2.50
    bench estimate --checkpoint embedded --suite quickstart
    bench estimate --checkpoint embedded --task localisation --device-flops 400e12 --device-memory 80
    """
    from hubtools.specs.errors import UserError

    if (device_flops is None) != (device_memory is None):
        raise UserError("--device-flops and --device-memory belong together", fix="Give both, or neither to measure.")
    names = ("checkpoints", "tasks", "suite", "recipe", "seeds", "settings", "baselines", "subset")
    planned = plan_runs(*(options[name] for name in names))

    from hubtools.data import DataCache
    from hubtools.runs.estimate import Device, Estimator
    from hubtools.runs.session import Session
    from hubtools.training.device import Execution
    from hubtools.training.distributed import refuse_company

    refuse_company("bench estimate")
    execution = Execution.choose(options["device"], options["token_budget"], options["gradient_checkpointing"])
    session = Session(options["root"], DataCache.default(options["mirrors"]), execution, options["trust_remote_code"])
    other = None
    if device_flops is not None and device_memory is not None:
        other = Device(device_flops, round(device_memory * GB))
    estimator = Estimator(session, other, lambda line: click.echo(line, err=True))
    found = [estimator.estimate(item) for item in planned]
    total = [sum(item.seconds[i] for item in found) for i in (0, 1)]
    cost = None if price_per_hour is None else [seconds / HOUR * price_per_hour for seconds in total]
    energy = None if watts is None else [seconds / HOUR * watts / 1000 for seconds in total]
    if as_json:
        values = {"runs": [item.plain() for item in found], "seconds": total, "cost": cost, "kilowatt_hours": energy}
        click.echo(json.dumps(values, indent=2))
        return
    _show(found, total, cost, energy, other)


def _show(
    found: list[RunEstimate],
    total: list[float],
    cost: list[float] | None,
    energy: list[float] | None,
    other: Device | None,
) -> None:
    from hubtools.cli.terminal import new_console, new_table
    from hubtools.runs.estimate import ASSUMED_UTILISATION

    table = new_table("run", "proteins", "tokens/epoch", "steps", "TFLOP", "time", "memory", "disk", numbers_from=1)
    table.add_column("fits")
    for item in found:
        work, memory = item.workload, item.memory
        if work is None or memory is None:
            table.add_row(item.title, *[""] * 7, item.note)
            continue
        flops = [work.training_flops[i] + work.reading_flops[i] for i in (0, 1)]
        fits = {True: "yes", False: f"no: {item.advice}", None: "?"}[item.fits]
        table.add_row(
            item.title,
            f"{work.proteins:,}",
            f"{work.tokens_per_epoch:,}",
            span(work.steps, ",.0f"),
            span([value / 1e12 for value in flops], ",.3g"),
            span(item.seconds, time=True),
            f"{memory.total / GB:.2f} GB",
            f"{item.disk[1] / GB:.2f} GB",
            f"{fits} ({item.budget:,} tokens)",
        )
    new_console().print(table)
    click.echo(f"\ntogether {span(total, time=True)}" + (" (baselines and scoring not in it)" if found else ""))
    if cost is not None:
        click.echo(f"cost     {span(cost, ',.2f')}")
    if energy is not None:
        click.echo(f"energy   {span(energy, ',.3g')} kWh, an estimate: watts × hours")
    if other is not None:
        shares = f"{ASSUMED_UTILISATION[0]:.0%} to {ASSUMED_UTILISATION[1]:.0%}"
        click.echo(f"arithmetic, not a measurement: {other.flops:.3g} FLOP/s of which {shares} are reached")


def span(ends: Any, form: str = "", *, time: bool = False) -> str:
    """Two ends, or one where they look the same."""
    low, high = (duration(end) if time else format(end, form) for end in ends)
    return low if low == high else f"{low} – {high}"


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, whichever is read best."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 2 * HOUR else f"{seconds / HOUR:.1f} h"


_POSITIVE = click.FloatRange(min=0, min_open=True)
OWN = [
    click.Option(
        ["--device-flops"], type=_POSITIVE, metavar="F", help="Of another device: operations a second, 400e12."
    ),
    click.Option(["--device-memory"], type=_POSITIVE, metavar="GB", help="Of another device."),
    click.Option(["--price-per-hour"], type=_POSITIVE, metavar="P", help="Gives the cost."),
    click.Option(["--watts"], type=_POSITIVE, metavar="W", help="Of the device: gives the energy."),
    click.Option(["--json", "as_json"], is_flag=True, help="For programs."),
]
# The options of bench run are those objects themselves: what is added there is an option here.
estimate_command = click.Command(
    "estimate",
    params=[*(parameter for parameter in run.params if parameter.name not in NOT_SHARED), *OWN],
    callback=estimate,
    help=estimate.__doc__,
)
