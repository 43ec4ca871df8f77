"""A comparison for people and programs: the terminal, Markdown, JSON."""

from __future__ import annotations

import json
from collections.abc import Container, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from hubtools.common.escaping import code
from hubtools.common.escaping import markdown as inert
from hubtools.evaluation.statistics.arm_interval import ArmScore
from hubtools.evaluation.statistics.difference import Question
from hubtools.evaluation.statistics.verdicts import Verdict
from hubtools.findings.arm_comparison import Comparison
from hubtools.findings.arms import Arm
from hubtools.findings.changes import Change
from hubtools.findings.side_by_side import Pair, SideBySide
from hubtools.findings.wording import (
    MISSING,
    finite,
    interval,
    lost,
    metric_title,
    number,
    p_text,
    plural,
    signed,
    with_interval,
)
from hubtools.reporting.templates import cell, written

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

QUESTIONS = {
    Question.WEIGHTS: "are these very weights different? Chance: which proteins were tested.",
    Question.RECIPE: "would training again give another result? Chance: which proteins were tested, and the seeds.",
}
_COLOURS = {
    Verdict.BETTER: "green",
    Verdict.NO_LOSS: "green",
    Verdict.WITHIN: "cyan",
    Verdict.WORSE: "red",
    Verdict.CANNOT_TELL: "yellow",
}
# More than this that is not the same is counted; all of it is in JSON.
_SHOWN_CHANGES = 6
NARROW = 100


def print_comparison(comparison: SideBySide, console: Console, *, per_class: bool = False) -> None:
    """The verdicts first, then each pair with everything that is known of it.

    Args:
        comparison: what came of it.
        console: where to; tables lose columns where it is narrow, never digits.
        per_class: also one line a class, label or assay.
    """
    from rich.text import Text

    console.print(Text.assemble("A  ", (comparison.a, "bold")))
    console.print(Text.assemble("B  ", (comparison.b, "bold")))
    console.print(Text(f"{comparison.headline}."))
    console.print(Text("Differences are B against A on " + f"{comparison.split}; positive is better.", style="dim"))
    if len(comparison.pairs) > 1:
        _print_overview(comparison, console)
    for pair in comparison.pairs:
        _print_pair(pair, console, several=len(comparison.pairs) > 1, per_class=per_class)
    if comparison.left_out:
        console.print("\nLeft out")
        for line in comparison.left_out:
            console.print(Text(f"  {line}", style="dim"))


def _print_overview(comparison: SideBySide, console: Console) -> None:
    from rich.text import Text

    columns = ["task", "metric", "A", "B", "difference", "95 % interval", "p (Holm)", "verdict"]
    rows: list[list[str | Text]] = []
    for pair in comparison.pairs:
        one, found = pair.found, pair.found.difference
        word = Text(one.verdict, style=_COLOURS.get(one.verdict, ""))
        cells = [number(found.baseline), number(found.candidate), signed(found.value)]
        spread = interval(found.low, found.high) or MISSING
        adjusted = p_text(one.judgement.adjusted_p)
        rows.append([pair.label, metric_title(found.metric, arrow=True), *cells, spread, adjusted, word])
    table = _table(columns, rows, leave_out={"metric", "A", "B", "p (Holm)"} if console.width < NARROW else set())
    console.print()
    console.print(table)


def _print_pair(pair: Pair, console: Console, *, several: bool, per_class: bool) -> None:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    colour = _COLOURS.get(pair.found.verdict, "")
    metric = metric_title(pair.found.metric, arrow=True)
    console.print()
    console.print(
        Text.assemble((pair.label, "bold"), f": {metric}, ", (f"B: {pair.found.verdict}", f"bold {colour}".strip()))
    )
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column()
    for name, text in facts(pair, several=several):
        grid.add_row(Text(name, style="dim"), Text(text))
    console.print(Padding(grid, (0, 0, 0, 2)))
    if pair.found.others:
        columns = ["also", "A", "B", "difference", "95 % interval"]
        console.print(Padding(_table(columns, _secondary(pair)), (1, 0, 0, 2)))
    if per_class and pair.classes:
        columns = [_class_noun(pair), "rows", "A", "B", "difference", "95 % interval", "p (Holm)"]
        narrow = {"A", "B"} if console.width < NARROW else set()
        console.print(Padding(_table(columns, _class_rows(pair), leave_out=narrow), (1, 0, 0, 2)))


def _table(columns: Sequence[str], rows: Sequence[Sequence[str | Text]], leave_out: Container[str] = ()) -> Table:
    """A table without lines, without some of its columns where there is no room for all."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    places = [place for place, column in enumerate(columns) if column not in leave_out]
    for place in places:
        number = columns[place] not in {columns[0], "metric", "verdict"}
        table.add_column(columns[place], justify="right" if number else "left", no_wrap=number, overflow="fold")
    for row in rows:
        table.add_row(*(Text(value) if isinstance(value := row[place], str) else value for place in places))
    return table


def facts(pair: Pair, *, several: bool) -> list[tuple[str, str]]:
    """What is known of a pair, as (name, text) in the order that people ask.

    Args:
        pair: the pair.
        several: whether others are compared beside it, so that there is a correction to speak of.
    """
    one, found = pair.found, pair.found.difference
    (mean, other_mean), (deviation, other_deviation), scores = one.means, one.deviations, one.scores
    lines = [
        ("difference", lost(one)),
        ("verdict", f"{one.verdict}: {one.judgement.reason}"),
        ("A", _arm(one.baseline, mean, deviation, scores[0])),
        ("B", _arm(one.candidate, other_mean, other_deviation, scores[1])),
        ("question", f"{found.question}: {QUESTIONS[found.question]}"),
    ]
    if one.margin is not None:
        lines.append(("margin", f"{one.margin:g}: the loss that counts"))
    if found.p_value is not None and not one.same:
        adjusted = f"; {p_text(one.judgement.adjusted_p)} after Holm's correction" if several else ""
        lines.append(("p", f"{p_text(found.p_value)}{adjusted}, two-sided"))
    if found.superiority is not None and not one.same:
        lines.append(("B is the better", f"with probability {_probability(found.superiority)}"))
    if found.detectable is not None and not one.same:
        lines.append(("detectable", f"differences of {number(found.detectable)} (with 80 % probability)"))
    if one.remedy:
        lines.append(("to tell", one.remedy))
    lines.append(("resampled", found.units))
    lines += _agreement(pair)
    if len(pair.classes) > 1:
        better, worse, neither = pair.wins()
        what = _class_noun(pair, many=True)
        these = "" if found.question is Question.WEIGHTS else ", of these very weights"
        told = f"B better in {better}, worse in {worse}, not told apart in {neither} (Holm{these})"
        lines.append((what, told))
    asked = [one for one in pair.found.changed if one.what.startswith("recipe") or one.what in {"checkpoint", "seeds"}]
    lines += _changed("compared", asked)
    lines += _changed("also differs", [one for one in pair.found.changed if one not in asked])
    lines += [("note", note) for note in pair.notes]
    return lines


def _changed(name: str, changed: Sequence[Change]) -> list[tuple[str, str]]:
    """What is not the same on both sides, as far as it can be read in a line."""
    if not changed:
        return []
    shown = [f"{one.what} {one.before} → {one.after}" for one in changed[:_SHOWN_CHANGES]]
    more = f"; {len(changed) - len(shown)} more" if len(changed) > len(shown) else ""
    return [(name, "; ".join(shown) + more)]


def _arm(arm: Arm, mean: float | None, deviation: float | None, score: ArmScore | None) -> str:
    ends = (None, None) if score is None else (score.low, score.high)
    spread = f", SD {number(deviation)}" if deviation is not None else ""
    return f"{with_interval(mean, *ends, arm.of_weights)}, {plural(len(arm.runs), 'seed')}{spread}: {arm.name}"


def _probability(value: float) -> str:
    if value > 0.999:
        return "> 99.9 %"
    return "< 0.1 %" if value < 0.001 else f"{100 * value:.3g} %"


def _agreement(pair: Pair) -> list[tuple[str, str]]:
    """How the predictions differ row by row."""
    seen = pair.agreement
    if seen.differing is None or seen.a_right is None or seen.b_right is None:
        return [] if seen.correlation is None else [("predictions", f"correlate with r = {number(seen.correlation)}")]
    part = f" ({100 * seen.differing / seen.rows:.1f} %)" if seen.rows else ""
    text = f"{_rows(seen.differing)} of {seen.rows:,} rows{part} are decided otherwise"
    text += f"; only A is right on {_rows(seen.a_right)}, only B on {_rows(seen.b_right)}"
    if seen.among_seeds is not None:
        text += f"; two seeds of one arm differ on {_rows(seen.among_seeds)}"
    return [("predictions", text)]


def _rows(count: float) -> str:
    return f"{count:,.0f}" if count >= 10 or count == round(count) else f"{count:.1f}"


def _class_noun(pair: Pair, *, many: bool = False) -> str:
    kind = pair.found.task.problem
    noun = kind.level.within or ("label" if kind.kind == "multilabel" else "class")
    return {"class": "classes"}.get(noun, f"{noun}s") if many else noun


def markdown(comparison: SideBySide, *, per_class: bool = False, figure: tuple[str, str] | None = None) -> str:
    """The same as a page: verdicts, one section a pair, and where everything came from.

    Args:
        comparison: what came of it.
        per_class: also one row a class, label or assay.
        figure: path and alt text of a forest plot to show.
    """
    several = len(comparison.pairs) > 1
    lines = [f"# {inert(comparison.headline)}", "", f"- A: {code(comparison.a)}", f"- B: {code(comparison.b)}"]
    lines += [f"- Differences are B against A on {inert(comparison.split)}; positive is better. Intervals are of 95 %."]
    lines += [f"- {comparison.replicates:,} bootstrap replicates.", ""]
    header = ["task", "metric", "A", "B", "difference", "95 % interval", "margin", "p (Holm)", "verdict"]
    rows = [
        [
            pair.label,
            metric_title(pair.found.metric, arrow=True),
            *(_score(*side) for side in zip(pair.found.means, pair.found.deviations, pair.found.values, strict=True)),
            signed(pair.found.difference.value),
            interval(pair.found.difference.low, pair.found.difference.high) or MISSING,
            MISSING if pair.found.margin is None else f"{pair.found.margin:g}",
            p_text(pair.found.judgement.adjusted_p),
            written(f"**{pair.found.verdict}**"),
        ]
        for pair in comparison.pairs
    ]
    lines += _grid(header, rows)
    if figure is not None:
        lines += ["", f"![{inert(figure[1])}]({quote(figure[0])})"]
    for pair in comparison.pairs:
        lines += ["", f"## {inert(pair.label)}: {pair.found.verdict}", ""]
        lines += [f"- {name}: {inert(text)}" for name, text in facts(pair, several=several)]
        if pair.found.others:
            lines += ["", *_grid(["metric", "A", "B", "difference", "95 % interval"], _secondary(pair))]
        if per_class and pair.classes:
            head = [_class_noun(pair), "rows", "A", "B", "difference", "95 % interval", "p (Holm)"]
            lines += ["", *_grid(head, _class_rows(pair))]
    if comparison.left_out:
        lines += ["", "## Left out", "", *(f"- {inert(line)}" for line in comparison.left_out)]
    lines += ["", "## Runs", ""]
    runs = [
        [
            pair.label,
            letter,
            written(code(record.run_id)),
            str(record.identity.seed),
            record.environment.bench,
            written(code(record.command)),
        ]
        for pair in comparison.pairs
        for letter, arm in (("A", pair.found.baseline), ("B", pair.found.candidate))
        for _, record in arm.runs
    ]
    lines += _grid(["task", "side", "run", "seed", "bench", "command"], runs)
    return "\n".join(lines) + "\n"


def _score(mean: float | None, deviation: float | None, values: Sequence[float | None]) -> str:
    spread = f" ± {number(deviation)}" if deviation is not None else ""
    return f"{number(mean)}{spread} ({len(values)})"


def _secondary(pair: Pair) -> list[list[str]]:
    return [
        [
            metric_title(row.metric, arrow=True),
            number(row.baseline),
            number(row.candidate),
            signed(row.value),
            interval(row.low, row.high) or MISSING,
        ]
        for row in pair.found.others
    ]


def _class_rows(pair: Pair) -> list[list[str]]:
    return [
        [
            row.name,
            f"{row.support:,}",
            number(row.baseline),
            number(row.candidate),
            signed(row.value),
            interval(row.low, row.high) or MISSING,
            p_text(row.adjusted_p),
        ]
        for row in pair.classes
    ]


def _grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(map(cell, header))} |", f"|{'|'.join([' --- '] * len(header))}|"]
    return [*lines, *(f"| {' | '.join(cell(value) for value in row)} |" for row in rows)]


def as_json(comparison: SideBySide) -> str:
    """Everything, numbers in full; what is not defined is null."""
    content = {
        "a": comparison.a,
        "b": comparison.b,
        "split": comparison.split,
        "replicates": comparison.replicates,
        "question": comparison.asked,
        "headline": comparison.headline,
        "pairs": [_as_dict(pair) for pair in comparison.pairs],
        "left_out": list(comparison.left_out),
    }
    return json.dumps(finite(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _as_dict(pair: Pair) -> dict[str, Any]:
    better, worse, neither = pair.wins()
    one, identity = pair.found, pair.found.baseline.record.identity
    return {
        "label": pair.label,
        "task": {"name": one.task.name, "version": one.task.version, "hash": identity.task.hash},
        "data": identity.data,
        "verdict": one.verdict,
        "reason": one.judgement.reason,
        "same_predictions": one.same,
        **asdict(one.difference),
        "margin": one.margin,
        "adjusted_p": one.judgement.adjusted_p,
        "seeds_needed": one.seeds_needed,
        "secondary": [asdict(row) for row in one.others],
        "classes": [asdict(row) for row in pair.classes],
        "wins": {"better": better, "worse": worse, "not_told_apart": neither},
        "agreement": asdict(pair.agreement),
        "changed": [asdict(change) for change in one.changed],
        "notes": list(pair.notes),
        "a": _side(one, 0),
        "b": _side(one, 1),
    }


def _interval(score: ArmScore | None) -> dict[str, float | None]:
    return {"low": None, "high": None} if score is None else {"low": score.low, "high": score.high}


def _side(one: Comparison, which: int) -> dict[str, Any]:
    arm = (one.baseline, one.candidate)[which]
    identity = arm.record.identity.model_dump(mode="json")
    del identity["seed"]
    return {
        "name": arm.name,
        "identity": identity,
        "overrides": arm.record.overrides,
        "mean": one.means[which],
        **_interval(one.scores[which]),
        "standard_deviation": one.deviations[which],
        "runs": [
            {
                "run_id": record.run_id,
                "folder": str(folder),
                "seed": record.identity.seed,
                "value": value,
                "command": record.command,
                "started": record.started.isoformat(),
                "environment": record.environment.model_dump(mode="json"),
            }
            for (folder, record), value in zip(arm.runs, one.values[which], strict=True)
        ],
    }
