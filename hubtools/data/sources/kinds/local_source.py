"""Files of the user's."""

from __future__ import annotations

from pathlib import Path

from hubtools.common.errors import UserError
from hubtools.common.files import is_file
from hubtools.common.hashing import file_sha256
from hubtools.data.sources.file_cache import DataCache
from hubtools.data.sources.kinds.source import FileSource
from hubtools.specs.data_sources import LocalData, LocalFile


class LocalSource(FileSource[LocalData]):
    """Files on this machine, read where they are."""

    spec = LocalData

    def path(self, file: LocalFile, cache: DataCache) -> Path:
        """Where the task file says."""
        if not is_file(file.path):
            raise UserError(f"there is no file {file.path}", fix="Correct data.files in the task file.")
        if file.sha256:
            cache.verify(file.path, file.sha256, fix="Correct the file, or sha256 in the task file.")
        return file.path

    def sha256(self, file: LocalFile, cache: DataCache) -> str:
        """Of the content, which is looked at although a checksum may be stated."""
        path = self.path(file, cache)
        return file.sha256 or file_sha256(path)

    def described(self) -> str:
        """Local files."""
        return "local files"
