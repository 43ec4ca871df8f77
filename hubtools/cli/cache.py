"""``bench cache``: embeddings of frozen encoders that probes left on this machine for later runs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hubtools.training.frozen.embedding_store import EmbeddingStore, KeptSpace

# Seconds.
AGES = {"h": 3600, "d": 86_400, "w": 7 * 86_400}


@click.group(help="List and remove embeddings that probes left.")
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
    from dataclasses import asdict

    from hubtools.training.frozen.embedding_store import human

    store = _store()
    kept = store.spaces()
    if as_json:
        rows = [{**asdict(k.space), "proteins": k.proteins, "bytes": k.bytes, "used": round(k.used)} for k in kept]
        click.echo(json.dumps(rows, indent=2))
        return
    if kept:
        from rich.text import Text

        from hubtools.cli.terminal import new_console, new_table

        table = new_table("checkpoint", "weights", "kind", "layer", "precision", "proteins", "size", "last used")
        for column in table.columns[3:]:
            column.justify, column.no_wrap = "right", True
        for item in kept:
            space = item.space
            where = "" if space.device == "cpu" else f", {space.device}"
            layer, number = str(space.layer), f"{item.proteins:,}"
            cells = [space.checkpoint, space.weights, space.kind, layer, space.precision + where, number]
            table.add_row(*map(Text, [*cells, human(item.bytes), ago(time.time() - item.used)]))
        new_console().print(table)
    # Whatever takes place counts, also a shard that cannot be read.
    total = sum(size for _, size, _ in store.files())
    click.echo(f"{human(total)} of at most {human(store.limit)} in {store.root}")


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
    import time

    from hubtools.common.errors import UserError
    from hubtools.training.frozen.embedding_store import SUFFIX, human

    if everything == bool(checkpoints or age):
        raise UserError(
            "nothing is named" if not everything else "--all goes with nothing else",
            where="bench cache rm",
            fix="Name checkpoints, give --older-than 30d, or --all.",
        )
    seconds = _seconds(age) if age else 0.0
    store = _store()
    if everything:
        files = [path for path, *_ in store.files() if path.suffix == SUFFIX]
        click.echo(f"removed {_counted(files)}, {human(store.remove(files))} freed")
        return
    kept = store.spaces()
    for name in checkpoints:
        if not any(_named(item, name) for item in kept):
            raise UserError(f"nothing is kept of {name!r}", where=str(store.root), fix="See: bench cache ls.")
    chosen = [item for item in kept if not checkpoints or any(_named(item, name) for name in checkpoints)]
    last = {path: used for path, _, used in store.files()}
    limit = time.time() - seconds
    # By file: a space that is in use may hold what nobody has asked for in months.
    files = [path for item in chosen for path in item.files if last.get(path, limit) <= limit]
    click.echo(f"removed {_counted(files)}, {human(store.remove(files))} freed")


def ago(seconds: float) -> str:
    """How long ago, in the largest unit that fits."""
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if (number := int(seconds // length)) >= 1:
            return f"{number} {unit}{'s'[: number > 1]} ago"
    return "just now"


def _store() -> EmbeddingStore:
    from hubtools.data.sources.file_cache import DataCache
    from hubtools.training.frozen.embedding_store import EmbeddingStore

    return EmbeddingStore.beside(DataCache.default().root)


def _named(item: KeptSpace, name: str) -> bool:
    """A Hub id may be given without its owner, a folder with its path."""
    own, given = item.space.checkpoint, name.rstrip("/")
    return given in (own, own.rpartition("/")[2]) or (given.startswith((".", "/", "~")) and given.endswith(f"/{own}"))


def _seconds(age: str) -> float:
    from hubtools.common.errors import UserError

    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([hdw])", age.strip())
    if match is None:
        raise UserError(f"{age!r} is not an age", where="--older-than", fix="For example 12h, 30d or 8w.")
    return float(match[1]) * AGES[match[2]]


def _counted(files: Sequence[Path]) -> str:
    number = len(files)
    return f"{number:,} file" if number == 1 else f"{number:,} files"
