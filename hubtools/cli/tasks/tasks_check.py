"""``bench tasks check``: whether a task file and its data are in order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hubtools.cli.shared.commands import StrictCommand
from hubtools.cli.shared.execution_options import FAMILY
from hubtools.cli.shared.terminal import MIRRORS, SHOWN_LABELS, hush_transformers, new_console, new_table, print_fitting

if TYPE_CHECKING:
    from rich.table import Table

    from hubtools.api.tasks.task_contents import TaskContents


@click.command("check", cls=StrictCommand)
@click.argument("file_or_name")
@click.option("--checkpoint", help="Also prove that this checkpoint can read them: its tokens, and batches.")
@click.option("--trust-remote-code", is_flag=True, help="Allow code of a folder, or of the Hub as name@<commit>.")
@FAMILY
@MIRRORS
def check(file_or_name: str, checkpoint: str | None, trust_remote_code: bool, mirrors: tuple[Path, ...]) -> None:
    """Load a task's data and verify them: columns, labels, lengths, letters, splits.

    Prints what is there. Exits with an error, in one line, at the first thing that is wrong.
    """
    import hubtools

    if checkpoint:
        hush_transformers()
    console = new_console()
    checked = hubtools.check_task(
        file_or_name,
        checkpoint or None,
        trust_remote_code=trust_remote_code,
        mirrors=mirrors,
        on_data=show_contents,
        on_proof=lambda line: console.print(line, markup=False),
    )
    console.print(f"{checked.task.name} is in order", style="green")


def show_contents(contents: TaskContents) -> None:
    """Print what a task's data are: splits, labels, remarks."""
    task, console = contents.task, new_console()
    console.print(f"[bold]{task.name}[/bold] version {task.version}, {task.problem.value}")
    print_fitting(
        console,
        _split_table(contents),
        "25 %",
        "75 %",
        "95 %",
        "other letters",
        "shortest",
        "median",
        "longest",
        "residues",
    )
    if task.labels:
        print_fitting(console, _label_table(contents), *reversed(contents.data.facts.splits))
    if task.problem.level.within == "assay":
        print_fitting(
            console, _assay_table(contents), "median", "least", "largest", "category", "positions", "multiple"
        )
    for line in contents.remarks:
        console.print(line, markup=False)


def _split_table(contents: TaskContents) -> Table:
    from hubtools.api.tasks.task_contents import LENGTHS, letters_text

    unit = contents.task.problem.level.scored
    table = new_table("split", "proteins", "residues", unit, "clusters", *LENGTHS, "other letters", numbers_from=1)
    for row in contents.splits():
        counts = (row[column] for column in ("proteins", "residues", "scored", "clusters", *LENGTHS))
        table.add_row(row["split"], *("–" if n is None else f"{n:,}" for n in counts), letters_text(row))
    return table


def _label_table(contents: TaskContents) -> Table:
    """Counts of each label in each split; of many labels, only the most frequent."""
    splits, names = contents.data.facts.splits, contents.task.label_names
    table = new_table("label", *splits, numbers_from=1)
    if len(names) > SHOWN_LABELS:
        table.columns[0].header = f"label ({SHOWN_LABELS} most frequent of {len(names):,})"
    for row in contents.labels(SHOWN_LABELS):
        cells = (f"{row[name]:,} ({row[name] / split.labelled:.1%})" for name, split in splits.items())
        table.add_row(row["label"], *cells)
    return table


def _assay_table(contents: TaskContents) -> Table:
    """What each assay holds, split by split."""
    table = new_table(
        "assay", "protein", "category", "variants", "single", "multiple", "positions", "least", "median", "largest",
        "functional", numbers_from=3,
    )  # fmt: skip
    for row in contents.assays():
        table.add_row(
            row["assay"],
            row["protein"] if row["protein"] != row["assay"] else "–",
            row["category"] or "–",
            *(f"{row[column]:,}" for column in ("variants", "single", "multiple", "positions")),
            *(f"{row[column]:.3g}" for column in ("least", "median", "largest")),
            "–" if row["functional"] is None else f"{row['functional']:.1%}",
        )
    return table
