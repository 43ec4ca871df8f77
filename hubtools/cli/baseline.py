"""``bench baseline``: freeze runs to be compared with, renew them, look at what is frozen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from hubtools.cli.shared.commands import StrictGroup
from hubtools.cli.shared.terminal import NAMED_RUNS, new_console, note
from hubtools.common.errors import UserError
from hubtools.specs.baseline_file import BASELINES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from hubtools.findings.baseline_update import Compared, Renewal
    from hubtools.findings.frozen_baseline import Baseline
    from hubtools.specs.baseline_file import FrozenArm

TO = click.option(
    "--to",
    "home",
    type=click.Path(path_type=Path),
    metavar="DIRECTORY",
    default=BASELINES,
    show_default=True,
    help="Folder of baselines.",
)
TASK = click.option("--task", "tasks", multiple=True, metavar="NAME", help="Only this task (or pattern); repeatable.")
SUITE = click.option("--suite", metavar="NAME", help="Only tasks and recipes of this suite, by its name or file.")
CHECKPOINT = click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    metavar="NAME",
    help="Only this checkpoint, also name@commit; repeatable.",
)
RECIPE = click.option("--recipe", "recipes", multiple=True, metavar="NAME", help="Only this recipe; repeatable.")
ANY_SIZE = click.option("--any-size", is_flag=True, help="Also more than 50 MB.")


@click.group(cls=StrictGroup, help="Freeze runs to be compared with, renew them, show what is frozen.")
def baseline() -> None:
    """The group of commands."""


@baseline.command("create")
@click.argument("name")
@NAMED_RUNS
@TASK
@SUITE
@CHECKPOINT
@RECIPE
@click.option(
    "--question",
    type=click.Choice(["weights", "recipe"]),
    help="What checks ask: are the models different, or would training again give another result. "
    "Default: recipe where every arm has three seeds, else weights.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    metavar="X",
    help="Checks compare the predictions themselves: none may change by more than this.",
)
@TO
@ANY_SIZE
def create(
    name: str,
    root: str,
    question: Literal["weights", "recipe"] | None,
    tolerance: float | None,
    home: Path,
    **options: Any,
) -> None:
    """Freeze complete runs as the baseline NAME.

    Records and predictions of the test splits are kept, small enough for a repository; models are not.

    \b
    bench baseline create main --suite core --checkpoint facebook/esm2_t6_8M_UR50D
    bench baseline create golden --runs golden-runs --tolerance 1e-3
    """
    import hubtools

    any_size = options.pop("any_size")
    planned = hubtools.plan_baseline(
        name, root, question=question, tolerance=tolerance, to=home, on_note=note, **_filters(**options)
    )
    click.echo(f"freezing {_counted(len(planned.arms), planned.runs)} …", err=True)
    frozen = planned.freeze(any_size=any_size)
    _print_arms(frozen, new_console())
    _show_power(frozen)
    _closing(frozen)
    if planned.few and planned.question == "recipe":
        few = planned.few[0]
        click.echo(
            f"warning: {few.record.identity.task.name}, {few.name} has fewer than three seeds: "
            "checks with the question recipe cannot tell, only weights can be answered",
            err=True,
        )
    target = planned.folder
    click.echo(f"next: read {target / 'baseline.yaml'}, commit {target}, bench check --baseline {target}", err=True)


@baseline.command("update")
@click.argument("name")
@NAMED_RUNS
@TASK
@SUITE
@CHECKPOINT
@RECIPE
@click.option("--add", is_flag=True, help="Also freeze what the baseline lacks.")
@click.option("--only-cost", is_flag=True, help="Renew the budgets of what did not change, and nothing else.")
@click.option("--dry-run", is_flag=True, help="Show what would change, and stop.")
@TO
@ANY_SIZE
def update(name: str, root: str, add: bool, only_cost: bool, dry_run: bool, home: Path, **options: Any) -> None:
    """Put newer runs in the place of the frozen ones of the baseline NAME.

    Shows old and new side by side first. Margins and tolerances stay as they were edited; runs whose predictions did
    not change stay as they are, with their budgets.
    """
    import hubtools

    any_size = options.pop("any_size")
    planned = hubtools.plan_update(
        name, root, add=add, only_cost=only_cost, to=home, on_note=note, **_filters(**options)
    )
    console = new_console()
    _print_scores(planned.compared, console)
    found = planned.renewals
    if any(one.after.budgets != (one.before.budgets if one.before else None) for one in found):
        _print_costs(found, console)
    if not planned.changed:
        click.echo("\nnothing to do: everything agrees with what is frozen", err=True)
        return
    if dry_run:
        click.echo(f"\nnothing was written (--dry-run); {planned.changed} of {len(found)} arms would change", err=True)
        return
    console.print()
    frozen = planned.freeze(any_size=any_size)
    _show_power(frozen)
    _closing(frozen)
    click.echo(f"next: git diff {planned.old.folder}", err=True)


@baseline.command("show")
@click.argument("name")
@TO
def show(name: str, home: Path) -> None:
    """What the baseline NAME holds, and whether it is still what was frozen.

    NAME is a baseline of the folder, or a path, or hub://user/repo[@revision][/folder].
    """
    import hubtools

    frozen = hubtools.baseline_named(name, home, on_note=note)
    console, file = new_console(), frozen.file
    console.print(f"[bold]{file.name}[/] · question {file.question}{_kept_by_hand(frozen)}\n", highlight=False)
    _print_arms(frozen, console)
    _closing(frozen)
    if problems := frozen.altered():
        for problem in problems:
            click.echo(f"altered: {problem}", err=True)
        raise UserError(
            f"{len(problems)} files are not what was frozen",
            where=str(frozen.folder),
            fix="Put them back (git checkout), or freeze them again.",
        )
    click.echo(f"all checksums hold; pin it in a check with --baseline-sha256 {frozen.sha256}", err=True)


def _filters(
    tasks: tuple[str, ...], suite: str | None, checkpoints: tuple[str, ...], recipes: tuple[str, ...]
) -> dict[str, Any]:
    """Which runs, by the names of the options."""
    return {"task": tasks, "suite": suite, "checkpoint": checkpoints, "recipe": recipes}


def _counted(arms: int, runs: int) -> str:
    from hubtools.findings.wording import plural

    return plural(runs, "run") + ("" if runs == arms else f" of {plural(arms, 'arm')}")


def _kept_by_hand(frozen: Baseline) -> str:
    file = frozen.file
    parts = [f"margin of {task} {margin:g}" for task, margin in file.margins.items()]
    if file.prediction_tolerance is not None:
        parts.append(f"predictions within {file.prediction_tolerance:g}")
    costs = file.tolerances
    parts.append(
        f"cost at most × {costs.wall_seconds:g} time, ÷ {costs.tokens_per_second:g} tokens/s, "
        f"× {costs.peak_memory_bytes:g} memory"
    )
    return "".join(f" · {part}" for part in parts)


def _title(arm: FrozenArm, split: str = "test") -> str:
    """What an arm is called in tables."""
    return f"{arm.task}{'' if split == 'test' else f' ({split})'} · {arm.title}"


def _print_rows(console: Console, headings: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Numbers in columns, each row under its title: names are long, and a terminal may be narrow."""
    from rich.text import Text

    widths = [max(map(len, column)) for column in zip(headings, *(cells for _, cells in rows), strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = [cell.rjust(width) for cell, width in zip(cells[:-1], widths[:-1], strict=True)]
        return "  " + "  ".join([*padded, cells[-1]])

    console.print(Text(line(headings), style="bold"))
    for title, cells in rows:
        console.print(Text(title))
        console.print(Text(line(cells)))


def _print_arms(frozen: Baseline, console: Console) -> None:
    from hubtools.findings.wording import count, duration, interval, number, size

    rows = []
    for arm in frozen.file.arms:
        budgets = arm.budgets
        costs = [duration(budgets.wall_seconds), count(budgets.tokens_per_second), size(budgets.peak_memory_bytes)]
        for split, score in arm.scores.items():
            scores = [
                str(len(arm.runs)),
                number(score.mean),
                interval(score.low, score.high, frozen.arm(arm).of_weights),
            ]
            rows.append((_title(arm, split), [*scores, *costs]))
    _print_rows(console, ("seeds", "score", "95 % interval", "time", "tokens/s", "memory"), rows)


def _show_power(frozen: Baseline) -> None:
    """What checks against each arm could show; a warning where that is not as little as the margin."""
    from hubtools.findings.wording import power_text

    for one in frozen.powers():
        said = power_text(one.power, one.margin, one.of_weights)
        warning = "" if one.power.sees(one.margin) else "warning: "
        click.echo(f"{warning}power of {_title(one.arm, one.split)}: {said}", err=True)


def _closing(frozen: Baseline) -> None:
    """How large it is; a warning where it is large."""
    from hubtools.findings.frozen_baseline import LARGE
    from hubtools.findings.wording import size

    runs = [run for arm in frozen.file.arms for run in arm.runs]
    rows, stored = frozen.predictions_kept()
    each = f"; {rows:,} predictions, {stored / rows:.1f} bytes each" if rows else ""
    click.echo(f"{_counted(len(frozen.file.arms), len(runs))}, {size(frozen.bytes)}{each}: {frozen.folder}", err=True)
    if frozen.bytes > LARGE:
        click.echo(
            "warning: large for a repository of code, where every version stays for ever. Keep it on the Hub: "
            f"hf upload USER/REPO {frozen.folder} {frozen.file.name}, then hub://USER/REPO/{frozen.file.name}",
            err=True,
        )


def _print_scores(rows: Sequence[Compared], console: Console) -> None:
    from hubtools.findings.wording import number

    lines = []
    for row in rows:
        before, after = row.renewal.before, row.renewal.after
        old = before.scores.get(row.split) if before else None
        change = row.comparison.difference if row.comparison else None
        gain = "" if change is None else f"{change.value:+.3f}"
        if change is not None and change.low is not None and change.high is not None:
            gain += f" ({change.low:+.3f} to {change.high:+.3f})"
        seeds = [str(len(before.runs))] if before else []
        seeds += [] if seeds == [str(len(after.runs))] else [str(len(after.runs))]
        change_of_score = f"{number(old.mean if old else None)} → {number(after.scores[row.split].mean)}"
        verdict = str(row.comparison.verdict) if row.comparison else row.why_not
        lines.append((_title(after, row.split), [" → ".join(seeds), change_of_score, gain, verdict]))
    _print_rows(console, ("seeds", "old → new", "difference (95 %)", "verdict"), lines)


def _print_costs(found: Sequence[Renewal], console: Console) -> None:
    from hubtools.findings.wording import count, duration, size

    rows = []
    for one in found:
        old, new = one.before.budgets if one.before else None, one.after.budgets
        if old == new:
            continue
        shown = (("wall_seconds", duration), ("tokens_per_second", count), ("peak_memory_bytes", size))
        cells = [f"{show(getattr(old, field, None))} → {show(getattr(new, field))}" for field, show in shown]
        rows.append((_title(one.after), cells))
    console.print()
    _print_rows(console, ("time", "tokens/s", "memory"), rows)
