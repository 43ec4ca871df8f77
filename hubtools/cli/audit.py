"""``bench tasks audit``: do the splits leak, and do the labels agree?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from hubtools.data.audit import Audit

_COLOURS = {"ok": "green", "look": "yellow", "problem": "red"}


@click.command("audit")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option(
    "--identity",
    "identities",
    multiple=True,
    type=click.FloatRange(0.2, 1),
    default=(0.9, 0.5),
    show_default=True,
    help="Similarity that is counted; may be repeated. Below 0.5 MMseqs2 is needed.",
)
@click.option("--json", "target", metavar="FILE", help="Also write JSON; - for standard output instead of text.")
@click.option(
    "--data-mirror",
    "mirrors",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folder with source files under their sha256; may be repeated.",
)
def audit(names: tuple[str, ...], identities: tuple[float, ...], target: str | None, mirrors: tuple[Path, ...]) -> None:
    """Look for leakage between splits and for labels that conflict.

    One NAME gives every finding; several, or none (all tasks that load here), give one line a task.
    """
    import json
    import sys

    from rich.console import Console

    from hubtools.specs import load_task
    from hubtools.specs.content import available
    from hubtools.specs.errors import UserError

    tasks = [load_task(name) for name in names or map(str, available("task").values())]
    from hubtools.data import DataCache, load_task_data
    from hubtools.data.audit import audit_task
    from hubtools.specs.files import write_atomic

    cache = DataCache.default(mirrors)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 100, stderr=target == "-")
    done = []
    for task in tasks:
        try:
            found = audit_task(load_task_data(task, cache), sorted(set(identities), reverse=True), cache)
        except UserError as error:
            if names:
                raise
            click.echo(f"left out: {error}", err=True)
            continue
        done.append(found)
        (_show if len(tasks) == 1 else _line)(console, found)
    if target:
        content = [found.model_dump(mode="json") for found in done]
        text = json.dumps(content[0] if len(names) == 1 else content, indent=2, ensure_ascii=False) + "\n"
        if target == "-":
            click.echo(text, nl=False)
        else:
            write_atomic(Path(target), text)


def _line(console: Console, found: Audit) -> None:
    problems = sum(finding.level == "problem" for finding in found.findings)
    looks = sum(finding.level == "look" for finding in found.findings)
    console.print(
        f"[{_COLOURS[found.verdict]}]{found.verdict:<8}[/] {found.task}: {problems} problems, {looks} to look at"
    )


def _show(console: Console, found: Audit) -> None:
    from rich.table import Table
    from rich.text import Text

    console.print(f"[bold]{found.task}[/bold] version {found.version}")
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    table.add_column()
    for finding in found.findings:
        table.add_row(Text(finding.level, style=_COLOURS[finding.level]), Text(finding.about), Text(finding.text))
    console.print(table)
    if found.method:
        console.print(f"Searched with {found.method}.", markup=False, style="dim")
    said = f"; the task file says {found.semaphore}" if found.semaphore else ""
    console.print(f"verdict: [{_COLOURS[found.verdict]}]{found.verdict}[/]{said}")
