"""``bench estimate``: what the runs of ``bench run`` would take, from some seconds of calibration."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hubtools.api.computing import ExecutionOptions
from hubtools.api.estimating import HOUR
from hubtools.cli.run import FORCE, plan_options, planned_by
from hubtools.cli.shared.commands import StrictCommand
from hubtools.cli.shared.execution_options import execution_options
from hubtools.cli.shared.terminal import TEMPLATES, hush_transformers

if TYPE_CHECKING:
    from hubtools.api.estimating import RunEstimates
    from hubtools.runs.workload import StatedDevice

_POSITIVE = click.FloatRange(min=0, min_open=True)


@click.command(cls=StrictCommand)
@plan_options
@execution_options(
    refused={
        "shard": "an estimate is of one process, and weights are divided among several",
        "track": "nothing is run, so that there is nothing to follow",
    }
)
@FORCE
@click.option("--device-flops", type=_POSITIVE, metavar="F", help="Of another device: operations a second, 400e12.")
@click.option("--device-memory", type=_POSITIVE, metavar="GB", help="Of another device.")
@click.option("--price-per-hour", type=_POSITIVE, metavar="P", help="Gives the cost.")
@click.option("--watts", type=_POSITIVE, metavar="W", help="Of the device: gives the energy.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@TEMPLATES
def estimate(
    *,
    root: Path,
    execution: ExecutionOptions,
    device_flops: float | None,
    device_memory: float | None,
    price_per_hour: float | None,
    watts: float | None,
    as_json: bool,
    force: bool,
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
    from hubtools.common.errors import UserError

    if (device_flops is None) != (device_memory is None):
        raise UserError("--device-flops and --device-memory belong together", fix="Give both, or neither to measure.")
    planned = planned_by(options)

    import hubtools

    hush_transformers()
    found = hubtools.estimate(
        planned,
        runs=root,
        execution=execution,
        flops=device_flops,
        memory=device_memory,
        force=force,
        on_note=lambda line: click.echo(line, err=True),
    )
    cost = None if price_per_hour is None else found.cost(price_per_hour)
    energy = None if watts is None else found.kilowatt_hours(watts)
    if as_json:
        values = {"runs": found.rows(), "seconds": found.seconds, "cost": cost, "kilowatt_hours": energy}
        click.echo(json.dumps(values, indent=2))
        return
    _show_table(found)
    _show_sum(found, cost, energy)


def _show_table(found: RunEstimates) -> None:
    from hubtools.cli.shared.terminal import new_console, new_table

    reads, passes = any(item.cached for item in found), any(item.passes for item in found)
    columns = [
        "run",
        "proteins",
        *(["passes"] if passes else []),
        "tokens",
        *(["cached"] if reads else []),
        "epochs",
        "time",
        "memory",
        "disk",
    ]
    table = new_table(*columns, numbers_from=1)
    table.add_column("fits")
    for item in found:
        work, memory = item.workload, item.memory
        if work is None or memory is None:
            continue
        table.add_row(
            item.title,
            f"{work.proteins:,}",
            *([f"{item.passes:,}" if item.passes else ""] if passes else []),
            f"{work.tokens_per_epoch:,}",
            *([share(item.cached)] if reads else []),
            span(work.epochs) if work.epochs[1] else "",
            span(item.seconds, time=True),
            sizes(memory.span),
            size(item.disk[1]),
            {True: "yes", False: "no", None: "?"}[item.fits],
        )
    if table.row_count:
        new_console().print(table)
    for note, number in Counter(item.note for item in found if item.workload is None).items():
        click.echo(f"{'and ' if table.row_count else ''}{number} run{'s' if number > 1 else ''}: {note}")


def _show_sum(found: RunEstimates, cost: tuple[float, float] | None, energy: tuple[float, float] | None) -> None:
    from hubtools.runs.workload import ASSUMED_UTILISATION

    other = found.device
    estimated = [item for item in found if item.memory is not None]
    if not estimated:
        click.echo("\nnothing here takes long. Next: bench run with the same options")
        return
    click.echo(f"\ntime     {span(found.seconds, time=True)}; scores and their intervals come on top")
    largest = max((item.memory for item in estimated if item.memory), key=lambda memory: memory.span[1])
    free = estimated[0].free
    click.echo(
        f"memory   {size(largest.total)} at most, {sizes(largest.span)}"
        + ("" if free is None else f", {size(free)} {_free(other)}")
    )
    stays, at_once = sum(item.disk[0] for item in estimated), max(item.disk[1] - item.disk[0] for item in estimated)
    free_disk = estimated[0].free_disk
    click.echo(f"disk     {size(stays)} stay, {size(stays + at_once)} at most, {size(free_disk)} are free")
    if cost is not None:
        click.echo(f"cost     {span(cost, ',.2f')}")
    if energy is not None:
        click.echo(f"energy   {span(energy, ',.3g')} kWh, an estimate: watts × hours")
    for line in found.power:
        click.echo(f"power    {line}")
    if other is not None:
        shares = f"{ASSUMED_UTILISATION[0]:.0%} to {ASSUMED_UTILISATION[1]:.0%}"
        click.echo(f"arithmetic, not a measurement: {other.flops:.3g} FLOP/s of which {shares} are reached")
        if any(item.cached for item in estimated):
            click.echo("training the heads of probes is not in it")
    failing = [item for item in estimated if item.fits is False]
    for item in failing:
        click.echo(f"does not fit: {item.title}. Try {item.advice}")
    if not failing and stays + at_once > free_disk:
        click.echo("does not fit: the disk holds less than all runs together leave. Try another --runs")
    elif not failing:
        click.echo("next: bench run with the same options")


def _free(other: StatedDevice | None) -> str:
    return "are free" if other is None else "are stated"


def size(count: float) -> str:
    """Bytes as people read them."""
    from hubtools.common.files import human

    return human(count)


def sizes(ends: tuple[int, int]) -> str:
    """Two numbers of bytes, or one where they look the same."""
    return " – ".join(dict.fromkeys(map(size, ends)))


def share(part: tuple[int, int] | None) -> str:
    """Embeddings that need not be computed, of all."""
    return "" if part is None else f"{part[0]:,} of {part[1]:,}"


def span(ends: Any, form: str = "", *, time: bool = False) -> str:
    """Two ends, or one where they look the same."""
    low, high = (duration(end) if time else format(end, form) for end in ends)
    return low if low == high else f"{low} – {high}"


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, whichever is read best."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 2 * HOUR else f"{seconds / HOUR:.1f} h"
