"""How far runs are, as text that fits a terminal: what is adapted down the side, tasks across."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from hubtools.runs.many.run_states import STATES, FolderStates, RunState, State

# Runs by what is adapted and how, and by task.
Matrix = dict[tuple[str, str], dict[str, list[RunState]]]
# Of more rows, those in which all is done, or nothing begun, are counted in one line.
MOST_ROWS = 40
# Of more runs in one state, so many are shown.
MOST_SHOWN = 12
# Letters of a row's name.
_LONGEST = 34
_GAP = 2


def matrix_lines(
    cells: Mapping[tuple[str, str], Mapping[str, str]],
    width: int,
    *,
    folded: Mapping[tuple[str, str], str] | None = None,
) -> list[str]:
    """Lines of at most ``width`` letters.

    Tasks stand over their columns where there is room, else a number does and the names stand below. What does not fit beside
    each other stands in several blocks.

    Args:
        cells: by checkpoint and procedure, and by task: what stands there.
        width: letters of a line.
        folded: rows that say one thing, and it: of very many rows they are counted in a line each kind.
    """
    columns = list(dict.fromkeys(task for row in cells.values() for task in row))
    rows = list(cells)
    counted: dict[str, int] = {}
    if len(rows) > MOST_ROWS and folded:
        for row in rows:
            if row in folded:
                counted[folded[row]] = counted.get(folded[row], 0) + 1
        rows = [row for row in rows if row not in folded]
    several = len({procedure for _, procedure in cells}) > 1
    first = max((len(_cut(row[0])) for row in rows), default=0)
    names = {row: f"{_cut(row[0]):<{first}}  {_cut(row[1])}" if several else _cut(row[0]) for row in rows}
    side = max(map(len, names.values()), default=0)
    widths = {task: max(len(cells[row].get(task, "·")) for row in cells) for task in columns}
    room = width - side
    spelt = {task: max(widths[task], len(task)) for task in columns}
    named = sum(size + _GAP for size in spelt.values()) <= room
    heads = {task: task if named else str(number) for number, task in enumerate(columns, 1)}
    sizes = {task: max(widths[task], len(heads[task])) for task in columns}
    lines: list[str] = []
    for block in _blocks(columns, sizes, room) if rows else []:
        if lines:
            lines.append("")
        lines.append(" " * side + "".join(f"{heads[task]:>{sizes[task] + _GAP}}" for task in block))
        for row in rows:
            shown = "".join(f"{cells[row].get(task, '·'):>{sizes[task] + _GAP}}" for task in block)
            lines.append(f"{names[row]:<{side}}{shown}")
    lines += [f"and {count:,} rows of which {what}" for what, count in counted.items()]
    if not named and rows:
        legend = ", ".join(f"{heads[task]} {task}" for task in columns)
        lines += ["", *textwrap.wrap(legend, width, break_on_hyphens=False)]
    return lines


def _cut(name: str) -> str:
    """A name that is too long keeps its end, where sizes and versions stand."""
    return name if len(name) <= _LONGEST else f"…{name[-_LONGEST + 1 :]}"


def _blocks(columns: Sequence[str], sizes: Mapping[str, int], room: int) -> list[list[str]]:
    blocks: list[list[str]] = [[]]
    used = 0
    for task in columns:
        if blocks[-1] and used + sizes[task] + _GAP > room:
            blocks.append([])
            used = 0
        blocks[-1].append(task)
        used += sizes[task] + _GAP
    return blocks


def matrix_of(runs: Sequence[RunState]) -> Matrix:
    """Runs by what they adapt and how, and by task, in the order in which they come."""
    found: Matrix = {}
    for run in runs:
        row = found.setdefault((run.checkpoint or "baseline", run.procedure), {})
        row.setdefault(run.task, []).append(run)
    return found


def counted(runs: Sequence[RunState]) -> str:
    """How many runs are in which state, in words."""
    words = [f"{count:,} {state}" for state in STATES if (count := sum(run.state == state for run in runs))]
    return f"{len(runs):,} run{'s' if len(runs) != 1 else ''}" + (f": {', '.join(words)}" if words else "")


def status_lines(found: FolderStates, width: int) -> list[str]:
    """How far a folder is: the matrix, what runs and where, what stopped or failed and why, jobs of engines."""
    lines = [counted(found.runs)]
    if found.runs:
        lines += ["", *_matrix_of_states(found.runs, width)]
        lines += ["", "3: all done   1/3: so many of all   *: running   !: stopped or failed"]
    words: dict[State, Callable[[RunState], str]] = {
        "running": lambda run: run.place,
        "stopped": lambda run: run.why or "",
        "failed": lambda run: run.why or "",
    }
    for state, say in words.items():
        if runs := found.of(state):
            lines += ["", f"{state}:"]
            for run in runs[:MOST_SHOWN]:
                lines += [f"  {run.title}", f"    {say(run)}"]
            if len(runs) > MOST_SHOWN:
                lines.append(f"  and {len(runs) - MOST_SHOWN:,} more: --format json has all")
    for plan in found.plans:
        if jobs := found.jobs.get(plan.id):
            counts = ", ".join(f"{count:,} {state}" for state, count in sorted(jobs.items()))
            lines += ["", f"jobs of {plan.engine}, plan {plan.id}: {counts}"]
    if found.plans and (found.of("stopped") or found.of("failed") or found.of("waiting")):
        lines += ["", f"what is missing is done by the same command again: {found.plans[-1].command}"]
    return lines


def plan_lines(runs: Sequence[RunState], seconds: Sequence[float | None], width: int, rough: float) -> list[str]:
    """What is about to be done, what of it is done already, and how long the rest takes.

    Args:
        runs: that are planned.
        seconds: that each takes, where that is known.
        width: letters of a line.
        rough: seconds of a core that the others take, by the sizes of checkpoints and data alone.
    """
    left = [taken for run, taken in zip(runs, seconds, strict=True) if run.state != "done"]
    lines = [*_matrix_of_states(runs, width, _planned), ""]
    if len(left) < len(runs):
        lines += [f"{len(runs) - len(left):,} done already, {len(left):,} to do (3/10: 3 of 10 are done)"]
    if known := [taken for taken in left if taken is not None]:
        lines += [
            f"about {_hours(sum(known))} on one process for {len(known):,} of {len(left):,}, as long as the recorded ones took"
        ]
    if others := len(left) - len(known):
        lines += [
            f"roughly {_hours(rough)} of one core for {f'the other {others:,}' if known else 'them'}, by sizes of files alone",
            "measured, and what it costs: bench estimate --price-per-hour P, same options",
        ]
    return lines


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:,.1f} hours" if seconds >= 7200 else f"{max(seconds / 60, 1):,.0f} minutes"


def _matrix_of_states(
    runs: Sequence[RunState], width: int, cell: Callable[[Sequence[RunState]], str] | None = None
) -> list[str]:
    rows, show = matrix_of(runs), cell or _cell
    cells = {key: {task: show(found) for task, found in row.items()} for key, row in rows.items()}
    words = {"done": "all is done", "waiting": "all waits"}
    states = {key: {run.state for found in row.values() for run in found} for key, row in rows.items()}
    folded = {key: words[next(iter(found))] for key, found in states.items() if len(found) == 1 and found <= set(words)}
    # What is all alike says nothing by being left out.
    return matrix_lines(cells, width, folded=folded if len(folded) < len(rows) else None)


def _cell(runs: Sequence[RunState]) -> str:
    counts = defaultdict[State, int](int)
    for run in runs:
        counts[run.state] += 1
    marks = "*" * (counts["running"] > 0) + "!" * (counts["stopped"] + counts["failed"] > 0)
    return f"{len(runs)}" if counts["done"] == len(runs) else f"{counts['done']}/{len(runs)}{marks}"


def _planned(runs: Sequence[RunState]) -> str:
    done = sum(run.state == "done" for run in runs)
    return f"{done}/{len(runs)}" if done else str(len(runs))
