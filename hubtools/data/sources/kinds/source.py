"""What a source of data is to the rest of bench, and what all sources that have files share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from hubtools.common.hashing import digest, file_sha256
from hubtools.data.sources.file_cache import DataCache
from hubtools.data.sources.table_files import table_rows
from hubtools.specs.data_sources import SourceData
from hubtools.specs.files.table_file import TableFile
from hubtools.specs.record import SourceFile

if TYPE_CHECKING:
    import pandas as pd

    from hubtools.data.rows.annotation import Annotator

D = TypeVar("D", bound=SourceData)


@dataclass(frozen=True)
class SourceFacts:
    """What a record says of where data are from.

    Attributes:
        files: each file, in the order of the task file.
        package, dataset, revision, release: what names this state of the source, where it has such a thing.
    """

    files: list[SourceFile]
    package: str | None = None
    dataset: str | None = None
    revision: str | None = None
    release: str | None = None


class Source(ABC, Generic[D]):
    """One kind of source.

    Attributes:
        spec: the model of what task files say of it.
        data: what one task file says. But for ``pin``, ``forget``, ``refreshed``, ``kept`` and ``described``, it is pinned.
    """

    spec: ClassVar[type[SourceData]]

    def __init__(self, data: D) -> None:
        self.data = data

    def pin(self, cache: DataCache) -> tuple[D, list[str]]:
        """What it is at this moment, pinned, and a line about each thing that the task file leaves open.

        Raises:
            UserError: it cannot be had.
        """
        return self.data, []

    def forget(self, cache: DataCache) -> None:
        """Let what the task file leaves open be looked up anew."""

    def refreshed(self, cache: DataCache) -> tuple[D, list[str]]:
        """What it gives now for what the task file pins, and a line about each pin that it does not give any more.

        A pin whose content is still given stays as it is.

        Raises:
            UserError: it cannot be had.
        """
        return self.data, []

    @abstractmethod
    def digest(self, cache: DataCache) -> str:
        """What the rows are, without reading one: part of a run's identity.

        Raises:
            UserError: a file of the user's is missing.
        """

    @abstractmethod
    def read(self, file: Any, cache: DataCache, annotator: Annotator | None) -> pd.DataFrame:
        """The rows of one of ``data.files``, cells as the source has them.

        Args:
            file: the file.
            cache: where what is fetched is kept.
            annotator: makes the column of labels, where the task reads labels from annotation.

        Raises:
            UserError: it cannot be had or read.
        """

    @abstractmethod
    def facts(self, cache: DataCache) -> SourceFacts:
        """What the record says of it, after it was read."""

    @abstractmethod
    def described(self) -> str:
        """What it is, in a few words."""

    def fetch(self, cache: DataCache) -> list[Path]:
        """Bring everything that is read onto this machine; the paths of files that a mirror could hold.

        Raises:
            UserError: it cannot be had.
        """
        return []

    def kept(self, cache: DataCache) -> list[str]:
        """The sha256 of its files in the data cache, as far as that is known without fetching."""
        return []

    def kept_elsewhere(self) -> str | None:
        """A line on where things are kept that are not in the data cache."""
        return None


class FileSource(Source[D]):
    """A source of files, each with its ``sha256``, once it is pinned; what is particular is where they are."""

    @abstractmethod
    def path(self, file: Any, cache: DataCache) -> Path:
        """A file on this machine, its content verified.

        Raises:
            UserError: it cannot be had, or its content is not what the task file pins.
        """

    def sha256(self, file: Any, cache: DataCache) -> str:
        """Of the content of a file."""
        return file.sha256 or file_sha256(self.path(file, cache))

    def digest(self, cache: DataCache) -> str:
        """Of the files' content, in their order."""
        return digest({"sha256": [self.sha256(file, cache) for file in self.data.files]})

    def read(self, file: TableFile, cache: DataCache, annotator: Annotator | None) -> pd.DataFrame:
        """The rows of a table; of a Swiss-Prot file the entries that have a label."""
        path = self.path(file, cache)
        if file.table_format == "swissprot":
            from hubtools.data.sources.annotated_rows import labelled_entries

            return labelled_entries(file, path, annotator)
        return table_rows(file, path)

    def facts(self, cache: DataCache) -> SourceFacts:
        """Each file, where it is from, and its checksum."""
        return SourceFacts(
            [
                SourceFile(name=file.name, location=file.location, sha256=self.sha256(file, cache))
                for file in self.data.files
            ]
        )

    def fetch(self, cache: DataCache) -> list[Path]:
        """The files."""
        return [self.path(file, cache) for file in self.data.files]

    def kept(self, cache: DataCache) -> list[str]:
        """What the task file pins."""
        return [sha256 for file in self.data.files if (sha256 := getattr(file, "sha256", None))]
