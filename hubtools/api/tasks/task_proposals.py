"""A task file from a user's table: what the data suggest is proposed, and loaded as a run would before it is written."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from hubtools.api.asked import Say, silent
from hubtools.api.tasks.task_contents import TaskContents
from hubtools.api.tasks.task_text import DecidedTask, drawn_splits, ruled_splits
from hubtools.common.errors import UserError
from hubtools.common.notebook import line_html, lines_html, table_html
from hubtools.specs.level import trained_problems

if TYPE_CHECKING:
    from hubtools.data.rows.inspection import UserTable
    from hubtools.specs.problem import Problem
    from hubtools.specs.task import Task

_NONE = "none"


@dataclass(frozen=True)
class TaskQuestion:
    """What the caller did not say.

    Attributes:
        argument: of :func:`hubtools.new_task` that answers it.
        text: for a person.
        proposal: what the data suggest, None where they do not say.
        why: what the proposal rests on.
        known: what may be answered, where that can be listed.
        optional: whether it may be left open, by answering None.
    """

    argument: str
    text: str
    proposal: str | None
    why: str
    known: str = ""
    optional: bool = False


Ask = Callable[[TaskQuestion], str | None]


@dataclass(frozen=True)
class TaskGuess:
    """A value that the caller did not give.

    Attributes:
        argument: of :func:`hubtools.new_task` that gives it.
        value: that was taken.
        why: what it rests on.
    """

    argument: str
    value: str
    why: str


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


def new_task(
    table: str | PathLike[str],
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
        table: CSV, TSV, Parquet or FASTA; also gzipped, or alone in a zip archive.
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
    from hubtools.data.rows.inspection import read_sheet
    from hubtools.specs.lookup.spec_files import parse_spec
    from hubtools.specs.task import Task

    notes: list[str] = []

    def note(line: str) -> None:
        notes.append(line)
        on_note(line)

    given: dict[str, str | None] = {
        "name": name, "problem": problem, "sequence": sequence, "partner": partner, "label": label, "id": id,
        "split_column": split_column, "split": split, "mask": mask, "candidates": candidates, "positive": positive,
        "primary": primary, "licence": licence, "citation": citation, "title": title, "summary": summary,
    }  # fmt: skip
    source, folder, answers = Path(table), Path(to), _Answers(given, ask)
    sheet = read_sheet(source, list(header) if header else None)
    for line in sheet.notes:
        note(f"{source}: {line}")
    called = answers.of("name", "name of the task", _slug(source), "the name of the table")
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", called):
        raise UserError(f"{called!r} is no name of a task", where="--name", fix=f"Write it as {_slug(Path(called))}.")
    path = folder / f"{called}.yaml"
    if path.exists() and not force:
        raise UserError("this file is there already", where=str(path), fix="Choose another --name, or use --force.")
    text = _decided(called, sheet, answers, clusters, masked_value, note).text(sheet, folder)
    task = parse_spec(text, Task, str(path))
    # The folder of the task may not be there yet, so that a way through it would lead nowhere.
    files = [file.model_copy(update={"path": source}) for file in task.data.files]
    task = task.model_copy(update={"data": task.data.model_copy(update={"files": files})})
    data = load_task_data(task, DataCache.default())
    return ProposedTask(path, text, TaskContents(data), tuple(answers.guesses), tuple(notes))


class _Answers:
    """What the caller gave, and what is asked or guessed for the rest."""

    def __init__(self, given: dict[str, str | None], ask: Ask | None) -> None:
        self.given, self.guesses = given, list[TaskGuess]()
        self._ask = ask or _as_proposed

    def of(self, argument: str, text: str, proposal: str | None, why: str, *, known: str = "") -> str:
        """A value: the caller's, a person's, or what the data suggest.

        Raises:
            UserError: nobody says.
        """
        if (value := self.given[argument]) is not None:
            return value
        answer = self._ask(TaskQuestion(argument, text, proposal, why, known))
        if answer is None:
            answer = proposal
        if answer is None:
            raise UserError(f"{text}: nobody says which", fix=f"Give {argument}{f' ({known})' if known else ''}.")
        if answer == proposal:
            self.guess(argument, answer, why)
        return answer

    def open(self, argument: str, text: str, proposal: str, why: str, *, known: str) -> str | None:
        """The same of what may be left open, and is where nobody answers."""
        if (value := self.given[argument]) is not None:
            return value
        return self._ask(TaskQuestion(argument, text, proposal, why, known, optional=True))

    def guess(self, argument: str, value: str, why: str) -> None:
        """Remember what was taken without asking."""
        self.guesses.append(TaskGuess(argument, value, why))


def _as_proposed(question: TaskQuestion) -> str | None:
    return None if question.optional else question.proposal


def _slug(path: Path) -> str:
    return re.sub(r"[^a-z0-9]+", "-", path.name.split(".")[0].lower()).strip("-") or "my-task"


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


def _columns(sheet: UserTable, answers: _Answers) -> _Columns:
    """Which column is what, each taken by one role only."""
    from hubtools.data.rows import inspection as look
    from hubtools.specs.problem import Problem

    given, columns = answers.given, ", ".join(sheet.columns)
    proteins = look.sequence_columns(sheet) if given["sequence"] is None else []
    likeliest = proteins[0] if proteins else None
    sequence = answers.of(
        "sequence", "column of the sequences", likeliest, "its cells look like proteins", known=columns
    )
    look.refuse_nucleotides(sheet, sheet.require(sequence, "--sequence"))
    look.refuse_empty(sheet, sequence, "sequence")
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
        unique or _NONE,
        "it is called so, and differs in each row" if unique else "no column is called so and differs in each row",
    )
    if row_id != _NONE:
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
        "label", "column of the labels", only, "it is called so, or is all that is left", known=", ".join(likely)
    )
    look.refuse_label(sheet, sequence, sheet.require(label, "--label"))
    return _Columns(sequence, label, partner, None if row_id == _NONE else row_id, split, flag)


def _known_problem(kind: str) -> Problem:
    from hubtools.specs.problem import Problem

    known = trained_problems()
    if kind not in known:
        raise UserError(f"there is no problem {kind!r}", fix=f"Use one of: {', '.join(known)}.")
    return Problem(kind)


def _decided(
    name: str, sheet: UserTable, answers: _Answers, clusters: bool | None, masked: float | None, note: Say
) -> DecidedTask:
    from hubtools.data.rows import inspection as look

    given, columns = answers.given, _columns(sheet, answers)
    sequence, label = columns.sequence, columns.label
    guessed = look.guess_problem(sheet, sequence, label, columns.partner)
    different = len(set(sheet.texts(label)))
    kind = answers.of(
        "problem",
        "problem",
        guessed.value if guessed else None,
        f"{label!r} has {different:,} different cells in {len(sheet.texts(label)):,} rows",
        known=", ".join(trained_problems()),
    )
    problem = _known_problem(kind)
    separated = problem.kind == "multilabel" and not problem.level.by_residue
    if not separated:
        look.refuse_empty(sheet, label, "label")
    counts = look.label_values(sheet, label, problem)
    names = _label_names(counts, label)
    positive = _positive(answers, names)
    proposal, also, why = _metrics(problem, counts, positive)
    primary = answers.of("primary", "metric that ranks", proposal, why)
    if columns.split:
        splits, drawn = None, None
    else:
        # A pair needs both its proteins on one side: a share of the proteins is its square of the pairs.
        pairs = problem.level.proteins > 1
        usual, why = ("60/20/20", "usual for pairs") if pairs else ("80/10/10", "usual")
        drawn = given["split"] or answers.of("split", "shares of train/validation/test", usual, why)
    if given["mask"]:
        sheet.require(given["mask"], "--mask")
    if columns.partner:
        sheet.require(columns.partner, "--partner")
    separator = look.label_separator(sheet.texts(label)) if separated else None
    numbers = problem.level.by_residue and problem.kind == "regression"
    if masked is None and numbers and (odd := look.outlying_value(sheet, label)) is not None:
        said = f"the value {odd:g} is far from all others. If it stands for no label: --masked-value {odd:g}"
        note(f"{sheet.path}: {said}")
    splits = drawn_splits(drawn) if drawn is not None else ruled_splits(sheet, str(columns.split), columns.flag)
    if clusters is None:
        clusters = not look.variants_of_one(sheet, sequence)
        if not clusters:
            note("the sequences are variants of one protein: they are not clustered (--clusters does it)")
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
        label_separator=separator,
        candidates=given["candidates"],
        masked_value=masked,
        splits=splits,
        clusters=clusters,
        labels=names,
        primary=primary,
        also=also,
        positive=positive,
        licence=answers.of("licence", "licence of the data", "unknown", "nothing is said of it"),
        citation=answers.of("citation", "who made the data", "unpublished", "nothing is said of it"),
    )


def _label_names(counts: dict[str, int], label: str) -> dict[str, str]:
    """Names for the values: their own, or for 0 and 1 what the column is called."""
    if set(counts) == {"0", "1"} and label.lower() not in {"label", "labels", "class", "target", "y"}:
        return {"0": f"not {label}", "1": label}
    return {value: value for value in counts}


def _positive(answers: _Answers, names: dict[str, str]) -> str | None:
    """The class to be detected, by its name or by its value in the data: only where a person says so."""
    answer = answers.given["positive"]
    if answer is None and len(names) == 2:
        known = list(names.values())
        answer = answers.open(
            "positive", "class to be detected, or none", known[1], "the second of two", known=", ".join(known)
        )
    return None if answer in (None, _NONE) else names.get(answer, answer)


def _metrics(problem: Problem, counts: dict[str, int], positive: str | None) -> tuple[str, list[str], str]:
    """The metric that ranks, further ones, and why: not accuracy where one class is most of the data."""
    if problem.kind == "regression":
        return "spearman", ["pearson", "rmse", "r2"], "usual for values"
    if problem.kind == "multilabel":
        return "macro_f1", ["micro_f1", "mcc", "auprc"], "usual for several labels"
    rarest, most = min(counts.values()) / sum(counts.values()), max(counts.values()) / sum(counts.values())
    if positive is not None:
        why = f"the rarer class is {rarest:.0%} of the labels"
        return ("auprc" if rarest < 0.2 else "mcc"), ["mcc", "auprc", "auroc", "f1", "accuracy"], why
    if len(counts) == 2 or most > 0.6:
        why = f"the largest class is {most:.0%} of the labels"
        return "mcc", ["balanced_accuracy", "macro_f1", "accuracy"], why
    return "accuracy", ["macro_f1", "mcc"], f"of {len(counts)} classes none is most of the labels"
