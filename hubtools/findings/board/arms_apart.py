"""As published and as tuned: the rows of one question apart, so that neither ranks by what the other was given.

A suite that tunes gives every checkpoint the same budget of trials on validation. What was tuned with a budget stands in a table with
what was tuned with the same one, beside the trivial baselines, which have nothing to tune; what was not stands in another. Each
table has its own ranks and its own best set, and beside each score the one of the same checkpoint in the other.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from hubtools.common.errors import UserError
from hubtools.findings.arms import arm_key
from hubtools.findings.board.board_rows import AS_PUBLISHED, Row, Table
from hubtools.runs.store import OpenRun
from hubtools.specs.record import RunRecord
from hubtools.specs.suite import tuned_label

OTHER_SWEEPS = "of sweeps without a common budget"
BoardArm = Literal["default", "tuned"]
# Trials, and over which values of which fields.
_Budget = tuple[int, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class RunsOfArm:
    """Runs that rank among themselves.

    Attributes:
        label: what their table is called; empty where no run of the question was tuned by a suite.
        runs: of it.
        tuned: whether they were tuned with one budget.
    """

    label: str
    runs: list[OpenRun]
    tuned: bool = False


def apart(found: Sequence[OpenRun]) -> list[RunsOfArm]:
    """The runs of one question by how their recipe was chosen, what was not tuned first.

    A run whose recipe's own values were the best of its trials is in both. Without a run that a suite tuned all are one.
    """
    budgets: dict[_Budget, list[OpenRun]] = {}
    for run in found:
        if (budget := _budget(run.record)) is not None:
            budgets.setdefault(budget, []).append(run)
    if not budgets:
        return [RunsOfArm("", list(found))]
    plain = [r for r in found if r.record.sweep is None or (_budget(r.record) and r.record.sweep.own_values)]
    swept = [run for run in found if run.record.sweep is not None and _budget(run.record) is None]
    trivial = [run for run in plain if run.record.identity.checkpoint is None]
    alike = Counter(trials for trials, _ in budgets)
    arms = [RunsOfArm(AS_PUBLISHED, plain)] if len(plain) > len(trivial) else []
    for (trials, fields), runs in sorted(budgets.items()):
        over = f" over {', '.join(f'{name} {values}' for name, values in fields)}"
        arms.append(RunsOfArm(tuned_label(trials) + over * (alike[trials] > 1), [*runs, *trivial], tuned=True))
    return arms + ([RunsOfArm(OTHER_SWEEPS, swept)] if swept else [])


def _budget(record: RunRecord) -> _Budget | None:
    """What a suite allowed the run: how many trials over which fields; None where none did."""
    sweep = record.sweep
    return None if sweep is None or sweep.budget is None else (sweep.budget, tuple(sorted(sweep.fields.items())))


def subject_key(record: RunRecord) -> tuple[Any, ...]:
    """What a tuned run and the untuned one beside it share: weights, recipe, what was set in it, precision."""
    chosen = record.sweep.chosen if record.sweep and record.sweep.budget is not None else {}
    own = {name: value for name, value in record.overrides.items() if name not in chosen}
    return (*arm_key(record)[:-1], record.identity.recipe.name, json.dumps(own, sort_keys=True), record.precision)


def side_by_side(tables: Sequence[Table]) -> list[Table]:
    """The tables of one question, each row with the score that its checkpoint has in the others.

    Args:
        tables: of :func:`apart`, in its order; of one alone nothing is changed.
    """
    told = [table for table in tables if table.tuned or table.arm == AS_PUBLISHED]
    if not any(table.tuned for table in told):
        return list(tables)
    rows = {table.arm: {subject_key(row.record): row for row in table.rows} for table in told}
    changed = []
    for table in tables:
        others = [other for other in told if other is not table and table in told]

        def beside(row: Row, others: Sequence[Table] = others) -> Row:
            if row.kind == "baseline":
                return replace(row, beside=(None,) * len(others))
            found = [(rows[other.arm].get(subject_key(row.record)), other) for other in others]
            return replace(row, beside=tuple(one.scores[other.primary] if one else None for one, other in found))

        changed.append(
            replace(table, beside=tuple(other.arm for other in others), rows=tuple(beside(row) for row in table.rows))
        )
    return changed


def of_arm(tables: Sequence[Table], arm: BoardArm | None) -> tuple[Table, ...]:
    """The tables of what was tuned, or of what was not; all where none is asked for.

    Raises:
        UserError: there is none.
    """
    kept = tuple(table for table in tables if arm is None or table.tuned == (arm == "tuned"))
    if tables and not kept:
        why = "no run was tuned by a suite" if arm == "tuned" else "every run was tuned by a suite"
        raise UserError(why, where="--arm", fix="Leave it out, or run a suite that tunes: docs/statistics.md.")
    return kept
