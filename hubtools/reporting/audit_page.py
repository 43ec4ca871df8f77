"""An audit as one self-contained HTML page: no request leaves it, and it reads without colour and without scripts."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hubtools.data.audit import Audit
from hubtools.data.distributions import LENGTH_EDGES
from hubtools.reporting.templates import render

_SHOWN_LABELS = 20


def audit_page(found: Audit) -> str:
    """The page as text. The same audit gives the same page, byte for byte."""
    return render(
        "audit.html.j2",
        audit=found,
        nearest=[
            {"title": f"{each.first} → {each.second}", "bars": _bars(_steps(each.lowest, each.none, each.counts))}
            for each in found.nearest
        ],
        lengths=[
            {"title": name, "size": size, "bars": _bars(dict(zip(_length_names(), size.counts, strict=True)))}
            for name, size in found.lengths.items()
        ],
        labels=[
            {"title": name, "bars": _bars(_most_common(spread.counts)), "quantiles": spread.quantiles}
            for name, spread in found.labels.items()
        ],
    )


def _steps(lowest: float, none: int, counts: dict[str, int]) -> dict[str, int]:
    named = {f"{float(edge):.0%} and more" if edge != "1" else "100%": count for edge, count in counts.items()}
    return {f"none of {lowest:.0%}": none, **named}


def _length_names() -> list[str]:
    between = [f"{low:,} to {high - 1:,}" for low, high in pairwise(LENGTH_EDGES)]
    return [*between, f"{LENGTH_EDGES[-1]:,} and more"]


def _most_common(counts: dict[str, int]) -> dict[str, int]:
    shown = sorted(counts, key=lambda label: -counts[label])[:_SHOWN_LABELS]
    rest = sum(counts.values()) - sum(counts[label] for label in shown)
    return {label: counts[label] for label in shown} | ({"all others": rest} if rest else {})


def _bars(counts: dict[str, int]) -> list[dict[str, Any]]:
    """Bars in per cent of the whole; widths relative to the longest."""
    total, most = max(sum(counts.values()), 1), max(counts.values(), default=0) or 1
    return [
        {"name": name, "count": count, "share": f"{count / total:.1%}", "width": round(100 * count / most, 2)}
        for name, count in counts.items()
    ]
