"""What a record claims, as far as the record itself and the metrics that are known here can tell that it cannot be."""

from __future__ import annotations

from hubtools.common.errors import near, nearest
from hubtools.specs.data_sources import SourceData
from hubtools.specs.metric_names import METRICS, Metric
from hubtools.specs.record.run_facts import Score
from hubtools.specs.record.run_record import RunRecord
from hubtools.specs.task import MetricChoice

# Scores are sums of floats.
_ROUNDING = 1e-6


def implausible(record: RunRecord) -> tuple[str, str | None] | None:
    """Why no run can have left a record, and the remedy; None where one can.

    What every table needs must be there: splits of its task, what its recipe adapts. (That the task has a problem and a primary
    metric is part of what a record is.)
    A metric that neither bench, nor a package here, nor the record's own task knows is refused, and so is a score outside the
    bounds of its metric, or with the other direction. Of a metric that the task names and no package here brings, nothing
    is known.
    """
    if (why := _lacks(record)) is not None:
        return why, None
    named: frozenset[str] | None = None
    for split, result in record.results.items():
        for name, score in result.scores.items():
            metric = METRICS.shipped.get(name) or METRICS.get(name)
            place = f"results.{split}.scores.{name}"
            if metric is not None:
                if (why := _not_of(metric, score)) is not None:
                    return f"{place}{why}", None
                continue
            if named is None:
                named = metrics_named(record)
            if name not in named:
                why = f"{place}: there is no metric {name!r}, and the task of the record names none"
                known = [*sorted(named), *METRICS]
                return why, f"Did you mean {close}?" if (close := nearest(name, known)) else near(
                    name, dict.fromkeys(known)
                )
    return None


def _lacks(record: RunRecord) -> str | None:
    task = record.task_spec
    if not isinstance(task.metrics, MetricChoice):
        return "task.metrics: they are not what this version of bench knows"
    if not isinstance(task.data, SourceData) or not (task.data.splits or task.data.split or task.data.folds):
        return "task.data: it has no splits"
    if not isinstance(record.recipe_spec.adaptation, str | None):
        return "recipe.adaptation: expected text"
    if record.data is not None and (unknown := record.results.keys() - record.data.splits.keys()):
        return f"results.{min(unknown)}: data.splits has no such split"
    return None


def metrics_named(record: RunRecord) -> frozenset[str]:
    """The metrics that a record's task names, known or not."""
    metrics = record.task.get("metrics")
    if not isinstance(metrics, dict):
        return frozenset()
    also = metrics.get("also")
    return frozenset(map(str, filter(None, [metrics.get("primary"), *(also if isinstance(also, list) else [])])))


def metrics_unknown(record: RunRecord) -> list[str]:
    """The metrics of a record's task that nothing here brings: a package does where the run was made."""
    names = metrics_named(record) | {record.primary_metric}
    return sorted(name for name in names if name not in METRICS.shipped and name not in METRICS)


def _not_of(metric: Metric, score: Score) -> str | None:
    for which in ("value", "low", "high"):
        number = getattr(score, which)
        if number is not None and not metric.low - _ROUNDING <= number <= metric.high + _ROUNDING:
            return f".{which}: {number:g} is no {metric.title}, which is from {metric.low:g} to {metric.high:g}"
    if score.higher_is_better != metric.higher_is_better:
        return f".higher_is_better: of {metric.title} the {'higher' if metric.higher_is_better else 'lower'} score is the better one"
    return None
