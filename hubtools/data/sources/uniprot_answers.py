"""Answers of UniProt that are kept: in one canonical form, under their checksum, so that a task means the same rows.

The rows are text, sorted by accession. ``sha256`` is of their canonical text and says what the rows are, whichever
program wrote them; the Parquet file that holds them lies in the data cache (or a mirror) under ``file_sha256``, as all
source files do. In the folder ``uniprot`` of the cache are two kinds of notes: which answer was fetched first for a
query, and which file holds the rows of a checksum.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from hubtools.common import telling
from hubtools.common.errors import UserError
from hubtools.common.files import clear, replacing, write_atomic
from hubtools.common.hashing import digest, is_sha256
from hubtools.common.readers import reads
from hubtools.data.sources.file_cache import DataCache
from hubtools.data.sources.uniprot import UniProtAnswer, fetch_answer
from hubtools.specs.data_sources import Frozen, UniProtData, UrlFile

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Kept:
    """What the cache knows about an answer.

    Attributes:
        query, fields: what was asked.
        release, date: of UniProt, at the time.
        rows: how many.
        sha256: of the canonical text of the rows.
        file_sha256: of the Parquet file.
        fetched: day, as 2026-01-31.
    """

    query: str
    fields: list[str]
    release: str
    date: str
    rows: int
    sha256: str
    file_sha256: str
    fetched: str

    @property
    def frozen(self) -> Frozen:
        """As a task file pins it."""
        return Frozen(release=self.release, rows=self.rows, sha256=self.sha256, file_sha256=self.file_sha256)


def _note(data: UniProtData, cache: DataCache) -> Path:
    return cache.root / "uniprot" / f"query-{digest({'query': data.query, 'fields': data.all_fields})}.json"


def forget_answer(data: UniProtData, cache: DataCache) -> None:
    """Let the next fetch of an unfrozen query be a new one."""
    _note(data, cache).unlink(missing_ok=True)


def first_answer(data: UniProtData, cache: DataCache) -> Kept:
    """The answer that this machine fetched first for a query; fetched now if there is none.

    Raises:
        UserError: UniProt does not give it, or the cache cannot be written.
    """
    note = _note(data, cache)
    with cache.locked(note.name):
        kept = _read_note(note)
        if kept is None or cache.held(kept.file_sha256) is None:
            kept = _keep(fetch_answer(data.query, data.all_fields), data.query, cache)
            write_atomic(note, json.dumps(asdict(kept), indent=2))
        return kept


def frozen_file(data: UniProtData, cache: DataCache) -> Path:
    """The Parquet file of a frozen answer: from cache, mirror or its address, else fetched from UniProt again.

    Raises:
        UserError: it is nowhere, or UniProt's rows are no longer those that were frozen.
    """
    frozen = data.frozen
    assert frozen is not None
    for sha256 in (frozen.file_sha256, _file_of_rows(frozen.sha256, cache)):
        if sha256 and (path := cache.held(sha256)) is not None:
            return path
    if frozen.url and frozen.file_sha256:
        return cache.fetch(UrlFile(url=frozen.url, sha256=frozen.file_sha256, format="parquet"))
    with cache.locked(f"rows-{frozen.sha256}"):
        if (sha256 := _file_of_rows(frozen.sha256, cache)) and (path := cache.held(sha256)) is not None:
            return path
        kept = _keep(fetch_answer(data.query, data.all_fields), data.query, cache)
    if kept.sha256 != frozen.sha256:
        raise UserError(
            f"the task is frozen at UniProt release {frozen.release} ({frozen.rows:,} entries), and the answer now is of "
            f"release {kept.release} ({kept.rows:,} entries) and another",
            where=data.query,
            fix=f"Give the file {(frozen.file_sha256 or frozen.sha256)[:12]}… in a --data-mirror (bench data fetch TASK "
            "--to DIR makes one where the answer is), or freeze a task of your own: bench data freeze.",
        )
    path = cache.held(kept.file_sha256)
    assert path is not None
    return path


@reads("frozen answer of UniProt")
def read_answer(data: UniProtData, path: Path) -> pd.DataFrame:
    """The rows of a frozen answer.

    Raises:
        UserError: the file does not hold the rows that the task pins.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    assert data.frozen is not None
    try:
        table = pq.read_table(path)
        columns = {name: table[name].to_pylist() for name in table.column_names}
        got = rows_sha256(table.column_names, zip(*columns.values(), strict=True))
    # Damaged data are an OSError, cells of another type than text no JSON, and two columns of one name no column.
    except (pa.ArrowException, OSError, TypeError, ValueError, KeyError, OverflowError) as error:
        raise UserError(f"not a file of an answer ({str(error).splitlines()[0]})", where=str(path)) from None
    if got != data.frozen.sha256:
        raise UserError(
            f"the rows are not those of the task: expected sha256 {data.frozen.sha256}, got {got}",
            where=str(path),
            fix="Correct data.frozen, or freeze the task again: bench data freeze.",
        )
    absent = [name for name in data.all_fields if name not in columns]
    if absent:
        raise UserError(
            f"the frozen answer has no {absent[0]}", where=data.query, fix="Freeze the task again: bench data freeze."
        )
    return pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in columns.items()})


def rows_sha256(fields: list[str], rows: Iterable[Iterable[str]]) -> str:
    """sha256 of rows as text: the names of the fields, then a line for each row, cells as JSON."""
    text = hashlib.sha256()
    for row in (fields, *rows):
        text.update(json.dumps(list(row), ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
    return text.hexdigest()


def kept_answer(data: UniProtData, cache: DataCache) -> Kept | None:
    """The answer that this machine fetched first for a query, if any."""
    return _read_note(_note(data, cache))


def kept_answers(cache: DataCache) -> list[Kept]:
    """The first answers to queries that the cache holds."""
    notes = sorted((cache.root / "uniprot").glob("query-*.json"))
    return [kept for note in notes if (kept := _read_note(note)) is not None]


def _keep(answer: UniProtAnswer, query: str, cache: DataCache) -> Kept:
    """Write an answer in its canonical form into the cache."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    at = answer.fields.index("accession")
    rows = sorted(answer.rows, key=lambda row: row[at])
    for before, after in itertools.pairwise(rows):
        if before[at] == after[at]:
            raise UserError(
                f"UniProt sent the entry {after[at]} twice: nothing was kept", where=query, fix="Fetch it again later."
            )
    sha256 = rows_sha256(answer.fields, rows)
    cells = zip(*rows, strict=True)
    table = pa.table({name: pa.array(column, pa.string()) for name, column in zip(answer.fields, cells, strict=True)})
    table = table.replace_schema_metadata({"uniprot_release": answer.release, "query": query})
    with replacing(cache.root / "partial" / f"answer-{sha256}") as temporary:
        pq.write_table(table, temporary, compression="zstd")
    path = cache.root / "partial" / f"answer-{sha256}"
    file_hash = cache.adopt(path)
    write_atomic(cache.root / "uniprot" / f"rows-{sha256}", file_hash)
    return Kept(
        query=query,
        fields=answer.fields,
        release=answer.release,
        date=answer.date,
        rows=len(rows),
        sha256=sha256,
        file_sha256=file_hash,
        fetched=datetime.now(UTC).date().isoformat(),
    )


def _file_of_rows(sha256: str, cache: DataCache) -> str | None:
    try:
        noted = (cache.root / "uniprot" / f"rows-{sha256}").read_text(errors="replace").strip()
    except OSError:
        return None
    # Damaged: it is found in another way.
    return noted if is_sha256(noted) else None


@reads("note of the data cache", refuses=())
def _read_note(path: Path) -> Kept | None:
    try:
        return TypeAdapter(Kept).validate_json(path.read_bytes(), strict=True)
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        telling.warn(f"{path}: damaged; what UniProt answers now is taken for the first answer")
        clear(path)
        return None
