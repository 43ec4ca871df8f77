"""The rows of a board over its tasks: mean rank, Borda and improvability, with what is missing shown as missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hubtools.evaluation.statistics.arm_interval import Interval
from hubtools.findings.board.board_rows import AS_PUBLISHED, Row, Table
from hubtools.specs.metric_names import METRICS

# Beyond so many rows an overall table is not what is looked for, and its bootstrap would take long.
MOST_ROWS = 1_000


@dataclass(frozen=True)
class OverallRow:
    """One checkpoint or baseline under one recipe, over the tasks.

    Attributes:
        row: of one of its tables: name, recipe and revision are read from it.
        mean_rank: 1 is best.
        borda: share of the others that it beats, from 0 to 1.
        improvability: by how many per cent its error is above the best one's, as a share of its own.
        best_set: whether it may have the best mean rank, at 95 % over all rows; None where results are missing.
        ranks: by task; None where there is no result.
    """

    row: Row
    mean_rank: Interval
    borda: Interval
    improvability: Interval
    best_set: bool | None
    ranks: dict[str, float | None]

    @property
    def missing(self) -> list[str]:
        """Tasks without a result."""
        return [task for task, rank in self.ranks.items() if rank is None]

    @property
    def coverage(self) -> str:
        """How many tasks it has a result on, and which it lacks."""
        there = len(self.ranks) - len(self.missing)
        return f"{there} of {len(self.ranks)}" + (f", not {', '.join(self.missing)}" if self.missing else "")


@dataclass(frozen=True)
class Overall:
    """Rows over tasks: the complete ones by mean rank, then those with missing results by how many they have.

    Attributes:
        rows: in this order.
        tasks: names of the tasks.
        left_out: (task, why) of tasks that rank nothing.
        notes: how to read it, one sentence each.
    """

    rows: tuple[OverallRow, ...]
    tasks: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def overall_of(tables: Sequence[Table]) -> tuple[Overall | None, list[str]]:
    """Rows over the tasks of a board; None where there are fewer than two tasks or two rows. And a note, if it is too large.

    Args:
        tables: of the board. Of each task the latest version on all data counts.
    """
    left_out: list[tuple[str, str]] = []
    chosen: dict[str, Table] = {}
    tables = _of_one_arm(tables)
    latest: dict[str, int] = {}
    for table in tables:
        asked = table.question
        latest[asked.task] = max(latest.get(asked.task, 0), asked.version)
    for table in tables:
        asked = table.question
        if asked.version < latest[asked.task] or asked.subset is not None or asked.fraction is not None:
            continue
        if table.not_for_ranking:
            left_out.append((asked.task, "its trust is red"))
            continue
        known = chosen.get(asked.task)
        if known is None or (asked.protocol, len(table.rows)) > (known.question.protocol, len(known.rows)):
            chosen[asked.task] = table
    keys: dict[Any, Row] = {}
    for table in chosen.values():
        for row in table.rows:
            if row.scores[table.primary].value is not None:
                keys.setdefault(row.key, row)
    if len(chosen) < 2 or len(keys) < 2:
        return None, []
    if len(keys) > MOST_ROWS:
        return None, [f"{len(keys):,} rows are not ranked over tasks: that is done for at most {MOST_ROWS:,}."]
    return _ranked(chosen, keys, tuple(dict.fromkeys(left_out))), []


def _of_one_arm(tables: Sequence[Table]) -> list[Table]:
    """What is ranked together over tasks: what no suite tuned; where all was tuned, what had the budget of most tables."""
    plain = [table for table in tables if not table.tuned]
    if plain or not tables:
        return [table for table in plain if table.arm in {"", AS_PUBLISHED}]
    most = Counter(table.arm for table in tables).most_common(1)[0][0]
    return [table for table in tables if table.arm == most]


def _ranked(chosen: dict[str, Table], keys: dict[Any, Row], left_out: tuple[tuple[str, str], ...]) -> Overall:
    from hubtools.evaluation.statistics.mean_ranks import ENOUGH_TASKS, mean_ranks_of

    scores = [_scores(table, list(keys)) for table in chosen.values()]
    found = mean_ranks_of(scores)
    rows = []
    for index, row in enumerate(keys.values()):
        ranks = [
            float(rank) if there else None for rank, there in zip(found.ranks[index], found.present[index], strict=True)
        ]
        mean_rank, borda, improvability = (
            Interval(*map(float, of[:, index])) for of in (found.mean_rank, found.borda, found.improvability)
        )
        of_tasks = dict(zip(chosen, ranks, strict=True))
        inside = bool(found.best[index]) if found.complete[index] and found.complete.sum() > 1 else None
        rows.append(OverallRow(row, mean_rank, borda, improvability, inside, of_tasks))
    rows.sort(key=lambda one: (len(one.missing), one.mean_rank.value, one.row.name, one.row.recipe))
    complete = int(found.complete.sum())
    notes = [
        "Mean rank over the tasks (1 is best); Borda: the share of the other rows that a row beats; improvability: the "
        "share of its error that the best row on a task does not make, averaged over the tasks. Scores of different "
        "tasks are never averaged."
    ]
    if complete < len(rows) and complete >= 2:
        notes.append(
            "A missing result counts neither as zero nor as last: complete rows are ranked among themselves; a row with "
            "missing results is placed among them on the tasks that it has, stands below, and changes nobody's rank."
        )
    elif complete < len(rows):
        notes.append(
            "Fewer than two rows have a result on every task: each task ranks those that are there, mean ranks of rows "
            "with different tasks do not compare, and there is no best set."
        )
    without = [task for task, one in zip(chosen, scores, strict=True) if one.drawn is None]
    drawn = "tasks, clusters and seeds" if not without else "tasks and seeds"
    if without and len(without) < len(scores):
        drawn = f"tasks and seeds, and clusters except on {', '.join(without)}, where runs kept no resamplings"
    elif without:
        drawn += " (the runs kept no resamplings of clusters)"
    notes.append(
        f"95 % intervals by bootstrap over {drawn}. ● Best set: with 95 % confidence it holds the row whose mean rank "
        "over such tasks is truly the best, whichever leads here."
    )
    if any(len(one.row.seeds) == 1 for one in rows):
        notes.append("Of a row with one seed the interval does not hold what another seed would have given.")
    if len(chosen) < ENOUGH_TASKS:
        notes.append(
            f"{len(chosen)} tasks are few: a bootstrap over them is coarse, its intervals are rough, and the best set leaves none out."
        )
    notes += [f"Left out: {task}, {why}." for task, why in left_out]
    return Overall(tuple(rows), tuple(chosen), left_out, tuple(notes))


def _scores(table: Table, keys: list[Any]) -> Any:
    import numpy as np

    from hubtools.evaluation.statistics.mean_ranks import TaskScores

    by_key = {row.key: row for row in table.rows if row.scores[table.primary].value is not None}
    rows = [by_key.get(key) for key in keys]
    kept = all(row is None or row.resampled is not None for row in rows)
    info = METRICS[table.metrics[0]]
    return TaskScores(
        values=tuple(
            None if row is None else np.array([value for _, value in row.scores[table.primary].by_seed]) for row in rows
        ),
        drawn=tuple(None if row is None or row.resampled is None else row.resampled.drawn for row in rows)
        if kept
        else None,
        higher_is_better=info.higher_is_better,
        bounded=info.high == 1,
    )
