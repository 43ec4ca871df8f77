"""What a structure file says of its structure beside atoms: how it was measured, its helices and strands.

Spans that cannot be read are as none: of atoms they say nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

# Of mmCIF: left-handed polyproline is no helix of hydrogen bonds.
_NO_HELIX = {"HELX_LH_PP_P"}


class Span(NamedTuple):
    """Residues that follow each other.

    Attributes:
        state: H of a helix, E of a strand.
        chain: its name.
        first, last: number and insertion code, as the file counts residues.
    """

    state: str
    chain: str
    first: tuple[int, str]
    last: tuple[int, str]


def pdb_method(lines: Sequence[str]) -> str | None:
    """Of EXPDTA; None where there is none, or it is a model's."""
    return _measured(next((line[10:].strip() for line in lines if line.startswith("EXPDTA")), ""))


def pdb_spans(lines: Sequence[str]) -> list[Span]:
    """Of HELIX and SHEET, whose columns the PDB's format 3.3 gives."""
    try:
        helices = [
            Span("H", line[19:20].strip(), _numbered(line[21:26]), _numbered(line[33:38]))
            for line in lines
            if line.startswith("HELIX ")
        ]
        strands = [
            Span("E", line[21:22].strip(), _numbered(line[22:27]), _numbered(line[33:38]))
            for line in lines
            if line.startswith("SHEET ")
        ]
    except ValueError:
        return []
    return helices + strands


def cif_method(block: Any) -> str | None:
    """Of exptl, of a block of biotite; None where there is none, or it is a model's."""
    table = block.get("exptl")
    return None if table is None else _measured(next(iter(_column(table, "method")), ""))


def cif_spans(block: Any) -> list[Span]:
    """Of struct_conf and struct_sheet_range, of a block of biotite."""
    spans = []
    for name in ("struct_conf", "struct_sheet_range"):
        table = block.get(name)
        if table is None:
            continue
        kinds = _column(table, "conf_type_id") if name == "struct_conf" else ["STRN"] * table.row_count
        numbers = [
            zip(_column(table, f"{end}_auth_seq_id"), _column(table, f"pdbx_{end}_PDB_ins_code"), strict=True)
            for end in ("beg", "end")
        ]
        for kind, chain, first, last in zip(kinds, _column(table, "beg_auth_asym_id"), *numbers, strict=True):
            if not kind.startswith(("HELX", "STRN")) or kind in _NO_HELIX:
                continue
            try:
                ends = [(int(number), code) for number, code in (first, last)]
            except ValueError:
                return []
            spans.append(Span("H" if kind.startswith("HELX") else "E", chain, *ends))
    return spans


def _column(table: Any, name: str) -> list[str]:
    """Texts; empty where there is no value, or no such column."""
    if name not in table:
        return [""] * int(table.row_count)
    return [value if value not in {"?", "."} else "" for value in table[name].as_array(str).tolist()]


def _numbered(text: str) -> tuple[int, str]:
    return int(text[:4]), text[4:].strip()


def _measured(method: str) -> str | None:
    return None if not method or "THEORETICAL" in method.upper() else method
