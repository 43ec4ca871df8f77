"""What UniProt's service answers, and what the data cache keeps of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import samples
from attempts import FEW, attempt, parquet, put
from attempts_on_tables import parquets
from hypothesis import strategies as st
from mutations import Schema, as_json, encoded, mutated_bytes, mutated_values, texts_as_bytes


@attempt("data.sources.uniprot._read")
def _() -> Any:
    headers = {
        "X-Total-Results": "2",
        "X-UniProt-Release": "2026_01",
        "Link": '<https://rest.uniprot.org/x?cursor=1>; rel="next"',
    }
    names = st.sampled_from([*headers, "Content-Type", "Content-Encoding"])
    values = st.sampled_from(
        [
            "",
            "²",
            "x",
            "gzip",
            "text/html",
            "-1",
            "9" * 30,
            '<a>; rel="next"',
            '<http://[::1>; rel="next"',
            "<//[>; rel=next",
        ]
    )
    changed = st.dictionaries(names, values, max_size=2).map(lambda more: headers | more)

    def call(read: Any, folder: Path, given: Any) -> Any:
        from email.message import Message

        message = Message()
        for name, value in given[1].items():
            message[name] = value
        return read(given[0], message, "https://rest.uniprot.org/x", ["accession", "sequence"])

    return st.tuples(texts_as_bytes([samples.PAGE]), changed), call


@attempt("data.sources.uniprot._own_words")
def _() -> Any:
    import gzip
    import io
    from email.message import Message
    from urllib.error import HTTPError

    said = as_json({"messages": ["Invalid query", "x"], "url": "x"})
    contents = st.one_of(texts_as_bytes([said, "[]", "<html>"]), mutated_bytes([gzip.compress(encoded(said), mtime=0)]))

    def call(read: Any, folder: Path, given: Any) -> Any:
        content, packed = given
        headers = Message()
        if packed:
            headers["Content-Encoding"] = "gzip"
        return read(HTTPError("https://rest.uniprot.org", 400, "Bad", headers, io.BytesIO(content)))

    return st.tuples(contents, st.booleans()), call


@attempt("data.sources.uniprot_answers.read_answer", examples=FEW)
def _() -> Any:
    from hubtools.data.sources.uniprot_answers import rows_sha256
    from hubtools.specs.data_sources import UniProtData

    columns = {"accession": ["P1", "P2"], "sequence": ["MK", "MKV"]}
    pin = rows_sha256(list(columns), zip(*columns.values(), strict=True))
    frozen = {"release": "2026_01", "rows": 2, "sha256": pin}
    data = UniProtData.model_validate(
        {
            "source": "uniprot",
            "query": "x",
            "fields": ["accession"],
            "frozen": frozen,
            "split": {"fractions": {"train": 0.8, "test": 0.2}},
        }
    )
    files = st.one_of(mutated_bytes([parquet(columns)]), st.sampled_from([*parquets(), parquet({"accession": ["P1"]})]))
    return files, lambda read, folder, content: read(data, put(folder, "a.parquet", content))


@attempt("data.sources.uniprot_answers._read_note")
def _() -> Any:
    note = {
        "query": "x",
        "fields": ["a"],
        "release": "1",
        "date": "d",
        "rows": 1,
        "sha256": "a" * 64,
        "file_sha256": "b" * 64,
        "fetched": "d",
    }
    values = mutated_values([note], Schema()).map(as_json).map(encoded)
    return st.one_of(values, texts_as_bytes([as_json(note)])), lambda read, folder, content: read(
        put(folder, "query-x.json", content)
    )


@attempt("data.sources.file_cache.DataCache._noted")
def _() -> Any:
    note = {"url": "https://example.org/x", "sha256": "a" * 64, "fetched": "2026-01-01"}
    values = mutated_values([note], Schema()).map(as_json).map(encoded)

    def call(read: Any, folder: Path, content: bytes) -> Any:
        return read(None, put(folder, "note.json", content))

    return st.one_of(values, texts_as_bytes([as_json(note)])), call


@attempt("data.sources.file_cache.DataCache.array")
def _() -> Any:
    whole = samples.written(lambda path: np.save(path, np.arange(6).reshape(2, 3)), "a.npy")

    def call(read: Any, folder: Path, content: bytes) -> Any:
        from hubtools.data import DataCache

        put(folder, "arrays/a.npy", content)
        assert isinstance(read(DataCache(folder), "a", lambda: np.zeros(1)), np.ndarray)

    return mutated_bytes([whole]), call


@attempt("data.npm_package.NpmPackage._in_folder", examples=FEW)
def _() -> Any:
    from hubtools.exporting.web_runtime import ONNXRUNTIME_WEB

    def call(read: Any, folder: Path, contents: list[bytes]) -> Any:
        for name, content in zip(ONNXRUNTIME_WEB.checksums, contents, strict=False):
            put(folder, f"dist/{name}", content)
        return read(ONNXRUNTIME_WEB, folder)

    return st.lists(st.binary(max_size=20), max_size=len(ONNXRUNTIME_WEB.checksums)), call
