"""``bench reproduce``: a record, or a published result, made again: agree, differ, or cannot tell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hubtools.api.reproducing import REPRODUCED
from hubtools.cli.run import parse_seeds, say, stoppable
from hubtools.cli.shared.commands import StrictCommand
from hubtools.cli.shared.execution_options import execution_options
from hubtools.cli.shared.terminal import PROJECT, note, runs_option
from hubtools.common.errors import UserError
from hubtools.findings.wording import plural

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hubtools.api.reproducing import MadeAgain
    from hubtools.specs.lookup.trusted import TrustedSpecs
    from hubtools.specs.published_results import Cell


@click.command(
    cls=StrictCommand, short_help="Make a recorded or a published result again: agree, differ, or cannot tell."
)
@click.argument("what", metavar="RUN|ID", required=False)
@click.option("--list", "list_all", is_flag=True, help="The published results that can be made again.")
@click.option("--checkpoint", metavar="NAME", help="Where the weights are now; of a published result also others.")
@click.option("--task", metavar="FILE", help="Of a record: the task file, where its data are elsewhere now.")
@click.option(
    "--seed", "--seeds", "seeds", multiple=True, callback=parse_seeds, metavar="N", help="Of a published result."
)
@click.option("--split", metavar="NAME", help="Of a record: the test split that is compared. [default: test]")
@runs_option(REPRODUCED)
@execution_options(refused={"shard": "runs are made again in one process, and weights are divided among several"})
@click.option(
    "--as-recorded", is_flag=True, help="Of a record: its own task and recipe, although others are held of their names."
)
@PROJECT
@click.option("--dry-run", is_flag=True, help="Check that it would be the same run, and stop.")
@click.option("--format", "form", default="table", show_default=True, type=click.Choice(["table", "json"]))
def reproduce(
    what: str | None, list_all: bool, form: str, dry_run: bool, owner: Path | None, root: Path, **options: Any
) -> None:
    """Make a recorded or a published result again, and say whether it agrees, differs, or cannot be told.

    Exit codes: 0 agree, 1 differ, 2 a mistake or not the same task, data or weights, 3 cannot tell.

    RUN is one run, named as for bench board. A record is made again from what it says itself, once task, data and weights are known to be the same: under the name of
    a task or recipe of bench, or of the folder that --project names, it must be that one. The same
    predictions within 0.0001 agree; else the interval of the paired difference is held against the task's margin.
    Of a published result all seeds are run, and the interval of the difference, in which the published spread is too,
    is held against the tolerance that stands beside the number. What is stopped goes on with the same command.

    \b
    bench reproduce runs/RUN
    bench reproduce runs:recipe=probe,seed=1
    bench reproduce hub://me/my-model
    bench reproduce --list
    bench reproduce schmirler-2024/gb1-frozen/esm2-8m
    """
    import hubtools
    from hubtools.cli.shared.terminal import hush_transformers
    from hubtools.specs.lookup.trusted import TrustedSpecs

    if list_all:
        _print_list(form, TrustedSpecs(owner))
        return
    if what is None:
        raise UserError("nothing is named", fix="Name a run, or an ID of bench reproduce --list.")
    planned = hubtools.plan_again(what, project=owner, runs=root, on_note=note, **options)
    if planned.original is not None:
        click.echo("task, data and weights are those of the record", err=True)
    else:
        click.echo(f"{plural(len(planned.planned), 'run')} planned:", err=True)
        for item in planned.planned:
            click.echo(f"  {item.title}", err=True)
    if dry_run:
        click.echo("nothing was run (--dry-run)", err=True)
        return
    hush_transformers()
    with stoppable():
        done = planned.run(say)
    raise SystemExit(_tell(done, form))


def _tell(made: MadeAgain, form: str) -> int:
    from hubtools.cli.shared.terminal import new_console
    from hubtools.findings.replication import Replication
    from hubtools.reporting.comparison import reproduction_report as reproduction

    if form == "json":
        click.echo(made.json(), nl=False)
    elif isinstance(made.done, Replication):
        reproduction.print_replication(made.done, new_console())
    else:
        reproduction.print_reproduction(made.done, new_console())
    return made.exit_code


def _print_list(form: str, held: TrustedSpecs) -> None:
    import json

    from hubtools.cli.shared.terminal import new_console, new_table
    from hubtools.findings.wording import metric_title

    cells = held.cells()
    templates = _templates({cell.experiment.task for cell in cells.values()}, held)
    if form == "json":
        click.echo(json.dumps([_plain(cell) for cell in cells.values()], indent=2, ensure_ascii=False))
        return
    table = new_table("id", "task", "recipe", "metric")
    table.add_column("published", justify="right", no_wrap=True)
    table.add_column("tolerance", justify="right", no_wrap=True)
    for cell in cells.values():
        experiment, result = cell.experiment, cell.result
        task = experiment.task if experiment.split == "test" else f"{experiment.task} ({experiment.split})"
        task += ", a template" * (experiment.task in templates)
        metric = metric_title(experiment.metric)
        table.add_row(cell.id, task, experiment.recipe, metric, f"{result.value:g}", f"±{experiment.tolerance:g}")
    new_console().print(table)
    click.echo(f"\n{len(cells)} results; bench reproduce ID makes one again", err=True)
    if templates:
        click.echo("a template was never loaded: its data may be others than the source's (bench tasks show)", err=True)


def _templates(names: Iterable[str], held: TrustedSpecs) -> set[str]:
    """Those of some tasks that are templates."""
    return {name for name in names if held.holds("task", name) and held.task(name).template}


def _plain(cell: Cell) -> dict[str, Any]:
    experiment = cell.experiment.model_dump(mode="json", exclude={"results"}, exclude_none=True)
    result = cell.result.model_dump(mode="json", exclude_none=True)
    return {"id": cell.id, "citation": cell.source.citation, "numbers": cell.source.numbers, **result, **experiment}
