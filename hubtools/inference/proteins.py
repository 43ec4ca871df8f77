"""Proteins that people have: FASTA files and tables, read as tasks read them, one at a time, in canonical form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hubtools.common.errors import UserError
from hubtools.common.readers import reads
from hubtools.common.telling import warn
from hubtools.data.rows.chain_breaks import ANY_CHAINS, BREAK, canonical_chains, split_chains
from hubtools.data.rows.sequences import canonical_sequences
from hubtools.data.sources.fasta import sequence_entries
from hubtools.data.sources.recognised import recognised
from hubtools.data.sources.source_rows import cell_text
from hubtools.data.sources.streams import only_member, text_lines
from hubtools.data.sources.table_files import named_rows, table_rows
from hubtools.data.structures.chains import ENDINGS
from hubtools.data.structures.contacts import PLACES
from hubtools.inference.asking import Protein
from hubtools.specs.data_sources import LocalFile

STDIN = "-"
# Formats of tables, by what ends their names.
_TABLES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "fasta",
    ".tab": "tsv",
    ".xlsx": "xlsx",
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".xls": "xlsx",
    ".ods": "xlsx",
    **dict.fromkeys(ENDINGS, "structure"),
}
# What a column of a table may be called, by what it holds.
_COLUMNS = {
    "id": ("id", "name", "accession", "entry", "protein"),
    "sequence": ("sequence", "seq", "aa_seq", "protein_sequence", "aa_sequence", "peptide"),
    "partner": ("partner", "sequence_2", "sequence2", "partner_sequence"),
}


@dataclass(frozen=True)
class Unreadable:
    """A record that holds no protein: what is wrong with it, and where."""

    error: UserError


@reads("proteins to predict")
def read_proteins(
    source: str,
    *,
    pairs: bool = False,
    chains: Sequence[str] = (),
    on_labels: Callable[[str], None] | None = warn,
) -> Iterator[Protein | Unreadable]:
    """Proteins of a file, one at a time.

    Args:
        source: a FASTA file, or an XLSX, CSV, TSV, Parquet or JSON lines table with a column ``sequence`` and, where
            known, ``id``; also gzipped, or alone in a zip archive; ``-`` reads FASTA from standard input.
        pairs: whether a task about pairs asks: a table's column ``partner`` is then the second sequence, and in FASTA
            two records that follow each other are a pair.
        chains: what the chains of each protein are called, where a task asks whose proteins have several: a sequence has
            ``:`` between them, or a table a column of each that is called so. :data:`ANY_CHAINS` takes any number.
        on_labels: takes a line where each sequence has a line of labels below it, which is not read; None: to refuse that.

    Raises:
        UserError: the file cannot be read, is neither, or has a row or a record that is not whole.
    """
    path = None if source == STDIN else Path(source)
    file = _file(path)
    # How far one is depends on predicting, not on reading: no bar.
    if file.table_format == "fasta":
        found = parse_fasta(text_lines(file, path, bar=False), file.path_for_format, on_labels, chains)
        yield from _paired(found, file.path_for_format) if pairs else found
    elif path is not None and file.table_format not in {"csv", "tsv", "xlsx"}:
        # Where residues are in a structure is nothing that is predicted on.
        table = table_rows(file, path).drop(columns=PLACES, errors="ignore")
        rows = (list(map(cell_text, row)) for row in table.itertuples(index=False))
        yield from _of_table([str(name) for name in table.columns], rows, file, pairs, chains)
    else:
        yield from _of_table(*named_rows(file, path, bar=False), file, pairs, chains)


def _file(path: Path | None) -> LocalFile:
    """What a file is, by its name and first lines: what is not called a table is FASTA, as is standard input."""
    if path is None:
        return LocalFile(path=Path("standard input"), format="fasta")
    member = only_member(path) if path.suffix.lower() == ".zip" else None
    suffix = Path((member or str(path)).lower().removesuffix(".gz")).suffix
    # Of a pipe the first lines would be gone.
    if suffix in _TABLES and path.is_file():
        options, notes = recognised(path, {})
        for line in notes:
            warn(f"{path}: {line}")
        return LocalFile(path=path, **options)
    return LocalFile(path=path, member=member, format=_TABLES.get(suffix, "fasta"))


def parse_fasta(
    lines: Iterable[str], name: str, on_labels: Callable[[str], None] | None = None, chains: Sequence[str] = ()
) -> Iterator[Protein | Unreadable]:
    """Proteins of the lines of a FASTA file.

    Args:
        lines: with or without what ends them.
        name: what messages call the file.
        on_labels: takes a line where labels stand below each sequence; None: to refuse that.
        chains: as of :func:`read_proteins`.

    Raises:
        UserError: text stands before the first header, labels stand below some sequences, or there is nothing.
    """
    number = 0
    for number, entry in enumerate(sequence_entries(lines, name, on_labels), start=1):
        yield _protein(entry.header, entry.body, number, name, chains)
    if not number:
        raise UserError("there is no protein in it", where=name, fix="Begin each with a line such as >my protein.")


@reads("pasted proteins")
def pasted(text: str, chains: Sequence[str] = ()) -> Iterator[Protein | Unreadable]:
    """Proteins of what somebody pasted: FASTA, or one bare sequence, perhaps over several lines or with spaces.

    Args:
        text: that was pasted.
        chains: as of :func:`read_proteins`.
    """
    if ">" in text:
        yield from parse_fasta(text.splitlines(), "what was pasted", chains=chains)
        return
    letters = "".join(text.split())
    if not letters:
        raise UserError("there is no sequence yet", fix="Paste one, for example MKTAYIAKQR….")
    yield _protein("sequence", letters, 1, "what was pasted", chains)


def nucleotides(sequence: str) -> bool:
    """Whether a sequence looks like DNA or RNA: at least thirty letters of which nearly all are A, C, G, T, U and N."""
    return len(sequence) >= 30 and sum(map(sequence.count, "ACGTUN")) >= 0.98 * len(sequence)


@reads("protein that a program holds", refuses=())
def canonical_protein(
    name: str, sequence: str, partner: str | None = None, chains: Sequence[str] = ()
) -> Protein | Unreadable:
    """A protein, or a pair, that a program holds, in canonical form; what is wrong where it is none."""
    try:
        second = None if partner is None else _canonical(partner, f"{name}, its partner")
        return Protein(name, _canonical(sequence, name, chains), second)
    except UserError as error:
        return Unreadable(error)


def _protein(header: str, text: str, number: int, name: str, chains: Sequence[str]) -> Protein | Unreadable:
    # An id of UniProt, sp|P12345|NAME_HUMAN, stays whole: it is what other tools call the protein.
    identifier = header.split()[0] if header.split() else f"protein_{number}"
    try:
        return Protein(identifier, _canonical(text, f"{name}, {identifier} (record {number:,})", chains))
    except UserError as error:
        return Unreadable(error)


def _canonical(text: str, where: str, chains: Sequence[str] = ()) -> str:
    """The sequence in its one form.

    Raises:
        UserError: it holds what is no residue, or other chains than these.
    """
    if chains == ANY_CHAINS:
        several = text.count(BREAK)
        chains = [f"chain {number}" for number in range(1, several + 2)] if several else ()
    try:
        if chains:
            columns = split_chains(["".join(text.split())], [where], len(chains), "")
            return canonical_chains(columns, chains, [where], "")[0][0]
        return canonical_sequences(["".join(text.split())], [where], "", gaps=True)[0][0]
    except UserError as error:
        fix = "Only letters stand for residues." if "Correct the data" in (error.fix or "") else error.fix
        of_chain = (error.where or "").removeprefix("task , ") if chains else where
        raise UserError(error.what, where=of_chain, fix=fix) from None


def _paired(found: Iterator[Protein | Unreadable], name: str) -> Iterator[Protein | Unreadable]:
    for first in found:
        second = next(found, None)
        if second is None:
            raise UserError(
                "the last protein has no partner", where=name, fix="Of pairs, two records follow each other in FASTA."
            )
        unreadable = next((one for one in (first, second) if isinstance(one, Unreadable)), None)
        if unreadable is not None:
            yield unreadable
        elif isinstance(first, Protein) and isinstance(second, Protein):
            yield Protein(f"{first.id}|{second.id}", first.sequence, second.sequence)


def _of_table(
    names: list[str], rows: Iterable[list[str]], file: LocalFile, pairs: bool, chains: Sequence[str]
) -> Iterator[Protein | Unreadable]:
    name = file.path_for_format
    columns = {role: _column(role, names, name) for role in _COLUMNS if pairs or role != "partner"}
    # Of a table such as the task's own, each chain has its column.
    own = [names.index(chain) for chain in chains if names.count(chain) == 1]
    if own and len(own) == len(chains):
        columns["sequence"] = own[0]
        rows = (
            [BREAK.join(row[place] for place in own) if at == own[0] else cell for at, cell in enumerate(row)]
            for row in rows
        )
    for role, place in columns.items():
        if place is None and role != "id":
            raise UserError(
                f"it has no column {role}",
                where=name,
                fix=f"Its columns are {', '.join(filter(None, names))}; call the one with sequences {role}.",
            )
    number = 0
    for number, row in enumerate(rows, start=1):
        cells = {role: row[place] for role, place in columns.items() if place is not None}
        identifier = cells.get("id") or f"row_{number}"
        where = f"{name}, {identifier} (row {number:,})"
        try:
            sequence = _canonical(cells["sequence"], where, chains)
            yield Protein(identifier, sequence, _canonical(cells["partner"], where) if pairs else None)
        except UserError as error:
            yield Unreadable(error)
    if not number:
        raise UserError("the table has no rows", where=name)


def _column(role: str, names: list[str], where: str) -> int | None:
    """The place of the column that holds this, by the likeliest of its names.

    Raises:
        UserError: two columns are called so.
    """
    lower = [name.lower() for name in names]
    called = next((name for name in _COLUMNS[role] if name in lower), None)
    if called is None:
        return None
    if lower.count(called) > 1:
        raise UserError(f"two columns are called {called!r}, but for capitals", where=where, fix="Rename one of them.")
    return lower.index(called)
