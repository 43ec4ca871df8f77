"""Tables, FASTA, flat files and the cells in them, as tasks and users name them."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import samples
from attempts import FEW, all_of, attempt, parquet, put
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from mutations import (
    Schema,
    as_json,
    encoded,
    mutated_bytes,
    mutated_texts,
    mutated_values,
    tarred,
    texts_as_bytes,
    zipped,
)

from hubtools.specs.data_sources import LocalFile


def _file(path: Path, **options: Any) -> LocalFile:
    return LocalFile(path=path, **options)


@cache
def parquets() -> list[bytes]:
    """Tables of several types."""
    import datetime

    import pyarrow as pa
    import pyarrow.parquet as pq

    return [
        parquet({"id": ["a", "b"], "sequence": ["MKV", None], "label": [[0, 1], None]}),
        parquet({"sequence": [b"\xff", b"MK"], "label": [1.5, float("nan")]}),
        parquet({"sequence": ["MKV"], "label": [datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)], "x": [{"a": 1}]}),
        samples.written(lambda path: pq.write_table(pa.table([["MKV"], ["M"]], names=["sequence", "sequence"]), path)),
        parquet({"sequence": pa.array(["MKV"]), "label": pa.array([2**62], pa.timestamp("us"))}),
        parquet({"sequence": pa.array([b"\xff"]).view(pa.string())}),
    ]


@cache
def workbooks() -> list[bytes]:
    """Of Excel, as openpyxl writes them; none where it is not installed."""
    try:
        from openpyxl import Workbook
    except ImportError:
        return [b"PK\x03\x04"]
    book = Workbook()
    for row in [["id", "sequence", "label"], ["a", "MKTAYIAKQRQ", 0.5], ["b", None, True], [], ["c", "MK", "=1/0"]]:
        book.active.append(row)
    held = io.BytesIO()
    book.save(held)
    return [held.getvalue()]


def workbook_parts() -> SearchStrategy[bytes]:
    """Workbooks of which one part was changed, and packed again."""

    def changed(part: int, content: bytes) -> bytes:
        with zipfile.ZipFile(io.BytesIO(workbooks()[0])) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        return zipped(parts | {sorted(parts)[part % len(parts)]: content})

    sheet = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData><row r="1"><c r="A1" t="n"><v>1</v></c></row></sheetData></worksheet>'
    if not zipfile.is_zipfile(io.BytesIO(workbooks()[0])):
        return st.just(b"PK")
    return st.builds(changed, st.integers(0, 20), mutated_bytes([sheet]))


def table_files() -> SearchStrategy[tuple[str, bytes]]:
    """Files that a task or a user may name: a name, and the content."""
    fasta = texts_as_bytes([*samples.FASTA, *samples.THREE_LINES])
    csv = texts_as_bytes(samples.CSV)
    packed = st.sampled_from([*samples.CSV, *samples.FASTA]).map(encoded)
    archives = st.one_of(
        mutated_bytes([zipped({"a.csv": encoded(samples.CSV[0])}), zipped({"a.fasta": encoded(samples.FASTA[0])})]),
        st.builds(
            lambda name, content: zipped({name: content}),
            st.sampled_from(["a.csv", "../a.csv", "a\x1b.csv", "é.fasta", "a"]),
            packed,
        ),
    )
    rows = mutated_values([json.loads(line) for line in samples.JSONL[0].split("\n") if line], Schema())
    return st.one_of(
        st.tuples(st.just("x.csv"), csv),
        st.tuples(st.just("x.tsv"), texts_as_bytes(samples.TSV)),
        st.tuples(st.sampled_from(["x.fasta", "x.fa", "x.fasta.gz"]), fasta),
        st.tuples(st.just("x.jsonl"), st.one_of(texts_as_bytes(samples.JSONL), rows.map(as_json).map(encoded))),
        st.tuples(st.just("x.parquet"), st.one_of(mutated_bytes(parquets()), st.sampled_from(parquets()))),
        st.tuples(st.sampled_from(["x.zip", "x.ZIP", "x.csv", "x.xlsx"]), archives),
        st.tuples(st.just("x.xlsx"), st.one_of(mutated_bytes(workbooks()), workbook_parts())),
        st.tuples(st.just("x.txt"), st.one_of(csv, fasta)),
    )


@attempt("data.sources.table_files.table_rows", "data.sources.table_files.read_table", examples=60)
def _() -> Any:
    options = st.sampled_from(
        [
            {},
            {"rename": {"label": "y"}},
            {"skip_rows": 1},
            {"header": ["id", "sequence", "label", "set"]},
            {"format": "fasta", "lines": ["sequence", "label"]},
            {"format": "fasta", "body": "label"},
            {"format": "fasta", "header": ["id", "kingdom"], "header_separator": "|"},
            {"format": "csv"},
            {"format": "parquet"},
            {"format": "jsonl"},
        ]
    )

    def call(read: Any, folder: Path, given: Any) -> Any:
        (name, content), more = given
        if name.lower().endswith(".zip"):
            more = more | {"member": "a.csv"}
        path = put(folder, name, content)
        try:
            file = _file(path, **more)
        except ValueError:
            return None
        return read(file, path)

    return st.tuples(table_files(), options), call


@attempt("data.rows.inspection.read_sheet", examples=60)
def _() -> Any:
    return table_files(), lambda read, folder, given: read(put(folder, *given))


@attempt("data.rows.inspection.read_sheets", examples=40)
def _() -> Any:
    def call(read: Any, folder: Path, given: Any) -> Any:
        return read([put(folder, f"{place}{name}", content) for place, (name, content) in enumerate(given)])

    return st.lists(table_files(), min_size=1, max_size=2), call


@attempt("data.sources.recognised.recognised", examples=40)
def _() -> Any:
    return table_files(), lambda read, folder, given: read(put(folder, *given), {})


@attempt("data.sources.spreadsheet.workbook_rows", examples=60)
def _() -> Any:
    contents = st.one_of(mutated_bytes(workbooks()), workbook_parts())
    return st.tuples(contents, st.sampled_from([None, "Sheet", "x"])), lambda read, folder, given: all_of(
        read(given[0], "x.xlsx", given[1])
    )


@attempt("inference.proteins.read_proteins", examples=60)
def _() -> Any:
    def call(read: Any, folder: Path, given: Any) -> Any:
        file, pairs = given
        found = list(read(str(put(folder, *file)), pairs=pairs))
        assert all(said(one) for one in found)
        return found

    return st.tuples(table_files(), st.booleans()), call


def said(found: Any) -> bool:
    """Whether a protein, or what is wrong with one, can be shown."""
    from hubtools.inference.proteins import Unreadable

    if isinstance(found, Unreadable):
        str(found.error).encode()
        return "\n" not in str(found.error)
    return found.sequence.isascii() and found.sequence.isupper()


@attempt("api.tasks.task_proposals.new_task", examples=FEW)
def _() -> Any:
    tables = st.tuples(st.just("x.csv"), texts_as_bytes([samples.task_rows(one) for one in samples.PROBLEMS]))
    rows = [json.loads(samples.task_json_lines(one)) for one in samples.PROBLEMS]
    lines = mutated_values(rows, Schema()).map(
        lambda found: "\n".join(map(as_json, found if isinstance(found, list) else [found]))
    )

    def call(read: Any, folder: Path, given: Any) -> Any:
        return read(put(folder, *given), to=folder / "tasks", licence="mit", citation="none").text

    return st.one_of(tables, tables, st.tuples(st.just("x.jsonl"), lines.map(encoded)), table_files()), call


@attempt("data.task_data.load_task_data", examples=FEW * 2)
def _() -> Any:
    from tiny_project import write_task

    from hubtools.data import DataCache
    from hubtools.specs.lookup.spec_files import task_in

    def rows(problem: str) -> SearchStrategy[tuple[str, str, bytes]]:
        """As text, and as JSON lines, whose cells are of any type."""
        lines = mutated_values(json.loads(samples.task_json_lines(problem)), Schema()).map(as_json)
        typed = st.lists(lines, min_size=6, max_size=18).map(lambda found: encoded("\n".join(found)))
        kinds = st.tuples(st.just("csv"), texts_as_bytes([samples.task_rows(problem)])) | st.tuples(
            st.just("jsonl"), typed
        )
        return kinds.map(lambda kind: (problem, *kind))

    inputs = st.sampled_from(samples.PROBLEMS).flatmap(rows)

    def call(read: Any, folder: Path, given: tuple[str, str, bytes]) -> Any:
        problem, kind, content = given
        path = write_task(folder, problem, 6)
        path.write_text(path.read_text().replace(".csv", f".{kind}"))
        put(folder / "tasks", f"{problem}.{kind}", content)
        return read(task_in(path), DataCache(folder / "cache"))

    return inputs, call


@attempt("data.sources.separated.separated_rows")
def _() -> Any:
    kinds = st.sampled_from(["csv", "tsv"])

    def call(read: Any, folder: Path, given: Any) -> Any:
        text, kind, skip = given
        names, rows = read(text.splitlines(keepends=True), kind, "x", skip=skip)
        return [len(row) == len(names) for row in rows]

    return st.tuples(mutated_texts([*samples.CSV, *samples.TSV]), kinds, st.integers(0, 2)), call


@attempt("data.sources.fasta.fasta_entries", "data.sources.fasta.sequence_entries", "data.sources.fasta.labels_below")
def _() -> Any:
    return mutated_texts([*samples.FASTA, *samples.THREE_LINES]), lambda read, folder, text: all_of(
        read(text.split("\n"), "x")
    )


@attempt("inference.proteins.pasted")
def _() -> Any:
    return mutated_texts([*samples.FASTA, "MKTAYIAK QRQ\nMK"]), lambda read, folder, text: [
        said(one) for one in read(text)
    ]


@attempt("inference.proteins.canonical_protein")
def _() -> Any:
    texts = mutated_texts(["MKTAYIAKQR", "mkv*"])
    return st.tuples(texts, texts, st.none() | texts), lambda read, folder, given: said(read(*given))


@attempt("data.rows.sequences.canonical_sequences")
def _() -> Any:
    cells = st.one_of(mutated_texts(["MKTAYIAKQR", "MKs#TA#"]), mutated_values([["M", 1]], Schema()))
    return st.tuples(cells, st.sampled_from([None, "#"])), lambda read, folder, given: read(
        [given[0]], ["a"], "t", given[1]
    )


@attempt("data.sources.streams.unpacked", "data.sources.streams.ended_lines")
def _() -> Any:
    def call(read: Any, folder: Path, given: Any) -> Any:
        name, content = given
        member = {"member": "a.csv"} if name.lower().endswith(".zip") else {}
        path = put(folder, name, content)
        file = _file(path, format="csv", **member)
        if read.__name__ == "ended_lines":
            return list(read(file, path))
        with read(file, path) as (stream, _):
            return stream.read()

    return table_files(), call


@attempt("data.sources.streams.only_member")
def _() -> Any:
    members = st.dictionaries(
        st.sampled_from(["a.csv", "b/a.csv", "__MACOSX/a", ".x", "../a", "a\nb", "é"]), st.just(b"x"), max_size=3
    )
    files = st.one_of(mutated_bytes([zipped({"a.csv": b"a,b\n"})]), members.map(zipped))
    return files, lambda read, folder, content: read(put(folder, "x.zip", content))


@attempt("data.sources.archives.archived_files")
def _() -> Any:
    from hubtools.specs.data_sources import FolderOfStructures

    kinds = {"a.zip": zipped, "a.tar": lambda files: tarred(files, "w"), "a.tgz": lambda files: tarred(files, "w:gz")}
    files = {"a/x.pdb": b"x" * 600, "y.pdb.gz": gzip.compress(b"y"), "z": b""}
    names = st.sampled_from(["x.pdb", "../x.pdb", "a/x.pdb", "a/X.PDB", "/x.pdb", "é.pdb", "a\nb.pdb", "nul.pdb"])
    made = st.dictionaries(names, st.just(b"x"), max_size=3)

    def of(name: str) -> SearchStrategy[tuple[str, bytes]]:
        packed = st.one_of(mutated_bytes([kinds[name](files)]), made.map(kinds[name]))
        return st.tuples(st.just(name), packed)

    def call(read: Any, folder: Path, given: Any) -> Any:
        path = put(folder, *given)
        file = FolderOfStructures(path=path, derives="contacts")
        return list(read(file, path, lambda inner: ".pdb" in inner.suffixes, 500))

    return st.sampled_from(sorted(kinds)).flatmap(of), call


@attempt("data.sources.swissprot.read_entries", examples=60)
def _() -> Any:
    fields = ["ft_mod_res", "ft_domain", "ft_signal", "ft_binding", "cc_subcellular_location", "cc_function"]

    def call(read: Any, folder: Path, content: bytes) -> Any:
        path = put(folder, "x.dat", content)
        return list(read(_file(path, format="csv"), path, fields))

    return texts_as_bytes(samples.SWISSPROT), call


@attempt("data.rows.annotation.features_of_cell")
def _() -> Any:
    return mutated_texts(samples.FEATURES), lambda read, folder, cell: read(cell, "ft_mod_res", "P1")


@attempt(
    "data.rows.label_cells.listed",
    "data.rows.label_cells.several_labels",
    "data.rows.label_cells.residue_entries",
    "data.rows.label_cells.number_entries",
    examples=60,
)
def _() -> Any:
    from hubtools.data.rows.label_cells import flat, label_text

    cells = st.one_of(
        mutated_texts(samples.LABEL_CELLS), mutated_values([[1, "a"], {"a": 1}, 1.5], Schema(), finite=False)
    )

    def call(read: Any, folder: Path, given: Any) -> Any:
        cell, separator = given
        found = read(cell, separator) if read.__name__ in {"several_labels", "residue_entries"} else read(cell)
        return [label_text(value) for value in flat(found or [])]

    return st.tuples(cells, st.sampled_from([None, ";", ",", " "])), call


@attempt("data.rows.variants._parse")
def _() -> Any:
    task = samples.tiny_task("variant-effect")
    return mutated_texts(samples.MUTANTS), lambda read, folder, cell: list(map(str, read(cell, "MK", "v1", task)))


@attempt(
    "data.structures.chains.read_chains",
    "data.structures.chains.chains_of",
    "data.structures.chains.whole_structure",
    "data.structures.chains.whole_of",
    examples=60,
)
def _() -> Any:
    from hubtools.data.structures.chains import kind_of

    contents = {f"x{ending}": found for ending, found in samples.structures().items()}

    def of(name: str) -> SearchStrategy[tuple[str, bytes]]:
        return st.tuples(st.just(name), mutated_bytes([contents[name]]))

    def call(read: Any, folder: Path, given: Any) -> Any:
        (name, content), chain = given
        if read.__name__.startswith("whole"):
            path = put(folder, name, content)
            found = read(path) if read.__name__ == "whole_structure" else read(content, kind_of(path), name, "x")
            return found.counted().text(), found.spans
        if read.__name__ == "chains_of":
            found = read(content, kind_of(Path(name)), name, chain)
        else:
            found = read(put(folder, name, content), chain)
        return [(one.residues, one.letters) for one in found]

    return st.tuples(st.sampled_from(sorted(contents)).flatmap(of), st.sampled_from([None, "A", "é"])), call


@attempt("data.structures.contacts.listed")
def _() -> Any:
    return mutated_texts(["1-9;2-17", "3-12; 5", "40", ""]), lambda read, folder, cell: read(cell, 40, "x").shape


@attempt("reporting.structures.residue_predictions.residue_predictions")
def _() -> Any:
    import pandas as pd

    rows = {
        "id": ["a", "a"],
        "position": ["1", 2],
        "residue": ["M", "K"],
        "predicted": ["x;y", None],
        "p_x": ["0.5", "nan"],
    }
    cells = mutated_values([rows], Schema(), finite=False)

    def call(read: Any, folder: Path, given: Any) -> Any:
        columns, label = given
        table = pd.DataFrame({str(name): pd.Series(found, dtype=object) for name, found in columns.items() if isinstance(found, list)}) if isinstance(columns, dict) else pd.DataFrame()  # fmt: skip
        found = read(table, "x", label)
        return found.bounds if found.proteins else None

    return st.tuples(cells, st.sampled_from([None, "x"])), call


@attempt("reporting.structures.residue_predictions.read_about")
def _() -> Any:
    from hubtools.reporting.structures.residue_predictions import made_by

    about = mutated_values([{"model": "m", "task": "t version 1"}, []], Schema())
    return about.map(as_json).map(encoded), lambda read, folder, content: made_by(read(put(folder, "x.json", content)))


@attempt("data.structures.aligned_error.read_aligned_error")
def _() -> Any:
    archives = []
    for values in (np.eye(4, dtype=np.float32), np.full((4, 4), np.nan), np.zeros((2, 3))):
        stream = io.BytesIO()
        np.savez(stream, pae=values)
        archives.append(stream.getvalue())
    return mutated_bytes(archives), lambda read, folder, content: read(put(folder, "x.pae.npz", content)).shape


@attempt("data.structures.contact_matrices.matrix_row", "data.structures.contact_matrices.square_array")
def _() -> Any:
    matrices = []
    for length, kind in ((8, np.int64), (9, np.int8), (3, np.float32)):
        stream = io.BytesIO()
        np.save(stream, np.eye(length, dtype=kind))
        matrices.append(stream.getvalue())

    def call(read: Any, folder: Path, content: bytes) -> Any:
        return read(content, "x").shape if read.__name__ == "square_array" else read(content, "p", "x")["label"]

    return mutated_bytes(matrices), call


@attempt("data.structures.row_structures.known_letters")
def _() -> Any:
    return mutated_texts(["dvpl#", "DVPLA", "", "1aki.pdb"]), lambda read, folder, cell: read(cell, "MKTAY", "x")
