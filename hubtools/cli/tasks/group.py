"""``bench tasks``: what there is to predict."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from hubtools.cli.shared.commands import StrictGroup
from hubtools.cli.shared.terminal import DOTS, new_console, new_table, print_fitting
from hubtools.cli.tasks.tasks_audit import audit
from hubtools.cli.tasks.tasks_check import check
from hubtools.cli.tasks.tasks_new import new
from hubtools.cli.tasks.tasks_show import show
from hubtools.common.escaping import markdown

if TYPE_CHECKING:
    from hubtools.specs.task import Task

_COLUMNS = ("name", "what", "problem", "labels", "test splits", "ranked by", "trust", "licence")


@click.group(cls=StrictGroup, help="List, show and check tasks.")
def tasks() -> None:
    """The group of commands."""


@tasks.command("list")
@click.option("--markdown", "form", flag_value="markdown", help="The table of tasks/README.md.")
@click.option("--json", "form", flag_value="json", help="For programs.")
@click.option("--problem", help="Only tasks of this problem, such as residue-classification.")
@click.option("--templates", is_flag=True, help="Only tasks that have never been loaded, which are left out else.")
def list_all(form: str | None, problem: str | None, templates: bool) -> None:
    """All tasks: your own first, then those bench ships."""
    import hubtools

    listed = hubtools.tasks(problem, templates=templates)
    for line in listed.problems:
        click.echo(f"warning: {line}", err=True)
    known = list(zip(listed.specs, listed.places, strict=True))
    if form == "json":
        click.echo(json.dumps(listed.summaries(), indent=2, ensure_ascii=False))
    elif form == "markdown" and templates:
        rows = [
            [
                f"[{task.name}]({quote(found.path.name)})",
                markdown(task.title),
                task.problem.value,
                markdown(task.template or ""),
            ]
            for task, found in known
        ]
        click.echo(_markdown(("template", "what", "problem", "why it has never been loaded"), rows))
    elif form == "markdown":
        click.echo(_markdown(_COLUMNS, [_cells(task, link=found.path.name) for task, found in known]))
    else:
        from rich.text import Text

        table, console = new_table("name", "what", "problem", "ranked by", "trust", "from"), new_console()
        for task, found in known:
            colour = task.trust.colour if task.trust else None
            trust = Text.assemble(("●", DOTS[colour]), f" {colour}") if colour else "–"
            table.add_row(task.name, task.title, task.problem.value, task.metrics.primary, trust, found.origin)
        table.columns[1].min_width, table.columns[4].no_wrap = 26, True
        print_fitting(console, table, "from", "problem", "ranked by", complete="bench tasks list --json")
        for task, found in known:
            for other in found.hidden:
                said = f"{task.name} is that of {found.origin}; it hides {other.path} ({other.origin})"
                console.print(said, markup=False, soft_wrap=True)
        if templates:
            for task, _ in known:
                console.print(f"{task.name}: {task.template}", markup=False, soft_wrap=True)
        elif listed.templates:
            n = len(listed.templates)
            said = (
                f"{n} template{'s that have' if n > 1 else ' that has'} never been loaded: bench tasks list --templates"
            )
            console.print(said, markup=False, soft_wrap=True)


def _cells(task: Task, link: str | None = None) -> list[str]:
    return [
        f"[{task.name}]({quote(link)})" if link else task.name,
        markdown(task.title),
        task.problem.value,
        str(len(task.label_names) or "–"),
        ", ".join(task.data.test_splits),
        task.metrics.primary,
        task.trust.colour if task.trust else "–",
        markdown(task.licence),
    ]


def _markdown(columns: tuple[str, ...], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


for command in (show, check, audit, new):
    tasks.add_command(command)
