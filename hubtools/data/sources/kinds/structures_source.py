"""Folders of structure files."""

from __future__ import annotations

import contextlib
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubtools.common.bounds import json_values
from hubtools.common.errors import UserError
from hubtools.common.files import is_folder
from hubtools.common.hashing import digest, file_sha256
from hubtools.common.telling import bar
from hubtools.data.sources.file_cache import DataCache
from hubtools.data.sources.kinds.source import FileSource
from hubtools.data.sources.table_files import table_rows
from hubtools.specs.data_sources import FolderOfStructures, LocalFile, StructuresData

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from hubtools.data.rows.annotation import Annotator


class StructuresSource(FileSource[StructuresData]):
    """Structure files on this machine, read where they are."""

    spec = StructuresData

    def path(self, file: FolderOfStructures, cache: DataCache) -> Path:
        """Where the task file says.

        Raises:
            UserError: there is no such folder, or no structure file in it.
        """
        if not is_folder(file.path):
            raise UserError(f"there is no folder {file.path}", fix="Correct data.files in the task file.")
        from hubtools.data.structures.folder import structure_files

        if not structure_files(file.path):
            raise UserError(
                "no structure file is in it",
                where=str(file.path),
                fix="They end in .pdb, .cif or .bcif, also with .gz.",
            )
        return file.path

    def sha256(self, file: FolderOfStructures, cache: DataCache) -> str:
        """Of the names and the content of its files."""
        from hubtools.data.structures.folder import files_digest

        return files_digest(self.path(file, cache))

    def read(self, file: Any, cache: DataCache, annotator: Annotator | None) -> pd.DataFrame:
        """A row for each distinct chain of each file, which is read once as long as it does not change."""
        import pandas as pd

        from hubtools.data.structures.chains import name_of, reader_version, require_biotite
        from hubtools.data.structures.folder import structure_files

        require_biotite(str(file.path))
        paths, found = structure_files(self.path(file, cache)), []
        with contextlib.closing(bar("reading structures", len(paths), unit=" files")) as shown:
            for path in paths:
                one = LocalFile(path=path, name=name_of(path), derives=file.derives)
                key = digest([file_sha256(path), path.name, file.derives, reader_version()])
                found += json_values(cache.array(f"derived-{key}", partial(_rows, one, path)).tobytes())
                shown.update()
        return pd.DataFrame(found, dtype=object)

    def fetch(self, cache: DataCache) -> list[Path]:
        """They are looked for; no mirror holds a folder."""
        for file in self.data.files:
            self.path(file, cache)
        return []

    def kept(self, cache: DataCache) -> list[str]:
        """Nothing: they are read where they are."""
        return []

    def described(self) -> str:
        """Folders of structures."""
        return "folders of structures"


def _rows(file: LocalFile, path: Path) -> np.ndarray:
    """The rows of a file as bytes of JSON, (bytes,) uint8."""
    import numpy as np

    return np.frombuffer(json.dumps(table_rows(file, path).to_dict("records")).encode(), dtype=np.uint8)
