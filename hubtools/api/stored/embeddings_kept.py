"""Embeddings of frozen encoders that probes left on this machine for later runs; removing any costs computing them again."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from hubtools.api.stored.removals import RemovedFiles
from hubtools.common.errors import UserError
from hubtools.common.files import human
from hubtools.common.notebook import line_html, table_html
from hubtools.common.readers import reads

if TYPE_CHECKING:
    import pandas

    from hubtools.training.frozen.embedding_store import EmbeddingStore, KeptSpace

# Seconds.
AGES = {"h": 3600, "d": 86_400, "w": 7 * 86_400}


@dataclass(frozen=True)
class EmbeddingList(Sequence["KeptSpace"]):
    """Embeddings that are kept, last used first: one entry a checkpoint, layer and kind.

    Attributes:
        root: folder that holds them.
        spaces: entries that can be read.
        bytes: of all files, also of those that cannot be read.
        limit: bytes that are kept at most.
    """

    root: Path
    spaces: tuple[KeptSpace, ...]
    bytes: int
    limit: int

    @overload
    def __getitem__(self, place: int) -> KeptSpace: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[KeptSpace]: ...

    def __getitem__(self, place: int | slice) -> KeptSpace | Sequence[KeptSpace]:
        """One entry, or several."""
        return self.spaces[place]

    def __len__(self) -> int:
        return len(self.spaces)

    def __iter__(self) -> Iterator[KeptSpace]:
        return iter(self.spaces)

    def rows(self) -> list[dict[str, Any]]:
        """One row an entry: what :meth:`to_pandas` makes its table of."""
        return [
            {**asdict(kept.space), "proteins": kept.proteins, "bytes": kept.bytes, "used": round(kept.used)}
            for kept in self.spaces
        ]

    def to_pandas(self) -> pandas.DataFrame:
        """One row an entry: checkpoint, content, weights, kind (``mean``, one row a protein, or ``residues``), layer, precision,
        device, code, proteins, bytes, used (seconds since 1970).
        """
        import pandas as pd

        return pd.DataFrame(self.rows())

    def __repr__(self) -> str:
        return f"{human(self.bytes)} of at most {human(self.limit)} in {self.root}"

    def _repr_html_(self) -> str:
        columns = ("checkpoint", "weights", "kind", "layer", "precision", "proteins", "size", "last used")
        rows = [(*cells_of(kept), ago(time.time() - kept.used)) for kept in self.spaces]
        return line_html(repr(self), strong=True) + table_html(columns, rows, numbers=columns[3:])


def cells_of(kept: KeptSpace) -> tuple[str, ...]:
    """An entry for people: checkpoint, weights, kind, layer, precision and device, proteins, size."""
    space = kept.space
    precision = space.precision + ("" if space.device == "cpu" else f", {space.device}")
    size = f"{kept.proteins:,}", human(kept.bytes)
    return space.checkpoint, space.weights, space.kind, str(space.layer), precision, *size


def kept_embeddings() -> EmbeddingList:
    """What embeddings are kept, last used first.

    Raises:
        UserError: the limit that the environment sets is no size.

    >>> import hubtools
    >>> hubtools.kept_embeddings().bytes
    0
    """
    store = _store()
    spaces = tuple(store.spaces())
    # Whatever takes place counts, also a shard that cannot be read.
    return EmbeddingList(store.root, spaces, sum(size for _, size, _ in store.files()), store.limit)


def remove_embeddings(
    *checkpoints: str, older_than: str | timedelta | None = None, everything: bool = False
) -> RemovedFiles:
    """Remove embeddings: of checkpoints, by age, both, or all.

    Args:
        checkpoints: as :func:`hubtools.kept_embeddings` names them; a Hub id also without its owner, a folder with its path.
        older_than: what was last used so long ago: ``12h``, ``30d``, ``8w``, or a ``timedelta``.
        everything: all, in place of the others.

    Raises:
        UserError: nothing is named, nothing is kept of a checkpoint, or the age is none; then nothing is removed.

    >>> import hubtools
    >>> hubtools.remove_embeddings(older_than="30d")
    removed 0 files, 0 B
    """
    from hubtools.training.frozen.embedding_store import SUFFIX

    if everything == bool(checkpoints or older_than is not None):
        raise UserError(
            "nothing is named" if not everything else "--all goes with nothing else",
            where="bench cache rm",
            fix="Name checkpoints, give --older-than 30d, or --all.",
        )
    seconds = 0.0 if older_than is None else _seconds(older_than)
    store = _store()
    if everything:
        files = [path for path, *_ in store.files() if path.suffix == SUFFIX]
        return RemovedFiles.of(store.remove(files))
    kept = store.spaces()
    for name in checkpoints:
        if not any(_named(item, name) for item in kept):
            raise UserError(f"nothing is kept of {name!r}", where=str(store.root), fix="See: bench cache ls.")
    chosen = [item for item in kept if not checkpoints or any(_named(item, name) for name in checkpoints)]
    last = {path: used for path, _, used in store.files()}
    limit = time.time() - seconds
    # By file: a space that is in use may hold what nobody has asked for in months.
    files = [path for item in chosen for path in item.files if last.get(path, limit) <= limit]
    return RemovedFiles.of(store.remove(files))


def ago(seconds: float) -> str:
    """How long ago, in the largest unit that fits.

    >>> ago(7300), ago(5)
    ('2 hours ago', 'just now')
    """
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


@reads("option --older-than")
def _seconds(age: str | timedelta) -> float:
    if isinstance(age, timedelta):
        return age.total_seconds()
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([hdw])", age.strip())
    # A year has four digits, and an age of more is none.
    if match is None or len(match[1]) > 9:
        raise UserError(f"{age!r} is not an age", where="--older-than", fix="For example 12h, 30d or 8w.")
    return float(match[1]) * AGES[match[2]]
