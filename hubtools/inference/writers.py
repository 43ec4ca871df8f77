"""Predictions written as they come: TSV, CSV, JSON lines, Parquet, and GFF3 for what is said of residues."""

from __future__ import annotations

import contextlib
import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO
from urllib.parse import quote

import numpy as np

from hubtools.common.errors import UserError
from hubtools.common.escaping import spreadsheet_cell
from hubtools.common.files import clear, completing

if TYPE_CHECKING:
    from hubtools.inference.decisions import Decided, Decider

FORMATS = {".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".parquet": "parquet", ".gff3": "gff3", ".gff": "gff3"}
# Rows of a Parquet row group.
_GROUP = 50_000
_DIGITS = 6


class Writer(Protocol):
    """Takes one protein's decided answer after the other."""

    def write(self, decided: Decided) -> None:
        """Add a protein."""

    def close(self) -> None:
        """Write what is still held."""


def format_of(path: str) -> str:
    """The format by the name of a file; TSV for standard output.

    Raises:
        UserError: the name ends in no format that is written.
    """
    if path == "-":
        return "tsv"
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise UserError(f"{suffix or 'no suffix'} is no format", where=path, fix=f"End it in {', '.join(FORMATS)}.")
    return FORMATS[suffix]


@contextlib.contextmanager
def writing(path: str, decider: Decider, about: dict[str, str]) -> Iterator[Writer]:
    """A writer for a file, which has its name only when it is whole, or for standard output (``-``).

    What was written when something stopped it stays as ``NAME.partial``.

    Args:
        path: its suffix says the format.
        decider: says the columns.
        about: how the predictions were made; kept in the file where the format has a place for it.

    Raises:
        UserError: the file cannot be written, or the format is not for this kind of task.
    """
    form = format_of(path)
    if form == "gff3" and (not decider.problem.level.by_residue or decider.problem.kind == "regression"):
        raise UserError(
            "GFF3 holds labels of residues, and this model gives none", where=path, fix="Write .tsv, .csv or .parquet."
        )
    if path == "-":
        writer = _text_writer(form, sys.stdout, decider, about)
        yield writer
        writer.close()
        return
    with completing(Path(path)) as partial:
        if form == "parquet":
            with _parquet(partial, decider, about) as table:
                yield table
            return
        with partial.open("w", encoding="utf-8", newline="") as stream:
            writer = _text_writer(form, stream, decider, about)
            yield writer
            writer.close()


@contextlib.contextmanager
def _parquet(partial: Path, decider: Decider, about: dict[str, str]) -> Iterator[_Parquet]:
    """A Parquet file, whose footer is written whatever stops it: without one nothing of it can be read."""
    try:
        with contextlib.closing(_Parquet(partial, decider, about)) as table:
            yield table
    except OSError:
        # Without room for the footer.
        clear(partial)
        raise


def _text_writer(form: str, stream: TextIO, decider: Decider, about: dict[str, str]) -> Writer:
    if form == "gff3":
        return _Gff3(stream, decider, about)
    return (
        _JsonLines(stream, decider) if form == "jsonl" else _Separated(stream, decider, {"tsv": "\t", "csv": ","}[form])
    )


def _rounded(value: Any) -> Any:
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


class _Separated:
    """TSV or CSV with a header."""

    def __init__(self, stream: TextIO, decider: Decider, separator: str) -> None:
        self.decider, self.rows = decider, csv.writer(stream, delimiter=separator, lineterminator="\n")
        self.rows.writerow(map(spreadsheet_cell, decider.columns))

    def write(self, decided: Decided) -> None:
        self.rows.writerows([spreadsheet_cell(_rounded(cell)) for cell in row] for row in self.decider.rows(decided))

    def close(self) -> None:
        """Nothing is held."""


class _JsonLines:
    """One object a row."""

    def __init__(self, stream: TextIO, decider: Decider) -> None:
        self.decider, self.stream = decider, stream

    def write(self, decided: Decided) -> None:
        for row in self.decider.rows(decided):
            values = dict(zip(self.decider.columns, map(_rounded, row), strict=True))
            self.stream.write(json.dumps(values, ensure_ascii=False) + "\n")

    def close(self) -> None:
        """Nothing is held."""


class _Parquet:
    """Typed columns, probabilities as float32; how they were made is in the schema's metadata."""

    def __init__(self, path: Path, decider: Decider, about: dict[str, str]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        texts = ("id", "predicted", "residue", "wildtype", "mutant", "mutation")
        types: dict[str, Any] = dict.fromkeys(texts, pa.string())
        types |= {name: pa.int32() for name in ("position", "length", "partner_length")}
        fields = [(name, types.get(name, pa.float32())) for name in decider.columns]
        self.schema = pa.schema(fields, metadata={f"bench.{key}": value for key, value in about.items()})
        self.decider, self.held = decider, list[list[Any]]()
        self.file = pq.ParquetWriter(path, self.schema, compression="zstd")

    def write(self, decided: Decided) -> None:
        self.held += self.decider.rows(decided)
        if len(self.held) >= _GROUP:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        columns = zip(*self.held, strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self.schema, strict=True)]
        self.file.write_table(pa.Table.from_arrays(arrays, schema=self.schema))
        self.held = []

    def close(self) -> None:
        if self.held:
            self._flush()
        self.file.close()


class _Gff3:
    """Stretches of residues with the same label, as the Sequence Ontology's GFF3 version 1.26 has them.

    Of a task that detects one class, that class alone is a feature. The score is the mean probability of the label
    over the stretch.
    """

    def __init__(self, stream: TextIO, decider: Decider, about: dict[str, str]) -> None:
        self.stream, self.decider = stream, decider
        stream.write("##gff-version 3\n")
        for key, value in about.items():
            stream.write(f"# {key}: {' '.join(value.split())}\n")

    def write(self, decided: Decided) -> None:
        protein = decided.answer.protein
        name = quote(protein.id, safe="abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:^*$@!+_?-|")
        self.stream.write(f"##sequence-region {name} 1 {len(protein.sequence)}\n")
        assert decided.positions is not None
        only = self.decider.task.metrics.positive
        for number, label in enumerate(self.decider.names):
            if only is not None and label != only:
                continue
            has = np.array([label in labels for labels in decided.labels], dtype=bool)
            for start, stop in _stretches(decided.positions, has):
                at = slice(start, stop)
                first, last = decided.positions[at][[0, -1]].tolist()
                score = float(decided.scores[at, number].mean())
                attributes = (
                    f"ID={name}.{number + 1}.{first};Name={quote(label, safe=' ()/.-_')};Note=predicted by bench"
                )
                columns = [name, "bench", "polypeptide_region", first, last, f"{score:.4g}", ".", ".", attributes]
                self.stream.write("\t".join(map(str, columns)) + "\n")

    def close(self) -> None:
        """Nothing is held."""


def _stretches(positions: np.ndarray, has: np.ndarray) -> Iterator[tuple[int, int]]:
    """Rows [start, stop) of neighbouring residues that all have a label."""
    start = None
    for index, held in enumerate(has.tolist()):
        if start is not None and (not held or positions[index] != positions[index - 1] + 1):
            yield start, index
            start = None
        if held and start is None:
            start = index
    if start is not None:
        yield start, len(has)
