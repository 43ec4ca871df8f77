"""Structure files beside proteins that a saved model is asked about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hubtools.common.errors import UserError
from hubtools.data.structures.chains import require_biotite
from hubtools.data.structures.folder import StructureFolder
from hubtools.inference.asking import Protein
from hubtools.specs.split_rules import StructureFiles

if TYPE_CHECKING:
    from hubtools.models.tokenisation import ResidueTokeniser


def with_structures(
    proteins: Iterable[Protein], folder: Path, tokeniser: ResidueTokeniser, rule: StructureFiles | None = None
) -> Iterator[Protein]:
    """Proteins with the 3Di letters of the file that is called as they are; of those without a file none.

    Args:
        proteins: to be read.
        folder: of the files.
        tokeniser: of the model, or checkpoint, that reads them.
        rule: how files are matched to sequences: as the model's task does, where it has structure files.

    Raises:
        UserError: the model reads sequences alone, there is no such folder, or a file is not of its protein.
    """
    if not tokeniser.reads_structure:
        raise UserError("the model reads sequences alone: structures tell it nothing", fix="Leave out --structures.")
    require_biotite(str(folder))
    return _laid(proteins, StructureFolder(folder, "--structures"), rule or StructureFiles(folder=folder))


def _laid(proteins: Iterable[Protein], files: StructureFolder, rule: StructureFiles) -> Iterator[Protein]:
    for protein in proteins:
        if not files.has(protein.id):
            yield protein
            continue
        letters = files.letters(protein.id, protein.sequence, protein.id, identity=rule.identity, plddt=rule.plddt)
        yield replace(protein, structure=letters)
