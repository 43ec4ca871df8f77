"""Whether a model beats the trivial baselines beside it, in a sentence for people: a view of the one comparison there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hubtools.common.errors import UserError
from hubtools.evaluation.statistics.verdicts import Verdict
from hubtools.findings.arm_comparison import Comparison, ComparisonRequest, compared, judged
from hubtools.findings.arms import Arm, arms_of, mismatches
from hubtools.findings.wording import metric_title, number
from hubtools.runs.store import OpenRun
from hubtools.specs.metric_names import METRICS

# What a baseline does, in words for a sentence: "better than …".
_DOES = {
    "majority": "always giving the most frequent answer",
    "composition": "counting amino acids",
    "onehot-window": "looking at the letters nearby",
    "nearest-neighbour": "copying the most similar training protein",
    "substitution-matrix": "BLOSUM62",
    "separation": "the distance along the chain",
    "helix": "one straight helix",
}


@dataclass(frozen=True)
class AgainstBaselines:
    """A model held against the baseline that scored best beside it.

    Attributes:
        comparison: with the baseline's arm first; judged together with those of the same command.
        baselines: how many there are.
    """

    comparison: Comparison
    baselines: int

    def __str__(self) -> str:
        found, gain = self.comparison, self.comparison.difference
        record = found.baseline.record
        does = _DOES.get(record.recipe_spec.baseline or "") if not record.overrides else None
        if does is None:
            does = (
                f"{record.identity.recipe.name}, the same model with random weights"
                if record.identity.checkpoint
                else record.identity.recipe.name
            )
        elif found.task.problem.kind == "regression" and record.recipe_spec.baseline == "majority":
            does = "always giving the mean"
        best = f", the best of {self.baselines} baselines" if self.baselines > 1 else ""
        metric, who = metric_title(found.metric), f"{found.candidate.name} on {found.task_name}"
        known = gain.low is not None and gain.high is not None
        between = f", between {number(gain.low)} and {number(gain.high)}" if known else ""
        if found.verdict is Verdict.BETTER:
            lower = not METRICS[found.metric].higher_is_better
            return f"{who}: better than {does}{best}, by {number(gain.value)} in {metric}{' (less is better)' if lower else ''}{between}"
        if found.verdict in {Verdict.WORSE, Verdict.WITHIN}:
            low, high = (number(-gain.high), number(-gain.low)) if known else ("", "")  # type: ignore[operator]
            return f"{who}: worse than {does}{best}, by {number(-gain.value)} in {metric}, between {low} and {high}"
        return f"{who}: not shown to be better than {does}{best} (difference in {metric} {number(gain.value)}{between})"


def against_baselines(runs: Sequence[OpenRun]) -> list[AgainstBaselines]:
    """Each model among complete runs against the best of the baselines on the same question, if there are any.

    The baseline is chosen by its test score, which can only make it harder to beat.

    Args:
        runs: of one command, or of a folder.
    """
    arms = arms_of(runs)
    trivial = [arm for arm in arms if arm.record.recipe_spec.baseline]
    found: list[tuple[Comparison, int]] = []
    for arm in arms:
        beside = [one for one in trivial if arm not in trivial and not mismatches(one, arm)]
        scored = [(value, one) for one in beside if (value := _worth(one)) is not None]
        if not scored:
            continue
        best = max(scored, key=lambda pair: pair[0])[1]
        try:
            found.append((compared(best, arm, request=ComparisonRequest(margin=None)), len(scored)))
        except UserError:
            # Of other rows, or without predictions: nothing is said where nothing can be.
            continue
    return [
        AgainstBaselines(one, count) for one, (_, count) in zip(judged([one for one, _ in found]), found, strict=True)
    ]


def _worth(arm: Arm) -> float | None:
    """The primary metric, so that more is better; None where it is not defined."""
    value = arm.score().value
    if value is None:
        return None
    return value if METRICS[arm.task.metrics.primary].higher_is_better else -value
