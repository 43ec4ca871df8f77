"""``bench reproduce``: run a record, or a published result, again and say whether it comes out the same."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hubtools.cli.terminal import MIRRORS
from hubtools.specs.errors import UserError

if TYPE_CHECKING:
    from hubtools.runs.changes import Change
    from hubtools.runs.reproduce import Reproduction
    from hubtools.runs.session import Session
    from hubtools.specs.published import Cell, Paper


@click.command(short_help="Run a record or a published result again: agree, differ, or cannot tell.")
@click.argument("what", metavar="RUN|hub://REPO|ID", required=False)
@click.option("--list", "listing", is_flag=True, help="List the published results that can be run again.")
@click.option(
    "--runs",
    "root",
    type=click.Path(path_type=Path),
    metavar="DIRECTORY",
    default=Path("reproduced"),
    show_default=True,
    help="Folder that the new runs go to.",
)
@click.option("--checkpoint", metavar="NAME", help="Where the weights are now; for a published result also others.")
@click.option("--task", metavar="FILE", help="Where the task file is now, if its data are local files that moved.")
@click.option(
    "--seed", "seeds", type=int, multiple=True, help="Of a published result: instead of its seeds; repeatable."
)
@click.option("--split", metavar="NAME", help="Test split to compare on.  [default: test, or the published result's]")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=1e-4,
    show_default=True,
    help="Of a record: predictions that differ by no more are the same.",
)
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, mps.")
@click.option("--trust-remote-code", is_flag=True, help="Allow code of a Hub checkpoint pinned as name@<commit>.")
@click.option("--json", "json_file", metavar="FILE", type=click.Path(path_type=Path), help="Also write it as JSON.")
@MIRRORS
def reproduce(what: str | None, listing: bool, json_file: Path | None, **options: Any) -> None:
    """Run a record, or a published result, again and say: agree, differ, or cannot tell.

    RUN is a run's folder or its run.json; hub://REPO[@REVISION] a model that bench published; ID a row of the table of
    published results. A record is run again from itself: its task and recipe as they were, its weights and data only if
    they are the same. Exit codes: 0 agree, 1 differ, 2 a mistake or not the same question, 3 cannot tell.

    \b
    bench reproduce runs/secondary-structure--esm2_t6_8m_ur50d--probe--s1--4f0c1a2b3c4d
    bench reproduce hub://me/my-model
    bench reproduce --list
    """
    if listing:
        _list()
        return
    if what is None:
        raise UserError("nothing is named", fix="Name a run, hub://REPO, or an id of bench reproduce --list.")
    from hubtools.cli.run import check_writable, stoppable
    from hubtools.runs.reproduce import EXIT_CODES
    from hubtools.specs.files import write_atomic

    check_writable(options["root"])
    with stoppable():
        if what.startswith("hub://") or Path(what).exists() or "/" in what:
            found, about = _record(what, options)
        else:
            found, about = _published(what, options)
    if json_file is not None:
        content = {"what": what, **asdict(found), **about}
        write_atomic(json_file, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
        click.echo(f"wrote {json_file}", err=True)
    raise SystemExit(EXIT_CODES[found.verdict])


def _session(options: dict[str, Any], planned: list[Any], *, cache: bool) -> Session:
    from hubtools.cli.run import hush_transformers, session_by

    common = {"token_budget": None, "gradient_checkpointing": False, "packing": True, "compiled": False, "shard": False}
    session = session_by({**common, "no_embedding_cache": not cache, **options}, planned)
    hush_transformers()
    return session


def _record(what: str, options: dict[str, Any]) -> tuple[Reproduction, dict[str, Any]]:
    from hubtools.runs.arms import Arm
    from hubtools.runs.changes import changes
    from hubtools.runs.fetched import runs_folder
    from hubtools.runs.reproduce import planned_from, same_record, what_differs
    from hubtools.runs.store import read_record, run_folder

    if options["seeds"]:
        raise UserError("a record has the seed that it has", where="--seed", fix="Leave it out.")
    folder, notes = runs_folder(what)
    record = read_record(folder)
    if record.status != "complete":
        raise UserError(f"the run is {record.status}, and has no result", where=what, fix="Name a complete run.")
    planned = planned_from(record, options["checkpoint"], options["task"])
    # Embeddings that the original left would hide that reading gives others now.
    session = _session(options, [planned], cache=False)
    identity = session.identify(planned)
    refused, noted = what_differs(record.identity, identity)
    if refused:
        raise UserError(
            f"it would not be the same run: {'; '.join(refused)}", where=what, fix="Name the recorded ones."
        )
    for note in [*notes, *noted]:
        click.echo(f"note: {note}", err=True)
    if run_folder(options["root"], identity).resolve() == folder.resolve():
        raise UserError("the new run would take the place of the old", where="--runs", fix="Choose another folder.")
    again = _execute([planned], session)[0]
    found = same_record((folder, record), again, options["split"] or "test", options["tolerance"])
    changed = changes(Arm(((folder, record),)), Arm((again,)))
    _tell(found, f"{record.subject} · {record.identity.recipe.name} on {record.identity.task.name}, seed "
          f"{record.identity.seed}", "recorded", changed)  # fmt: skip
    click.echo(f"the new run: {again[0]}", err=True)
    return found, {"run_id": record.run_id, "new_run": str(again[0]), "notes": noted,
                   "changed": [asdict(change) for change in changed]}  # fmt: skip


def _published(what: str, options: dict[str, Any]) -> tuple[Reproduction, dict[str, Any]]:
    from hubtools.runs.reproduce import planned_for, same_cell
    from hubtools.specs.published import find_cell

    cell, paper = find_cell(what)
    for option in ("task", "split"):
        if options[option]:
            raise UserError("a published result has its own", where=f"--{option}", fix="Leave it out.")
    planned = planned_for(cell, options["checkpoint"], options["seeds"])
    runs = _execute(planned, _session(options, planned, cache=True))
    found = same_cell(cell, [record for _, record in runs])
    _about(cell, paper, options["checkpoint"])
    _tell(found, f"{cell.checkpoint} · {cell.recipe} on {cell.task}", "published", [])
    return found, {"cell": cell.model_dump(mode="json"), "paper": paper.model_dump(mode="json"),
                   "runs": [str(folder) for folder, _ in runs]}  # fmt: skip


def _execute(planned: list[Any], session: Session) -> list[Any]:
    """The runs, done or found done: folder and record of each."""
    from hubtools.cli.run_report import line
    from hubtools.runs.unit import execute

    found = []
    for number, item in enumerate(planned, 1):
        click.echo(f"[{number}/{len(planned)}] {item.title}", err=True)
        outcome = execute(item, session)
        click.echo(f"    {line(outcome)}", err=True)
        if outcome.mistake is not None:
            raise outcome.mistake
        if outcome.record.status != "complete":
            failure = outcome.record.failure
            raise UserError(f"the run failed: {failure.message if failure else 'unknown'}", where=str(outcome.folder))
        found.append((outcome.folder, outcome.record))
    return found


def _about(cell: Cell, paper: Paper, checkpoint: str | None) -> None:
    click.echo(f"{paper.title}, doi:{paper.doi}; {cell.source}")
    click.echo(f"done otherwise there: {paper.differs.strip()}")
    if cell.notes:
        click.echo(f"note: {cell.notes}")
    if checkpoint:
        click.echo(f"note: with {checkpoint}, where the paper has {cell.checkpoint}")


def _tell(found: Reproduction, title: str, was: str, changed: list[Change]) -> None:
    from hubtools.cli.terminal import new_console, new_table
    from hubtools.reporting.wording import interval, metric_title, number, signed

    console = new_console()
    console.print(f"\n[bold]{found.verdict}[/bold]: {found.reason}")
    console.print(title)
    table = new_table("", metric_title(found.metric, arrow=True), numbers_from=1)
    table.add_row(was, number(found.before))
    table.add_row("now", number(found.after))
    table.add_row("difference", signed(found.after - found.before))
    console.print(table)
    if found.low is not None and found.high is not None and found.low != found.high:
        console.print(f"95 % interval {interval(found.low, found.high)} (positive: now better)")
    if changed:
        console.print("\nWhat else changed")
        others = new_table("what", "then", "now")
        for change in changed:
            others.add_row(change.what, change.before, change.after)
        console.print(others)


def _list() -> None:
    from hubtools.cli.terminal import new_console, new_table
    from hubtools.reporting.wording import metric_title
    from hubtools.specs.published import load_published

    table = new_table("id", "task", "recipe", "metric", "published", "tolerance")
    for cell in load_published().cells:
        spread = f" {cell.printed}" if cell.printed else ""
        value = f"{cell.value:g}{spread}"
        table.add_row(cell.id, cell.task, cell.recipe, metric_title(cell.metric), value, f"{cell.tolerance:g}")
    new_console().print(table)
