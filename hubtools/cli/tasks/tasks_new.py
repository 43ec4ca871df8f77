"""``bench tasks new``: a task file from a user's table, checked before it is written."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hubtools.cli.shared.commands import StrictCommand
from hubtools.cli.shared.terminal import new_console, new_table, note, print_fitting
from hubtools.cli.tasks.tasks_check import show_contents
from hubtools.specs.level import trained_problems

if TYPE_CHECKING:
    from hubtools.api.tasks.task_questions import TaskQuestion


# The smallest ESM-2.
_SMALL = "facebook/esm2_t6_8M_UR50D"


@click.command("new", cls=StrictCommand)
@click.argument("tables", type=click.Path(path_type=Path), metavar="FILE...", nargs=-1, required=True)
@click.option("--name", help="Of the task, and of its file.")
@click.option(
    "--problem", type=click.Choice(trained_problems()), metavar="PROBLEM", help="For example sequence-regression."
)
@click.option("--sequence", metavar="COLUMN", help="Column of the sequences.")
@click.option("--partner", metavar="COLUMN", help="Column of the second protein, for pairs.")
@click.option("--label", metavar="COLUMN", help="Column of what is to be predicted.")
@click.option("--id", metavar="COLUMN", help="Column of unique names, or none.")
@click.option("--split-column", metavar="COLUMN", help="Column that says train, validation, test.")
@click.option("--split", metavar="SHARES", help="Shares to be drawn, such as 80/10/10 (train/validation/test).")
@click.option("--clusters/--no-clusters", default=None, help="Keep similar sequences on one side. Default: yes.")
@click.option("--mask", metavar="COLUMN", help="Column of 0 and 1 per residue: which labels count.")
@click.option("--candidates", metavar="LETTERS", help="Only these residues are scored, such as Y.")
@click.option("--masked-value", type=float, metavar="NUMBER", help="Value per residue that means: no label.")
@click.option(
    "--masked-label",
    "masked_labels",
    multiple=True,
    metavar="TEXT",
    help="Label that means: not known; may be repeated. Empty cells, null, NaN and -100 do anyway.",
)
@click.option("--separator", metavar="TEXT", help="Between the labels in a cell, such as ';'; or none.")
@click.option(
    "--case",
    type=click.Choice(["fold", "keep"]),
    help="Labels that differ by capitals alone: one label (fold), or several (keep).",
)
@click.option("--positive", metavar="LABEL", help="The class to be detected, of two; or none.")
@click.option("--primary", metavar="METRIC", help="The metric that ranks.")
@click.option("--licence", help="Of the data, such as CC-BY-4.0. Default: unknown.")
@click.option("--citation", help="Who made the data.")
@click.option("--title", help="For people. Default: the name.")
@click.option("--summary", help="What is predicted, in a sentence.")
@click.option("--header", metavar="NAMES", help="Names of the columns, with commas, where the file has none.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=Path("tasks"), show_default=True, help="Folder."
)
@click.option("-y", "--yes", is_flag=True, help="Ask nothing: take what the data suggest.")
@click.option("--force", is_flag=True, help="Overwrite a task file of that name.")
def new(tables: tuple[Path, ...], output: Path, force: bool, yes: bool, header: str | None, **given: Any) -> None:
    """Write a task file for an Excel, CSV, TSV, Parquet, JSON lines or FASTA file, after loading the data as a run would.

    On a terminal it asks, with what the data suggest as default; elsewhere the options answer. Of several files each is a class,
    or a split, by its name.

    \b
    bench tasks new proteins.xlsx --name solubility
    bench tasks new nucleus.fasta membrane.fasta --name location
    bench tasks new sites.parquet --name sites --label sites --split 80/10/10
    """
    import hubtools

    columns = [name.strip() for name in header.split(",")] if header else None
    proposed = hubtools.new_task(
        tables, header=columns, to=output, force=force, ask=None if yes else _answer, on_note=note, **given
    )
    show_contents(proposed.contents)
    if power := proposed.contents.power:
        click.echo(f"power: {power}")
    if proposed.guesses:
        table, console = new_table("taken from the data", "", "because"), new_console()
        for guess in proposed.guesses:
            table.add_row(guess.argument.replace("_", " "), guess.value, guess.why)
        table.columns[2].min_width = 20
        print_fitting(console, table)
    path = proposed.write()
    called = proposed.task.name if output == Path("tasks") else shlex.quote(str(path))
    # A probe reads each protein once and takes minutes on a laptop; training all weights takes a GPU or a night.
    click.echo(
        f"hint: embedded is tiny and needs no network; {_SMALL} (30 MB) is better, and without --recipe probe all weights are trained"
    )
    click.echo("what a word means, such as margin or cluster: bench explain margin")
    click.echo(f"written: {path}")
    click.echo(f"next:    bench run --checkpoint embedded --task {called} --recipe probe")


def _answer(question: TaskQuestion) -> str | None:
    """What a person says on a terminal, or what the data suggest.

    Raises:
        UsageError: nobody can be asked.
    """
    known = f" ({question.known})" if question.known else ""
    # Closed, nobody answers.
    if sys.stdin is not None and sys.stdin.isatty():
        return str(click.prompt(f"{question.text}{known}", default=question.proposal, err=True))
    if question.optional:
        return None
    # Without a terminal, a name is given: a file should not appear under another than is thought.
    if question.proposal is None or question.argument == "name":
        raise click.UsageError(f"{question.text}: give --{question.argument.replace('_', '-')}{known}")
    return question.proposal
