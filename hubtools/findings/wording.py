"""How numbers, metrics and identities are written for people: one place, so that board and card agree."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from hubtools.specs.metric_names import METRICS
from hubtools.specs.record import Cost, PretrainingFacts
from hubtools.specs.task import Task

if TYPE_CHECKING:
    from hubtools.evaluation.statistics.difference import Difference
    from hubtools.evaluation.statistics.power import Power
    from hubtools.findings.arm_comparison import Comparison

INTERVAL_MEANING = (
    "95 % intervals. Several seeds: the score is their mean, and the interval covers both which proteins were tested and "
    "which seeds were drawn (docs/statistics.md). † One seed: the interval is of these weights. It covers which proteins were "
    "tested, and says nothing of the recipe, which another seed might serve better or worse."
)
SHORT_INTERVAL_MEANING = (
    "95 % intervals; over several seeds the score is their mean, and the interval covers both which proteins were "
    "tested and which seeds were drawn. † Of these weights: one seed, and the interval covers the proteins alone."
)
BEST_SET_MEANING = (
    "● Best set: with 95 % confidence it holds the row that is truly the best, over all rows at once and whichever leads "
    "here. Rows of at least three seeds stand for their recipe and others for these very weights; where runs kept no "
    "resamplings, the set is the rows down to the last whose own interval contains the best score."
)
# A row of the best set.
MARK = "●"
# A score that is not there: never zero, never an empty cell that reads as "not asked".
MISSING = "–"


def mark(best_set: bool | None) -> str:
    """A row's cell in the column of the best set; ``–`` where it was not asked."""
    return MISSING if best_set is None else MARK if best_set else ""


_TRUST = {
    "green": "a held-out score means what it says",
    "amber": "with a reservation",
    "red": "not for ranking",
}


def trust(task: Task) -> dict[str, str] | None:
    """How far a task's test score can be trusted: ``colour``, what it means, and the ``reason``; None if not stated."""
    stated = task.trust
    if stated is None:
        return None
    return {"colour": stated.colour, "meaning": _TRUST[stated.colour], "reason": stated.reason}


def metric_title(name: str, arrow: bool = False) -> str:
    """Name of a metric for people, with an arrow towards better where asked for."""
    info = METRICS.get(name)
    title = info.title if info else name
    if not arrow:
        return title
    return f"{title} {'↑' if info is None or info.higher_is_better else '↓'}"


def averages(task: Task) -> str:
    """What a task's metrics are the mean of, of more than two classes or of labels; empty where none of them says."""
    if task.problem.kind == "regression" or task.metrics.positive is not None:
        return ""
    said: dict[str, list[str]] = {}
    for metric in (METRICS.get(name) for name in task.metrics.names):
        if metric is not None and metric.averaged:
            over = (
                metric.averaged.replace("classes", "labels") if task.problem.kind == "multilabel" else metric.averaged
            )
            said.setdefault(over, []).append(metric.title)
    lines = [f"{' and '.join(titles)}: {over}" for over, titles in said.items()]
    if task.hierarchy is not None:
        of_terms = [METRICS[name].title for name in task.metrics.names if METRICS[name].reads_scores]
        lines += [f"{', '.join(of_terms)}: of the labels and of all that is above them"] if of_terms else []
    return "; ".join(lines)


def best_of(trials: int) -> str:
    """That settings were chosen in a sweep, in short: on boards, and at the head of cards."""
    return f"best of {plural(trials, 'trial')}"


def number(value: float | None) -> str:
    """A score: three decimals, or four digits where it is large; ``–`` where there is none."""
    if value is None or not math.isfinite(value):
        return MISSING
    if abs(value) < 10:
        text = f"{value:.3f}"
    elif abs(value) < 1000:
        text = f"{value:.4g}"
    else:
        text = f"{value:,.0f}"
    return "0.000" if text == "-0.000" else text.replace("-", "−")


def signed(value: float | None) -> str:
    """A difference of scores, with its sign."""
    text = number(value)
    return f"+{text}" if value is not None and value > 0 and text.strip("0.") and text != MISSING else text


def p_text(value: float | None) -> str:
    """A p-value: two digits, and no more said of small ones than that they are."""
    if value is None or not math.isfinite(value):
        return MISSING
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def interval(low: float | None, high: float | None, of_weights: bool = False) -> str:
    """A 95 % interval, or nothing where there is none; with † where it is of one seed's weights, not of the recipe."""
    if low is None or high is None:
        return ""
    return f"{number(low)} to {number(high)}" + (" †" if of_weights else "")


def with_interval(value: float | None, low: float | None, high: float | None, of_weights: bool = False) -> str:
    """A number with its 95 % interval, where there is one; ``of_weights`` as for :func:`interval`."""
    inside = interval(low, high, of_weights)
    return f"{number(value)} ({inside})" if inside else number(value)


def finite(value: Any) -> Any:
    """A value for JSON, which has no word for what is not a finite number: None, wherever it is inside."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def gained(found: Difference) -> str:
    """How much better a candidate is, with the interval."""
    spread = "" if found.low is None or found.high is None else f" ({signed(found.low)} to {signed(found.high)})"
    return f"{signed(found.value)}{spread}"


def lost(found: Comparison) -> str:
    """How much a candidate lost, or gained, with the interval: what every report of a comparison begins with."""
    metric, gained = metric_title(found.metric), found.difference
    if found.same or found.difference.identical:
        return f"{metric} as it was"
    if math.isnan(gained.value):
        return f"{metric} is not defined in every run"
    size, word = number(abs(gained.value)), "gain" if gained.value > 0 else "loss"
    if gained.low is None or gained.high is None:
        return f"{word} of {size} in {metric}, no interval"
    low, high = (gained.low, gained.high) if gained.value > 0 else (-gained.high, -gained.low)
    return f"{word} of {size} in {metric} ({number(low)} to {number(high)})"


def count(value: float | None) -> str:
    """A large count, shortened: 7.5 M, 650 M, 3.0 B."""
    if value is None:
        return MISSING
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            scaled = value / size
            return f"{scaled:.1f} {letter}" if scaled < 100 else f"{scaled:.0f} {letter}"
    return f"{value:g}"


def duration(seconds: float | None) -> str:
    """A time span in its two largest units: 42 s, 3 min 20 s, 2 h 05 min."""
    if seconds is None:
        return MISSING
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def took(cost: Cost) -> str:
    """How long a run took, all its attempts together: 25 min 30 s in 2 attempts, at least that long where one was killed."""
    said = duration(cost.wall_seconds)
    if len(cost.attempts) < 2:
        return said
    least = "at least " if cost.killed else ""
    killed = f", of which {cost.killed} {'was' if cost.killed == 1 else 'were'} killed" if cost.killed else ""
    return f"{least}{said} in {len(cost.attempts)} attempts{killed}"


def size(n_bytes: float | None) -> str:
    """A memory or file size in binary units."""
    if n_bytes is None:
        return MISSING
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n_bytes < 1024 or unit == "GiB":
            return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1024
    raise AssertionError("unreachable")


def share(fraction: float) -> str:
    """A part of a whole: 0.3 %, 10 %, 100 %."""
    return f"{100 * fraction:.4g} %"


def plural(n: int, noun: str, many: str | None = None) -> str:
    """A counted noun: 1 run, 2 runs, 1,200 proteins."""
    return f"{n:,} {noun if n == 1 else many or noun + 's'}"


def power_text(power: Power, margin: float, other: Power | None = None) -> str:
    """What a comparison could show, and whether that is as little as the margin.

    Args:
        power: of the runs, or of the test set.
        margin: the loss that counts, in units of the metric.
        other: of the test set, where ``power`` is of runs, and says nothing of another model.
    """
    of_weights = power.floor == power.detectable
    text = f"with {plural(power.seeds, 'seed')} an arm{', taken as fixed weights,' if of_weights else ''} a test on {power.units}"
    text += f" can show a loss of about {power.detectable:.2g} in {metric_title(power.metric)}"
    if power.floor and not of_weights:
        text += f", and with any number of seeds none below {power.floor:.2g}"
    text += f", where {power.assumption}"
    if other is not None:
        text += f"; in another model, with any number of seeds, none below {other.floor:.2g}, where {other.assumption}"
    if power.sees(margin):
        return f"{text}. That is enough for the margin of {margin:g}"
    return f"{text}. The margin of {margin:g} is smaller than that: checks will often say cannot tell"


def percent(part: int, whole: int) -> str:
    """A share in round per cent, never rounded to nothing or to all."""
    percent = 100 * part / max(whole, 1)
    if part < whole and percent > 99:
        return "over 99 %"
    return "under 1 %" if 0 < percent < 1 else f"{percent:.0f} %"


def newer_text(facts: PretrainingFacts, split: str, total: int) -> str:
    """How many proteins of a split are newer than what a checkpoint was pre-trained on, in a sentence or two.

    Args:
        facts: of a task with dates.
        split: one of its test splits.
        total: proteins of that.
    """
    proteins = f"{split} proteins" if split == "test" else f"proteins of {split}"
    told = f" ({facts.data}{f'; {facts.source}' if facts.source else ''})" if facts.data else ""
    if (count := facts.newer[split]) is None or facts.until is None:
        why = "until when these go is not told" if facts.data else "what these were is not told"
        return f"How many {proteins} are newer than the checkpoint's pre-training data is not known: {why}{told}."
    undated = facts.undated.get(split, 0)
    unknown = f" Of {undated:,} no date is known." if undated else ""
    return (
        f"{count:,} of {total:,} {proteins} ({percent(count, total)}) {'is' if count == 1 else 'are'} newer than the "
        f"checkpoint's pre-training data, which end with {facts.until}{told}.{unknown}"
    )
