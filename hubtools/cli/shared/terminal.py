"""What commands share: one console, one look of tables, the options that several commands have."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hubtools.common.errors import one_line
from hubtools.runs.store import DEFAULT_ROOT

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from hubtools.findings.naming.named_runs import Named
    from hubtools.specs.record import RunRecord

# Of more labels than this, only so many are shown.
SHOWN_LABELS = 40
# Colour of the dot before a task's trust.
DOTS = {"green": "green", "amber": "yellow", "red": "red"}


MIRRORS = click.option(
    "--data-mirror",
    "mirrors",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of files named by their sha256; may be repeated.",
)


PROJECT = click.option(
    "--project",
    "owner",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder of yours whose tasks/ and benchmarks/ are held to be right, beside those of bench. What is checked never "
    "brings its own.",
)


def _use_templates(context: click.Context, parameter: click.Parameter, value: Path | None) -> None:
    if value is not None:
        from hubtools.reporting.templates import templates_of

        context.with_resource(templates_of(value))


SKIP_BAD = click.option(
    "--skip-bad", is_flag=True, help="Leave out what is no protein and go on; it is listed at the end."
)
# Lines on what was left out that are shown at the end.
SHOWN = 10


def structures_option(reader: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--structures``, for the ``reader`` of proteins that is asked."""
    return click.option(
        "--structures",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help=f"Folder with a structure file (PDB, mmCIF, BinaryCIF) for each protein, named by its id; for {reader} structure.",
    )


TEMPLATES = click.option(
    "--templates",
    type=click.Path(path_type=Path),
    metavar="DIR",
    callback=_use_templates,
    expose_value=False,
    help="Folder of your own templates, in place of those of bench with the same name.",
)


def runs_option(default: Path) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option that names the folder of runs."""
    return click.option(
        "--runs",
        "root",
        type=click.Path(path_type=Path),
        metavar="DIRECTORY",
        default=default,
        show_default=True,
        help="Folder of runs.",
    )


RUNS = runs_option(DEFAULT_ROOT)
# Where runs are read, and not made.
NAMED_RUNS = click.option(
    "--runs",
    "root",
    metavar="RUNS",
    default=str(DEFAULT_ROOT),
    show_default=True,
    help="Runs, named as for bench board.",
)


def note(line: str) -> None:
    """Say what was resolved, what else there is to know, or which record could not be read."""
    click.echo(one_line(line), err=True)


def tell(*named: Named) -> None:
    """The same of what a command itself looked up, each line once."""
    from hubtools.api.found_runs import said_of

    said_of(named, note)


def new_console() -> Console:
    """A console that is as wide as the terminal."""
    import sys

    from rich.console import Console

    # Piped into a file or a pager there is no width to fit: wrapped tables are hard to search.
    return Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def new_table(*columns: str, numbers_from: int | None = None) -> Table:
    """A table without lines; from the column ``numbers_from`` on, numbers are set to the right. Cells are text, not markup."""
    from rich.table import Table
    from rich.text import Text

    class PlainTable(Table):
        def add_row(self, *cells: Any, **options: Any) -> None:
            super().add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells), **options)

    table = PlainTable(box=None, pad_edge=False, header_style="bold")
    for position, column in enumerate(columns):
        number = numbers_from is not None and position >= numbers_from
        table.add_column(column, justify="right" if number else "left", no_wrap=number or position == 0)
    return table


def print_fitting(console: Console, table: Table, *drop: str, complete: str = "") -> None:
    """Print a table in the width there is: what does not fit is left out whole and named, and no cell is cut.

    Args:
        console: where to.
        table: of :func:`new_table`.
        drop: headings of columns that go, the first first.
        complete: how to see all of it.
    """
    from rich.measure import Measurement
    from rich.text import Text

    gone: list[str] = []
    wide = console.options.update(width=10_000)
    for heading in drop:
        if Measurement.get(console, wide, table).minimum <= console.width:
            break
        found = [column for column in table.columns if str(column.header) == heading]
        if not found:
            continue
        table.columns = [column for column in table.columns if column is not found[0]]
        for place, column in enumerate(table.columns):
            column._index = place
        gone.append(heading)
    console.print(table)
    if gone:
        more = f". All of it: {complete}" if complete else ""
        console.print(Text(f"Not shown in this width: {', '.join(gone)}{more}", style="dim"))


def publish_rehearsal(folder: Path, record: RunRecord) -> str:
    """The command that rehearses publishing a run: with a licence to be stated, where base model and data do not say one."""
    from hubtools.reporting.card.card_metadata import licence_fields

    unknown = licence_fields(record)["license"] == "unknown"
    command = f"bench publish {shlex.quote(str(folder))} --repo YOU/{record.identity.task.name}"
    return f"{command} --licence ID --dry-run" if unknown else f"{command} --dry-run"


def tell_of_proteins(notes: Sequence[str], left_out: Sequence[str]) -> None:
    """On stderr, what was noted of proteins that were read, and the first that were left out."""
    for line in notes:
        note(f"note: {line}")
    for line in left_out[:SHOWN]:
        note(f"left out: {line}")
    if len(left_out) > SHOWN:
        note(f"left out: {len(left_out) - SHOWN:,} more")


def hush_transformers() -> None:
    """No bars for loading and writing weights, which take a moment; those of downloads stay, on a terminal."""
    import sys

    from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars
    from transformers.utils.logging import disable_progress_bar

    downloads_shown = sys.stderr.isatty() and not are_progress_bars_disabled()
    disable_progress_bar()  # Also those of huggingface_hub.
    if downloads_shown:
        enable_progress_bars()
