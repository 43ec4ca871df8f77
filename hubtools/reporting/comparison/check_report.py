"""What a check says: in the terminal, as Markdown, as JSON. The verdict comes first everywhere."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hubtools.findings.arm_comparison import Comparison
from hubtools.findings.changes import Change
from hubtools.findings.gate import Check
from hubtools.findings.side_by_side import largest_loss
from hubtools.findings.wording import finite, gained, lost, metric_title, number, plural

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

SCHEMA_VERSION = 1
# Letters a line from which on a terminal has room for everything beside each other.
WIDE = 140
# How far the bar of an interval reaches to each side, in margins, and how many characters that is.
_REACH, _HALF = 4.0, 12
_COLOURS = {"pass": "green", "worse": "red", "over budget": "red", "cannot tell": "yellow", "error": "red"}


@dataclass(frozen=True)
class Sides:
    """What was compared, as the user named it."""

    baseline: str
    candidate: str


def headline(check: Check) -> str:
    """The verdict on all, and the largest loss whatever the verdict, in one line."""
    if check.problems:
        return f"not comparable: {plural(len(check.problems), 'problem')}"
    parts = [plural(len(check.items), "comparison")]
    for found, word in ((check.worse, "worse"), (check.unclear, "cannot be told")):
        warns = found and found == check.unclear and check.terms.cannot_tell == "warn"
        parts += [f"{len(found)} {word}" + (" (a warning)" if warns else "")] if found else []
    if over := check.over_budget:
        parts.append(f"{len(over)} over the budget of cost" + (" (a warning)" if check.terms.cost == "warn" else ""))
    worst = largest_loss(check.items)
    shown = f"largest loss: {worst.task_name}, {lost(worst)}, margin {worst.margin:g}" if worst else "nothing is lost"
    return f"{check.outcome}: {', '.join(parts)}; {shown}"


def difference_text(item: Comparison) -> str:
    """The gain with its interval; nothing where the predictions are the same."""
    return "same predictions" if item.same else gained(item.difference)


def cost_lines(check: Check) -> list[str]:
    """What is over its budget, a line each, and what could not be compared, a line for each reason."""
    if check.terms.cost == "ignore":
        return []
    lines = [f"{item.task_name}, {item.name}: {ratio}" for item in check.items for ratio in item.cost.over]
    skipped: dict[str, list[str]] = {}
    for item in check.items:
        if item.cost.not_compared:
            skipped.setdefault(item.cost.not_compared, []).append(f"{item.task_name}, {item.name}")
    for why, names in skipped.items():
        which = names[0] if len(names) == 1 else f"{len(names)} of {plural(len(check.items), 'comparison')}"
        lines.append(f"{which}: not compared: {why}")
    return lines


def reasons(check: Check) -> list[str]:
    """Why each verdict is what it is, and what would tell, a line each; without those of the same predictions."""
    return [
        f"{item.task_name}, {item.name}: {item.verdict}: {'; '.join(filter(None, [item.judgement.reason, item.remedy]))}"
        for item in check.items
        if not item.same
    ]


def changes_by_items(check: Check) -> list[tuple[Change, str]]:
    """Each change once, with the tasks in which it is found."""
    where: dict[Change, list[str]] = {}
    for item in check.items:
        for change in item.changed:
            where.setdefault(change, []).append(item.task_name)
    return [
        (change, "all" if len(tasks) == len(check.items) else ", ".join(dict.fromkeys(tasks)))
        for change, tasks in where.items()
    ]


def bar(item: Comparison) -> str:
    """The interval drawn in letters, from four margins below to four above: ``│`` is no difference, ``:`` the margin."""
    found, margin = item.difference, item.margin or 1.0
    cells = list("·" * (2 * _HALF + 1))
    cells[_cell(-margin, margin)] = ":"
    cells[_HALF] = "│"
    if not item.same and math.isfinite(found.value):
        if found.low is not None and found.high is not None:
            for place in range(_cell(found.low, margin), _cell(found.high, margin) + 1):
                cells[place] = "─"
        cells[_cell(found.value, margin)] = "●"
    return "".join(cells)


def _cell(value: float, margin: float) -> int:
    return _HALF + round(max(-1.0, min(1.0, value / (_REACH * margin))) * _HALF)


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
        costly = "\n[red]over budget[/]" if item.cost.over else ""
        named = [item.task_name, item.name, metric_title(item.metric, arrow=True)]
        table.add_row(
            f"[{_colour(item)}]{item.verdict}[/]{costly}",
            *map(escape, named if wide else ["\n".join(named)]),
            " → ".join(map(number, item.means)),
            difference_text(item),
            *([f"{item.margin:g}", number(_detectable(item))] if wide else []),
        )
    return table


def _colour(item: Comparison) -> str:
    return "red" if item.verdict.fails else "green" if item.verdict.passes else "yellow"


def _detectable(item: Comparison) -> float | None:
    return None if item.same else item.difference.detectable


def markdown(check: Check, sides: Sides) -> str:
    """The report as GitHub shows it: the verdict first, what explains it folded away."""
    from hubtools.reporting.templates import render, written

    rows = [
        {
            "verdict": written(
                (f"{item.verdict}" if item.verdict.passes else f"**{item.verdict}**")
                + (", **over budget**" if item.cost.over else "")
            ),
            "task": item.task_name,
            "name": item.name,
            "metric": metric_title(item.metric, arrow=True),
            "scores": " → ".join(map(number, item.means)),
            "difference": difference_text(item),
            "bar": bar(item),
            "margin": f"{item.margin:g}",
            "detectable": number(_detectable(item)),
        }
        for item in check.items
    ]
    return render(
        "check.md.j2",
        headline=headline(check),
        rows=rows,
        problems=check.problems,
        reasons=reasons(check),
        cost=cost_lines(check),
        notes=check.notes,
        changes=[(change.what, change.before, change.after, tasks) for change, tasks in changes_by_items(check)],
        sides=sides,
        terms=check.terms,
        split=check.split,
        units=units(check),
    )


def units(check: Check) -> list[str]:
    """What was resampled in each task, and how many seeds there were."""
    return [
        f"{item.task_name}: {item.difference.units}; {item.difference.seeds[0]} and {item.difference.seeds[1]} seeds; "
        f"question {item.question}"
        for item in check.items
        if not item.same
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
        "cannot_tell": terms.cannot_tell,
        "cost": terms.cost,
        "replicates": terms.replicates,
        "same_predictions_within": terms.same,
        "comparisons": [_item(item) for item in check.items],
        "problems": check.problems,
        "notes": check.notes,
    }
    return json.dumps(finite(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _item(item: Comparison) -> dict[str, Any]:
    return {
        "task": item.task_name,
        "metric": item.metric,
        "verdict": item.verdict,
        "reason": item.judgement.reason,
        "adjusted_p": item.judgement.adjusted_p,
        "margin": item.margin,
        "question": item.question,
        "baseline": _arm(item, 0),
        "candidate": _arm(item, 1),
        "largest_difference_of_predictions": item.apart,
        "difference": None if item.same else asdict(item.difference),
        "cost": {
            "over": [ratio.quantity for ratio in item.cost.over],
            "ratios": [asdict(ratio) for ratio in item.cost.ratios],
            "not_compared": item.cost.not_compared,
        },
        "changed": [asdict(change) for change in item.changed],
    }


def _arm(item: Comparison, which: int) -> dict[str, Any]:
    arm, score = (item.baseline, item.candidate)[which], item.scores[which]
    return {
        "name": arm.name,
        "score": item.means[which],
        "low": None if score is None else score.low,
        "high": None if score is None else score.high,
        "seeds": arm.seeds,
        "runs": [record.run_id for _, record in arm.runs],
    }
