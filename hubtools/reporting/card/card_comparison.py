"""A run beside others on its card: the rows of its board, and paired differences to a baseline and to other recipes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hubtools.evaluation.statistics.arm_interval import ArmScore
from hubtools.evaluation.statistics.difference import Difference, Question, difference
from hubtools.evaluation.statistics.verdicts import Verdict, judge
from hubtools.findings import wording
from hubtools.findings.arm_comparison import question_of
from hubtools.findings.arms import Arm, arm_key
from hubtools.findings.board.best_rows import resampled_rows
from hubtools.findings.board.board_rows import Row, Table
from hubtools.reporting import board_tables as tables
from hubtools.reporting.card.card_results import score_text
from hubtools.specs.record import RunRecord


@dataclass(frozen=True)
class RowComparison:
    """This model compared with another row of its board.

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
        return wording.MISSING if self.found is None else wording.gained(self.found)

    @property
    def said(self) -> str:
        """The verdict on this model, to stand after "This model"."""
        return {
            Verdict.CANNOT_TELL: "cannot be told from it",
            Verdict.NO_LOSS: "shows no loss beyond the margin against it",
        }.get(self.verdict, f"is {self.verdict}")

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

    baseline: RowComparison | None
    recipes: tuple[RowComparison, ...]


def comparisons(own: Row, table: Table) -> Comparisons:
    """Compare a row with the best baseline and with its checkpoint's other recipes, all corrected together.

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
    answered = dict(zip((row.rank for row in asked), _compared_with(own, asked, table), strict=True))
    return Comparisons(answered[best.rank] if best else None, tuple(answered[row.rank] for row in recipes))


def _compared_with(own: Row, others: Sequence[Row], table: Table) -> list[RowComparison]:
    differences = [_difference(own, other, table) for other in others]
    margin = Arm(own.runs).task.margin
    made = [found for found in differences if found is not None]
    judgements = iter(judge(made, [margin] * len(made)))
    compared = []
    for other, found in zip(others, differences, strict=True):
        verdict, reason = Verdict.CANNOT_TELL, "the runs kept no resamplings that could be paired"
        if found is not None:
            judgement = next(judgements)
            verdict, reason = judgement.verdict, judgement.reason
        compared.append(RowComparison(other, found, verdict, reason))
    return compared


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
            wording.interval(estimate.low, estimate.high, row.of_weights) or wording.MISSING,
            str(len(row.seeds)),
        ]
        rows.append({"cells": cells, "own": own})
    return rows


def recipe_rows(own: Row, table: Table, found: Comparisons) -> list[dict[str, Any]]:
    """The same checkpoint's recipes for Markdown, best first, this model's in bold; empty where it is the only one."""
    if not found.recipes:
        return []
    compared = {other.row.rank: other for other in found.recipes}
    rows = []
    for row in sorted([own, *(other.row for other in found.recipes)], key=lambda row: row.rank):
        training, other = row.record.training, compared.get(row.rank)
        cells = [
            row.recipe + (" (this model)" if row is own else ""),
            score_text(row.scores[table.primary], row.of_weights),
            str(len(row.seeds)),
            wording.count(training.parameters_trained if training else None),
            wording.duration(row.wall_seconds).replace(" ", "\N{NO-BREAK SPACE}"),
            f"{other.gain}: this model {other.said}" if other else wording.MISSING,
        ]
        rows.append({"cells": cells, "own": row is own})
    return rows
