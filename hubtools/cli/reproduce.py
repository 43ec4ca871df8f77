"""``bench reproduce``: a record, or a published result, made again: agree, differ, or cannot tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hubtools.cli.execution_options import execution_options
from hubtools.cli.run import parse_seeds
from hubtools.cli.terminal import PROJECT, runs_option, tell
from hubtools.common.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hubtools.results.arms import Found
    from hubtools.results.replication import Replication
    from hubtools.results.reproduction import Reproduction
    from hubtools.runs.plan import PlannedRun
    from hubtools.runs.session import Session
    from hubtools.specs.lookup.trusted import TrustedSpecs
    from hubtools.specs.published_results import Cell

DEFAULT_ROOT = Path("reproduced")


@click.command(short_help="Make a recorded or a published result again: agree, differ, or cannot tell.")
@click.argument("what", metavar="RUN|ID", required=False)
@click.option("--list", "list_all", is_flag=True, help="The published results that can be made again.")
@click.option("--checkpoint", metavar="NAME", help="Where the weights are now; of a published result also others.")
@click.option("--task", metavar="FILE", help="Of a record: the task file, where its data are elsewhere now.")
@click.option(
    "--seed", "--seeds", "seeds", multiple=True, callback=parse_seeds, metavar="N", help="Of a published result."
)
@click.option("--split", metavar="NAME", help="Of a record: the test split that is compared. [default: test]")
@runs_option(DEFAULT_ROOT)
@execution_options(refused={"shard": "runs are made again in one process, and weights are divided among several"})
@click.option(
    "--as-recorded", is_flag=True, help="Of a record: its own task and recipe, although others are held of their names."
)
@PROJECT
@click.option("--dry-run", is_flag=True, help="Check that it would be the same run, and stop.")
@click.option("--format", "form", default="table", show_default=True, type=click.Choice(["table", "json"]))
def reproduce(what: str | None, list_all: bool, form: str, dry_run: bool, owner: Path | None, **options: Any) -> None:
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
    from hubtools.specs.lookup.trusted import TrustedSpecs

    held = TrustedSpecs(owner)
    if list_all:
        _print_list(form, held)
        return
    if what is None:
        raise UserError("nothing is named", fix="Name a run, or an ID of bench reproduce --list.")

    from hubtools.training.compute.distributed import refuse_company

    refuse_company("bench reproduce")
    done = (_of_cell if _is_cell(what) else _of_record)(what, held, options, dry_run)
    if done is None:
        click.echo("nothing was run (--dry-run)", err=True)
        return
    raise SystemExit(_tell(done, form))


def _is_cell(what: str) -> bool:
    from hubtools.results.naming.selectors import parse
    from hubtools.specs.references import is_address

    place = parse(what)[0]
    return not is_address(place) and not Path(place).exists()


def _of_record(what: str, held: TrustedSpecs, options: Mapping[str, Any], dry_run: bool) -> Reproduction | None:
    from hubtools.results import reproduction as records

    if options["seeds"]:
        raise UserError("a record has its seed", where="--seed", fix="Leave it out.")
    original, named = records.recorded_run(what)
    tell(replace(named, notes=[]))
    trusted = None if options["as_recorded"] else held
    planned = records.planned_again(original[1], trusted, options["checkpoint"], options["task"])
    # Embeddings that the run itself left would hide that the encoder gives others now.
    session = _session(options, [planned], cached=False)
    notes = named.notes + records.not_held(original[1], trusted, options["task"])
    notes += records.check_identity(original[1], planned, session)
    records.refuse_itself(original, planned, session)
    for note in notes:
        click.echo(f"note: {note}", err=True)
    click.echo("task, data and weights are those of the record", err=True)
    if dry_run:
        return None
    (again,) = _run_all([planned], session)
    return records.compared(original, again, options["split"] or "test", notes)


def _of_cell(what: str, held: TrustedSpecs, options: Mapping[str, Any], dry_run: bool) -> Replication | None:
    from hubtools.results.replication import planned_runs, replicated
    from hubtools.specs.published_results import find_cell

    cell = find_cell(what, held.cells())
    for name in ("task", "split", "as_recorded"):
        if options[name]:
            raise UserError("a published result has its own", where=f"--{name.replace('_', '-')}", fix="Leave it out.")
    planned = planned_runs(cell, held, options["checkpoint"], options["seeds"])
    click.echo(f"{len(planned)} run{'s' if len(planned) != 1 else ''} planned:", err=True)
    for item in planned:
        click.echo(f"  {item.title}", err=True)
    if dry_run:
        return None
    session = _session(options, planned, cached=True)
    return replicated(cell, _run_all(planned, session), options["checkpoint"])


def _session(options: Mapping[str, Any], planned: Sequence[PlannedRun], *, cached: bool) -> Session:
    from hubtools.api.running import check_writable

    check_writable(options["root"])
    return options["execution"].session(options["root"], planned, cached=cached)


def _run_all(planned: Sequence[PlannedRun], session: Session) -> list[Found]:
    """Do the runs, or find them done.

    Raises:
        UserError: one of them failed.
    """
    from hubtools.api.running import failure_reason, outcome_line
    from hubtools.cli.run import stoppable
    from hubtools.cli.terminal import hush_transformers
    from hubtools.runs.execute import execute

    hush_transformers()
    found = []
    with stoppable():
        for number, item in enumerate(planned, 1):
            click.echo(f"[{number}/{len(planned)}] {item.title}", err=True)
            outcome = execute(item, session)
            if outcome.mistake is not None:
                raise outcome.mistake
            click.echo(f"    {outcome_line(outcome)}", err=True)
            if outcome.record.status != "complete":
                raise UserError(failure_reason(outcome), where=item.title, fix="Run it again when that is mended.")
            found.append((outcome.folder, outcome.record))
    return found


def _tell(done: Reproduction | Replication, form: str) -> int:
    from hubtools.cli.terminal import new_console
    from hubtools.reporting.comparison import reproduction_report as reproduction
    from hubtools.results.replication import Replication

    if form == "json":
        click.echo(reproduction.as_json(done), nl=False)
    elif isinstance(done, Replication):
        reproduction.print_replication(done, new_console())
    else:
        reproduction.print_reproduction(done, new_console())
    return reproduction.EXIT_CODES[done.finding.verdict]


def _print_list(form: str, held: TrustedSpecs) -> None:
    import json

    from hubtools.cli.terminal import new_console, new_table
    from hubtools.results.wording import metric_title

    cells = held.cells()
    if form == "json":
        click.echo(json.dumps([_plain(cell) for cell in cells.values()], indent=2, ensure_ascii=False))
        return
    table = new_table("id", "task", "recipe", "metric")
    table.add_column("published", justify="right", no_wrap=True)
    table.add_column("tolerance", justify="right", no_wrap=True)
    for cell in cells.values():
        experiment, result = cell.experiment, cell.result
        task = experiment.task if experiment.split == "test" else f"{experiment.task} ({experiment.split})"
        metric = metric_title(experiment.metric)
        table.add_row(cell.id, task, experiment.recipe, metric, f"{result.value:g}", f"±{experiment.tolerance:g}")
    new_console().print(table)
    click.echo(f"\n{len(cells)} results; bench reproduce ID makes one again", err=True)


def _plain(cell: Cell) -> dict[str, Any]:
    experiment = cell.experiment.model_dump(mode="json", exclude={"results"}, exclude_none=True)
    result = cell.result.model_dump(mode="json", exclude_none=True)
    return {"id": cell.id, "citation": cell.source.citation, "numbers": cell.source.numbers, **result, **experiment}
