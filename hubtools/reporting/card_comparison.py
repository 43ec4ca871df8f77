"""A run beside others on its card: the rows of its board, and paired differences to a baseline and to other recipes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hubtools.evaluation.comparison import Difference, Question, difference
from hubtools.evaluation.gate import holm
from hubtools.evaluation.seeds import ArmScore
from hubtools.reporting import tables, wording
from hubtools.reporting.best_sets import resampled_rows
from hubtools.reporting.board import Row, Table
from hubtools.reporting.card_results import score_text
from hubtools.reporting.comparison import Verdict, question_of, verdict_of
from hubtools.runs.arms import Arm, arm_key
from hubtools.specs.record import RunRecord


@dataclass(frozen=True)
class Against:
    """This model held against another row of its board.

    Attributes:
        row: the other one.
        found: the paired difference, positive where this model is better; None where the runs kept nothing to pair.
        verdict, reason: what it comes to.
    """

    row: Row
    found: Difference | None
    verdict: Verdict
    reason: str

    @property
    def gain(self) -> str:
        """The difference with its interval."""
        if self.found is None:
            return wording.MISSING
        low, high = self.found.low, self.found.high
        bounds = "" if low is None or high is None else f" ({wording.signed(low)} to {wording.signed(high)})"
        return wording.signed(self.found.value) + bounds

    @property
    def said(self) -> str:
        """The verdict on this model, to stand after "is"."""
        if self.verdict is Verdict.NO_DIFFERENCE:
            return "neither better nor worse as far as shown"
        return "not to be told from it" if self.verdict is Verdict.CANNOT_TELL else self.verdict.value

    @property
    def in_short(self) -> str:
        """The verdict and the difference, for a reader of ten seconds."""
        if self.found is None:
            return "Not compared in pairs"
        if self.verdict is Verdict.CANNOT_TELL:
            return f"Cannot tell: {self.reason}"
        told = self.verdict.value if self.verdict is not Verdict.NO_DIFFERENCE else "not shown to differ"
        return f"This model is **{told}**: {self.gain}"

    @property
    def about(self) -> str:
        """What the interval is about."""
        if self.found is None:
            return ""
        means = "scores are means over seeds, and " if max(self.found.seeds) > 1 else ""
        if self.found.question is Question.RECIPE:
            return f"{means}the interval covers which proteins were tested and which seeds were drawn"
        return f"{means}the interval covers which proteins were tested, not other seeds"


@dataclass(frozen=True)
class Comparisons:
    """What a card says of other runs.

    Attributes:
        baseline: the best baseline; None where there is none beside, and for a baseline itself.
        recipes: the same checkpoint under other recipes, best first.
    """

    baseline: Against | None
    recipes: tuple[Against, ...]


def comparisons(own: Row, table: Table) -> Comparisons:
    """Hold a row against the best baseline and against its checkpoint's other recipes, all corrected together.

    The differences are those of ``bench compare``, from the resamplings that the runs kept; verdicts too.

    Args:
        own: the row of the card's run.
        table: the whole table that it stands in.
    """
    scored = [row for row in table.rows if row is not own and row.scores[table.primary].value is not None]
    if own.kind == "baseline" or own.scores[table.primary].value is None:
        return Comparisons(None, ())
    checkpoint = arm_key(own.record)[:-1]
    recipes = [row for row in scored if row.kind != "baseline" and arm_key(row.record)[:-1] == checkpoint]
    best = next((row for row in scored if row.is_baseline), None)
    asked = [*([best] if best else []), *(row for row in recipes if row is not best)]
    answered = dict(zip((row.rank for row in asked), _held_against(own, asked, table), strict=True))
    return Comparisons(answered[best.rank] if best else None, tuple(answered[row.rank] for row in recipes))


def _held_against(own: Row, others: Sequence[Row], table: Table) -> list[Against]:
    differences = [_difference(own, other, table) for other in others]
    adjusted = holm([found.p_value if found and not found.identical else None for found in differences])
    margin = Arm(own.runs).task.margin
    tests = sum(found is not None for found in differences)
    held = []
    for other, found, p_value in zip(others, differences, adjusted, strict=True):
        verdict, reason = Verdict.CANNOT_TELL, "the runs kept no resamplings that could be paired"
        if found is not None:
            verdict, reason = verdict_of(found, margin, p_value, tests)
        held.append(Against(other, found, verdict, reason))
    return held


def _difference(own: Row, other: Row, table: Table) -> Difference | None:
    drawn = resampled_rows([other.runs, own.runs], *table.primary)
    if drawn is None:
        return None
    return difference(drawn[0], drawn[1], question_of(Arm(other.runs), Arm(own.runs)))


def beside(table: Table, record: RunRecord) -> list[dict[str, Any]]:
    """Rows of the table for Markdown, with this model's in bold."""
    rows = []
    for row, label in zip(table.rows, tables.labels(table), strict=True):
        estimate: ArmScore = row.scores[table.primary]
        own = any(other.run_id == record.run_id for _, other in row.runs)
        cells = [
            label + (" (this model)" if own else ""),
            row.recipe,
            wording.number(estimate.value),
            wording.interval(estimate.low, estimate.high) or wording.MISSING,
            str(len(row.seeds)),
        ]
        rows.append({"cells": cells, "own": own})
    return rows


def recipe_rows(own: Row, table: Table, found: Comparisons) -> list[dict[str, Any]]:
    """The same checkpoint's recipes for Markdown, best first, this model's in bold; empty where it is the only one."""
    if not found.recipes:
        return []
    against = {held.row.rank: held for held in found.recipes}
    rows = []
    for row in sorted([own, *(held.row for held in found.recipes)], key=lambda row: row.rank):
        training, held = row.record.training, against.get(row.rank)
        cells = [
            row.recipe + (" (this model)" if row is own else ""),
            score_text(row.scores[table.primary]),
            str(len(row.seeds)),
            wording.count(training.parameters_trained if training else None),
            wording.duration(row.wall_seconds).replace(" ", "\N{NO-BREAK SPACE}"),
            f"{held.gain}: {_of_this_model(held.verdict)}" if held else wording.MISSING,
        ]
        rows.append({"cells": cells, "own": row is own})
    return rows


def _of_this_model(verdict: Verdict) -> str:
    return f"this model is {verdict.value}" if verdict in {Verdict.BETTER, Verdict.WORSE} else verdict.value
