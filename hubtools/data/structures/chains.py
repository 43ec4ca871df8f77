"""The chains of a structure file, each residue with its letter, its number and its 3Di letter.

Files are anybody's: they are read up to a size, and whatever is wrong with one is a line that names it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import textwrap
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hubtools.common.bounds import LARGEST_STRUCTURE
from hubtools.common.errors import UserError, in_brackets
from hubtools.common.readers import reads
from hubtools.common.texts import visible
from hubtools.data.sources.streams import unpacked
from hubtools.data.structures.file_records import Span, cif_method, cif_spans, pdb_method, pdb_spans
from hubtools.specs.data_sources import LocalFile
from hubtools.specs.files.table_file import TableFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ENDINGS = (".pdb", ".ent", ".cif", ".mmcif", ".bcif")


@dataclass(frozen=True)
class Chain:
    """The residues of one chain, as far as the file has them.

    Attributes:
        name: as the file's author calls it.
        residues: a letter each; X for what is none of the twenty, modified residues as what they were made of.
        numbers: (residues,) as the file counts them.
        letters: a 3Di letter each, as the structure search Foldseek defines it: residues at the ends, and those with
            backbone atoms missing, have the letter that it gives them (d).
        confidence: (residues,) the B factor of the α carbon, which is the pLDDT in files of predicted structures; NaN
            where that atom is missing.
        alpha, beta: (residues, 3) float64 of the α carbon, and of the β carbon, in Å; of glycine the α carbon is both. NaN where
            the atom is missing.
    """

    name: str
    residues: str
    numbers: np.ndarray
    letters: str
    confidence: np.ndarray
    alpha: np.ndarray
    beta: np.ndarray

    def __len__(self) -> int:
        return len(self.residues)


@dataclass(frozen=True)
class WholeStructure:
    """A structure file with all its atoms but water: of proteins, and of what is bound to them.

    Attributes:
        name: of the file, without endings.
        atoms: biotite's AtomArray, of the first model.
        chains: the protein chains.
        places: of each chain the (atoms of the chain,) rows of ``atoms``, and which residue of the chain, from 0, each is of.
        method: how it was measured, as the file says; None where it says nothing of it, or that it is a model.
        spans: helices and strands, as the file's records name them.
    """

    name: str
    atoms: Any
    chains: list[Chain]
    places: list[tuple[np.ndarray, np.ndarray]]
    method: str | None
    spans: list[Span]

    def counted(self) -> WholeStructure:
        """The same, residues of each chain counted from 1 and no other atoms among them, for programs that read less than all of a file."""
        atoms = self.atoms.copy()
        atoms.hetero[:] = True
        for rows, residues in self.places:
            atoms.hetero[rows], atoms.res_id[rows], atoms.ins_code[rows] = False, residues + 1, ""
        return replace(self, atoms=atoms)

    def text(self, values: Mapping[int, np.ndarray] | None = None, remark: str = "") -> tuple[str, str]:
        """The structure as text and its format, ``pdb``, or ``cif`` where it is too large for that.

        Args:
            values: chain, from 0 -> (residues,) what stands as their B factor; 0 where it is NaN, and for other atoms. None:
                the B factors that the file has.
            remark: what these are, in words.
        """
        from biotite.structure import BadStructureError
        from biotite.structure.io import pdb, pdbx

        atoms, text = self.atoms, io.StringIO()
        if values is not None:
            atoms = atoms.copy()
            atoms.b_factor[:] = 0
            for chain, own in values.items():
                rows, residues = self.places[chain]
                atoms.b_factor[rows] = np.nan_to_num(own[residues], nan=0.0)
        narrow = pdb.PDBFile()
        try:
            narrow.set_structure(atoms)
        except BadStructureError:
            # Names, numbers or values have more characters than a PDB file has columns for them.
            wide = pdbx.CIFFile()
            pdbx.set_structure(wide, atoms, data_block="structure")
            wide.write(text)
            return _remarked(remark, "# ") + text.getvalue(), "cif"
        narrow.write(text)
        return _remarked(remark, "REMARK   1 ") + text.getvalue(), "pdb"


def _remarked(remark: str, start: str) -> str:
    """Lines as a structure file has them, in letters that every program reads."""
    plain = visible(remark).encode("ascii", "replace").decode()
    return "".join(f"{start}{line}\n" for line in textwrap.wrap(plain, 79 - len(start)))


def require_biotite(where: str) -> None:
    """Make sure that structures can be read here.

    Raises:
        UserError: biotite is not installed.
    """
    if importlib.util.find_spec("biotite") is None:
        raise UserError(
            "reading structures needs the package biotite", where=where, fix="pip install 'plm-hubtools[structure]'"
        )


def reader_version() -> str:
    """What makes 3Di letters of files, and its version: others may give other letters."""
    from importlib.metadata import version

    return f"biotite {version('biotite')}"


@reads("structure file")
def read_chains(path: Path, chain: str | None = None) -> list[Chain]:
    """The protein chains of a file's first model, of alternative locations the most occupied.

    Args:
        path: PDB, mmCIF or BinaryCIF by its ending, also gzipped.
        chain: only this one.

    Raises:
        UserError: biotite is missing, the file cannot be read or is too large, or no protein is in it.
    """
    require_biotite(str(path))
    return chains_of(content_of(LocalFile(path=path), path), kind_of(path), str(path), chain)


@reads("structure file")
def chains_of(content: bytes, kind: str, where: str, chain: str | None = None) -> list[Chain]:
    """The protein chains of a file's first model, of its bytes.

    Args:
        content: of the file, unpacked.
        kind: the ending that tells its format, as :func:`kind_of` gives it.
        where: what messages call the file.
        chain: only this one.

    Raises:
        UserError: as of :func:`read_chains`.
    """
    require_biotite(where)
    with _read_as_structure(content, where):
        return _some(list(_chains(_atoms(content, kind), chain)), chain, where)


@contextlib.contextmanager
def _read_as_structure(content: bytes, where: str) -> Iterator[None]:
    """Refuse what is too large, and what cannot be read, by one line."""
    if len(content) > LARGEST_STRUCTURE:
        raise UserError(
            f"it has more than {LARGEST_STRUCTURE:,} bytes",
            where=where,
            fix="Keep one protein a file, not a complex.",
        )
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    except UserError:
        raise
    except (MemoryError, Exception) as error:
        # What biotite raises of bytes that are no structure is of many kinds, and always the same finding.
        raise UserError(
            f"it cannot be read as a structure{in_brackets(error)}", where=where, fix="Get the file again."
        ) from None


def _some(found: list[Chain], chain: str | None, where: str) -> list[Chain]:
    if not found:
        asked = "no protein" if chain is None else f"no protein chain {chain!r}"
        raise UserError(f"{asked} is in it", where=where, fix="Name another file, or another chain.")
    return found


@reads("structure file")
def whole_structure(path: Path) -> WholeStructure:
    """All of a structure file but water.

    Raises:
        UserError: as of :func:`read_chains`.
    """
    return whole_of(content_of(LocalFile(path=path), path), kind_of(path), str(path), name_of(path))


@reads("structure file")
def whole_of(content: bytes, kind: str, where: str, name: str) -> WholeStructure:
    """The same of a file's bytes.

    Args:
        content: of the file, unpacked.
        kind: the ending that tells its format, as :func:`kind_of` gives it.
        where: what messages call the file.
        name: of the file, without endings.

    Raises:
        UserError: as of :func:`read_chains`.
    """
    require_biotite(where)
    import biotite.structure as structure

    with _read_as_structure(content, where):
        atoms = _atoms(content, kind)
        atoms = atoms[np.isfinite(atoms.coord).all(axis=1) & ~structure.filter_solvent(atoms)]
        atoms.b_factor = np.nan_to_num(atoms.b_factor)
        chains = _some(list(_chains(atoms, None)), None, where)
        places = []
        for _, rows in _protein_rows(atoms):
            starts = structure.get_residue_starts(atoms[rows])
            places.append((rows, np.searchsorted(starts, np.arange(len(rows)), "right") - 1))
        method, spans = _records(content, kind)
        return WholeStructure(name, atoms, chains, places, method, spans)


def content_of(file: TableFile, path: Path) -> bytes:
    """The bytes of a file, unpacked; one more than the largest may have of those that are larger.

    Raises:
        UserError: it cannot be read or unpacked.
    """
    with unpacked(file, path) as (stream, _):
        return stream.read(LARGEST_STRUCTURE + 1)


def kind_of(path: Path) -> str:
    """The ending that tells the format."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def name_of(path: Path) -> str:
    """What a file is called, without endings."""
    return Path(path.name[:-3] if path.name.lower().endswith(".gz") else path.name).stem


def _atoms(content: bytes, kind: str) -> Any:
    """The atoms of the first model."""
    from biotite.structure.io import pdb, pdbx

    options: dict[str, Any] = {"model": 1, "altloc": "occupancy", "extra_fields": ["b_factor"]}
    if kind == ".bcif":
        return pdbx.get_structure(_binary(content), **options)
    text = io.StringIO(content.decode("latin-1"))
    if kind in {".cif", ".mmcif"}:
        return pdbx.get_structure(pdbx.CIFFile.read(text), **options)
    return pdb.PDBFile.read(text).get_structure(**options)


def _binary(content: bytes) -> Any:
    """A BinaryCIF file, none of whose columns claims to unpack to more than the largest file could hold."""
    import msgpack
    from biotite.structure.io import pdbx

    values = msgpack.unpackb(content, use_list=True, raw=False)
    for encoding in _encodings(values, 0):
        # Of these a few bytes may stand for any number of values; srcSize says of how many.
        if encoding.get("kind") in {"RunLength", "IntegerPacking"}:
            size = encoding.get("srcSize")
            if not isinstance(size, int) or not 0 <= size <= LARGEST_STRUCTURE // 4:
                raise ValueError("a column of more values than a structure has")
    return pdbx.BinaryCIFFile.deserialize(values)


def _encodings(values: Any, depth: int) -> Iterator[dict[str, Any]]:
    if depth > 20:
        raise ValueError("values inside values")
    if isinstance(values, dict):
        if "kind" in values:
            yield values
        values = list(values.values())
    if isinstance(values, list):
        for inner in values:
            if isinstance(inner, (dict, list)):
                yield from _encodings(inner, depth + 1)


def _chains(atoms: Any, asked: str | None) -> Iterator[Chain]:
    import biotite.structure as structure
    from biotite.structure.alphabet import to_3di
    from biotite.structure.info import one_letter_code

    for name, rows in _protein_rows(atoms):
        if asked not in (None, name):
            continue
        chain = atoms[rows]
        first = structure.get_residue_starts(chain)
        numbers = chain.res_id[first].copy()
        residues = "".join(_letter(one_letter_code(code)) for code in chain.res_name[first].tolist())
        # Counted anew: biotite ends a chain where numbers fall, as in files where a tag is numbered behind.
        chain.res_id = structure.spread_residue_wise(chain, np.arange(1, len(first) + 1))
        chain.ins_code[:] = ""
        letters = "".join(str(part) for part in to_3di(chain)[0])
        if len(letters) != len(residues):
            raise ValueError(f"{len(letters)} 3Di letters of {len(residues)} residues")
        confidence = np.full(len(first), np.nan)
        alpha = chain.atom_name == "CA"
        confidence[chain.res_id[alpha] - 1] = chain.b_factor[alpha]
        alphas, betas = _places(chain, alpha, len(first)), _places(chain, chain.atom_name == "CB", len(first))
        glycine = np.array([letter == "G" for letter in residues])[:, None]
        yield Chain(str(name), residues, numbers, letters, confidence, alphas, np.where(glycine, alphas, betas))


def _protein_rows(atoms: Any) -> Iterator[tuple[str, np.ndarray]]:
    """The name of each protein chain, and the rows of its atoms that have a place."""
    import biotite.structure as structure

    chosen = structure.filter_amino_acids(atoms) & np.isfinite(atoms.coord).all(axis=1)
    for name in dict.fromkeys(atoms.chain_id[chosen].tolist()):
        yield name, np.flatnonzero(chosen & (atoms.chain_id == name))


def _records(content: bytes, kind: str) -> tuple[str | None, list[Span]]:
    """How a structure was measured, and its helices and strands, by the file's own records."""
    if kind in {".pdb", ".ent"}:
        lines = content.decode("latin-1").splitlines()
        return pdb_method(lines), pdb_spans(lines)
    from biotite.structure.io import pdbx

    text = io.StringIO(content.decode("latin-1"))
    block = (_binary(content) if kind == ".bcif" else pdbx.CIFFile.read(text)).block
    return cif_method(block), cif_spans(block)


def _places(chain: Any, chosen: np.ndarray, n: int) -> np.ndarray:
    """Coordinates of an atom of each residue, (n, 3); NaN where it is missing."""
    found = np.full((n, 3), np.nan)
    found[chain.res_id[chosen] - 1] = chain.coord[chosen]
    return found


def _letter(code: str | None) -> str:
    return code if code is not None and len(code) == 1 and "A" <= code <= "Z" else "X"
