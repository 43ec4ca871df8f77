"""Files at public addresses."""

from __future__ import annotations

from pathlib import Path

from hubtools.common.errors import UserError
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

    def refreshed(self, cache: DataCache) -> tuple[UrlData, list[str]]:
        """Every pinned file, fetched anew from its address."""
        files, changes = [], []
        for file in self.data.files:
            if file.sha256 is not None:
                unpinned = file.model_copy(update={"sha256": None})
                cache.forget(unpinned)
                now = file.model_copy(update={"sha256": cache.first_content(unpinned).sha256})
                if now.sha256 != file.sha256:
                    was, told = (self._told(one, cache) for one in (file, now))
                    changes.append(f"{file.name}: {was}; the address gives {told} now")
                    file = now
            files.append(file)
        return self.data.model_copy(update={"files": files}) if changes else self.data, changes

    def _told(self, file: UrlFile, cache: DataCache) -> str:
        """The checksum of a file, and its rows where it is at hand and can be read."""
        assert file.sha256 is not None
        if cache.held(file.sha256) is None:
            return f"sha256 {file.sha256} (which is not on this machine to count its rows)"
        try:
            return f"sha256 {file.sha256} ({len(self.read(file, cache, None)):,} rows)"
        except UserError as error:
            return f"sha256 {file.sha256} ({error})"

    def path(self, file: UrlFile, cache: DataCache) -> Path:
        """From the cache, a mirror or the address."""
        return cache.fetch(file)

    def described(self) -> str:
        """Files, pinned or soon to be."""
        return "files at pinned addresses"
