"""What a check says: in the terminal, as Markdown, as JSON. The verdict comes first everywhere."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hubtools.reporting.wording import MISSING, metric_title, number, plural
from hubtools.runs.arms import Arm
from hubtools.runs.changes import Change
from hubtools.runs.check import Check, Item

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

SCHEMA_VERSION = 1
# Letters a line from which on a terminal has room for everything beside each other.
WIDE = 140
# How far the bar of an interval reaches to each side, in margins, and how many characters that is.
_REACH, _HALF = 4.0, 12
_COLOURS = {"pass": "green", "regression": "red", "inconclusive": "yellow", "error": "red"}


@dataclass(frozen=True)
class Sides:
    """What was compared, as the user named it."""

    baseline: str
    candidate: str


def headline(check: Check) -> str:
    """The verdict on all, in one line."""
    if check.problems:
        return f"not comparable: {plural(len(check.problems), 'problem')}"
    worse, unclear, over = len(check.of("regression")), len(check.of("inconclusive")), len(check.over_budget)
    parts = [f"{plural(len(check.items), 'comparison')}, {worse or 'none'} worse"]
    if unclear:
        parts.append(f"{unclear} cannot be told" + (" (a warning)" if check.terms.inconclusive == "warn" else ""))
    if over:
        parts.append(f"{over} over the budget of cost" + (" (a warning)" if check.terms.cost == "warn" else ""))
    return f"{check.outcome}: {', '.join(parts)}"


def difference_text(item: Item) -> str:
    """The gain with its interval; nothing where the predictions are the same."""
    if item.difference is None:
        return "same predictions"
    low, high = item.difference.low, item.difference.high
    spread = "" if low is None or high is None else f" ({_signed(low)} to {_signed(high)})"
    return f"{_signed(item.difference.value)}{spread}"


def cost_lines(check: Check) -> list[str]:
    """What is over its budget, a line each, and what could not be compared, a line for each reason."""
    if check.terms.cost == "ignore":
        return []
    lines = [f"{item.task}, {item.name}: {ratio}" for item in check.items for ratio in item.cost.over]
    skipped: dict[str, list[str]] = {}
    for item in check.items:
        if item.cost.not_compared:
            skipped.setdefault(item.cost.not_compared, []).append(f"{item.task}, {item.name}")
    for why, names in skipped.items():
        which = names[0] if len(names) == 1 else f"{len(names)} of {plural(len(check.items), 'comparison')}"
        lines.append(f"{which}: not compared: {why}")
    return lines


def reasons(check: Check) -> list[str]:
    """Why each verdict that is no pass is what it is, a line each."""
    return [
        f"{item.task}, {item.name}: {item.judgement.verdict}: {item.judgement.reason}"
        for item in check.items
        if item.judgement.verdict != "pass"
    ]


def changes_by_items(check: Check) -> list[tuple[Change, str]]:
    """Each change once, with the tasks in which it is found."""
    where: dict[Change, list[str]] = {}
    for item in check.items:
        for change in item.changed:
            where.setdefault(change, []).append(item.task)
    return [
        (change, "all" if len(tasks) == len(check.items) else ", ".join(dict.fromkeys(tasks)))
        for change, tasks in where.items()
    ]


def bar(item: Item) -> str:
    """The interval drawn in letters, from four margins below to four above: ``│`` is no difference, ``:`` the margin."""
    found = item.difference
    cells = list("·" * (2 * _HALF + 1))
    cells[_cell(-item.margin, item.margin)] = ":"
    cells[_HALF] = "│"
    if found is not None:
        if found.low is not None and found.high is not None:
            for place in range(_cell(found.low, item.margin), _cell(found.high, item.margin) + 1):
                cells[place] = "─"
        cells[_cell(found.value, item.margin)] = "●"
    return "".join(cells)


def _cell(value: float, margin: float) -> int:
    return _HALF + round(max(-1.0, min(1.0, value / (_REACH * margin))) * _HALF)


def _signed(value: float) -> str:
    text = number(value)
    return text if text.startswith("−") or value <= 0 or text == MISSING else f"+{text}"


def print_check(check: Check, console: Console) -> None:
    """The verdict, a table of all comparisons, why, cost, and what else changed."""
    from rich.markup import escape

    verdict, _, rest = headline(check).partition(":")
    console.print(f"[bold {_COLOURS[check.outcome]}]{verdict}[/]:{escape(rest)}")
    if check.items:
        console.print()
        console.print(_table(check, wide=console.width >= WIDE))
    for title, lines in (("Why", reasons(check)), ("Cost", cost_lines(check))):
        if lines:
            console.print(f"\n[bold]{title}[/bold]")
            console.print("\n".join(map(escape, lines)))
    if shared := changes_by_items(check):
        console.print("\n[bold]What else changed[/bold]")
        table = _plain_table("what", "baseline", "candidate", "tasks")
        for change, tasks in shared:
            table.add_row(*map(escape, (change.what, change.before, change.after, tasks)))
        console.print(table)


def _plain_table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _table(check: Check, *, wide: bool) -> Table:
    """One row a comparison; names are folded where there is no room, numbers never."""
    from rich.markup import escape

    names = ("task", "checkpoint and recipe", "metric") if wide else ("task",)
    table = _plain_table(
        "verdict", *names, "scores", "difference (95 %)", *(("margin", "would detect") if wide else ())
    )
    for column in table.columns:
        column.no_wrap = column.header not in {"task", "checkpoint and recipe"}
        column.justify = "right" if column.header in {"margin", "would detect"} else "left"
    for item in check.items:
        verdict, found = item.judgement.verdict, item.difference
        costly = "\n[red]over budget[/]" if item.cost.over else ""
        named = [item.task, item.name, metric_title(item.metric, arrow=True)]
        table.add_row(
            f"[{_COLOURS[verdict]}]{verdict}[/]{costly}",
            *map(escape, named if wide else ["\n".join(named)]),
            f"{number(item.before)} → {number(item.after)}",
            difference_text(item),
            *([f"{item.margin:g}", number(found.detectable if found else None)] if wide else []),
        )
    return table


def markdown(check: Check, sides: Sides) -> str:
    """The report as GitHub shows it: the verdict first, what explains it folded away."""
    from hubtools.reporting.templates import render

    rows = [
        {
            "verdict": (f"**{item.judgement.verdict}**" if item.judgement.verdict != "pass" else "pass")
            + (", **over budget**" if item.cost.over else ""),
            "task": _plain(item.task),
            "name": _plain(item.name),
            "metric": metric_title(item.metric, arrow=True),
            "scores": f"{number(item.before)} → {number(item.after)}",
            "difference": difference_text(item),
            "bar": bar(item),
            "margin": f"{item.margin:g}",
            "detectable": number(item.difference.detectable if item.difference else None),
        }
        for item in check.items
    ]
    return render(
        "check.md.j2",
        headline=headline(check),
        rows=rows,
        problems=list(map(_plain, check.problems)),
        reasons=list(map(_plain, reasons(check))),
        cost=list(map(_plain, cost_lines(check))),
        notes=list(map(_plain, check.notes)),
        changes=[
            tuple(map(_plain, (change.what, change.before, change.after, tasks)))
            for change, tasks in changes_by_items(check)
        ],
        sides={"baseline": _plain(sides.baseline), "candidate": _plain(sides.candidate)},
        terms=check.terms,
        split=_plain(check.split),
        units=[_plain(line) for line in units(check)],
    )


def units(check: Check) -> list[str]:
    """What was resampled in each task, and how many seeds there were."""
    found = [item for item in check.items if item.difference is not None]
    return [
        f"{item.task}: {item.difference.units}; {item.difference.seeds[0]} and {item.difference.seeds[1]} seeds; "
        f"question {item.question}"
        for item in found
        if item.difference is not None
    ]


def as_json(check: Check, sides: Sides) -> str:
    """Everything, for programs."""
    terms = check.terms
    content = {
        "schema_version": SCHEMA_VERSION,
        "verdict": check.outcome,
        "exit_code": check.exit_code,
        "headline": headline(check),
        "baseline": sides.baseline,
        "candidate": sides.candidate,
        "split": check.split,
        "question": terms.question,
        "inconclusive": terms.inconclusive,
        "cost": terms.cost,
        "replicates": terms.replicates,
        "same_predictions_within": terms.same,
        "comparisons": [_item(item) for item in check.items],
        "problems": check.problems,
        "notes": check.notes,
    }
    return json.dumps(_finite(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _item(item: Item) -> dict[str, Any]:
    return {
        "task": item.task,
        "metric": item.metric,
        "verdict": item.judgement.verdict,
        "reason": item.judgement.reason,
        "adjusted_p": item.judgement.adjusted_p,
        "margin": item.margin,
        "question": item.question,
        "baseline": _arm(item.baseline, item.before),
        "candidate": _arm(item.candidate, item.after),
        "largest_difference_of_predictions": item.apart,
        "difference": asdict(item.difference) if item.difference else None,
        "cost": {
            "over": [ratio.quantity for ratio in item.cost.over],
            "ratios": [asdict(ratio) for ratio in item.cost.ratios],
            "not_compared": item.cost.not_compared,
        },
        "changed": [asdict(change) for change in item.changed],
    }


def _arm(arm: Arm, score: float) -> dict[str, Any]:
    return {"name": arm.name, "score": score, "seeds": arm.seeds, "runs": [record.run_id for _, record in arm.runs]}


def _finite(value: Any) -> Any:
    """JSON has no word for what is not a finite number."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _plain(text: object) -> str:
    """Text of others (names of folders and checkpoints) that is text in Markdown too: no tag, no cell, no mention."""
    text = " ".join(str(text).split())
    for letter, written in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("`", "\\`"), ("*", "\\*")):
        text = text.replace(letter, written)
    return text.replace("[", "\\[").replace("]", "\\]")
