"""What a file of a user's is, by its name and its first lines: the format, and what separates its fields."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

from hubtools.common.errors import UserError
from hubtools.common.readers import reads
from hubtools.data.sources.streams import only_member, text_lines
from hubtools.specs.data_sources import LocalFile

# Names that say no more than that it is text.
_TEXTS = {".txt", ".tab", ".text"}
_WORDS = {",": "commas", "\t": "tabs", ";": "semicolons"}
_LINES = 20


@reads("name and first lines of a table")
def recognised(path: Path, given: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What the entry of a file under ``data.files`` says beside its path, so that it is read as what it is.

    Args:
        path: a regular file; also gzipped, or alone in a zip archive.
        given: keys that are known already.

    Returns:
        The keys, and what is to be said of those that its name does not tell.

    Raises:
        UserError: it cannot be read, or nothing tells what it is.
    """
    if path.suffix.lower() in {".xls", ".ods", ".numbers"}:
        raise UserError(f"{path.suffix} cannot be read", where=str(path), fix="Save it as .xlsx, or as CSV (UTF-8).")
    options = ({"member": only_member(path)} if path.suffix.lower() == ".zip" else {}) | given
    notes: list[str] = []
    name = Path(options.get("member") or path.name)
    if name.with_suffix("" if name.suffix.lower() == ".gz" else name.suffix).suffix.lower() in _TEXTS:
        first = _first_lines(LocalFile(path=path, **options, format="csv"), path)
        options["format"] = "fasta" if first and first[0].startswith((">", ";")) else "csv"
        notes.append(f"it is read as {options['format'].upper()}, by its first line")
    try:
        kind = LocalFile(path=path, **options).table_format
    except ValueError:
        raise UserError(
            "cannot tell its format by its name",
            where=str(path),
            fix="Call it .xlsx, .csv, .tsv, .parquet, .jsonl or .fasta.",
        ) from None
    if kind in {"csv", "tsv"} and "separator" not in options:
        first = _first_lines(LocalFile(path=path, **options), path)
        usual = "," if kind == "csv" else "\t"
        likely = _separator(first, usual)
        if likely != usual:
            options |= {"separator": ";"} if likely == ";" else {"format": "tsv" if likely == "\t" else "csv"}
            notes.append(f"its fields are separated by {_WORDS[likely]}, whatever its name says")
    return options, notes


def _first_lines(file: LocalFile, path: Path) -> list[str]:
    return [line for line in islice(text_lines(file, path, bar=False), _LINES) if line.strip()]


def _separator(lines: list[str], usual: str) -> str:
    """What separates fields: what stands in the first line most often, and as often in the others."""
    if not lines:
        return usual
    counts = {mark: lines[0].count(mark) for mark in (usual, *_WORDS)}
    likely = max(counts, key=lambda mark: counts[mark])
    if counts[likely] == 0 or (counts[usual] and any(line.count(likely) != counts[likely] for line in lines)):
        return usual
    return likely
