"""The results of a run as a card shows them: over seeds, by class, by identity and length, and of how many residues."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hubtools.evaluation.statistics.arm_interval import over_seeds
from hubtools.findings import wording
from hubtools.findings.board.board_rows import Row, Table
from hubtools.specs.record import RunRecord, Stratum

# What a reader takes in: larger tables are in run.json.
MAX_CLASSES_IN_TABLE = 30


def score_text(score: Any, of_weights: bool = False) -> str:
    """A score or estimate with its interval, marked where it is of one seed's weights; a word where it is not defined."""
    if score is None or score.value is None:
        return "not defined"
    return wording.with_interval(score.value, score.low, score.high, of_weights)


def mean_of_folds(record: RunRecord, split: str) -> float | None:
    """The mean over folds of the primary metric; None without folds, or where it is not defined in one of them."""
    scores = [fold.scores.get(record.primary_metric) for fold in record.results[split].folds]
    known = [score for score in scores if score is not None]
    return sum(known) / len(known) if known and len(known) == len(scores) else None


@dataclass(frozen=True)
class Seeds:
    """All seeds of the arm that a run is of.

    Attributes:
        rows: seed, score on the test split, score on validation, and whether it is this run.
        mean: over the seeds, with the interval that the board gives it.
        deviation: standard deviation over the seeds; empty where it is not defined.
        why: why this seed's model is the one of the card, as far as it can be told.
    """

    rows: tuple[tuple[int, str, str, bool], ...]
    mean: str
    deviation: str
    why: str


def seeds_of(row: Row, table: Table, run_id: str) -> Seeds | None:
    """The seeds beside a run, or None where it is the only one.

    Args:
        row: of the arm.
        table: that the row stands in.
        run_id: of the run that the card is of.
    """
    if len(row.runs) < 2:
        return None
    split, metric = table.primary
    rows = tuple(
        (
            record.identity.seed,
            score_text(record.score(split, metric)),
            score_text(record.score("validation", metric)) if "validation" in record.results else wording.MISSING,
            record.run_id == run_id,
        )
        for _, record in row.runs
    )
    values = [value for _, value in row.scores[table.primary].by_seed if value is not None]
    deviation = wording.number(over_seeds(values)[1]) if len(values) == len(rows) else ""
    return Seeds(rows, score_text(row.scores[table.primary]), deviation, _why(row, table, run_id))


def _why(row: Row, table: Table, run_id: str) -> str:
    """What can be told of the choice of a seed: a run does not know why it is the one that somebody publishes."""
    records = [record for _, record in row.runs]
    own = next(record for record in records if record.run_id == run_id)
    split, metric = table.primary
    if own.run_id == records[0].run_id:
        return "This model is the first seed: that choice needs no look at a score."

    def is_best(where: str) -> bool:
        scores = [score for record in records if (score := record.score(where, metric)) is not None]
        mine = own.score(where, metric)
        values = [score.value for score in scores if score.value is not None]
        if mine is None or mine.value is None or len(values) < len(records):
            return False
        return mine.value == (max(values) if mine.higher_is_better else min(values))

    if is_best("validation"):
        return "This model is the best seed on validation: that choice needs no look at test."
    unknown = "This model is neither the first seed nor the best on validation, and why it was taken is not recorded."
    if is_best(split):
        return f"{unknown} It is the best on {split}, so that its own score is probably too good: expect the mean."
    return f"{unknown} Expect the mean."


def largest_classes(classes: list[dict[str, Any]]) -> dict[str, Any]:
    """The rows that a card shows, those with most support where there are many, and how many it leaves out."""
    rows = classes
    if len(classes) > MAX_CLASSES_IN_TABLE:
        largest = sorted(classes, key=lambda row: -(row.get("support") or 0))[:MAX_CLASSES_IN_TABLE]
        rows = [row for row in classes if row in largest]
    left_out = [row for row in classes if row not in rows]
    return {
        "rows": rows,
        "left_out": len(left_out),
        "absent": sum(row.get("support") == 0 for row in left_out),
    }


# What the proteins of a stratum are alike in, and its unit.
STRATA = {
    "identity": ("identity to the training set", ""),
    "length": ("length", " (residues)"),
}


def strata_shown(record: RunRecord, split: str) -> list[tuple[str, str, list[Stratum]]]:
    """What the strata of a split are about, in words, in which unit, and the strata."""
    found = record.results[split].strata
    return [(*STRATA.get(kind, (kind.replace("_", " "), "")), strata) for kind, strata in found.items() if strata]


def residues_scored(record: RunRecord, split: str) -> str:
    """How many residues of a split were scored or read, of how many it has, in one sentence."""
    problem, facts = record.task_spec.problem, record.data.splits.get(split) if record.data else None
    if facts is None:
        return ""
    total, result = facts.residues, record.results[split]
    proteins = wording.plural(facts.proteins, "protein")
    if problem.level.by_residue:
        unlabelled = total - result.n_labelled
        rest = f"; the other {unlabelled:,} carry no label" if unlabelled > 0 else ""
        return f"Residues scored on {split}: {result.n_labelled:,} of {total:,} in {proteins}{rest}."
    if record.windows is None or record.windows.residues_total == 0:
        return f"The {proteins} of {split} have {wording.plural(total, 'residue')}."
    if record.windows.residues_scored == record.windows.residues_total:
        return f"Residues read on {split}: {total:,} of {total:,} in {proteins}; nothing was truncated."
    read = f"{record.windows.residues_scored:,} of {record.windows.residues_total:,}"
    return f"Residues read on all scored splits: {read}."
