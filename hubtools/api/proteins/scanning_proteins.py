"""Every substitution of proteins of one's own, scored: in a notebook, as a table, and as a map for a paper."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hubtools.api.asked import Say, silent
from hubtools.api.computing import ExecutionOptions, quiet
from hubtools.api.predicting import open_model
from hubtools.api.proteins.given import Sifted, dna_note, figure_paths, given_proteins, good_proteins
from hubtools.common.errors import UserError
from hubtools.common.notebook import line_html, lines_html, table_html
from hubtools.common.version import __version__

if TYPE_CHECKING:
    import pandas

    from hubtools.inference.checkpoints.substitution_scan import ScannedProtein, Scanner
    from hubtools.inference.predictor import Predictor


@dataclass(frozen=True)
class SubstitutionScan(Sequence["ScannedProtein"]):
    """Scores of all substitutions, in the order of the proteins.

    Attributes:
        scanned: one a protein: ``.protein``, ``.first`` (residue, from 1), ``.scores`` of shape (residues, 20) in the order of
            ``ACDEFGHIKLMNPQRSTVWY``, ``.wild_type`` (what a trained model says of the protein itself).
        meaning: of a score.
        about: how scores were made.
        notes: what the reader should know of them.
        left_out: what was no protein, a line each.
    """

    scanned: tuple[ScannedProtein, ...]
    meaning: str
    about: dict[str, str]
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def __getitem__(self, place: Any) -> Any:
        """One protein by its place, or some."""
        return self.scanned[place]

    def __len__(self) -> int:
        return len(self.scanned)

    def __iter__(self) -> Iterator[ScannedProtein]:
        return iter(self.scanned)

    @property
    def substitutions(self) -> int:
        """How many were scored."""
        return sum(len(one.rows()) for one in self.scanned)

    def to_pandas(self) -> pandas.DataFrame:
        """A row a substitution: id, position (from 1), wildtype, mutant, mutation (A24G), score."""
        import pandas as pd

        from hubtools.inference.checkpoints.substitution_scan import COLUMNS

        return pd.DataFrame([row for one in self.scanned for row in one.rows()], columns=list(COLUMNS))

    def write(self, path: str | PathLike[str]) -> Path:
        """Write the table: .csv, .tsv, .jsonl or .parquet; beside it ``PATH.json`` says how it was made.

        Raises:
            UserError: the name ends in no format that is written.
        """
        from hubtools.common.files import write_atomic
        from hubtools.inference.checkpoints.substitution_scan import ScanRows
        from hubtools.inference.writers import writing

        target = Path(path)
        _table_format(str(target))
        rows: Any = ScanRows()
        with writing(str(target), rows, self.about) as writer:
            for one in self.scanned:
                scanned: Any = one
                writer.write(scanned)
        write_atomic(target.with_name(f"{target.name}.json"), json.dumps(self.about, indent=2) + "\n")
        return target

    def draw(self, path: str | PathLike[str]) -> list[Path]:
        """Draw the map of each protein: .png, .pdf or .svg; of several proteins into a folder, as PNG.

        Raises:
            UserError: the name ends in no format of figures, or one file is named for several proteins.
        """
        from hubtools.common.files import write_atomic
        from hubtools.reporting.figures.plots import paper_file

        written = []
        for one, target in zip(
            self.scanned, figure_paths(Path(path), [s.protein.id for s in self.scanned]), strict=True
        ):
            write_atomic(target, paper_file(self._map(one), target.suffix.lower()))
            written.append(target)
        return written

    def _map(self, one: ScannedProtein) -> Any:
        from hubtools.data.rows.variants import STANDARD
        from hubtools.reporting.figures.substitution_map import substitution_map

        by = self.about["checkpoint"]
        how = self.about["scoring"].replace("-", " ") if "scoring" in self.about else ""
        how = how or f"{self.about['recipe']} on {self.about['task']}"
        return substitution_map(
            one.scores, one.letters, STANDARD, one.first, f"{one.protein.id}: {by}, {how}", self.meaning
        )

    def __repr__(self) -> str:
        from hubtools.findings.wording import plural

        read = plural(len(self.scanned), "protein")
        return f"{plural(self.substitutions, 'substitution')} of {read}: {self.meaning}"

    def _repr_html_(self) -> str:
        rows = [(one.protein.id, f"{one.first} to {one.first + len(one.scores) - 1}", len(one.rows())) for one in self]
        table = table_html(("id", "residues", "substitutions"), rows, numbers=["substitutions"])
        said = [line_html(repr(self), strong=True), table, lines_html("Notes", self.notes)]
        return "".join([*said, lines_html("Left out", self.left_out)])


def scan(
    proteins: Any,
    checkpoint: str | PathLike[str] | None = None,
    *,
    model: str | PathLike[str] | Predictor | None = None,
    scoring: Literal["masked-marginals", "wildtype-marginals"] = "masked-marginals",
    label: str | None = None,
    region: str | None = None,
    structures: str | PathLike[str] | None = None,
    skip_bad: bool = False,
    execution: ExecutionOptions | None = None,
    on_note: Say = silent,
) -> SubstitutionScan:
    """Score every substitution of proteins: by a checkpoint as it is, or by a model that was trained.

    A checkpoint's score is log p(mutant) − log p(wild type), by the code of variant-effect tasks. A trained model's is what it predicts
    of the mutant less what it predicts of the wild type: the value, or the probability of a label.

    Args:
        proteins: as for :func:`hubtools.predict`.
        checkpoint: a masked language model: a folder, a name on the Hub, or ``embedded``.
        model: in its place, as for :func:`hubtools.predict`: of a task about whole proteins.
        scoring: of a checkpoint: each position hidden and read alone, or the protein read once as it is.
        label: of a model with labels: whose probability counts; of two, the positive or second by default.
        region: residues as ``20-80``, from 1; all by default.
        structures: folder with a structure file for each protein, for what reads structure.
        skip_bad: leave out what is no protein and go on.
        execution: where and how to compute.
        on_note: as for :func:`hubtools.results`.

    Returns:
        The scores, with ``to_pandas()``, ``write(path)`` and ``draw(path)``.

    Raises:
        UserError: neither checkpoint nor model is named, or both; it has no such scores; or something is no protein.

    >>> import hubtools
    >>> found = hubtools.scan({"one": "MKTAYIAKQR"}, "embedded", region="3-5",
    ...     execution=hubtools.ExecutionOptions(device="cpu"))
    >>> found.to_pandas().shape, found[0].letters, found[0].scores.shape
    ((57, 6), 'TAY', (3, 20))
    """
    from hubtools.inference.checkpoints.substitution_scan import (
        SCORINGS,
        CheckpointScanner,
        ModelScanner,
        places_of,
        region_of,
    )

    if (checkpoint is None) == (model is None):
        raise UserError(
            "one of checkpoint and model must be named",
            where="scan",
            fix="--checkpoint asks a language model as it is, --model one that was trained.",
        )
    if scoring not in SCORINGS:
        raise UserError(f"{scoring!r} is none of {', '.join(SCORINGS)}", where="scoring")
    if checkpoint is not None and label is not None:
        raise UserError("a language model has no labels", where="label", fix="Leave it out.")
    asked = None if region is None else region_of(region)
    options = execution or ExecutionOptions()
    with quiet():
        sifted = Sifted()
        good = good_proteins(given_proteins(proteins, False), skip_bad, sifted)
        scanner: Scanner
        rule = None
        if checkpoint is not None:
            session = options.session(Path())
            found = session.checkpoint(fspath(checkpoint))
            tokeniser = session.tokeniser(found)
            if structures is None:
                good = iter(list(good))
            scanner = CheckpointScanner(found, tokeniser, session.execution, scoring)
        else:
            from hubtools.inference.predictor import Predictor

            assert model is not None
            predictor = model if isinstance(model, Predictor) else open_model(model, options, on_note=on_note)
            scanner, tokeniser, rule = (
                ModelScanner(predictor, label),
                predictor.tokeniser,
                predictor.task.data.structures,
            )
        if structures is not None:
            from hubtools.inference.structures_beside import with_structures

            good = with_structures(good, Path(structures), tokeniser, rule)
        read = list(good)
        if not read:
            raise UserError("there is no protein to scan", fix="Give at least one.")
        for protein in read:
            places_of(protein, asked)
        scanned = tuple(scanner.scan(read, asked))
    about = scanner.about()
    if model is not None and not hasattr(model, "predict"):
        about["model"] = fspath(model)
    about |= {"bench": __version__, "made": datetime.now(UTC).isoformat(timespec="seconds")}
    if asked is not None:
        about["region"] = str(asked)
    return SubstitutionScan(scanned, scanner.meaning, about, tuple(_notes(scanned, sifted)), tuple(sifted.left_out))


def check_scan_paths(out: str | None, figure: str | None) -> None:
    """Make sure that the names of what will be written have formats, before anything is computed.

    Raises:
        UserError: one has none.
    """
    from hubtools.reporting.figures.plots import paper_format

    if out is not None:
        _table_format(out)
    if figure is not None and Path(figure).suffix:
        paper_format(figure)


def _table_format(path: str) -> None:
    from hubtools.inference.writers import format_of

    if format_of(path) == "gff3":
        raise UserError("GFF3 holds labels of residues", where=path, fix="End it in .csv, .tsv, .jsonl or .parquet.")


def _notes(scanned: Sequence[ScannedProtein], sifted: Sifted) -> Iterator[str]:
    """What a reader of the scores should know."""
    yield from dna_note(sifted.dna)
    other = sum(letter not in "ACDEFGHIKLMNPQRSTVWY" for one in scanned for letter in one.letters)
    if other:
        yield f"{other:,} residues are none of the 20 amino acids, and have no scores"
