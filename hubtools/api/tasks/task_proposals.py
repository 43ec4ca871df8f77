"""A task file from a user's table: what the data suggest is proposed, and loaded as a run would before it is written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from hubtools.api.asked import Say, silent
from hubtools.api.tasks.task_contents import TaskContents
from hubtools.api.tasks.task_labels import NONE, decided_labels, positive_label, usual_metrics
from hubtools.api.tasks.task_questions import Ask, TaskAnswers, TaskGuess
from hubtools.api.tasks.task_text import DecidedTask, drawn_splits, ruled_splits
from hubtools.common.errors import SeveralErrors, UserError
from hubtools.common.files import is_there
from hubtools.common.inside import inside, why_not_inside
from hubtools.common.notebook import line_html, lines_html, table_html
from hubtools.common.readers import reads
from hubtools.specs.level import trained_problems
from hubtools.specs.licences import meant_licence
from hubtools.specs.names import LONGEST_NAME

if TYPE_CHECKING:
    from hubtools.data.rows.inspection import UserTable
    from hubtools.specs.problem import Problem
    from hubtools.specs.task import Task


# A test of fewer than a hundred proteins tells two models apart by luck.
_FEW_ROWS = 1_000


@dataclass(frozen=True)
class ProposedTask:
    """A task file that was checked, and is not written yet.

    Attributes:
        path: where it will be written.
        text: what will be written.
        contents: what the data hold.
        guesses: what the data suggested.
        notes: what to look at, a line each.
    """

    path: Path
    text: str
    contents: TaskContents
    guesses: tuple[TaskGuess, ...]
    notes: tuple[str, ...] = ()

    @property
    def task(self) -> Task:
        """The checked file."""
        return self.contents.task

    def write(self) -> Path:
        """Write the file, in place of another of that name; its path, which any function takes as a task.

        Raises:
            UserError: the folder cannot be written.
        """
        from hubtools.common.files import write_atomic

        write_atomic(self.path, self.text)
        return self.path

    def __repr__(self) -> str:
        taken = "".join(f"\n  {guess.argument} {guess.value}: {guess.why}" for guess in self.guesses)
        return f"{self.task.name}, a {self.task.problem.value}, for {self.path}{taken}"

    def _repr_html_(self) -> str:
        rows = [(guess.argument, guess.value, guess.why) for guess in self.guesses]
        guessed = line_html("Taken from the data", strong=True) + table_html(("argument", "value", "why"), rows)
        said = lines_html("Look at", self.notes) + line_html(self.contents.power or "")
        return self.contents._repr_html_() + (guessed if rows else "") + said + line_html(f"for {self.path}")


@reads("table of a new task")
def new_task(
    table: str | PathLike[str] | Sequence[str | PathLike[str]],
    name: str | None = None,
    *,
    problem: str | None = None,
    sequence: str | None = None,
    partner: str | None = None,
    label: str | None = None,
    id: str | None = None,
    split_column: str | None = None,
    split: str | None = None,
    clusters: bool | None = None,
    mask: str | None = None,
    candidates: str | None = None,
    masked_value: float | None = None,
    masked_labels: Sequence[str] = (),
    separator: str | None = None,
    case: str | None = None,
    positive: str | None = None,
    primary: str | None = None,
    licence: str | None = None,
    citation: str | None = None,
    title: str | None = None,
    summary: str | None = None,
    header: Sequence[str] | None = None,
    to: str | PathLike[str] = "tasks",
    force: bool = False,
    ask: Ask | None = None,
    on_note: Say = silent,
) -> ProposedTask:
    """A task file for a table, after loading the data as a run would; :meth:`ProposedTask.write` writes it.

    What is not given is taken from the data, and listed in ``guesses``.

    Args:
        table: XLSX, CSV, TSV, Parquet, JSON lines or FASTA; also gzipped, or alone in a zip archive. Of several files each is
            a class, or a split, by its name.
        name: of the task, and of its file; by default that of the table.
        problem: for example ``sequence-regression``.
        sequence, partner, label: columns of the sequences, of the second protein of a pair, of what is to be predicted.
        id: column of unique names, or ``none``.
        split_column: column that says train, validation, test.
        split: shares to be drawn, such as ``80/10/10``.
        clusters: whether similar sequences are kept on one side; by default yes, but for variants of one protein.
        mask: column of 0 and 1 per residue: which labels count.
        candidates: letters; only these residues are scored.
        masked_value: value per residue that means: no label.
        masked_labels: labels that mean: not known, beside those that do in any data (empty, null, NaN, -100). A residue with
            one is not scored, a row with one is left out.
        separator: between the labels in a cell, or ``none``; by default what the cells suggest.
        case: ``fold`` where labels that differ by capitals alone are one label, ``keep`` where they are several.
        positive: the class to be detected, of two; or ``none``.
        primary: the metric that ranks.
        licence, citation: of the data, and who made them.
        title, summary: for people.
        header: names of the columns, where the file has none.
        to: folder of the task file.
        force: allow a task file of that name to be overwritten.
        ask: answers what was not given, in place of what the data suggest; gives None to what it leaves open.
        on_note: takes lines on what to look at, which ``notes`` keeps.

    Returns:
        The file as it will be written, the data, and what was guessed and why.

    Raises:
        UserError: the table cannot be read, holds a common mistake or does not say enough, or a task file of that name is there.

    >>> import hubtools, tempfile, pathlib
    >>> table = pathlib.Path(tempfile.mkdtemp(), "charge.csv")
    >>> letters = [("ACDEFGHIKLMNPQRSTVWY" * 3)[i : i + 25] for i in range(20)]
    >>> rows = [f"{s},{i % 2},{('train', 'train', 'test')[i % 3]}" for i, s in enumerate(letters)]
    >>> _ = table.write_text("\\n".join(["sequence,basic,set", *rows]))
    >>> proposed = hubtools.new_task(table, clusters=False)
    >>> proposed.task.name, proposed.task.problem.value, proposed.task.label_names
    ('charge', 'sequence-classification', ['not basic', 'basic'])
    >>> [guess.value for guess in proposed.guesses if guess.argument in ("split_column", "primary")]
    ['set', 'mcc']
    """
    from hubtools.data import DataCache, load_task_data
    from hubtools.data.rows.inspection import read_sheets
    from hubtools.specs.lookup.spec_files import parse_spec
    from hubtools.specs.task import Task

    notes: list[str] = []

    def note(line: str) -> None:
        notes.append(line)
        on_note(line)

    given: dict[str, str | None] = {
        "name": name, "problem": problem, "sequence": sequence, "partner": partner, "label": label, "id": id,
        "split_column": split_column, "split": split, "mask": mask, "candidates": candidates, "positive": positive,
        "separator": separator, "case": case, "primary": primary, "licence": licence, "citation": citation, "title": title, "summary": summary,
    }  # fmt: skip
    sources = [Path(table)] if isinstance(table, (str, PathLike)) else [Path(part) for part in table]
    source, folder, answers = sources[0], Path(to), TaskAnswers(given, ask)
    sheet = read_sheets(sources, list(header) if header else None)
    for line in sheet.notes:
        note(f"{source}: {line}")
    first = source if len(sources) == 1 else source.absolute().parent
    called = answers.of("name", "name of the task", _slug(first), "the name of the table, or of the folder of several")
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", called) or len(called) > LONGEST_NAME or why_not_inside(called):
        raise UserError(f"{called!r} is no name of a task", where="--name", fix=f"Write it as {_slug(Path(called))}.")
    path = inside(folder, f"{called}.yaml")
    if is_there(path) and not force:
        raise UserError("this file is there already", where=str(path), fix="Choose another --name, or use --force.")
    text = _decided(called, sheet, answers, clusters, masked_value, masked_labels, note).text(sheet, folder)
    task = parse_spec(text, Task, str(path))
    # The folder of the task may not be there yet, so that a way through it would lead nowhere.
    files = [file.model_copy(update={"path": path}) for file, path in zip(task.data.files, sources, strict=True)]
    task = task.model_copy(update={"data": task.data.model_copy(update={"files": files})})
    data = load_task_data(task, DataCache.default())
    return ProposedTask(path, text, TaskContents(data), tuple(answers.guesses), tuple(notes))


def _slug(path: Path) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", path.name.split(".")[0].lower()).strip("-")[:LONGEST_NAME].rstrip("-")
    # A table may be called like a device of Windows.
    return f"{name}-task" if name and why_not_inside(name) else name or "my-task"


@dataclass(frozen=True)
class _Columns:
    """Which column is what.

    Attributes:
        sequence, label, partner, id, split: names; None where there is none.
        flag: a column that marks validation, its values that do and those that do not.
    """

    sequence: str
    label: str
    partner: str | None
    id: str | None
    split: str | None
    flag: tuple[str, list[str], list[str]] | None


def _columns(sheet: UserTable, answers: TaskAnswers) -> _Columns:
    """Which column is what, each taken by one role only."""
    from hubtools.data.rows import inspection as look
    from hubtools.data.rows.label_guesses import refuse_label
    from hubtools.specs.problem import Problem

    given, columns = answers.given, ", ".join(sheet.columns)
    proteins = look.sequence_columns(sheet) if given["sequence"] is None else []
    likeliest = proteins[0] if proteins else None
    sequence = answers.of(
        "sequence", "column of the sequences", likeliest, "its cells look like proteins", known=columns
    )
    look.refuse_nucleotides(sheet, sheet.require(sequence, "--sequence"))
    others = [column for column in proteins if column != sequence]
    asked = given["problem"]
    if asked is not None:
        _known_problem(asked)
    wants_pair = (asked is None or Problem(asked).level.proteins > 1) and given["label"] not in others
    partner = given["partner"]
    if partner is None and len(others) == 1 and wants_pair:
        partner = others[0]
        answers.guess("partner", partner, "its cells look like proteins, too")
    named = (sequence, partner, given["mask"], given["split_column"])
    taken: set[str] = {column for column in named if column is not None}
    unique = look.id_column(sheet, taken)
    row_id = answers.of(
        "id",
        "column of unique names, or none",
        unique or NONE,
        "it is called so, and differs in each row" if unique else "no column is called so and differs in each row",
    )
    if row_id != NONE:
        taken.add(sheet.require(row_id, "--id"))
    split = given["split_column"] or look.split_column(sheet, taken)
    if split:
        taken.add(sheet.require(split, "--split-column"))
    if flag := look.validation_flag(sheet, taken):
        taken.add(flag[0])
    if given["split"]:
        split = None
    elif split and not given["split_column"]:
        answers.guess("split_column", split, "it says train and test")
    ids = {column for column in sheet.columns if column.lower() in {"id", "accession"}}
    likely = look.label_columns(sheet, taken | ids)
    if not likely and given["label"] is None:
        raise UserError(
            f"no column is left for the labels (there are: {columns})",
            where=str(sheet.path),
            fix="Add one; in a FASTA file write it into the headers, such as LABEL=nucleus.",
        )
    only = likely[0] if len(likely) == 1 else None
    label = answers.of(
        "label",
        "column of the labels",
        only,
        "it is called so, or is all that is left and could be learnt",
        known=", ".join(likely),
    )
    refuse_label(sheet, sequence, sheet.require(label, "--label"))
    return _Columns(sequence, label, partner, None if row_id == NONE else row_id, split, flag)


def _known_problem(kind: str) -> Problem:
    from hubtools.specs.problem import Problem

    known = trained_problems()
    if kind not in known:
        raise UserError(f"there is no problem {kind!r}", fix=f"Use one of: {', '.join(known)}.")
    return Problem(kind)


def _decided(
    name: str,
    sheet: UserTable,
    answers: TaskAnswers,
    clusters: bool | None,
    masked: float | None,
    none: Sequence[str],
    note: Say,
) -> DecidedTask:
    from hubtools.data.rows import inspection as look
    from hubtools.data.rows.label_guesses import guess_problem, outlying_value
    from hubtools.data.rows.table_problems import problems_of

    given, columns = answers.given, _columns(sheet, answers)
    sequence, label = columns.sequence, columns.label
    guessed = guess_problem(sheet, sequence, label, columns.partner)
    different = len(set(sheet.texts(label)))
    kind = answers.of(
        "problem",
        "problem",
        guessed.value if guessed else None,
        f"{label!r} has {different:,} different cells in {len(sheet.texts(label)):,} rows",
        known=", ".join(trained_problems()),
    )
    problem = _known_problem(kind)
    proteins = [column for column in (sequence, columns.partner) if column]
    found = problems_of(sheet, proteins, label, columns.id, problem)
    if len(found) > 1:
        raise SeveralErrors([text for text, _ in found], where=str(sheet.path))
    if found and found[0][1] > 1:
        raise UserError(found[0][0], where=str(sheet.path))
    look.refuse_empty(sheet, sequence, "sequence")
    labels = decided_labels(sheet, sequence, label, problem, answers, none, masked, note)
    positive = positive_label(answers, labels.names)
    proposal, also, why = usual_metrics(problem, labels.counts, positive)
    primary = answers.of("primary", "metric that ranks", proposal, why)
    if columns.split:
        splits, drawn = None, None
    else:
        # A pair needs both its proteins on one side: a share of the proteins is its square of the pairs.
        pairs = problem.level.proteins > 1
        usual, why = ("60/20/20", "usual for pairs") if pairs else _usual_shares(len(sheet.columns[label]))
        drawn = given["split"] or answers.of("split", "shares of train/validation/test", usual, why)
    if given["mask"]:
        sheet.require(given["mask"], "--mask")
    if columns.partner:
        sheet.require(columns.partner, "--partner")
    numbers = problem.level.by_residue and problem.kind == "regression"
    if masked is None and numbers and (odd := outlying_value(sheet, label)) is not None:
        said = f"the value {odd:g} is far from all others. If it stands for no label: --masked-value {odd:g}"
        note(f"{sheet.path}: {said}")
    splits = drawn_splits(drawn) if drawn is not None else ruled_splits(sheet, str(columns.split), columns.flag)
    if drawn is None and (unused := look.of_no_split(sheet, str(columns.split))):
        shown = ", ".join(
            f"{value!r} ({rows:,} rows)" for value, rows in sorted(unused.items(), key=lambda v: -v[1])[:8]
        )
        note(
            f"{sheet.path}: {columns.split!r}: no name of a split, so in none: {shown}{' …' if len(unused) > 8 else ''}"
        )
    # Of a pair's two proteins each may be in pairs of any label.
    stratified = problem.level.proteins == 1 and not any(line.lstrip().startswith("validation:") for line in splits)
    if clusters is None:
        clusters = not look.variants_of_one(sheet, sequence)
        if not clusters:
            note("the sequences are variants of one protein: they are not clustered (--clusters does it)")
        else:
            answers.guess(
                "clusters", "yes", "similar proteins stay on one side: a copy of a training protein is no test"
            )
    if stratified and not columns.split:
        answers.guess("stratified", "yes", "each split has each label in its share")
    return DecidedTask(
        name=name,
        title=given["title"] or name.replace("-", " ").capitalize(),
        summary=given["summary"] or f"Predicts {label} of each {problem.level.each}.",
        problem=problem,
        columns={
            "id": columns.id,
            "sequence": sequence,
            "partner": columns.partner,
            "label": label,
            "mask": given["mask"],
        },
        label_separator=labels.separator,
        candidates=given["candidates"],
        masked_value=masked,
        masked_labels=list(labels.masked),
        splits=splits,
        stratified=stratified,
        clusters=clusters,
        labels=labels.names,
        primary=primary,
        also=also,
        positive=positive,
        licence=_licence(answers),
        citation=answers.of("citation", "who made the data", "unpublished", "nothing is said of it"),
    )


def _usual_shares(rows: int) -> tuple[str, str]:
    """Shares of train, validation and test, and why."""
    if rows < _FEW_ROWS:
        return "60/20/20", f"of {rows:,} rows a tenth would be too few for a test"
    return "80/10/10", "usual"


def _licence(answers: TaskAnswers) -> str:
    """An identifier, or whatever else is no other way to write one.

    Raises:
        UserError: it is the name of a licence that has an identifier.
    """
    licence = answers.of("licence", "licence of the data", "unknown", "nothing is said of it")
    if (meant := meant_licence(licence)) is not None:
        raise UserError(f"{licence!r} is no identifier", where="--licence", fix=f"Did you mean {meant}?")
    return licence
