"""Proteins in whatever form somebody gives them: one reader for what asks models and checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubtools.common.errors import UserError
from hubtools.common.files import is_file

if TYPE_CHECKING:
    from hubtools.inference.asking import Protein
    from hubtools.inference.proteins import Unreadable


@dataclass
class Sifted:
    """What was seen while proteins were read.

    Attributes:
        dna: sequences that look like DNA or RNA.
        repeated: ids that occurred before.
        left_out: what was no protein, a line each.
    """

    dna: int = 0
    repeated: int = 0
    left_out: list[str] = field(default_factory=list)


def given_proteins(proteins: Any, pairs: bool, chains: Sequence[str] = ()) -> Iterable[Protein | Unreadable]:
    """Proteins in whatever form they are given, one at a time.

    Args:
        proteins: as of :func:`hubtools.predict`.
        pairs: whether two sequences are asked about together.
        chains: what the chains of each protein are called; empty where a protein is one.

    Raises:
        UserError: the form is none, or there is nothing.
    """
    from hubtools.inference.asking import Protein
    from hubtools.inference.proteins import STDIN, pasted, read_proteins

    if isinstance(proteins, PathLike):
        return read_proteins(fspath(proteins), pairs=pairs, chains=chains)
    if isinstance(proteins, str):
        if proteins.lstrip().startswith(">") and not pairs:
            return pasted(proteins, chains)
        if proteins == STDIN or any(sign in proteins for sign in "./\\") or is_file(Path(proteins)):
            return read_proteins(proteins, pairs=pairs, chains=chains)
        proteins = [proteins]
    if isinstance(proteins, Protein) or (pairs and isinstance(proteins, tuple) and len(proteins) == 2):
        proteins = [proteins]
    if isinstance(proteins, Mapping):
        return (_one(str(name), given, pairs, chains) for name, given in proteins.items())
    if not isinstance(proteins, Iterable):
        raise UserError(f"{type(proteins).__name__} holds no proteins", where="proteins", fix=_FORMS)
    return (_one(f"protein_{number}", given, pairs, chains) for number, given in enumerate(proteins, 1))


_FORMS = "Give a sequence, a list of sequences, a dictionary of them, or the path of a file."


def _one(name: str, given: Any, pairs: bool, chains: Sequence[str]) -> Protein | Unreadable:
    """One protein or pair in canonical form.

    Raises:
        UserError: it is in no form that is known, or of a pair where a protein is asked for, or the other way round.
    """
    from hubtools.data.structures.row_structures import known_letters
    from hubtools.inference.asking import Protein
    from hubtools.inference.proteins import canonical_protein

    structure = given.structure if isinstance(given, Protein) else None
    if isinstance(given, Protein):
        name, given = given.id, given.sequence if given.partner is None else (given.sequence, given.partner)
    texts = [given] if isinstance(given, str) else list(given) if isinstance(given, (tuple, list)) else []
    if not texts or not all(isinstance(text, str) for text in texts):
        raise UserError(f"{type(given).__name__} is no protein", where=name, fix=_FORMS)
    if len(texts) != 1 + pairs:
        asked = "pairs: give two sequences in a tuple" if pairs else "single proteins: give one sequence"
        raise UserError(f"the model is asked about {asked}", where=name)
    found = canonical_protein(name, texts[0], texts[1] if pairs else None, chains)
    if structure is None or not isinstance(found, Protein):
        return found
    return replace(found, structure=known_letters(structure, found.sequence, name))


def good_proteins(found: Iterable[Protein | Unreadable], skip_bad: bool, tally: Sifted) -> Iterator[Protein]:
    """The proteins; what is none stops everything, or is left out and noted."""
    from hubtools.inference.asking import Protein
    from hubtools.inference.proteins import nucleotides

    seen: set[str] = set()
    for one in found:
        if not isinstance(one, Protein):
            if not skip_bad:
                raise UserError(
                    one.error.what, where=one.error.where, fix=f"{one.error.fix or 'Correct it.'} Or go on: --skip-bad."
                )
            tally.left_out.append(str(one.error))
            continue
        tally.repeated += one.id in seen
        seen.add(one.id)
        tally.dna += nucleotides(one.sequence)
        yield one


def dna_note(count: int) -> Iterator[str]:
    """A line on sequences that look like DNA or RNA, where there are some."""
    if count:
        yield f"{count:,} sequences look like DNA or RNA: residues of proteins are expected"


def figure_paths(path: Path, ids: Sequence[str]) -> list[Path]:
    """Where figures of proteins go: the file itself, or a folder of files named by number and id.

    Raises:
        UserError: one file is named for several.
    """
    from hubtools.common.inside import file_stem, inside
    from hubtools.reporting.figures.plots import paper_format

    if path.suffix:
        paper_format(str(path))
        if len(ids) != 1:
            raise UserError(
                f"one file is named for the figures of {len(ids):,} proteins",
                where=str(path),
                fix=f"Name a folder: --figure {path.with_suffix('')}.",
            )
        return [path]
    # Ids may be equal, or become it.
    return [inside(path, f"{number:03d}-{file_stem(name)}.png") for number, name in enumerate(ids, 1)]
