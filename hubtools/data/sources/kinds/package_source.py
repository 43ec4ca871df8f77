"""Files that ship inside a package of the Python package index."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path

from hubtools.common.errors import UserError
from hubtools.common.inside import inside
from hubtools.data.sources.file_cache import DataCache
from hubtools.data.sources.kinds.source import FileSource, SourceFacts
from hubtools.specs.data_sources import PackageData, PackageFile


class PackageSource(FileSource[PackageData]):
    """Files of an installed package, of whichever version has the content that is pinned."""

    spec = PackageData

    def path(self, file: PackageFile, cache: DataCache) -> Path:
        """In the package's folder; the package is not imported: only its data are wanted."""
        name = self.data.package
        remedy = f"pip install {name}=={self.data.version}"
        try:
            installed = importlib.metadata.version(name)
            spec = importlib.util.find_spec(name.replace("-", "_"))
        except (importlib.metadata.PackageNotFoundError, ValueError):
            spec = None
        if spec is None or not spec.submodule_search_locations:
            raise UserError(f"the package {name} that holds the data is not installed", fix=remedy)
        path = inside(Path(next(iter(spec.submodule_search_locations))), file.path, where=f"package {name}")
        if not path.is_file():
            raise UserError(f"{name} {installed} has no file {file.path}", fix=remedy)
        cache.verify(path, file.sha256, fix=f"Version {installed} is installed: {remedy}")
        return path

    def facts(self, cache: DataCache) -> SourceFacts:
        """The files, and the package."""
        return SourceFacts(super().facts(cache).files, package=f"{self.data.package}=={self.data.version}")

    def described(self) -> str:
        """The package and its version."""
        return f"package {self.data.package} {self.data.version}"
