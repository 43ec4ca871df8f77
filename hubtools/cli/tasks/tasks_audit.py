"""``bench tasks audit``: do the splits leak, and do the labels agree?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hubtools.cli.shared.commands import StrictCommand
from hubtools.cli.shared.terminal import MIRRORS, TEMPLATES, note

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from hubtools.api.tasks.task_audits import AuditedTask
    from hubtools.data.splits.split_audit import Audit

_COLOURS = {"ok": "green", "look": "yellow", "problem": "red"}
# Of more labels than this, the most common are shown; JSON has all.
_SHOWN_LABELS = 20


@click.command("audit", cls=StrictCommand)
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
@click.option(
    "--clusters/--no-clusters",
    default=None,
    help="Cluster all splits together at each identity, or not. Else only where that takes seconds.",
)
@click.option("--json", "target", metavar="FILE", help="Also write JSON; - for standard output instead of text.")
@click.option("--html", "page", metavar="FILE", type=click.Path(path_type=Path), help="Also write one page with plots.")
@MIRRORS
@TEMPLATES
def audit(
    names: tuple[str, ...],
    identities: tuple[float, ...],
    clusters: bool | None,
    target: str | None,
    page: Path | None,
    mirrors: tuple[Path, ...],
) -> None:
    """Look for leakage between splits and for labels that conflict.

    NAME is a task's name, a task file or folder, or hub://user/repository. One NAME gives every finding; several, or
    none (all tasks that load here), give one line a task.
    """
    import json
    import sys

    from rich.console import Console

    import hubtools
    from hubtools.common.files import write_atomic

    if page is not None and len(names) != 1:
        raise hubtools.UserError(f"a page shows one task, not {len(names) or 'all'}", fix="Name one task with --html.")
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 100, stderr=target == "-")
    done = hubtools.audit_all(
        names or None,
        identities=identities,
        clusters=clusters,
        mirrors=mirrors,
        on_audit=lambda audited: (_show if len(names) == 1 else _line)(console, audited),
        on_note=note,
    )
    if target:
        content = [audited.found.model_dump(mode="json") for audited in done]
        text = json.dumps(content[0] if len(names) == 1 else content, indent=2, ensure_ascii=False) + "\n"
        if target == "-":
            click.echo(text, nl=False)
        else:
            write_atomic(Path(target), text)
    if page is not None:
        console.print(f"wrote {done[0].html(page)}", markup=False, soft_wrap=True)


def _line(console: Console, audited: AuditedTask) -> None:
    colour, problems, looks = _COLOURS[audited.verdict], audited.count("problem"), audited.count("look")
    console.print(f"[{colour}]{audited.verdict:<8}[/] {audited.found.task}: {problems} problems, {looks} to look at")


def _show(console: Console, audited: AuditedTask) -> None:
    from rich.text import Text

    found = audited.found
    console.print(f"[bold]{found.task}[/bold] version {found.version}")
    table = _table(3)
    for finding in found.findings:
        table.add_row(Text(finding.level, style=_COLOURS[finding.level]), Text(finding.about), Text(finding.text))
    console.print(table)
    for shared in found.clusters:
        console.print(
            f"clusters at {shared.identity:.0%}: {shared.clusters:,} shared by {shared.first} and {shared.second}, "
            f"with {shared.proteins:,} proteins of {shared.second}",
            markup=False,
        )
    _show_lengths(console, found)
    _show_labels(console, found)
    for how in (found.method, found.clusters_method and f"clusters: {found.clusters_method}"):
        if how:
            console.print(f"Searched with {how}.", markup=False, style="dim")
    said = f"; the task file says {found.trust}" if found.trust else ""
    console.print(f"verdict: [{_COLOURS[found.verdict]}]{found.verdict}[/]{said}")
    from hubtools.reporting.audit_page import REMEDIES

    console.print(f"remedy:  {REMEDIES[found.verdict]}", markup=False, soft_wrap=True)


def _show_lengths(console: Console, found: Audit) -> None:
    console.print("\nlengths (residues)")
    table = _table(7, "split", "shortest", "median", "longest", "> 510", "> 1,022", "> 2,046")
    for name, size in found.lengths.items():
        ends = (f"{size.quantiles[key]:,.0f}" if key in size.quantiles else "–" for key in ("min", "median", "max"))
        table.add_row(name, *ends, *(f"{count:,}" for count in size.longer_than.values()))
    console.print(table)


def _show_labels(console: Console, found: Audit) -> None:
    """A row a label and a column a split; of values, a row a split."""
    if any(spread.counts for spread in found.labels.values()):
        totals: dict[str, int] = {}
        for spread in found.labels.values():
            for label, count in spread.counts.items():
                totals[label] = totals.get(label, 0) + count
        shown = sorted(totals, key=lambda label: -totals[label])[:_SHOWN_LABELS]
        more = f", the {_SHOWN_LABELS} most common of {len(totals):,}" if len(totals) > len(shown) else ""
        console.print(f"\nlabels{more}")
        table = _table(1 + len(found.labels), "label", *found.labels)
        for label in shown:
            table.add_row(label, *(f"{spread.counts.get(label, 0):,}" for spread in found.labels.values()))
    else:
        console.print("\nvalues")
        table = _table(6, "split", "lowest", "quarter", "median", "three quarters", "highest")
        for name, spread in found.labels.items():
            table.add_row(name, *(f"{value:.4g}" for value in spread.quantiles.values()))
    console.print(table)
    console.print()


def _table(columns: int, *names: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=bool(names), header_style="bold")
    for number in range(columns):
        table.add_column(
            names[number] if names else "",
            justify="right" if names and number else "left",
            no_wrap=number == 0 and not names,
        )
    return table
