"""Small structure files of invented coordinates, written by biotite."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np

THREE = dict(
    zip(
        "ARNDCQEGHILKMFPSTWYV",
        [
            "ALA",
            "ARG",
            "ASN",
            "ASP",
            "CYS",
            "GLN",
            "GLU",
            "GLY",
            "HIS",
            "ILE",
            "LEU",
            "LYS",
            "MET",
            "PHE",
            "PRO",
            "SER",
            "THR",
            "TRP",
            "TYR",
            "VAL",
        ],
        strict=True,
    )
)


def chain_atoms(
    sequence: str,
    *,
    chain: str = "A",
    seed: int = 0,
    numbers: list[int] | None = None,
    insertions: list[str] | None = None,
    names: dict[int, str] | None = None,
    left_out: tuple[int, ...] = (),
    confidence: list[float] | None = None,
) -> Any:
    """Backbone and Cβ of a chain that winds like a protein, not like a known one.

    Args:
        sequence: residues.
        chain: its name.
        seed: of the way that it winds.
        numbers, insertions: of the residues; by default from 1, and none.
        names: residue (from 0) -> another three-letter name.
        left_out: residues (from 0) that are not in the file.
        confidence: B factor of each residue.
    """
    import biotite.structure as structure

    rng = np.random.default_rng([seed, len(sequence)])
    turns, at, atoms = np.cumsum(rng.normal(1.0, 0.5, len(sequence))), np.zeros(3), []
    for place, letter in enumerate(sequence):
        step = np.array([np.cos(turns[place]), np.sin(turns[place]), rng.normal(0.4, 0.3)])
        at = at + 3.8 * step / np.linalg.norm(step)
        if place in left_out:
            continue
        offsets = {"N": (-1.2, 0.5, 0.3), "CA": (0, 0, 0), "C": (1.2, 0.6, -0.3), "CB": (0.2, -1.1, 0.9)}
        for name, offset in offsets.items():
            if name == "CB" and letter == "G":
                continue
            atoms.append(
                structure.Atom(
                    np.round(at + offset, 3),  # As files have them.
                    chain_id=chain,
                    res_id=numbers[place] if numbers else place + 1,
                    ins_code=insertions[place] if insertions else "",
                    res_name=(names or {}).get(place, THREE.get(letter, "UNK")),
                    hetero=place in (names or {}),
                    atom_name=name,
                    element=name[0],
                    b_factor=confidence[place] if confidence else 50.0,
                )
            )
    return structure.array(atoms)


def write_structure(path: Path, *chains: Any) -> Path:
    """Write chains as the ending says."""
    from biotite.structure.io import pdb, pdbx

    atoms = chains[0]
    for other in chains[1:]:
        atoms = atoms + other
    kind = Path(path.name.removesuffix(".gz")).suffix
    if kind == ".bcif":
        binary, file = io.BytesIO(), pdbx.BinaryCIFFile()
        pdbx.set_structure(file, atoms, data_block="x")
        file.write(binary)
        content = binary.getvalue()
    else:
        text, written = io.StringIO(), pdb.PDBFile() if kind == ".pdb" else pdbx.CIFFile()
        if kind == ".pdb":
            written.set_structure(atoms)
        else:
            pdbx.set_structure(written, atoms, data_block="x")
        written.write(text)
        content = text.getvalue().encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.name.endswith(".gz") else content)
    return path


def letters_of(atoms: Any) -> str:
    """3Di letters of one chain, by biotite alone."""
    from biotite.structure.alphabet import to_3di

    return "".join(str(part) for part in to_3di(atoms)[0])
