"""``bench recipes`` and ``bench suites``: what there is, and what one says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hubtools.cli.shared.commands import StrictGroup

if TYPE_CHECKING:
    from hubtools.api.listings import SpecList


def _listing(kind: str, plural: str) -> click.Group:
    @click.group(cls=StrictGroup, name=plural, help=f"List and show {plural}.")
    def group() -> None:
        pass

    @group.command("list", help=f"All {plural}: your own first, then those bench ships.")
    def list_all() -> None:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        import hubtools

        listed: SpecList[Any] = hubtools.recipes() if kind == "recipe" else hubtools.suites()
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("name", no_wrap=True)
        table.add_column("what")
        for spec, place in zip(listed.specs, listed.places, strict=True):
            table.add_row(Text(place.path.stem), Text(f"{spec.title}. {spec.summary}"))
        Console(highlight=False).print(table)

    @group.command("show", help=f"One of the {plural}, every field.")
    @click.argument("name")
    def show(name: str) -> None:
        import yaml

        import hubtools

        spec: Any = hubtools.load_recipe(name) if kind == "recipe" else hubtools.load_suite(name)
        click.echo(yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True).rstrip())

    return group


recipes = _listing("recipe", "recipes")
suites = _listing("suite", "suites")
