"""``bench cache``: embeddings of frozen encoders that probes left on this machine for later runs."""

from __future__ import annotations

import click

from hubtools.cli.shared.commands import StrictGroup


@click.group(cls=StrictGroup, help="List and remove embeddings that probes left.")
def cache() -> None:
    """The group of commands."""


@cache.command("ls")
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON list, sizes in bytes.")
def ls(as_json: bool) -> None:
    """What embeddings are kept, last used first; removing any costs nothing but computing them again.

    kind is "mean" (one row a protein) or "residues" (one row a residue). Where two rows look the same, they are of two
    contents of a checkpoint of that name, or of other versions of torch or transformers (--json tells).
    """
    import json
    import time

    import hubtools

    kept = hubtools.kept_embeddings()
    if as_json:
        click.echo(json.dumps(kept.rows(), indent=2))
        return
    if kept:
        from rich.text import Text

        from hubtools.api.stored.embeddings_kept import ago, cells_of
        from hubtools.cli.shared.terminal import new_console, new_table

        table = new_table("checkpoint", "weights", "kind", "layer", "precision", "proteins", "size", "last used")
        for column in table.columns[3:]:
            column.justify, column.no_wrap = "right", True
        for item in kept:
            table.add_row(*map(Text, [*cells_of(item), ago(time.time() - item.used)]))
        new_console().print(table)
    click.echo(repr(kept))


@cache.command("rm")
@click.argument("checkpoints", metavar="CHECKPOINT...", nargs=-1)
@click.option("--older-than", "age", metavar="AGE", help="What was last used so long ago: 12h, 30d, 8w.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
def rm(checkpoints: tuple[str, ...], age: str | None, everything: bool) -> None:
    """Remove embeddings: of checkpoints (as ``bench cache ls`` names them), by age, both, or all.

    \b
    bench cache rm facebook/esm2_t6_8M_UR50D
    bench cache rm --older-than 30d
    """
    import hubtools

    click.echo(f"{hubtools.remove_embeddings(*checkpoints, older_than=age or None, everything=everything)} freed")
