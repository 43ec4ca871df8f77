"""Structures of proteins of one's own, by a folding checkpoint, and how near known structures they are."""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hubtools.api.asked import Say, silent
from hubtools.api.computing import ExecutionOptions, quiet
from hubtools.api.proteins.given import Sifted, dna_note, given_proteins, good_proteins
from hubtools.common import telling
from hubtools.common.errors import UserError
from hubtools.common.notebook import line_html, lines_html, table_html
from hubtools.common.version import __version__

if TYPE_CHECKING:
    import pandas

    from hubtools.inference.asking import Protein
    from hubtools.inference.folding.folds_folder import FoldedRow, FoldsFolder
    from hubtools.inference.folding.known_structures import FoldScores
    from hubtools.models.folding.folding_models import FoldingModel

ESMFOLD = "facebook/esmfold_v1"


@dataclass(frozen=True)
class FoldedProteins(Sequence["FoldedRow"]):
    """Predicted structures, in the order of the proteins.

    Attributes:
        folded: one a protein: ``.id``, ``.file``, ``.length``, ``.mean_plddt`` (0 to 100), ``.ptm``, ``.seconds`` …
        folder: where the files are.
        about: how they were made.
        earlier: how many of them were there before.
        scores: against known structures; None where none were named.
        notes: what the reader should know.
        left_out: what was no protein, or too long, a line each.
    """

    folded: tuple[FoldedRow, ...]
    folder: Path
    about: dict[str, Any]
    earlier: int
    scores: FoldScores | None
    notes: tuple[str, ...]
    left_out: tuple[str, ...]

    def __getitem__(self, place: Any) -> Any:
        """One protein by its place, or some."""
        return self.folded[place]

    def __len__(self) -> int:
        return len(self.folded)

    def __iter__(self) -> Iterator[FoldedRow]:
        return iter(self.folded)

    def to_pandas(self) -> pandas.DataFrame:
        """A row a protein, as ``folds.tsv`` has it, with its scores behind where there are known structures."""
        import pandas as pd

        from hubtools.inference.folding.folds_folder import COLUMNS

        table = pd.DataFrame([row.model_dump() for row in self.folded], columns=list(COLUMNS))
        if self.scores is None:
            return table
        scores = pd.DataFrame([one.row() for one in self.scores.scored], columns=list(self.scores.COLUMNS))
        return table.merge(scores.drop(columns=["id", "length"]), on="file", how="left")

    def __repr__(self) -> str:
        from hubtools.findings.wording import plural

        new = len(self.folded) - self.earlier
        there = f", {self.earlier:,} there already" if self.earlier else ""
        return f"{plural(new, 'structure')} by {self.about['checkpoint']}{there}: {self.folder}"

    def _repr_html_(self) -> str:
        rows = [(one.id, one.length, f"{one.mean_plddt:.1f}", f"{one.ptm:.2f}", one.file) for one in self.folded]
        names = ("id", "length", "mean pLDDT", "pTM", "file")
        said = [line_html(repr(self), strong=True), table_html(names, rows, numbers=names[1:4])]
        said += [lines_html("Against known structures", score_lines(self.scores))] if self.scores else []
        return "".join([*said, lines_html("Notes", self.notes), lines_html("Left out", self.left_out)])


def fold(
    proteins: Any,
    out: str | PathLike[str],
    checkpoint: str | PathLike[str] = ESMFOLD,
    *,
    form: Literal["pdb", "mmcif"] = "pdb",
    against: str | PathLike[str] | None = None,
    seed: int = 0,
    samples: int | None = None,
    chunk_size: int | None = None,
    max_length: int | None = None,
    skip_bad: bool = False,
    execution: ExecutionOptions | None = None,
    on_note: Say = silent,
) -> FoldedProteins:
    """Predict the structure of each protein, by ESMFold or ESMFold2 as transformers has them.

    Written are ``ID.pdb`` (or ``.cif``) with the pLDDT (0 to 100) as B factor, ``ID.pae.npz`` with the predicted aligned error in Å,
    ``folds.tsv`` and ``fold.json``, which says how. What is there of the same proteins stays, so that what was stopped goes on.

    Args:
        proteins: as for :func:`hubtools.predict`; chains of a complex with ``:`` between.
        out: the folder, which is made.
        checkpoint: a folder, or a name on the Hub as ``owner/name[@revision]``.
        form: of the files.
        against: folder with known structures, named by ids: lDDT, TM-score, GDT-TS and RMSD go into ``scores.tsv`` there.
        seed: of what the model draws; each protein has draws of its own, whatever was folded before it.
        samples: structures drawn of each protein, of which the one with the highest pTM stays.
        chunk_size: rows that memory-heavy layers compute at once: fewer take less memory and more time.
        max_length: fold all proteins up to so many residues, whatever the estimate of memory says; longer ones are left out.
        skip_bad: leave out what is no protein and go on.
        execution: where and how to compute.
        on_note: takes a line on memory before anything long starts.

    Raises:
        UserError: there is no such checkpoint, it does not fold, something is no protein or too long, or memory did not suffice;
            structures that were finished stay.
    """
    import torch

    from hubtools.common.inside import inside
    from hubtools.data.rows.chain_breaks import ANY_CHAINS, chains_of
    from hubtools.data.structures.chains import require_biotite
    from hubtools.inference.folding.folds_folder import ENDINGS, FoldsFolder, fold_stems
    from hubtools.inference.folding.known_structures import KnownStructures
    from hubtools.models.folding.folding_models import CHAIN_NAMES, folding_model

    if form not in ENDINGS:
        raise UserError(f"{form!r} is none of {', '.join(ENDINGS)}", where="form")
    for name, given in (("samples", samples), ("chunk_size", chunk_size), ("max_length", max_length)):
        if given is not None and given < 1:
            raise UserError(f"{given} is no number from 1", where=name)
    require_biotite("fold")
    with quiet():
        session = (execution or ExecutionOptions()).session(Path())
        found = session.checkpoint(fspath(checkpoint))
        model = folding_model(found, session.execution.device, chunk_size, samples)
        sifted = Sifted()
        read = list(good_proteins(given_proteins(proteins, False, ANY_CHAINS), skip_bad, sifted))
        if not read:
            raise UserError("there is no protein to fold", fix="Give at least one.")
        for protein in read:
            if len(chains_of(protein.sequence)) > len(CHAIN_NAMES):
                raise UserError(
                    f"it has more than {len(CHAIN_NAMES)} chains", where=protein.id, fix="Fold fewer of them."
                )
        kept, too_long, memory = _foldable(model, read, max_length)
        stems = fold_stems(kept)
        known = None if against is None else KnownStructures(Path(against), kept, stems)
        settings = found.pinned() | {"model": model.kind, "precision": model.precision}
        settings |= {"samples": model.samples, "seed": seed} if model.draws else {}
        folder = FoldsFolder(
            Path(out), settings, _about(found.pinned(), model, session.execution.device_name, memory), form
        )
        rows = [folder.found(protein, stem) for protein, stem in zip(kept, stems, strict=True)]
        waiting = [place for place, row in enumerate(rows) if row is None]
        if waiting:
            on_note(f"{memory}; {len(waiting):,} to fold")
        with closing(telling.bar("folding", len(waiting), unit=" proteins")) as shown:
            for place in waiting:
                rows[place] = _folded(model, folder, kept[place], stems[place], seed)
                shown.update()
        if session.execution.device.type == "cuda":
            folder.about["peak memory of the device"] = torch.cuda.max_memory_allocated(session.execution.device)
        folder.write()
        folded = tuple(row for row in rows if row is not None)
        scores = None
        if known is not None:
            scores = known.score(kept, stems, [inside(folder.folder, row.file) for row in folded])
            _write_scores(folder.folder, scores)
    notes = tuple(_notes(kept, model, sifted, scores))
    left_out = (*sifted.left_out, *too_long)
    return FoldedProteins(folded, folder.folder, folder.about, len(rows) - len(waiting), scores, notes, left_out)


def _foldable(
    model: FoldingModel, proteins: Sequence[Protein], longest: int | None
) -> tuple[list[Protein], list[str], str]:
    """The proteins that are folded, what is left out, a line each, and what memory they take, in words.

    Raises:
        UserError: nobody said how long they may be, and one is too long.
    """
    from hubtools.data.rows.chain_breaks import chains_of
    from hubtools.training.folding.fold_limits import needs, refuse_long

    lengths = [model.read_length(chains_of(protein.sequence)) for protein in proteins]
    if longest is None:
        help = (
            "Use a GPU, a smaller --chunk-size or fewer --samples."
            if model.draws
            else "Use a GPU, or a smaller --chunk-size."
        )
        fix = f"{help} --max-length N folds all up to N residues whatever the estimate, and leaves out longer ones."
        return list(proteins), [], refuse_long(model, [protein.id for protein in proteins], lengths, fix)
    sized = list(zip(proteins, lengths, strict=True))
    kept = [protein for protein, length in sized if length <= longest]
    if not kept:
        raise UserError(f"all proteins have more than {longest:,} residues", where="--max-length", fix="Give more.")
    left = [f"{one.id}: {n:,} residues, more than --max-length {longest:,}" for one, n in sized if n > longest]
    return kept, left, needs(model, max(length for length in lengths if length <= longest))


def _folded(model: FoldingModel, folder: FoldsFolder, protein: Protein, stem: str, seed: int) -> FoldedRow:
    from hubtools.data.rows.chain_breaks import chains_of
    from hubtools.training.folding.structure_predictions import draw_of, fold_one

    _ = model.model  # Loading is not of the first protein's seconds.
    begun, chains = time.perf_counter(), chains_of(protein.sequence)
    fix = (
        f"{len(folder.rows):,} structures stay in {folder.folder}. Use a smaller --chunk-size"
        f"{', fewer --samples' if model.draws else ''}, or leave it out: --max-length {model.read_length(chains) - 1}."
    )
    folded = fold_one(model, chains, draw_of(seed, protein.sequence), protein.id, fix)
    return folder.add(protein, stem, folded, time.perf_counter() - begun, seed if model.draws else None)


def _about(pinned: dict[str, str], model: FoldingModel, device: str, memory: str) -> dict[str, Any]:
    """How and where structures are made."""
    from importlib.metadata import version

    return {
        **pinned,
        "model": model.kind,
        "bench": __version__,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": f"{model.device.type}: {device}",
        "chunk size": model.chunk,
        "memory, estimated": memory,
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers", "biotite")},
    }


def _write_scores(folder: Path, scores: FoldScores) -> None:
    import json

    from hubtools.common.files import write_atomic
    from hubtools.inference.folding.folds_folder import table_text

    write_atomic(folder / "scores.tsv", table_text(scores.COLUMNS, (one.row() for one in scores.scored)))
    means = {name: {"mean": found.value, "low": found.low, "high": found.high} for name, found in scores.means.items()}
    told = {"proteins": len(scores.scored), "without a known structure": scores.without, "means": means}
    write_atomic(folder / "scores.json", json.dumps(told, indent=2) + "\n")


def score_lines(scores: FoldScores) -> list[str]:
    """The mean of each score with its 95 % interval over proteins."""
    from hubtools.findings.wording import with_interval
    from hubtools.specs.metric_names import METRICS

    return [
        f"{METRICS[name].title}: {with_interval(found.value, found.low, found.high)}"
        for name, found in scores.means.items()
    ]


def _notes(
    proteins: Sequence[Protein], model: FoldingModel, sifted: Sifted, scores: FoldScores | None
) -> Iterator[str]:
    """What a reader of the structures should know."""
    yield from dna_note(sifted.dna)
    letters = Counter("".join(protein.sequence.replace(":", "") for protein in proteins))
    other = {letter: n for letter, n in letters.items() if letter not in model.known or letter == "X"}
    if other:
        told = ", ".join(f"{letter} ({n:,})" for letter, n in sorted(other.items()))
        yield f"read as X, a residue that is not known: {told}"
    if scores is not None and scores.without:
        yield f"{scores.without:,} proteins have no known structure to be held against"
