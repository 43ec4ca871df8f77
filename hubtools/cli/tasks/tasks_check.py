"""``bench tasks check``: whether a task file and its data are in order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hubtools.cli.terminal import MIRRORS, SHOWN_LABELS, hush_transformers, new_console, new_table
from hubtools.common.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from hubtools.data import TaskData
    from hubtools.models.checkpoint import Checkpoint
    from hubtools.models.tokenisation import ResidueTokeniser
    from hubtools.specs.record import DataFacts
    from hubtools.specs.task import Task


@click.command("check")
@click.argument("file_or_name")
@click.option("--checkpoint", help="Also prove that this checkpoint can read them: its tokens, and batches.")
@click.option("--trust-remote-code", is_flag=True, help="Allow code of a folder, or of the Hub as name@<commit>.")
@MIRRORS
def check(file_or_name: str, checkpoint: str | None, trust_remote_code: bool, mirrors: tuple[Path, ...]) -> None:
    """Load a task's data and verify them: columns, labels, lengths, letters, splits.

    Prints what is there. Exits with an error, in one line, at the first thing that is wrong.
    """
    from hubtools.data.sources.task_repositories import open_task

    # The file first: a wrong key should not wait for the import of the data libraries.
    _, task = open_task(file_or_name)
    from hubtools.data import DataCache, load_task_data

    opened = _opened(checkpoint, trust_remote_code) if checkpoint else None
    try:
        data = load_task_data(task, DataCache.default(mirrors))
    except UserError as error:
        raise _pointing_at(error, task, file_or_name) from None
    console = show_data(data)
    for line in _proofs(data, *opened) if opened else ():
        console.print(line, markup=False)
    console.print(f"{task.name} is in order", style="green")


def _pointing_at(error: UserError, task: Task, name: str) -> UserError:
    """The error with the line of the task file that it is about, where it names a key."""
    from hubtools.data.sources.task_repositories import task_path
    from hubtools.specs.lookup.spec_files import line_of_key

    text = f"{error.what} {error.fix or ''}"
    named = [
        key
        for key in re.findall(r"\bdata\.[a-z_]+(?:\.[a-z_]+)*", text)
        if key.split(".")[1] in type(task.data).model_fields
    ]
    if "under labels" in text or "sha256 in the task file" in text:
        named.append("labels" if "under labels" in text else "data.files.0.sha256")
    if not named:
        return error
    path = task_path(name)
    rest = (error.where or "").removeprefix(f"task {task.name}").removeprefix(", ")
    place = f"{path}:{line_of_key(path, named[0])}{f', {rest}' if rest else ''}"
    return UserError(error.what, where=place, fix=error.fix)


def show_data(data: TaskData) -> Console:
    """Print what a task's data are: splits, labels, remarks. Returns the console for what comes after."""
    task, console = data.task, new_console()
    console.print(f"[bold]{task.name}[/bold] version {task.version}, {task.problem.value}")
    console.print(_split_table(data))
    if task.labels:
        console.print(_label_table(task, data.facts))
    if task.problem.level.within:
        console.print(_assay_table(data))
    for line in _remarks(data.facts):
        console.print(line, markup=False)
    return console


def _split_table(data: TaskData) -> Table:
    import numpy as np

    from hubtools.data.rows.sequences import letters_outside

    unit = data.task.problem.level.scored
    lengths = ("shortest", "25 %", "median", "75 %", "95 %", "longest")
    table = new_table("split", "proteins", "residues", unit, "clusters", *lengths, "other letters", numbers_from=1)
    for name, facts in data.facts.splits.items():
        sequences = data.sequences(name)
        quantiles = np.quantile([len(sequence) for sequence in sequences], (0, 0.25, 0.5, 0.75, 0.95, 1))
        table.add_row(
            name,
            f"{facts.proteins:,}",
            f"{facts.residues:,}",
            f"{facts.labelled:,}",
            "–" if facts.clusters is None else f"{facts.clusters:,}",
            *(f"{round(quantile):,}" for quantile in quantiles),
            " ".join(f"{letter} {count:,}" for letter, count in letters_outside(sequences).items()) or "none",
        )
    return table


def _label_table(task: Task, facts: DataFacts) -> Table:
    """Counts of each label in each split; of many labels, only the most frequent."""
    table = new_table("label", *facts.splits, numbers_from=1)
    shown = task.label_names
    if len(shown) > SHOWN_LABELS:
        table.columns[0].header = f"label ({SHOWN_LABELS} most frequent of {len(shown):,})"
        totals = {label: sum(split.label_counts[label] for split in facts.splits.values()) for label in shown}
        shown = sorted(shown, key=lambda label: -totals[label])[:SHOWN_LABELS]
    for label in shown:
        cells = []
        for split in facts.splits.values():
            count = split.label_counts[label]
            cells.append(f"{count:,} ({count / split.labelled:.1%})")
        table.add_row(label, *cells)
    return table


def _assay_table(data: TaskData) -> Table:
    """What each assay holds, split by split."""
    import pandas as pd

    from hubtools.data.rows.variants import depth, substitutions

    table = new_table(
        "assay", "protein", "category", "variants", "single", "multiple", "positions", "least", "median", "largest",
        "functional", numbers_from=3,
    )  # fmt: skip
    for split in data.splits.values():
        rows = pd.DataFrame({name: split[name][:] for name in split.column_names if name not in {"id", "sequence"}})
        for name, part in rows.groupby("group", sort=False):
            many = depth(part)
            positions = {change.position for mutations in part["mutations"] for change in substitutions(mutations)}
            table.add_row(
                str(name),
                part["protein"].iloc[0] if part["protein"].iloc[0] != name else "–",
                part["category"].iloc[0] or "–",
                *(f"{count:,}" for count in (len(part), (many == 1).sum(), (many > 1).sum(), len(positions))),
                *(f"{value:.3g}" for value in part["label"].quantile([0, 0.5, 1])),
                f"{part['active'].mean():.1%}" if "active" in part else "–",
            )
    return table


def _remarks(facts: DataFacts) -> list[str]:
    lines = [f"validation: {facts.validation}"]
    if facts.clusters:
        lines.append(f"clusters: {facts.clusters}")
    if facts.split_sha256:
        lines.append(f"split.sha256: {facts.split_sha256}")
    lines += [f"changed: {count:,} sequences, {reason}" for reason, count in facts.changed.items()]
    lines += [f"left out: {count:,} rows, {reason}" for reason, count in facts.removed.items()]
    return lines + [f"found: {line}" for line in facts.findings]


def _opened(name: str, trust_remote_code: bool) -> tuple[Checkpoint, ResidueTokeniser]:
    """A checkpoint and its tokeniser: what is wrong with these is said before data are fetched."""
    from hubtools.models import ResidueTokeniser, resolve_checkpoint

    hush_transformers()
    checkpoint = resolve_checkpoint(name, trust_remote_code=trust_remote_code)
    return checkpoint, ResidueTokeniser.from_checkpoint(checkpoint)


def _proofs(data: TaskData, checkpoint: Checkpoint, tokeniser: ResidueTokeniser) -> Iterator[str]:
    """What a run proves of a checkpoint before it computes anything, a line each."""
    import torch

    from hubtools.models.encoder import load_encoder
    from hubtools.training.compute.engine import prove_padding

    level = data.task.problem.level
    sequences = [sequence for split in data.splits for sequence in data.sequences(split)]
    if tokeniser.aligned or level.by_residue or not level.trained:
        facts = tokeniser.prove(sequences)
        shown_as_x = ", ".join(f"{letter} {count:,}" for letter, count in facts.replaced.items())
        yield f"alignment with {checkpoint.name}: {facts}{f'; shown as X: {shown_as_x}' if shown_as_x else ''} ({facts.method})"
    tokens = tokeniser.count_unknown(tokeniser.encode_all(sequences))
    yield f"tokens of {checkpoint.name}: {tokens.total:,}, {tokens.unknown:,} of them unknown to its vocabulary"
    effect = prove_padding(load_encoder(checkpoint), tokeniser, torch.device("cpu"))
    yield f"padding with {checkpoint.name}: changes nothing (at most {effect:.0e} of the largest value)"
