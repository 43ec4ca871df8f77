"""A model asked about proteins that somebody has: in a notebook, or from a file into a file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubtools.api.asked import Say, silent
from hubtools.api.computing import ExecutionOptions, quiet
from hubtools.api.found_runs import said_of
from hubtools.api.proteins.given import Sifted, dna_note, given_proteins, good_proteins
from hubtools.common.errors import UserError
from hubtools.common.files import is_there
from hubtools.common.notebook import line_html, lines_html, table_html
from hubtools.data.rows.chain_breaks import chains_of, residues_in
from hubtools.data.structures.structure_letters import UNKNOWN
from hubtools.specs.references import is_address

if TYPE_CHECKING:
    import pandas

    from hubtools.inference.asking import Protein
    from hubtools.inference.decisions import Decided
    from hubtools.inference.predictor import Predictor
    from hubtools.runs.store import OpenRun

# Of more than these the model is made faster before it is asked.
_MANY = 64
OnAnswer = Callable[["Decided"], None]


def _unseen(decided: Decided) -> None:
    """Nobody watches."""


@dataclass
class Tally(Sifted):
    """What was read and said, for the end."""

    proteins: int = 0
    residues: int = 0
    cut: int = 0
    windows: int = 0
    longest: int = 0
    beyond: int = 0
    structured: int = 0
    letters: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)

    def count(self, decided: Decided) -> None:
        """Add an answer."""
        protein = decided.answer.protein
        self.proteins += 1
        self.residues += residues_in(protein.sequence) + len(protein.partner or "")
        self.windows += decided.answer.windows
        self.cut += decided.answer.windows > len(chains_of(protein.sequence))
        self.longest = max(self.longest, residues_in(protein.sequence))
        self.structured += sum(letter != UNKNOWN for letter in protein.structure or "")
        self.letters.update({letter: n for letter in "BJOUXZ" if (n := protein.sequence.count(letter))})
        self.labels.update(label for labels in decided.labels for label in labels)


@dataclass(frozen=True)
class ProteinTable(Sequence["Decided"]):
    """Answers in the order of the proteins; a sequence of :class:`hubtools.inference.decisions.Decided`.

    Attributes:
        answers: one a protein (or pair): ``.scores`` of shape (rows, outputs), a row for the protein or for each residue that the
            task is about, ``.labels``, ``.positions`` (from 1), ``.answer.protein``. Empty where they went into a file.
        columns: of :meth:`to_pandas`.
        predictor: the model.
        tally: what was read and said.
        about: how the predictions were made.
        notes: what the reader should know of them.
    """

    answers: tuple[Decided, ...]
    columns: tuple[str, ...]
    predictor: Predictor
    tally: Tally
    about: dict[str, str]
    notes: tuple[str, ...]
    _rows: Callable[[Decided], list[list[Any]]] = field(repr=False, compare=False)

    def __getitem__(self, place: Any) -> Any:
        """One answer, or some."""
        return self.answers[place]

    def __len__(self) -> int:
        return len(self.answers)

    def __iter__(self) -> Iterator[Decided]:
        return iter(self.answers)

    @property
    def left_out(self) -> list[str]:
        """What was no protein, a line each."""
        return self.tally.left_out

    def rows(self) -> list[list[Any]]:
        """Cells by :attr:`columns`."""
        return [row for decided in self.answers for row in self._rows(decided)]

    def to_pandas(self) -> pandas.DataFrame:
        """The table that ``bench predict`` writes.

        One row a protein (or pair): id, length (and partner_length); of a task about residues one row a residue: id, position
        (from 1), residue. Then value (of a regression), or predicted (labels with ``;`` between them), probability (of the
        predicted class) and a column ``p_LABEL`` for each label.
        """
        import pandas as pd

        return pd.DataFrame(self.rows(), columns=list(self.columns))

    def __repr__(self) -> str:
        from hubtools.findings.wording import plural

        noun = self.predictor.problem.level.row
        return f"{plural(self.tally.proteins, noun)}, {plural(self.tally.residues, 'residue')}: {self.about['task']}"

    def _repr_html_(self) -> str:
        from hubtools.findings.wording import number

        texts = {"id", "residue", "predicted"}
        counts = {"position", "length", "partner_length"}
        rows = [
            [cell if name in texts | counts else number(cell) for name, cell in zip(self.columns, row, strict=True)]
            for row in self.rows()
        ]
        table = table_html(self.columns, rows, numbers=[name for name in self.columns if name not in texts])
        made = line_html(f"{self.about['model']}, run {self.about['run']}")
        return "".join(
            [
                line_html(repr(self), strong=True),
                made,
                table if rows else "",
                lines_html("Notes", self.notes),
                lines_html("Left out", self.left_out),
            ]
        )


def predict(
    model: str | PathLike[str] | Predictor,
    proteins: Any,
    *,
    structures: str | PathLike[str] | None = None,
    out: str | PathLike[str] | None = None,
    paint: str | PathLike[str] | None = None,
    skip_bad: bool = False,
    execution: ExecutionOptions | None = None,
    on_answer: OnAnswer = _unseen,
    on_note: Say = silent,
) -> ProteinTable:
    """Predict what a model was trained on for proteins.

    Labels are decided by the thresholds that were chosen on validation. Long proteins are read in windows.

    Args:
        model: one run, named as for :func:`hubtools.results`, a model on the Hub that bench published (``owner/name[@revision]``),
            or what :func:`hubtools.open_model` gave.
        proteins: a sequence of residues; several in a list; id -> sequence; a FASTA file or table, by its path; or
            :class:`hubtools.inference.predictor.Protein`. Where the task is about pairs, two sequences in a tuple stand for one
            sequence; where its proteins have several chains, one sequence has ``:`` between them. A text that begins with ``>`` is FASTA, another without a dot or slash a sequence; ``-`` is FASTA on
            standard input.
        structures: folder with a structure file for each protein, named by its id, for a model that reads structure; a
            protein without one is read without.
        out: written here as answers come, so that there may be any number: .tsv, .csv, .jsonl, .parquet, .gff3; ``-`` is TSV on
            standard output. Answers are then not kept. Beside the file, ``OUT.json`` says how it was made.
        paint: a structure file, or a folder of them called as the proteins: of a model of residues, what it predicts is also
            painted on them, as :func:`hubtools.view` does: ``OUT.html`` and the folder ``OUT.structures``. Needs ``out``.
        skip_bad: leave out what is no protein and go on; it is listed in ``left_out``.
        execution: where and how to compute.
        on_answer: called after each protein.
        on_note: as for :func:`hubtools.results`.

    Returns:
        The answers, with ``to_pandas()``.

    Raises:
        UserError: there is no such model, or something is no protein.

    >>> import hubtools, tempfile
    >>> done = hubtools.run("embedded", "benchmarks/golden/tasks/golden-class.yaml",
    ...     "benchmarks/golden/recipes/golden-probe.yaml", runs=tempfile.mkdtemp(),
    ...     execution=hubtools.ExecutionOptions(device="cpu", embedding_cache=False))
    >>> table = hubtools.predict(done[0][0], {"one": "MKTAYIAKQR", "two": "VIYVFVTWYV"}).to_pandas()
    >>> list(table.columns)
    ['id', 'length', 'predicted', 'probability', 'p_helical', 'p_stranded']
    >>> table[["id", "length"]].values.tolist()
    [['one', 10], ['two', 10]]
    """
    from hubtools.inference.decisions import Decider
    from hubtools.inference.predictor import Predictor
    from hubtools.inference.writers import format_of

    target = None if out is None else fspath(out)
    if target is not None:
        format_of(target)
    name = "a model" if isinstance(model, Predictor) else fspath(model)
    with quiet():
        predictor = model if isinstance(model, Predictor) else open_model(model, execution, on_note=on_note)
        decider, tally, kept = Decider(predictor), Tally(), list["Decided"]()
        if paint is not None:
            _refuse_painting(predictor, target, Path(paint))
        about = predictor.about(name)

        def taken(decided: Decided) -> None:
            tally.count(decided)
            on_answer(decided)

        given = given_proteins(proteins, predictor.problem.level.proteins > 1, predictor.task.data.chain_names)
        read = good_proteins(given, skip_bad, tally)
        if structures is not None:
            from hubtools.inference.structures_beside import with_structures

            read = with_structures(read, Path(structures), predictor.tokeniser, predictor.task.data.structures)
        if target is None:
            # It pays to make the model faster first where many are read.
            many = isinstance(proteins, PathLike) or (hasattr(proteins, "__len__") and len(proteins) > _MANY)
            for answer in predictor.predict(read, many=many and not isinstance(proteins, str)):
                kept.append(decider.decide(answer))
                taken(kept[-1])
        else:
            _write(predictor, decider, read, target, about, taken)
    if target not in {None, "-"}:
        from hubtools.common.files import write_atomic

        write_atomic(Path(f"{target}.json"), json.dumps(about | {"proteins": f"{tally.proteins:,}"}, indent=2) + "\n")
    notes = [*_cautions(predictor, tally)]
    if paint is not None:
        assert target is not None
        notes += _painted(predictor, paint, target)
    return ProteinTable(tuple(kept), tuple(decider.columns), predictor, tally, about, tuple(notes), decider.rows)


def _write(
    predictor: Predictor, decider: Any, read: Iterator[Protein], out: str, about: dict[str, str], taken: OnAnswer
) -> None:
    from hubtools.inference.writers import writing

    with writing(out, decider, about) as writer:
        for answer in predictor.predict(read, many=True):
            decided = decider.decide(answer)
            writer.write(decided)
            taken(decided)


def _refuse_painting(predictor: Predictor, target: str | None, structures: Path) -> None:
    """Raise where nothing could be painted, before anything is computed."""
    from hubtools.api.proteins.viewing_structures import structure_paths
    from hubtools.inference.writers import format_of

    if not predictor.problem.level.by_residue:
        raise UserError("the model says nothing of single residues", fix="Leave out what it is to be painted on.")
    if target in {None, "-"} or format_of(str(target)) == "gff3":
        raise UserError("what is painted is read from the table", fix="Name one: .tsv, .csv, .jsonl or .parquet.")
    structure_paths(structures)


def _painted(predictor: Predictor, structures: str | PathLike[str], table: str) -> tuple[str, ...]:
    """Write the page and the structures beside the table; what there is to know of them."""
    from hubtools.api.proteins.viewing_structures import view

    # Of a task that detects one class, how likely it is; the decision is in the table.
    done = view(structures, table, label=predictor.task.metrics.positive, title=predictor.task.title)
    done.write(f"{table}.html")
    done.write_painted(f"{table}.structures")
    return done.notes


def open_model(
    model: str | PathLike[str], execution: ExecutionOptions | None = None, *, on_note: Say = silent
) -> Predictor:
    """A trained model, loaded once to be asked often.

    Args:
        model: as for :func:`hubtools.predict`.
        execution: where and how it computes.
        on_note: as for :func:`hubtools.results`.

    Raises:
        UserError: there is no such model, or the device cannot be used.
    """
    from hubtools.inference.named_model import open_predictor

    predictor = open_predictor(model_named(fspath(model), on_note), (execution or ExecutionOptions()).choose())
    if predictor.execution.auto_budget:
        from hubtools.specs.recipe import Recipe
        from hubtools.training.compute.speed import settle_budget

        # Nothing is trained, and it computes in float32: as a probe reads.
        reading = Recipe(name="reading", adaptation="probe", precision="float32")
        predictor.execution = settle_budget(predictor.model, reading, predictor.execution)
    return predictor


def model_named(name: str, say: Say = silent) -> str | OpenRun:
    """The one run that is named, where it is on this machine; else the name, of a model on the Hub."""
    from hubtools.findings.naming.named_runs import run_named
    from hubtools.findings.naming.selectors import parse

    place = parse(name)[0]
    if is_address(place) or not is_there(Path(place)):
        return name
    run, named = run_named(name)
    said_of([named], say)
    return run


def _cautions(predictor: Predictor, tally: Tally) -> Iterator[str]:
    """What a reader of the predictions should know."""
    data = predictor.record.data
    learnt = data.splits.get("train") if data else None
    yield from dna_note(tally.dna)
    if tally.repeated:
        yield f"{tally.repeated:,} ids occur again: all are kept, in the order of the file"
    if tally.letters:
        letters = ", ".join(f"{letter} ({n:,})" for letter, n in sorted(tally.letters.items()))
        yield f"letters that stand for no single common residue: {letters}"
    if learnt is not None and tally.longest > 2 * learnt.longest:
        yield (
            f"the longest has {tally.longest:,} residues, of the training proteins {learnt.longest:,}: "
            "nothing is known of such ones"
        )
    yield from _of_structure(predictor, tally)
    if predictor.problem.kind != "regression" and not predictor.calibrated:
        yield "the calibration of these probabilities was not checked"


def _of_structure(predictor: Predictor, tally: Tally) -> Iterator[str]:
    """What a model that reads structure was not shown, or was shown and had not learnt from."""
    learnt = predictor.record.structure
    if learnt is None:
        return
    without = tally.residues - tally.structured
    if learnt.source == "none":
        if tally.structured:
            yield "the model was trained without structures (#): what it makes of them was not measured"
    elif without:
        share = 100 * (1 - learnt.unknown / max(learnt.residues, 1))
        yield (
            f"{without:,} of {tally.residues:,} residues were read without structure (#); the model was trained with 3Di "
            f"letters of {share:.0f} % of its residues, and what it says without them was not measured"
        )
