"""Embeddings kept on disk by what determines them, shared by tasks, seeds and recipes. No torch.

A *space* is all that one encoder says at one layer. In it an entry is found by the digest of what the encoder read:
tokens, special ones included, and windows. Entries lie in shards, safetensors files that are written under another name
and renamed, never changed, and mapped when read: two processes that compute the same both write, and nobody reads half
a file. Whatever is wrong with a shard, or with the disk, costs time and never a run: it can all be computed again.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hubtools.common import telling
from hubtools.common.errors import UserError
from hubtools.common.files import clear, human, remove_files, replacing
from hubtools.common.hashing import digest
from hubtools.common.readers import reads
from hubtools.specs.record import CheckpointIdentity

# What is kept of a protein: the mean over its residues, a row of each, or the first special token.
Kind = Literal["mean", "residues", "first"]
# Raised when a change of code changes embeddings or the layout of shards.
FORMAT = 1
FOLDER, SUFFIX = "embeddings", ".safetensors"
LIMIT_VARIABLE = "BENCH_CACHE_LIMIT"
DEFAULT_LIMIT = 20 * 10**9
# A run needs room for its own files: the disk is never filled further than this.
SPARED = 2 * 10**9
UNITS = {"": 10**9, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
# What was computed is written when it is this much, or this old: what a killed process has lost at most.
SHARD_BYTES, SHARD_SECONDS = 64 * 2**20, 20.0
# A temporary file this old belongs to a process that was killed.
ABANDONED_SECONDS = 86_400


@dataclass(frozen=True)
class Space:
    """Everything that determines an embedding but the protein.

    Attributes:
        checkpoint: its name, for people; not part of the identity.
        content: commit or sha256 of the checkpoint, or what else identifies it.
        weights: ``pretrained``, or ``random`` with the seed.
        kind: one row a protein (the mean over its residues, or its first special token), or one a residue.
        layer: of the encoder, 0 being the embedding.
        precision: ``float32``, or ``bf16`` autocast and how attention is computed; rows are float32 in any case.
        device: ``cpu``, ``cuda``, ``mps``: their sums differ in the last digits.
        code: versions of what computes.
    """

    checkpoint: str
    content: str
    weights: str
    kind: Kind
    layer: int
    precision: str
    device: str
    code: str

    @property
    def name(self) -> str:
        """The folder of its shards."""
        return digest({**asdict(self), "checkpoint": None, "format": FORMAT})[:24]


@cache
def _versions() -> str:
    return ", ".join(f"{package} {version(package)}" for package in ("torch", "transformers"))


@dataclass(frozen=True)
class EmbeddingSource:
    """An encoder as the store knows it; its spaces differ by kind and layer."""

    checkpoint: str
    content: str
    weights: str
    precision: str
    device: str
    code: str

    @classmethod
    def of(
        cls, checkpoint: CheckpointIdentity, weights: str, seed: int, precision: str, device: str
    ) -> EmbeddingSource:
        """The encoder of a checkpoint, as it is or with random weights."""
        content = checkpoint.model_dump(mode="json")
        if checkpoint.source == "local":
            # A folder is what is in it, wherever it lies.
            del content["name"]
        return cls(
            checkpoint.name,
            digest(content),
            f"random, seed {seed}" if weights == "random" else weights,
            precision,
            device,
            # Another release of the model's code, or of its kernels, may give other numbers.
            _versions(),
        )

    def space(self, kind: Kind, layer: int) -> Space:
        """One of its spaces."""
        return Space(kind=kind, layer=layer, **asdict(self))


class Damaged(Exception):
    """A file is not the shard that was written."""


@reads("shard of embeddings", refuses=("Damaged", "OSError"))
class Shard:
    """One file: entries of a space, mapped.

    Args:
        path: the file.

    Raises:
        Damaged: it is not a whole shard.
        OSError: it is gone, or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as stream:
            self.size = os.fstat(stream.fileno()).st_size
            try:
                length = int.from_bytes(stream.read(8), "little")
                if not 0 < length < self.size:
                    raise ValueError
                header = json.loads(stream.read(length))
                meta = header.pop("__metadata__")
                self._checksum = int(meta["rows_crc32"])
                self.space = Space(**json.loads(meta["space"]))
                ends = [int(tensor["data_offsets"][1]) for tensor in header.values()]
                if 8 + length + max(ends) != self.size or int(meta["format"]) != FORMAT:
                    raise ValueError
                mapped = {name: self._mapped(tensor, 8 + length) for name, tensor in header.items()}
                keys, bounds, self._rows = mapped["keys"], mapped["bounds"], mapped["rows"]
                if _crc32(keys, bounds) != int(meta["keys_crc32"]):
                    raise ValueError
                # The metadata are in no checksum of the format: a space must be that of the folder.
                if self.space.name != path.parent.name:
                    raise ValueError
            except OSError:
                raise
            except Exception:
                # What a header of any bytes leads to is many kinds of error, and always the same finding.
                raise Damaged(str(path)) from None
        self.keys = [row.tobytes() for row in keys]
        self._bounds = np.array(bounds)
        self._sound: bool | None = None

    def _mapped(self, tensor: dict[str, Any], start: int) -> np.ndarray:
        dtype = {"F32": np.float32, "I64": np.int64, "U8": np.uint8}[tensor["dtype"]]
        first, last = tensor["data_offsets"]
        shape = tuple(tensor["shape"])
        if int(np.prod(shape)) * np.dtype(dtype).itemsize != last - first:
            raise ValueError
        return np.memmap(self.path, dtype, "r", start + first, shape)

    @property
    def width(self) -> int:
        """Of the encoder."""
        return self._rows.shape[1]

    def rows(self, entry: int) -> np.ndarray:
        """Rows of an entry: (residues, width), or (1, width), mapped.

        Raises:
            Damaged: the rows are not those that were written.
        """
        if self._sound is None:
            # Once, when the first entry is asked for: the pages that are read here are those that are used next.
            self._sound = _crc32(self._rows) == self._checksum
        if not self._sound:
            raise Damaged(str(self.path))
        return self._rows[self._bounds[entry] : self._bounds[entry + 1]]


def write_shard(folder: Path, space: Space, entries: Mapping[bytes, np.ndarray]) -> Path:
    """Write entries of a space into a file of their own.

    Raises:
        UserError: it cannot be written.
    """
    from safetensors.numpy import save_file

    keys = np.frombuffer(b"".join(entries), dtype=np.uint8).reshape(len(entries), -1)
    bounds = np.r_[0, np.cumsum([len(rows) for rows in entries.values()])].astype(np.int64)
    rows = np.ascontiguousarray(np.concatenate([*entries.values()]), dtype=np.float32)
    meta = {
        "format": str(FORMAT),
        "space": json.dumps(asdict(space)),
        "keys_crc32": str(_crc32(keys, bounds)),
        "rows_crc32": str(_crc32(rows)),
    }
    # Named by its entries: who computes the same writes the same file.
    path = folder / space.name / f"{digest([key.hex() for key in entries])[:24]}{SUFFIX}"
    with replacing(path) as temporary:
        save_file({"keys": keys, "bounds": bounds, "rows": rows}, temporary, metadata=meta)
    return path


@dataclass(frozen=True)
class KeptSpace:
    """What is on disk of one space.

    Attributes:
        space: which.
        proteins: entries; what two processes computed at once may count twice.
        bytes: of its files.
        used: when an entry was last read or written, in seconds since 1970.
        files: its shards.
    """

    space: Space
    proteins: int
    bytes: int
    used: float
    files: list[Path] = field(repr=False)


class EmbeddingStore:
    """Embeddings on disk, up to a limit; what was not used for longest goes first.

    Args:
        root: folder of the spaces.
        limit: bytes of all shards together.
    """

    def __init__(self, root: Path, limit: int = DEFAULT_LIMIT) -> None:
        self.root, self.limit = root, limit
        # Nobody who asked for nothing to be kept needs a warning that nothing is.
        self._full = limit == 0
        self._in_use: set[Path] = set()
        self._open: dict[Path, Shard] = {}

    @classmethod
    def beside(cls, cache: Path) -> EmbeddingStore:
        """The store in the folder of the data cache, with the limit that the environment sets.

        Raises:
            UserError: the limit is not a size.
        """
        return cls(cache / FOLDER, size_limit(os.environ.get(LIMIT_VARIABLE)))

    def find(self, space: Space, keys: Iterable[bytes]) -> dict[bytes, np.ndarray]:
        """Rows of those entries that are kept, mapped: key -> (rows, width) float32."""
        wanted, found = set(keys), dict[bytes, np.ndarray]()
        for shard in self._shards(self.root / space.name):
            here = [(key, i) for i, key in enumerate(shard.keys) if key in wanted and key not in found]
            try:
                found |= {key: shard.rows(i) for key, i in here}
            except Damaged:
                self._drop(shard.path)
                continue
            if here:
                self._in_use.add(shard.path)
                with contextlib.suppress(OSError):
                    os.utime(shard.path)
        return found

    def add(self, space: Space, entries: Mapping[bytes, np.ndarray]) -> None:
        """Keep entries. A disk that is full or cannot be written ends caching with a warning, not the run."""
        if self._full or not entries:
            return
        size = sum(rows.nbytes + 48 for rows in entries.values())
        try:
            if why := self._make_room(size):
                self._stop(why)
                return
            self._in_use.add(write_shard(self.root, space, entries))
        except (OSError, UserError, ValueError) as error:
            self._stop(error.what if isinstance(error, UserError) else str(error))

    def spaces(self) -> list[KeptSpace]:
        """What is kept, last used first. A damaged shard is left out."""
        kept = []
        for folder in sorted(self.root.glob("*")):
            # Not by way of the shards that are open: what is listed is what is there.
            shards = [shard for path in sorted(folder.glob(f"*{SUFFIX}")) if (shard := _opened(path))]
            files = _files(folder)
            if shards:
                space, proteins = shards[0].space, sum(len(shard.keys) for shard in shards)
                size, used = sum(shard.size for shard in shards), max(used for *_, used in files)
                kept.append(KeptSpace(space, proteins, size, used, [shard.path for shard in shards]))
        return sorted(kept, key=lambda space: -space.used)

    def remove(self, files: Iterable[Path]) -> tuple[list[Path], int]:
        """Remove shards; those that went, and how many bytes that freed. A process that is reading one goes on reading it.

        Raises:
            UserError: one cannot be removed.
        """
        removed = remove_files(files)
        for folder in self.root.glob("*"):
            with contextlib.suppress(OSError):
                folder.rmdir()  # Only where nothing is left in it.
        return removed

    def files(self) -> list[tuple[Path, int, float]]:
        """Every file: its path, bytes, and when it was last used. What killed processes left is removed."""
        found = []
        for path, size, used in (file for folder in self.root.glob("*") for file in _files(folder)):
            if path.name.startswith(".") and time.time() - used > ABANDONED_SECONDS:
                with contextlib.suppress(OSError):
                    path.unlink()
            else:
                found.append((path, size, used))
        return found

    def _shards(self, folder: Path) -> Iterator[Shard]:
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            if path not in self._open:
                try:
                    self._open[path] = Shard(path)
                except FileNotFoundError:
                    continue  # Removed by another process since it was listed.
                except (Damaged, OSError):
                    self._drop(path)
                    continue
            yield self._open[path]

    def _drop(self, path: Path) -> None:
        self._open.pop(path, None)
        telling.warn(f"{path}: damaged; what it held is computed again")
        clear(path)

    def _make_room(self, size: int) -> str | None:
        """Remove what was not used for longest until ``size`` bytes fit; why they cannot, where they cannot."""
        files = self.files()
        above_limit = sum(size for _, size, _ in files) + size - self.limit
        self.root.mkdir(parents=True, exist_ok=True)
        above_disk = size + SPARED - shutil.disk_usage(self.root).free
        excess = max(above_limit, above_disk)
        # Neither what this process reads or wrote, nor what another is writing.
        others = [file for file in files if file[0] not in self._in_use and file[0].suffix == SUFFIX]
        old = sorted((used, path, bytes_) for path, bytes_, used in others)
        if excess <= sum(bytes_ for *_, bytes_ in old):
            for _, path, bytes_ in old:
                if excess <= 0:
                    break
                with contextlib.suppress(OSError):
                    path.unlink()
                    excess -= bytes_
        if excess <= 0:
            return None
        if above_limit >= above_disk:
            return f"the limit of {human(self.limit)} is reached; {LIMIT_VARIABLE} sets it"
        return f"less than {human(SPARED)} would be left on the disk"

    def _stop(self, why: str) -> None:
        self._full = True
        telling.warn(f"warning: embeddings are no longer kept for later runs ({why}): {self.root}")


class KeptEmbeddings:
    """What one encoder's embeddings are read from and written to; counts both.

    Args:
        store: None to keep nothing.
        source: the encoder.

    Attributes:
        computed, read: distinct proteins of the splits that the encoder read, and that the store had.
    """

    def __init__(self, store: EmbeddingStore | None, source: EmbeddingSource) -> None:
        self.store, self.source = store, source
        self.computed = self.read = 0
        self._waiting: dict[Space, dict[bytes, np.ndarray]] = {}
        self._bytes, self._since = 0, time.monotonic()

    def find(self, kind: Kind, layer: int, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """As :meth:`EmbeddingStore.find`."""
        return {} if self.store is None else self.store.find(self.source.space(kind, layer), keys)

    def add(self, kind: Kind, layer: int, entries: Mapping[bytes, np.ndarray]) -> None:
        """Keep entries; they are on disk when a shard is full, after a while, or after :meth:`flush`."""
        if self.store is None or not entries:
            return
        self._waiting.setdefault(self.source.space(kind, layer), {}).update(entries)
        self._bytes += sum(rows.nbytes for rows in entries.values())

    def flush(self, always: bool = True) -> None:
        """Write what waits; unless ``always``, only where it is much or old."""
        if self.store is None or not (
            always or self._bytes >= SHARD_BYTES or time.monotonic() - self._since >= SHARD_SECONDS
        ):
            return
        for space, entries in self._waiting.items():
            self.store.add(space, entries)
        self._waiting, self._bytes, self._since = {}, 0, time.monotonic()


@reads("limit of the embedding cache")
def size_limit(text: str | None) -> int:
    """Bytes of ``20``, ``20GB`` or ``500 MB``; a bare number is gigabytes. The default where nothing is said.

    Raises:
        UserError: it is not a size.
    """
    if text is None or not text.strip():
        return DEFAULT_LIMIT
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([A-Z]*)", text.upper().replace(" ", "").replace("IB", "B"))
    # No disk has a size of more digits.
    if match is None or len(match[1]) > 18 or match[2] not in UNITS:
        raise UserError(
            f"{text!r} is not a size", where=LIMIT_VARIABLE, fix=f"For example {LIMIT_VARIABLE}=50GB, or 0 for none."
        )
    return int(float(match[1]) * UNITS[match[2]])


def _crc32(*arrays: np.ndarray) -> int:
    value = 0
    for array in arrays:
        value = zlib.crc32(array.data, value)
    return value


def _opened(path: Path) -> Shard | None:
    try:
        return Shard(path)
    except (Damaged, OSError):
        return None


def _files(folder: Path) -> list[tuple[Path, int, float]]:
    """Path, bytes and last use of what a folder holds."""
    found = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                status = entry.stat()
                found.append((Path(entry.path), status.st_size, status.st_mtime))
    return found
