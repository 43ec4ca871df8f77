"""Files at public addresses."""

from __future__ import annotations

from pathlib import Path

from hubtools.data.sources.file_cache import DataCache
from hubtools.data.sources.kinds.source import FileSource
from hubtools.specs.data_sources import UrlData, UrlFile


class UrlSource(FileSource[UrlData]):
    """Files at addresses; one that no checksum pins is what this machine fetched first."""

    spec = UrlData

    def pin(self, cache: DataCache) -> tuple[UrlData, list[str]]:
        """Every file with its sha256."""
        files, findings = [], []
        for file in self.data.files:
            if file.sha256 is None:
                first = cache.first_content(file)
                findings.append(f"not pinned: {file.name} was fetched on {first.fetched}, sha256 {first.sha256}")
                file = file.model_copy(update={"sha256": first.sha256})
            files.append(file)
        return self.data.model_copy(update={"files": files}) if findings else self.data, findings

    def forget(self, cache: DataCache) -> None:
        """Let files that no checksum pins be fetched anew."""
        for file in self.data.files:
            if file.sha256 is None:
                cache.forget(file)

    def path(self, file: UrlFile, cache: DataCache) -> Path:
        """From the cache, a mirror or the address."""
        return cache.fetch(file)

    def described(self) -> str:
        """Files, pinned or soon to be."""
        return "files at pinned addresses"
