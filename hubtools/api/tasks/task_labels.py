"""How the labels of a user's table are read, what they are called and how they are scored, for a task file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubtools.api.asked import Say
from hubtools.common.errors import UserError

if TYPE_CHECKING:
    from hubtools.api.tasks.task_questions import TaskAnswers
    from hubtools.data.rows.inspection import UserTable
    from hubtools.specs.problem import Problem

NONE = "none"


@dataclass(frozen=True)
class DecidedLabels:
    """What a task file says of its labels.

    Attributes:
        separator: between the labels in a cell, None where nothing stands there.
        masked: texts that stand for no label; the empty one for null, NaN and an empty cell.
        names: names by value.
        counts: how often each name occurs; empty where values are predicted.
    """

    separator: str | None
    masked: tuple[str, ...]
    names: dict[str, str]
    counts: dict[str, int]


def decided_labels(
    sheet: UserTable,
    sequence: str,
    label: str,
    problem: Problem,
    answers: TaskAnswers,
    masked: Sequence[str],
    masked_value: float | None,
    note: Say,
) -> DecidedLabels:
    """How the labels of a column are read.

    Args:
        sheet: the table.
        sequence, label: its columns.
        problem: what is predicted.
        answers: what the caller and the data say.
        masked: texts that stand for no label, beside those that do in any data.
        masked_value: the number that does.
        note: takes lines on what was found.

    Raises:
        UserError: nobody says what separates labels or whether case counts, or no label is left.
    """
    from hubtools.data.rows import label_guesses as look
    from hubtools.data.rows.label_cells import label_text

    separator = _separator(sheet, sequence, label, problem, answers, note)
    unknown = look.unknown_labels(sheet, label, problem, separator)
    if masked_value is not None:
        unknown.pop(label_text(masked_value), None)
    by_residue = problem.level.by_residue
    for text, count in unknown.items():
        shown = repr(text) if text else "empty, null or NaN"
        what = "not scored" if by_residue else "left out"
        unit = ("label is" if count == 1 else "labels are") if by_residue else ("row is" if count == 1 else "rows are")
        note(f"{sheet.path}: {label!r}: {count:,} {unit} {shown}: {what}")
    none = tuple(dict.fromkeys([*unknown, *map(label_text, masked)]))
    gone = none if masked_value is None else (*none, label_text(masked_value))
    counts = look.label_values(sheet, label, problem, separator, gone)
    if problem.kind != "regression" and len(counts) < (1 if problem.kind == "multilabel" else 2):
        what = f"one label, {next(iter(counts))!r}" if counts else "no label"
        raise UserError(
            f"the column {label!r} holds {what}: there is nothing to learn",
            where=str(sheet.path),
            fix="Name another column: --label.",
        )
    names = _one_spelling(_label_names(counts, label), counts, look.spellings(counts), label, answers)
    totals: dict[str, int] = {}
    for value, name in names.items():
        totals[name] = totals.get(name, 0) + counts[value]
    return DecidedLabels(separator, none, names, totals)


def _separator(
    sheet: UserTable, sequence: str, label: str, problem: Problem, answers: TaskAnswers, note: Say
) -> str | None:
    from hubtools.data.rows import label_guesses as look

    given, by_residue = answers.given["separator"], problem.level.by_residue
    if problem.kind != ("classification" if by_residue else "multilabel"):
        if given is not None:
            raise UserError(f"{problem.value} has one label in a cell", where="--separator", fix="Leave it out.")
        return None
    cells = sheet.columns[label]
    if given is not None:
        if given != NONE and not any(given in text for text in sheet.texts(label)):
            raise UserError(f"no cell of {label!r} holds {given!r}", where="--separator", fix="Give what stands there.")
        return None if given == NONE else given
    if by_residue:
        pairs = [(c, len(s)) for c, s in zip(cells, sheet.texts(sequence), strict=True) if look.has_label(c)]
        found = look.residue_separator([cell for cell, _ in pairs], [length for _, length in pairs])
        if found is not None:
            answers.guess("separator", found, "there are as many parts as residues")
        return found
    present = look.separators_in(sheet, label)
    if not present:
        return None
    usual = look.usual_separator(sheet.texts(label)) or (present[0] if len(present) == 1 else None)
    chosen = answers.of(
        "separator",
        f"what separates the labels of one {problem.level.row}, or none",
        usual,
        "cells hold it",
        known=" ".join(present),
    )
    if chosen != NONE and (len(present) > 1 or chosen == ","):
        others = f", not by {' or '.join(map(repr, set(present) - {chosen}))}" if len(present) > 1 else ""
        note(f"{sheet.path}: {label!r}: labels are separated by {chosen!r}{others} (--separator says otherwise)")
    return None if chosen == NONE else chosen


def _label_names(counts: dict[str, int], label: str) -> dict[str, str]:
    """Names for the values: their own, or for 0 and 1 what the column is called."""
    if set(counts) == {"0", "1"} and label.lower() not in {"label", "labels", "class", "target", "y"}:
        return {"0": f"not {label}", "1": label}
    return {value: value for value in counts}


def _one_spelling(
    names: dict[str, str],
    counts: dict[str, int],
    spellings: dict[str, list[str]],
    label: str,
    answers: TaskAnswers,
) -> dict[str, str]:
    """The names, where labels that differ by capitals alone are one label if somebody says so: the commonest of them."""
    if not spellings:
        return names
    example = ", ".join(next(iter(spellings.values())))
    said = answers.of(
        "case",
        f"{len(spellings):,} {'label differs' if len(spellings) == 1 else 'labels differ'} by capitals alone in {label!r} "
        f"({example}): one label (fold), or two (keep)",
        None,
        "the data do not say whether case counts",
        known="fold, keep",
    )
    if said not in {"fold", "keep"}:
        raise UserError(f"{said!r} is no answer", where="--case", fix="Say fold or keep.")
    if said == "keep":
        return names
    return names | {
        value: names[max(same, key=lambda one: (counts[one], one))] for same in spellings.values() for value in same
    }


def positive_label(answers: TaskAnswers, names: dict[str, str]) -> str | None:
    """The class to be detected, by its name or by its value in the data: only where a person says so."""
    answer, known = answers.given["positive"], list(dict.fromkeys(names.values()))
    if answer is None and len(known) == 2:
        answer = answers.open(
            "positive", "class to be detected, or none", known[1], "the second of two", known=", ".join(known)
        )
    return None if answer in (None, NONE) else names.get(answer, answer)


def usual_metrics(problem: Problem, counts: dict[str, int], positive: str | None) -> tuple[str, list[str], str]:
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
