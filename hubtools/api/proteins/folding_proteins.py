"""Structures of proteins of one's own, by a folding checkpoint, and how near known structures they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hubtools.api.asked import Say, silent
from hubtools.api.computing import ExecutionOptions, quiet
from hubtools.api.engines.dispatch import Dispatched, EngineChoice, HandedOver, Workers, hand_over, to_workers
from hubtools.api.proteins.given import Sifted, dna_note, given_proteins, good_proteins
from hubtools.common.errors import UserError
from hubtools.common.inside import inside
from hubtools.common.notebook import line_html, lines_html, table_html

if TYPE_CHECKING:
    import pandas

    from hubtools.inference.asking import Protein
    from hubtools.inference.folding.folds_folder import FoldedRow
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
    workers: Workers | None = None,
    on_note: Say = silent,
) -> FoldedProteins:
    """Predict the structure of each protein, by ESMFold or ESMFold2 as transformers has them.

    Written are ``ID.pdb`` (or ``.cif``) with the pLDDT (0 to 100) as B factor, ``ID.pae.npz`` with the predicted aligned error in Å,
    ``folds.tsv`` and ``fold.json``, which says how. What is there of the same proteins stays, so that what was stopped goes on. Several
    processes may fold into one folder: they divide the proteins, and each returns when all of its own are there.

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
        workers: processes of this machine that divide the proteins, or ``auto`` for as many as suit it: one a GPU, or one a core
            where there is memory for them. By default this process folds all.
        on_note: takes a line on memory before anything long starts.

    Raises:
        UserError: there is no such checkpoint, it does not fold, something is no protein or too long, or memory did not suffice for
            one; all others are folded nevertheless, and what was folded stays.
    """
    how: dict[str, Any] = {"seed": seed, "samples": samples, "chunk_size": chunk_size, "max_length": max_length}
    how |= {"form": form, "against": against, "skip_bad": skip_bad, "execution": execution, "on_note": on_note}
    done = fold_by(EngineChoice(workers), proteins, out, checkpoint, **how)
    assert isinstance(done, FoldedProteins)
    return done


def fold_by(
    by: EngineChoice,
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
) -> FoldedProteins | HandedOver:
    """The same by whom a user wants it.

    Args:
        by: workers of this machine, or an engine.
        proteins, out, checkpoint, form, against, seed, samples, chunk_size, max_length, skip_bad, execution, on_note: as of :func:`fold`.

    Returns:
        The structures; of an engine whose jobs go on by themselves, what it was given, until all structures are there.

    Raises:
        UserError: as :func:`fold`; there is no such engine or profile, or it takes no jobs.
    """
    import torch

    from hubtools.api.proteins.asked_folds import AskedFolds, foldable, settings_of
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
    how = execution or ExecutionOptions()
    with quiet():
        # Where an engine folds is not this machine: neither its device nor its memory decides anything.
        here = by.engine is None
        session = (how if here else replace(how, device="cpu")).session(Path())
        found = session.checkpoint(fspath(checkpoint))
        device = session.execution.device if here else torch.device("cpu")
        model = folding_model(found, device, chunk_size, samples)
        sifted = Sifted()
        read = list(good_proteins(given_proteins(proteins, False, ANY_CHAINS), skip_bad, sifted))
        if not read:
            raise UserError("there is no protein to fold", fix="Give at least one.")
        for protein in read:
            if len(chains_of(protein.sequence)) > len(CHAIN_NAMES):
                raise UserError(
                    f"it has more than {len(CHAIN_NAMES)} chains", where=protein.id, fix="Fold fewer of them."
                )
        kept, too_long, memory = foldable(model, read, max_length, here=here)
        stems = fold_stems(kept)
        known = None if against is None else KnownStructures(Path(against), kept, stems)
        folder = FoldsFolder(Path(out), form)
        folder.require(settings_of(found, model, seed))
        asked = AskedFolds(Path(out), how, found, model, folder, kept, stems, seed, max_length)
        if by.workers is not None and max_length is None:
            # Looked at here, and not by workers, each of which sees the memory that others left.
            asked.max_length = max(asked.lengths(range(len(asked))))
        to: HandedOver | Dispatched | None = None
        if by.engine is not None:
            to = hand_over(asked, by.engine, by.profile)
        elif by.workers is not None:
            to = to_workers(asked, by.workers)
        if isinstance(to, HandedOver):
            if to.jobs or to.under_way:
                return to
            asked.gather()
        elif to is not None:
            asked.fold_by(to, memory if here else "", on_note)
        else:
            asked.fold(session.execution, memory, on_note)
        rows = asked.rows()
        scores = None
        if known is not None:
            scores = known.score(kept, stems, [inside(folder.folder, row.file) for row in rows])
            _write_scores(folder.folder, scores)
    notes = tuple(_notes(kept, model, sifted, scores))
    left_out = (*sifted.left_out, *too_long)
    return FoldedProteins(tuple(rows), folder.folder, folder.about, len(asked.done()), scores, notes, left_out)


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
