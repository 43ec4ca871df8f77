"""Labels of residues that structures give: secondary structure, solvent accessibility.

A residue that the file does not have, or not enough of, has no label (an empty one). Numbers of a file are never read as places: they
only say how many residues are missing between two that are not bonded.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from hubtools.common.bounds import LONGEST_PROTEIN
from hubtools.common.errors import UserError
from hubtools.data.structures.contacts import protein_chains
from hubtools.data.structures.structure_letters import UNKNOWN

if TYPE_CHECKING:
    from hubtools.data.structures.chains import Chain, WholeStructure

# Å², theoretical: Tien et al. 2013, doi:10.1371/journal.pone.0080635, table 1.
LARGEST_AREA = {
    "A": 129.0, "R": 274.0, "N": 195.0, "D": 193.0, "C": 167.0, "Q": 225.0, "E": 223.0, "G": 104.0, "H": 224.0, "I": 197.0,
    "L": 201.0, "K": 236.0, "M": 224.0, "F": 240.0, "P": 159.0, "S": 155.0, "T": 172.0, "W": 285.0, "Y": 263.0, "V": 174.0,
}  # fmt: skip
# Atoms but hydrogens of a residue inside a chain.
_HEAVY = {
    "A": 5, "R": 11, "N": 8, "D": 8, "C": 6, "Q": 9, "E": 9, "G": 4, "H": 10, "I": 8,
    "L": 8, "K": 9, "M": 8, "F": 11, "P": 7, "S": 6, "T": 7, "W": 14, "Y": 12, "V": 7,
}  # fmt: skip
_STATES = {"a": "H", "b": "E", "c": "C"}
NONE = ""


def derived_rows(whole: WholeStructure, name: str, derives: str, where: str) -> list[dict[str, Any]]:
    """A row for each chain of a file whose residues no chain before it has: id, sequence, label, chain, file, 3di.

    Args:
        whole: the file.
        name: of the file; the id, with the chain's name behind where there are several.
        derives: one of :data:`DERIVED`.
        where: the file, for messages.

    Returns:
        Rows; ``label`` is a list with an entry for each residue of the sequence, empty where there is no label, ``3di`` a letter for
        each, # where none is known. Residues that are missing between two others are X in the sequence.

    Raises:
        UserError: the file does not have what labels are derived from, or its numbers say that a chain is longer than proteins are.
    """
    rows = []
    for chain, at, row in protein_chains(whole.chains, name, where, LONGEST_PROTEIN, "are more than a protein has"):
        labels: list[Any] = DERIVED[derives](whole, chain, at, where)
        length = len(row["sequence"])
        placed = np.full(length, UNKNOWN)
        placed[at] = list(chain.letters)
        cell: list[Any] = [NONE] * length
        for place, label in zip(at.tolist(), labels, strict=True):
            cell[place] = label
        rows.append(row | {"label": cell, "file": name, "3di": "".join(placed)})
    return rows


def p_sea(whole: WholeStructure, chain: Chain, at: np.ndarray, where: str) -> list[str]:
    """Helix (H), strand (E) and coil (C) from α carbons, by P-SEA (Labesse et al. 1997) as biotite has it."""
    import biotite.structure as structure

    there = np.isfinite(chain.alpha).all(axis=1)
    carbons = structure.AtomArray(int(there.sum()))
    carbons.coord, carbons.res_id = chain.alpha[there], at[there] + 1
    # What a residue is does not matter to it.
    carbons.res_name[:], carbons.atom_name[:], carbons.element[:] = "ALA", "CA", "C"
    found = iter(structure.annotate_sse(carbons).tolist())
    return [_STATES.get(next(found), NONE) if has else NONE for has in there.tolist()]


def dssp(whole: WholeStructure, chain: Chain, at: np.ndarray, where: str) -> list[str]:
    """The eight states of DSSP (Kabsch and Sander 1983) and C for none of them, of the chain alone, by the program mkdssp."""
    from biotite.application.dssp import DsspApp

    if shutil.which("mkdssp") is None:
        raise UserError(
            "mkdssp is not installed",
            where=where,
            fix="Install it (apt-get install dssp), or use derives: secondary-structure.",
        )
    atoms, residues = _alone(whole, chain)
    backbone = [
        np.bincount(residues[atoms.atom_name == name], minlength=len(chain)) > 0 for name in ("N", "CA", "C", "O")
    ]
    # It leaves out residues whose backbone is not whole.
    kept = np.logical_and.reduce(backbone)
    atoms = atoms[kept[residues]]
    # By our own count, so that insertion codes and numbers that fall are no matter to it.
    atoms.res_id, atoms.ins_code[:], atoms.chain_id[:] = at[residues[kept[residues]]] + 1, "", "A"
    atoms.hetero[:] = False
    try:
        found = DsspApp.annotate_sse(atoms).tolist()
    # What a program stops by is of many kinds.
    except Exception as error:
        raise UserError(f"mkdssp stops ({type(error).__name__})", where=where, fix="Leave the file out.") from None
    if len(found) != kept.sum():
        raise UserError(
            f"mkdssp says nothing of {kept.sum() - len(found):,} residues", where=where, fix="Leave the file out."
        )
    states = iter(found)
    return [next(states) if complete else NONE for complete in kept.tolist()]


def recorded(whole: WholeStructure, chain: Chain, at: np.ndarray, where: str) -> list[str]:
    """Helix (H), strand (E) and coil (C) as the file's own records have them: HELIX and SHEET, or struct_conf and struct_sheet_range."""
    spans = [span for span in whole.spans if span.chain == chain.name]
    if not whole.spans:
        raise UserError(
            "the file has no records of secondary structure that can be read",
            where=where,
            fix="Use derives: secondary-structure.",
        )
    atoms, residues = _alone(whole, chain)
    first = np.searchsorted(residues, np.arange(len(chain)))
    named = {
        (int(number), str(code).strip()): place
        for place, (number, code) in enumerate(zip(atoms.res_id[first], atoms.ins_code[first], strict=True))
    }
    labels = ["C"] * len(chain)
    for span in spans:
        if span.first not in named or span.last not in named:
            missing = span.first if span.first not in named else span.last
            raise UserError(
                f"its records name residue {missing[0]}{missing[1]} of chain {chain.name}, which it does not have",
                where=where,
                fix="Use derives: secondary-structure.",
            )
        for place in range(named[span.first], named[span.last] + 1):
            labels[place] = span.state
    return labels


def accessibility(whole: WholeStructure, chain: Chain, at: np.ndarray, where: str) -> list[Any]:
    """The accessible surface (Shrake and Rupley 1973, as biotite has it) of the chain alone, as a share of the largest.

    0 is buried; at the ends of a chain it may be more than 1. A residue that lacks atoms of its side chain has none.
    """
    import biotite.structure as structure

    atoms, residues = _alone(whole, chain)
    kept = ~np.isin(atoms.element, ("H", "D"))
    atoms, residues = atoms[kept], residues[kept]
    # Atoms of which no radius is known add nothing.
    areas = np.bincount(residues, np.nan_to_num(structure.sasa(atoms)), minlength=len(chain))
    # The second oxygen of the last residue is one more.
    counts = np.bincount(residues[atoms.atom_name != "OXT"], minlength=len(chain))
    return [
        float(f"{area / LARGEST_AREA[letter]:.4g}") if letter in _HEAVY and count >= _HEAVY[letter] else NONE
        for area, letter, count in zip(areas.tolist(), chain.residues, counts.tolist(), strict=True)
    ]


def _alone(whole: WholeStructure, chain: Chain) -> tuple[Any, np.ndarray]:
    """The atoms of a chain without anything beside it, and the residue of each."""
    rows, residues = whole.places[next(place for place, one in enumerate(whole.chains) if one is chain)]
    return whole.atoms[rows], residues


# What task files call them (``derives``), beside contacts.
DERIVED: dict[str, Callable[[Any, Any, np.ndarray, str], list[Any]]] = {
    "secondary-structure": p_sea,
    "recorded-secondary-structure": recorded,
    "dssp": dssp,
    "accessibility": accessibility,
}
