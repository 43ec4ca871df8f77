"""``bench board``: what the runs say."""

from __future__ import annotations

import gc
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hubtools.cli.shared.commands import StrictCommand
from hubtools.cli.shared.terminal import NAMED_RUNS, TEMPLATES, note
from hubtools.common.files import is_folder, user_path
from hubtools.specs.references import is_address

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hubtools.findings.board.arms_apart import BoardArm
    from hubtools.findings.board.leaderboard import Board
    from hubtools.publishing.commit import PushedCommit


@click.command(cls=StrictCommand, short_help="What the runs say: a table of results with intervals.")
@click.argument("names", metavar="[RUNS]...", nargs=-1)
@NAMED_RUNS
@click.option("--task", metavar="NAME", help="Only this task.")
@click.option("--split", default="test", show_default=True, metavar="NAME", help="Test split that rows are ranked on.")
@click.option(
    "--arm",
    type=click.Choice(["default", "tuned"]),
    help="Only what no suite tuned, or only what one did. Default: both, in tables of their own.",
)
@click.option(
    "--format",
    "form",
    default="table",
    show_default=True,
    type=click.Choice(["table", "markdown", "csv", "json", "latex"]),
    help="csv and json hold everything; latex is tables of booktabs for a paper.",
)
@click.option(
    "--figure", metavar="FILE", type=click.Path(path_type=Path), help="Also draw it for a paper: .png, .pdf, .svg."
)
@click.option("--html", metavar="FILE", type=click.Path(path_type=Path), help="Also write all of it as one page.")
@click.option(
    "--site", metavar="DIR", type=click.Path(path_type=Path), help="Also write the same as a site for a web server."
)
@click.option("--push", "space", metavar="OWNER/NAME", help="Publish the site as a static Space.")
@click.option(
    "--results",
    "dataset",
    metavar="OWNER/NAME",
    help="Publish the results as a data set; a name that begins with . or / is a folder of this machine.",
)
@click.option("--notice", metavar="TEXT", help="What stands above everything on the page.")
@click.option("--private", is_flag=True, help="Create what is published as private.")
@TEMPLATES
def board(
    names: tuple[str, ...],
    root: str,
    task: str | None,
    split: str,
    arm: BoardArm | None,
    form: str,
    figure: Path | None,
    html: Path | None,
    site: Path | None,
    space: str | None,
    dataset: str | None,
    notice: str | None,
    private: bool,
) -> None:
    """What the runs say: comparable runs side by side, best first, with intervals.

    Runs of different task versions, data or subsets stand in separate tables, and so do what a suite tuned and what it did not. Runs that did not finish are listed
    at the end.

    RUNS are folders of runs, single runs, frozen baselines or hub://user/repo[@revision][/folder]: a published model, a
    baseline, or results as --results makes them. Behind each a selector may stand: runs:recipe=lora,checkpoint=*8M*. Its
    keys are task, checkpoint, recipe, seed, fraction, subset, precision, protocol, run and fields of the recipe; its
    values are patterns, several with | between them. By default the runs of --runs.

    A row is one checkpoint at one commit, or one baseline, under one recipe. Its score is the mean over its seeds. The
    95 % interval of several seeds covers both which proteins were tested and which seeds were drawn; that of one seed is
    of these very weights, marked †, and covers the proteins alone (docs/statistics.md). Rows with ● make up
    the best set, which holds the truly best row with 95 % confidence. Over two tasks or more, mean ranks stand first.
    """
    import hubtools
    from hubtools.reporting import board_tables as tables

    if figure:
        from hubtools.reporting.figures.plots import paper_format

        paper_format(str(figure))
    wanted = names or (root,)
    found = hubtools.results(wanted, on_note=note)
    # The records stay until the process ends: what looks for garbage need not go through all of them again and again.
    gc.freeze()
    built = hubtools.board(found if found else wanted, task=task, split=split, arm=arm)
    if form == "table":
        from rich.console import Console

        # Into a file or a pipe there is no terminal to fit into.
        tables.print_board(built.board, Console() if sys.stdout.isatty() else Console(width=160))
    else:
        click.echo(_written(built.board, form), nl=False)
    for line in built.board.notes:
        click.echo(f"note: {line}", err=True)
    if figure:
        click.echo(f"wrote {built.figure(figure)}", err=True)
    if html:
        click.echo(f"wrote {built.html(html, notice=notice)}: open it in a browser", err=True)
    if site:
        files = built.site(site, notice=notice)
        click.echo(f"wrote {len(files)} files: open {site / 'index.html'} in a browser", err=True)
    if space:
        _say_pushed("the board", built.push(space, private=private, notice=notice))
    if dataset and dataset.startswith((".", "/", "~")):
        click.echo(f"wrote {len(built.write_results(user_path(dataset)))} files: {dataset}", err=True)
    elif dataset:
        _say_pushed("the results", built.push_results(dataset, private=private))
    click.echo(f"next: {_next_step(built.board, wanted, html)}", err=True)


def _written(board: Board, form: str) -> str:
    """The board as text of a format."""
    from hubtools.reporting import board_tables as tables
    from hubtools.reporting.paper.latex_board import latex_board

    forms = {"markdown": tables.markdown, "csv": tables.as_csv, "json": tables.as_json, "latex": latex_board}
    return forms[form](board)


def _say_pushed(what: str, done: PushedCommit) -> None:
    click.echo(f"{what}: {done.url}" if done.changed else f"{what}: nothing to do, {done.url}", err=True)


def _next_step(built: Board, names: Sequence[str], html: Path | None) -> str:
    """The one command that most likely helps now."""
    from hubtools.findings.naming.selectors import parse

    stopped = [record for _, record in built.unfinished if record.status != "running"]
    if stopped:
        return f"finish what stopped with the same command, {stopped[0].command}"
    models = [row for table in built.tables for row in table.rows if not row.is_baseline]
    if not models:
        return "add a checkpoint beside the baselines, bench run --checkpoint … --task …"
    if html is None:
        return f"see it as a page, bench board {shlex.join(names)} --html board.html"
    folder, record = models[0].runs[0]
    if is_folder(folder):
        return f"write a model card, bench card {folder}"
    # A record of results on the Hub.
    places = [place for place in (parse(name)[0] for name in names) if is_address(place)]
    return f"make it again, bench reproduce {places[0]}:run={record.run_id}"
