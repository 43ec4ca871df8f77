"""A folder of structure files: found by name, read, and laid onto sequences."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubtools.common.errors import UserError, near
from hubtools.common.files import is_file, is_folder
from hubtools.common.hashing import digest, file_sha256
from hubtools.data.structures.chains import ENDINGS, kind_of, read_chains
from hubtools.data.structures.matching import best_match

if TYPE_CHECKING:
    from hubtools.specs.split_rules import StructureFiles


class StructureFolder:
    """A folder of structure files, found by name.

    Args:
        folder: the folder.
        where: for messages.

    Raises:
        UserError: there is no such folder, or two of its files have one name.
    """

    def __init__(self, folder: Path, where: str) -> None:
        if not is_folder(folder):
            raise UserError(f"there is no folder {folder}", where=where, fix="Correct data.structures.folder.")
        self.folder = folder
        self.files = {path.name: path for path in structure_files(folder)}
        stems: dict[str, list[str]] = {}
        for name in self.files:
            bare = name[:-3] if name.lower().endswith(".gz") else name
            stems.setdefault(Path(bare).stem, []).append(name)
            if bare != name:
                stems.setdefault(bare, []).append(name)
        self._stems = stems
        # Rows of one file follow each other: chains of a complex, or variants.
        self._read = lru_cache(maxsize=8)(read_chains)
        self._letters: dict[tuple[Any, ...], str] = {}

    def find(self, name: str, where: str) -> Path:
        """The file that is called so, with or without ending.

        Raises:
            UserError: there is none, or there are several.
        """
        if name in self.files:
            return self.files[name]
        found = self._stems.get(name, [])
        if len(found) == 1:
            return self.files[found[0]]
        if found:
            raise UserError(
                f"{name!r} is {' and '.join(sorted(found))}", where=where, fix="Keep one, or name one in full."
            )
        raise UserError(
            f"there is no structure {name!r} in {self.folder}",
            where=where,
            fix=f"{near(name, sorted(self._stems))} A row without one has an empty cell in data.columns.structure.",
        )

    def has(self, name: str) -> bool:
        """Whether a file is called so."""
        return name in self.files or name in self._stems

    def letters(
        self, name: str, sequence: str, where: str, chain: str | None = None, *, identity: float, plddt: float | None
    ) -> str:
        """A 3Di letter for each residue of a sequence, of the file that is called so.

        Raises:
            UserError: there is no such file or chain, it cannot be read, or it is not of this sequence.
        """
        path = self.find(name, where)
        key = (path, chain, sequence, identity, plddt)
        if key not in self._letters:
            try:
                match = best_match(sequence, self._read(path, chain), identity, f"{where}, {path.name}")
            except UserError as error:
                placed = error.where if error.where and error.where.startswith(where) else f"{where}, {path.name}"
                raise UserError(error.what, where=placed, fix=error.fix) from None
            self._letters[key] = match.letters(plddt)
        return self._letters[key]


def structure_files(folder: Path) -> list[Path]:
    """The structure files of a folder, by name; what lies in folders in it is not looked at."""
    return sorted(path for path in folder.iterdir() if kind_of(path) in ENDINGS and is_file(path))


def some_structure_files(folder: Path) -> list[Path]:
    """The same of a folder that must hold one.

    Raises:
        UserError: there is none.
    """
    if found := structure_files(folder):
        return found
    raise no_structures(str(folder))


def no_structures(where: str) -> UserError:
    """What is wrong where structure files were expected, and how they are called."""
    return UserError("no structure file is in it", where=where, fix="They end in .pdb, .cif or .bcif, also with .gz.")


def folder_digest(files: StructureFiles, where: str) -> str:
    """Of the names and the content of a folder's structure files: part of what the data are.

    Raises:
        UserError: there is no such folder.
    """
    return files_digest(StructureFolder(files.folder, where).folder)


def files_digest(folder: Path) -> str:
    """Of the names and the content of the structure files in a folder."""
    return digest({path.name: file_sha256(path) for path in structure_files(folder)})
