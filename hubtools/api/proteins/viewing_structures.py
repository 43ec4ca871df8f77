"""Structures looked at: of files that somebody has, folded, or measured; with what a model predicts of their residues."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubtools.api.asked import Names, names_of
from hubtools.common.errors import UserError
from hubtools.common.files import is_file, is_folder, write_atomic
from hubtools.common.notebook import line_html, lines_html

if TYPE_CHECKING:
    from hubtools.inference.decisions import Decided
    from hubtools.inference.predictor import Predictor
    from hubtools.reporting.structures.residue_predictions import ResiduePredictions
    from hubtools.reporting.structures.structure_page import ShownStructure

# What bench fold writes beside structures.
_FOLDS, _ERROR = "folds.tsv", ".pae.npz"


@dataclass(frozen=True)
class ViewedStructures(Sequence["ShownStructure"]):
    """Structures to be looked at, in their order.

    Attributes:
        shown: one a file: ``.structure``, ``.values`` (what is predicted), ``.confidence``, ``.aligned_error``.
        predictions: what is predicted; None where nothing is painted.
        title: of the page.
        program: the file of 3Dmol.js.
        about: lines on where predictions are from.
        notes: what the reader should know.
    """

    shown: tuple[ShownStructure, ...]
    predictions: ResiduePredictions | None
    title: str
    program: Path
    about: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __getitem__(self, place: Any) -> Any:
        """One structure by its place, or some."""
        return self.shown[place]

    def __len__(self) -> int:
        return len(self.shown)

    def __iter__(self) -> Iterator[ShownStructure]:
        return iter(self.shown)

    def page(self) -> str:
        """The page, as text.

        Raises:
            UserError: it would be too large.
        """
        from hubtools.reporting.structures.structure_page import structure_page

        return structure_page(self.shown, self.program, self.title, self.predictions, self.about)

    def frame(self) -> str:
        """The page inside another, which it can neither read nor change.

        Raises:
            UserError: it would be too large.
        """
        look = "width:100%;height:44rem;border:0"
        return f'<iframe sandbox="allow-scripts" srcdoc="{escape(self.page())}" style="{look}" title="Structures"></iframe>'

    def write(self, path: str | PathLike[str]) -> Path:
        """Write the page: one HTML file that needs no other, and no network.

        Raises:
            UserError: it would be too large, or cannot be written.
        """
        target = Path(path)
        write_atomic(target, self.page())
        return target

    def write_painted(self, folder: str | PathLike[str]) -> list[Path]:
        """Write the structures with predictions as B factors, for other viewers: ``NAME.pdb``, or ``.cif`` where that is too narrow.

        Of values the value, of probabilities percent, of labels the number of the label from 1; 0 where nothing is predicted. The
        first lines of a file say so.

        Raises:
            UserError: nothing is predicted of them.
        """
        from hubtools.common.inside import inside

        if self.predictions is None:
            raise UserError("there are no predictions to write as B factors", fix="Name a table of them.")
        written = []
        for one in self.shown:
            if not one.values:
                continue
            factors = {place: self.predictions.factors(values) for place, values in one.values.items()}
            text, kind = one.structure.text(
                factors, f"B factors are: {self.predictions.factors_said}. {' '.join(self.about)}"
            )
            written.append(inside(Path(folder), f"{one.structure.name}.{kind}"))
            write_atomic(written[-1], text)
        return written

    def draw(self, path: str | PathLike[str]) -> list[Path]:
        """Draw each structure as a still picture: .png, .pdf or .svg; of several structures into a folder, as PNG.

        Raises:
            UserError: the name ends in no format of figures, or one file is named for several structures.
        """
        from hubtools.api.proteins.given import figure_paths
        from hubtools.reporting.figures.plots import paper_file
        from hubtools.reporting.figures.structure_trace import structure_trace

        targets = figure_paths(Path(path), [one.structure.name for one in self.shown])
        for one, target in zip(self.shown, targets, strict=True):
            write_atomic(target, paper_file(structure_trace(one, self.predictions), target.suffix.lower()))
        return targets

    def __repr__(self) -> str:
        from hubtools.findings.wording import plural

        painted = sum(bool(one.values) for one in self.shown)
        said = "" if self.predictions is None else f"; {self.predictions.title} on {painted:,} of them"
        return f"{plural(len(self.shown), 'structure')}{said}"

    def _repr_html_(self) -> str:
        return "".join([line_html(repr(self), strong=True), self.frame(), lines_html("Notes", self.notes)])


def view(
    structures: Names,
    predictions: Any = None,
    *,
    label: str | None = None,
    title: str | None = None,
    runtime: str | PathLike[str] | None = None,
    mirrors: Sequence[Path] = (),
) -> ViewedStructures:
    """Structures as a page that turns them: in the colours of confidence, or of what a model predicts of each residue.

    Predictions are laid onto chains by sequence: residues that a file lacks are left out, and its numbers are never read as places.

    Args:
        structures: a structure file (PDB, mmCIF, BinaryCIF), a folder of them, such as ``bench fold`` writes, or several of
            either. Beside them, ``NAME.pae.npz`` has the predicted aligned error and ``folds.tsv`` the pTM.
        predictions: what :func:`hubtools.predict` gave for a task of residues, a data frame of that form, or a file that
            ``bench predict`` wrote (.tsv, .csv, .jsonl, .parquet). Of a single structure all proteins of the table that align are
            painted; else those that are called as their file, or FILE_CHAIN.
        label: in place of the decided labels the probability of this one.
        title: of the page; by default the name of the folder or file.
        runtime: folder with 3Dmol.js; by default it is fetched from npm once, pinned by checksum, and kept with the data.
        mirrors: folders in which the package may lie under its sha256.

    Returns:
        The structures, with ``write()``, ``write_painted()`` and a view in a notebook.

    Raises:
        UserError: there is no such structure, predictions are not of it, or 3Dmol.js is not to be had.
    """
    from hubtools.data.structures.chains import whole_structure
    from hubtools.findings.wording import plural
    from hubtools.reporting.structures.structure_page import ShownStructure
    from hubtools.reporting.structures.viewer_program import MOL_3D, SCRIPT

    named = names_of(structures)
    paths = [path for name in named for path in structure_paths(Path(name))]
    program = MOL_3D.files(None if runtime is None else Path(runtime), mirrors)[SCRIPT]
    said, about = (None, ()) if predictions is None else _predicted(predictions, label)
    facts = {folder: _facts(folder) for folder in {path.parent for path in paths}}
    shown, notes = [], list[str]()
    for path in paths:
        whole = whole_structure(path)
        values = {} if said is None else said.of(whole, len(paths) == 1, str(path))
        error, residues = _aligned_error(path.parent, whole.name), sum(map(len, whole.chains))
        if error is not None and len(error) != residues:
            notes.append(
                f"{whole.name}: its aligned error is of {len(error):,} residues, the file has {residues:,}: not shown"
            )
            error = None
        shown.append(ShownStructure(whole, values, error, facts[path.parent].get(whole.name, {})))
    if said is not None:
        painted = [one for one in shown if one.values]
        if not painted:
            raise UserError(
                f"none of {plural(len(said.proteins), 'protein')} of the predictions is called as a structure",
                where=named[0],
                fix="Let files be called as the ids of proteins, or name the one structure.",
            )
        if len(painted) < len(shown):
            notes.append(f"{len(shown) - len(painted):,} of {len(shown):,} structures have no predictions")
        notes += [note for one in painted for note in said.notes(one.structure, one.values)]
        if said.several:
            notes.append(f"{said.several:,} residues have several labels, of which the first is painted")
    return ViewedStructures(tuple(shown), said, title or Path(named[0]).name, program, about, tuple(notes))


def painter(predictor: Predictor) -> Callable[[str, Sequence[Decided]], str]:
    """What makes HTML of a structure file and of what a model predicts of its residues."""
    import pandas as pd

    from hubtools.inference.decisions import Decider

    decider, task = Decider(predictor), predictor.task

    def painted(file: str, answers: Sequence[Decided]) -> str:
        table = pd.DataFrame([row for one in answers for row in decider.rows(one)], columns=decider.columns)
        return view(file, table, label=task.metrics.positive, title="On the structure").frame()

    return painted


def structure_paths(path: Path) -> list[Path]:
    """The structure files that a path is, or that its folder holds.

    Raises:
        UserError: there is none.
    """
    from hubtools.data.structures.folder import some_structure_files

    if is_file(path):
        return [path]
    if not is_folder(path):
        raise UserError(
            "there is no such file or folder", where=str(path), fix="Name a structure file, or a folder of them."
        )
    return some_structure_files(path)


def _facts(folder: Path) -> dict[str, dict[str, str]]:
    """What the table of folds says of structures beside what these hold themselves, by name."""
    from hubtools.data.sources.source_rows import cell_text
    from hubtools.data.sources.table_files import table_rows
    from hubtools.data.structures.chains import name_of
    from hubtools.specs.data_sources import LocalFile

    path = folder / _FOLDS
    if not is_file(path):
        return {}
    table = table_rows(LocalFile(path=path), path)
    facts = {}
    for row in table.to_dict("records"):
        said = {title: cell_text(row.get(column)) for column, title in (("ptm", "pTM"), ("iptm", "ipTM"))}
        try:
            found = {title: f"{float(value):.2f}" for title, value in said.items() if value}
        except ValueError as error:
            raise UserError(f"a pTM is no number ({error})", where=str(path), fix="Fold again, or remove it.") from None
        facts[name_of(Path(cell_text(row.get("file"))))] = found
    return facts


def _aligned_error(folder: Path, name: str) -> Any:
    from hubtools.common.inside import inside
    from hubtools.data.structures.aligned_error import read_aligned_error

    path = inside(folder, f"{name}{_ERROR}")
    return read_aligned_error(path) if is_file(path) else None


def _predicted(given: Any, label: str | None) -> tuple[ResiduePredictions, tuple[str, ...]]:
    """Predictions of a table, and who made them as far as that is known."""
    from hubtools.data.sources.table_files import table_rows
    from hubtools.reporting.structures.residue_predictions import made_by, read_about, residue_predictions
    from hubtools.specs.data_sources import LocalFile

    if not isinstance(given, (str, PathLike)):
        table = given.to_pandas() if hasattr(given, "to_pandas") else given
        return residue_predictions(table, "predictions", label), made_by(getattr(given, "about", {}))
    path = Path(fspath(given))
    if not is_file(path):
        raise UserError("there is no such file", where=str(path), fix="Name what bench predict wrote.")
    beside = path.with_name(f"{path.name}.json")
    about = read_about(beside) if is_file(beside) else {}
    return residue_predictions(table_rows(LocalFile(path=path), path), str(path), label), made_by(about)
