"""An audit as one self-contained HTML page: no request leaves it, and it reads without colour and without scripts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from hubtools.data.splits.distributions import LENGTH_EDGES
from hubtools.data.splits.split_audit import Audit
from hubtools.reporting.templates import render

_SHOWN_LABELS = 20
# What to do about a verdict.
REMEDIES = {
    "ok": "Nothing to do.",
    "look": "Read the lines marked look. Where relatives are shared, let the split keep clusters on one side: clusters in the task file.",
    "problem": "Draw the split anew with clusters on one side (bench tasks new --clusters), or say under trust what a score is worth.",
}


def audit_page(found: Audit) -> str:
    """The page as text. The same audit gives the same page, byte for byte."""
    # One order of labels, and one range of lengths, in every split: so that bars can be compared across.
    order = _most_common([spread.counts for spread in found.labels.values()])
    used = [any(size.counts[step] for size in found.lengths.values()) for step in range(len(LENGTH_EDGES))]
    return render(
        "audit.html.j2",
        audit=found,
        remedy=REMEDIES[found.verdict],
        nearest=[
            {"title": f"{each.first} → {each.second}", "bars": _bars(_steps(each.lowest, each.none, each.counts))}
            for each in found.nearest
        ],
        lengths=[
            {"title": name, "size": size, "bars": _bars(_where_any(size.counts, used))}
            for name, size in found.lengths.items()
        ],
        labels=[
            {"title": name, "bars": _bars(_shown(spread.counts, order)), "quantiles": spread.quantiles}
            for name, spread in found.labels.items()
        ],
    )


def _steps(lowest: float, none: int, counts: dict[str, int]) -> dict[str, int]:
    named = {f"{float(edge):.0%} and more" if edge != "1" else "100%": count for edge, count in counts.items()}
    return {f"none of {lowest:.0%}": none, **named}


def _length_names() -> list[str]:
    between = [f"{low:,} to {high - 1:,}" for low, high in pairwise(LENGTH_EDGES)]
    return [*between, f"{LENGTH_EDGES[-1]:,} and more"]


def _where_any(counts: Sequence[int], used: Sequence[bool]) -> dict[str, int]:
    """Counts by length, without the steps that are empty in every split at both ends."""
    first, last = used.index(True), len(used) - used[::-1].index(True)
    return dict(zip(_length_names()[first:last], counts[first:last], strict=True))


def _most_common(splits: Sequence[dict[str, int]]) -> list[str]:
    """Labels by their number in all splits, largest first."""
    total: Counter[str] = Counter()
    for counts in splits:
        total.update(counts)
    return [label for label, _ in total.most_common()]


def _shown(counts: dict[str, int], order: Sequence[str]) -> dict[str, int]:
    """The counts of the first labels, the others together."""
    shown = {label: counts.get(label, 0) for label in order[:_SHOWN_LABELS] if counts}
    rest = sum(counts.values()) - sum(shown.values())
    return shown | ({"all others": rest} if rest else {})


def _bars(counts: dict[str, int]) -> list[dict[str, Any]]:
    """Bars in per cent of the whole; widths relative to the longest."""
    total, most = max(sum(counts.values()), 1), max(counts.values(), default=0) or 1
    return [
        {"name": name, "count": count, "share": f"{count / total:.1%}", "width": round(100 * count / most, 2)}
        for name, count in counts.items()
    ]
