"""Folders and archives of structure files."""

from __future__ import annotations

import contextlib
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubtools.common.bounds import LARGEST_STRUCTURE, json_values
from hubtools.common.errors import UserError
from hubtools.common.files import is_file, is_folder
from hubtools.common.hashing import bytes_sha256, digest, file_sha256
from hubtools.common.telling import bar
from hubtools.data.sources.archives import archived_files
from hubtools.data.sources.file_cache import DataCache
from hubtools.data.sources.kinds.source import FileSource
from hubtools.data.sources.table_files import structure_rows
from hubtools.specs.data_sources import FolderOfStructures, LocalFile, StructuresData, UrlFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import pandas as pd

    from hubtools.data.rows.annotation import Annotator


class StructuresSource(FileSource[StructuresData]):
    """Structure files in a folder of this machine, or in an archive here or at an address, read where they are."""

    spec = StructuresData

    def path(self, file: FolderOfStructures, cache: DataCache) -> Path:
        """Where the task file says; an archive at an address from the cache, a mirror or there.

        Raises:
            UserError: there is no such folder or archive, no structure file in the folder, or the archive is another.
        """
        if file.url is not None:
            return cache.fetch(UrlFile(url=file.url, sha256=file.sha256, format="structure"))
        assert file.path is not None
        if file.packed:
            if not is_file(file.path):
                raise UserError(f"there is no archive {file.path}", fix="Correct data.files in the task file.")
            if file.sha256:
                cache.verify(file.path, file.sha256, fix="Correct the file, or sha256 in the task file.")
            return file.path
        if not is_folder(file.path):
            raise UserError(f"there is no folder {file.path}", fix="Correct data.files in the task file.")
        from hubtools.data.structures.folder import some_structure_files

        some_structure_files(file.path)
        return file.path

    def sha256(self, file: FolderOfStructures, cache: DataCache) -> str:
        """Of an archive; of a folder that of the names and the content of its files."""
        from hubtools.data.structures.folder import files_digest

        path = self.path(file, cache)
        return file.sha256 or (file_sha256(path) if file.packed else files_digest(path))

    def read(self, file: Any, cache: DataCache, annotator: Annotator | None) -> pd.DataFrame:
        """A row for each distinct chain of each file, which is read once as long as it does not change."""
        import pandas as pd

        from hubtools.data.structures.chains import name_of, reader_version, require_biotite
        from hubtools.data.structures.folder import no_structures, structure_files

        require_biotite(file.location)
        path, found = self.path(file, cache), {}
        several = None if file.packed else len(structure_files(path))
        with contextlib.closing(bar("reading structures", several, unit=" files")) as shown:
            for at, content in _contents(file, path):
                one = LocalFile(path=at, name=name_of(at), derives=file.derives)
                key = digest([bytes_sha256(content), at.name, file.derives, reader_version()])
                found[at.name] = json_values(cache.array(f"derived-{key}", partial(_rows, one, content)).tobytes())
                shown.update()
        if not found:
            raise no_structures(file.location)
        # In whichever order an archive was packed.
        return pd.DataFrame([row for name in sorted(found) for row in found[name]], dtype=object)

    def fetch(self, cache: DataCache) -> list[Path]:
        """They are looked for; of these a mirror could hold archives at addresses."""
        paths = [(file, self.path(file, cache)) for file in self.data.files]
        return [path for file, path in paths if file.url is not None]

    def kept(self, cache: DataCache) -> list[str]:
        """Archives at addresses; all else is read where it is."""
        return [file.sha256 for file in self.data.files if file.url is not None and file.sha256 is not None]

    def described(self) -> str:
        """Folders of structures."""
        packed = [file.packed for file in self.data.files]
        return f"{'archives' if all(packed) else 'folders and archives' if any(packed) else 'folders'} of structures"


def _contents(file: FolderOfStructures, path: Path) -> Iterator[tuple[Path, bytes]]:
    """What messages call each structure file, and its bytes, unpacked."""
    from hubtools.data.structures.chains import ENDINGS, content_of, kind_of
    from hubtools.data.structures.folder import structure_files

    if file.packed:
        archive = file.path or Path(file.location.rsplit("/", 1)[1])
        wanted = archived_files(file, path, lambda inner: kind_of(inner) in ENDINGS, LARGEST_STRUCTURE)
        yield from ((archive / name, content) for name, content in wanted)
        return
    for one in structure_files(path):
        yield one, content_of(LocalFile(path=one), one)


def _rows(file: LocalFile, content: bytes) -> np.ndarray:
    """The rows of a file as bytes of JSON, (bytes,) uint8; coordinates are lists."""
    import numpy as np

    rows = json.dumps(structure_rows(file, content), default=np.ndarray.tolist)
    return np.frombuffer(rows.encode(), dtype=np.uint8)
