"""Embeddings written as they come: Parquet, and HDF5, safetensors and NumPy archives with an array a protein, by its id."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from hubtools.common.errors import UserError
from hubtools.common.files import clear, completing
from hubtools.inference.asking import Protein
from hubtools.inference.checkpoints.embedder import EmbeddedProtein

# Adds a protein's array: (width,) or (residues, width).
Add = Callable[[EmbeddedProtein, np.ndarray], None]
DTYPES = {"float32": np.float32, "float16": np.float16}
# Rows of a Parquet row group, and bytes.
_GROUP_ROWS, _GROUP_BYTES = 8_192, 64 * 2**20
# Of a safetensors file's header, as its readers accept it.
_LARGEST_HEADER = 100_000_000


def embedding_format(path: str) -> str:
    """The format by the name of a file.

    Raises:
        UserError: the name ends in no format that is written, or HDF5 cannot be written here.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _WRITERS:
        raise UserError(f"{suffix or 'no suffix'} is no format", where=path, fix=f"End it in {', '.join(_WRITERS)}.")
    if _WRITERS[suffix] is _hdf5 and importlib.util.find_spec("h5py") is None:
        raise UserError(
            "HDF5 needs the package h5py, which is not installed",
            where=path,
            fix='pip install "plm-hubtools[hdf5]", or write .parquet, .safetensors or .npz.',
        )
    return suffix


def entry_names(proteins: Sequence[Protein], path: str) -> list[str]:
    """The names of arrays in a file that has one a protein: its id, a slash written as an underscore.

    A slash would make a group in HDF5, and a folder in an archive; ProtT5's own script replaces it, too.

    Raises:
        UserError: two have one name, or a name stands for something else.
    """
    names, seen = [], dict[str, str]()
    for protein in proteins:
        name = protein.id.replace("/", "_").replace("\\", "_")
        name = "_" * len(name) if not name.strip(".") else name
        if name == "__metadata__":
            raise UserError("this id stands for something else in the file", where=f"{path}, {name}", fix="Rename it.")
        if name in seen:
            twice = f"the id {protein.id} occurs twice" if seen[name] == protein.id else "two ids are one"
            raise UserError(
                f"{twice}, and such a file has one array an id",
                where=f"{path}, {name}",
                fix="Rename one of them, or write .parquet, which has a row for each.",
            )
        seen[name] = protein.id
        names.append(name)
    return names


@contextlib.contextmanager
def embedding_file(
    path: Path, proteins: Sequence[Protein], width: int, by_residue: bool, dtype: str, about: Mapping[str, str]
) -> Iterator[Add]:
    """Write embeddings one protein after the other; the file has its name only when it is whole.

    What was written when something stopped it stays as ``NAME.partial`` where something of it can be read.

    Args:
        path: its suffix says the format.
        proteins: all that come, in their order.
        width: numbers of a row.
        by_residue: whether a protein has a row for each residue.
        dtype: of the numbers: float32 or float16.
        about: how they were made; kept in the file where the format has a place for it.

    Raises:
        UserError: the file cannot be written, ids of arrays are not distinct, or a number is too large for the type.
    """
    writer = _WRITERS[embedding_format(str(path))]
    kind = np.dtype(DTYPES[dtype])
    # A file with one array a protein refuses ids before anything is computed.
    names = [] if writer is _parquet else entry_names(proteins, str(path))
    shapes = [(len(protein.sequence), width) if by_residue else (width,) for protein in proteins]
    with completing(path) as partial:
        try:
            with writer(partial, dict(zip(names, shapes, strict=False)), width, by_residue, kind, about) as put:
                place = iter(names)

                def add(embedded: EmbeddedProtein, values: np.ndarray) -> None:
                    cast = np.ascontiguousarray(values, dtype=kind)
                    if not np.isfinite(cast).all():
                        raise UserError(
                            f"a number is too large for {dtype}", where=embedded.protein.id, fix="Write float32."
                        )
                    put(next(place, ""), embedded.protein, cast)

                yield add
        except BaseException:
            if writer is not _parquet:
                # Nothing can be read of an archive without its end.
                clear(partial)
            raise


Put = Callable[[str, Protein, np.ndarray], None]


@contextlib.contextmanager
def _parquet(
    partial: Path, shapes: Any, width: int, by_residue: bool, dtype: np.dtype[Any], about: Mapping[str, str]
) -> Iterator[Put]:
    """A row a protein (id, length, embedding) or a residue (id, position from 1, residue, embedding)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = pa.float16() if dtype == np.float16 else pa.float32()
    about_rows = (
        [("id", pa.string()), ("position", pa.int32()), ("residue", pa.string())]
        if by_residue
        else [("id", pa.string()), ("length", pa.int32())]
    )
    schema = pa.schema(
        [*about_rows, ("embedding", pa.list_(number, width))],
        metadata={f"bench.{key}": value for key, value in about.items()},
    )
    held: list[tuple[Protein, np.ndarray]] = []
    most = max(1, min(_GROUP_ROWS, _GROUP_BYTES // (width * dtype.itemsize)))

    def flush() -> None:
        if not held:
            return
        values = np.concatenate([rows.reshape(-1, width) for _, rows in held])
        counts = [len(rows.reshape(-1, width)) for _, rows in held]
        ids = pa.array(np.repeat(np.array([protein.id for protein, _ in held], dtype=object), counts), pa.string())
        if by_residue:
            positions = pa.array(np.concatenate([np.arange(1, count + 1) for count in counts]), pa.int32())
            columns = [ids, positions, pa.array(list("".join(protein.sequence for protein, _ in held)), pa.string())]
        else:
            columns = [ids, pa.array([len(protein.sequence) for protein, _ in held], pa.int32())]
        rows = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel(), number), width)
        file.write_table(pa.Table.from_arrays([*columns, rows], schema=schema))
        held.clear()

    waiting = 0

    def put(name: str, protein: Protein, values: np.ndarray) -> None:
        nonlocal waiting
        held.append((protein, values))
        waiting += len(values) if by_residue else 1
        if waiting >= most:
            flush()
            waiting = 0

    # Embeddings are noise to a compressor: bytes of one kind side by side are not.
    split = {} if dtype == np.float16 else {"use_byte_stream_split": ["embedding.list.element"]}
    file = pq.ParquetWriter(partial, schema, compression="zstd", use_dictionary=["id"], **split)
    try:
        yield put
        flush()
    finally:
        # Whatever stopped it: without a footer nothing can be read of it.
        file.close()


@contextlib.contextmanager
def _hdf5(
    partial: Path, shapes: Any, width: int, by_residue: bool, dtype: np.dtype[Any], about: Mapping[str, str]
) -> Iterator[Put]:
    """A data set a protein, as the scripts of ProtT5 and bio_embeddings write them; its attribute original_id is the id."""
    import h5py

    with h5py.File(partial, "w") as file:
        for key, value in about.items():
            file.attrs[f"bench.{key}"] = value

        def put(name: str, protein: Protein, values: np.ndarray) -> None:
            file.create_dataset(name, data=values).attrs["original_id"] = protein.id

        yield put


@contextlib.contextmanager
def _npz(
    partial: Path, shapes: Any, width: int, by_residue: bool, dtype: np.dtype[Any], about: Mapping[str, str]
) -> Iterator[Put]:
    """What ``numpy.load`` reads as a dictionary: an array a protein."""
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:

        def put(name: str, protein: Protein, values: np.ndarray) -> None:
            # Dated as zip dates what has no date: the same embeddings are the same file.
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=values.nbytes > 2**31) as entry:
                np.lib.format.write_array(entry, values, allow_pickle=False)

        yield put


@contextlib.contextmanager
def _safetensors(
    partial: Path,
    shapes: dict[str, tuple[int, ...]],
    width: int,
    by_residue: bool,
    dtype: np.dtype[Any],
    about: Mapping[str, str],
) -> Iterator[Put]:
    """A tensor a protein. Shapes are known beforehand, so that the file is written as proteins come.

    The format: eight bytes with the length of a header of JSON, the header, then the numbers
    (https://huggingface.co/docs/safetensors, "Format").
    """
    header: dict[str, Any] = {"__metadata__": {f"bench.{key}": value for key, value in about.items()}}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + int(np.prod(shape)) * dtype.itemsize
        kind = "F16" if dtype == np.float16 else "F32"
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > _LARGEST_HEADER:
        raise UserError(
            f"{len(shapes):,} names are more than a safetensors file may have", fix="Write .parquet, or several files."
        )
    with partial.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)

        def put(name: str, protein: Protein, values: np.ndarray) -> None:
            stream.write(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())

        yield put


_WRITERS: dict[str, Callable[..., AbstractContextManager[Put]]] = {
    ".parquet": _parquet,
    ".h5": _hdf5,
    ".hdf5": _hdf5,
    ".safetensors": _safetensors,
    ".npz": _npz,
}
