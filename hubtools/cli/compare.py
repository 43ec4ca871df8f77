"""``bench compare``: two sides of runs against each other."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from hubtools.cli.shared.commands import StrictCommand
from hubtools.cli.shared.terminal import note
from hubtools.common.bounds import MOST_REPLICATES
from hubtools.common.errors import UserError

if TYPE_CHECKING:
    from hubtools.api.comparing import RunComparison
    from hubtools.findings.side_by_side import SideBySide


@click.command(cls=StrictCommand, short_help="Better, worse or cannot tell: two sides of runs, task by task.")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option(
    "--question",
    type=click.Choice(["weights", "recipe"]),
    help="weights: are these very weights different? recipe: would training again differ? Needs three seeds an arm. "
    "By default recipe where both have them.",
)
@click.option("--metric", metavar="NAME", help="A metric of the tasks; by default the primary one of each.")
@click.option("--split", default="test", show_default=True, metavar="NAME", help="Test split.")
@click.option("--per-class", is_flag=True, help="Also each class, label or assay, in tables and figure.")
@click.option(
    "--replicates",
    type=click.IntRange(200, MOST_REPLICATES),
    default=10_000,
    show_default=True,
    metavar="N",
    help="Of the bootstrap.",
)
@click.option("--format", "form", default="table", show_default=True, type=click.Choice(["table", "markdown", "json"]))
@click.option(
    "--out",
    metavar="FILE.png",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also draw a forest plot.",
)
def compare(
    a: str,
    b: str,
    question: Literal["weights", "recipe"] | None,
    metric: str | None,
    split: str,
    per_class: bool,
    replicates: int,
    form: str,
    out: Path | None,
) -> None:
    """Better, worse or cannot tell: two sides of runs, task by task.

    A and B are runs, named as for bench board: with selectors, two arms of one folder can be compared.

    \b
    bench compare runs-before runs-after
    bench compare runs:recipe=probe runs:recipe=lora
    bench compare 'runs:checkpoint=*8M*,recipe=full' 'runs:checkpoint=*35M*,recipe=full' --out forest.png

    Within a task, arms are paired that share checkpoint and recipe, else checkpoint, else recipe. Other data, other rows
    or another version of the task are refused. Intervals and p-values: bootstrap over homology
    clusters; over several tasks p is corrected by Holm's method. Classes are compared by weights, whatever the question.
    The exit code is 0 whatever the verdict; bench check is the gate.
    """
    import hubtools

    if out is not None and out.suffix != ".png":
        raise UserError(
            f"{out.name} does not end with .png", where="--out", fix=f"Use --out {out.with_suffix('.png')}."
        )
    done = hubtools.compare(a, b, question, metric=metric, split=split, replicates=replicates, on_note=note)
    _show(done, form, per_class, out)
    click.echo(f"next: {_next_step(done.sides)}", err=True)


def _show(done: RunComparison, form: str, per_class: bool, out: Path | None) -> None:
    """Print, and draw where asked for."""
    from hubtools.cli.shared.terminal import new_console
    from hubtools.common.files import write_atomic
    from hubtools.reporting.comparison.comparison_text import print_comparison

    figure = done.figure(per_class=per_class) if out is not None else None
    if form == "table":
        print_comparison(done.sides, new_console(), per_class=per_class)
    elif form == "json":
        click.echo(done.json(), nl=False)
    else:
        shown = None if figure is None or out is None else (out.name, figure.alt)
        click.echo(done.markdown(per_class=per_class, figure=shown), nl=False)
    if out is not None and figure is not None:
        write_atomic(out, figure.png)
        click.echo(f"wrote {out}", err=True)


def _next_step(comparison: SideBySide) -> str:
    """The one command that most likely helps now."""
    from hubtools.evaluation.statistics.difference import MIN_SEEDS, Question
    from hubtools.evaluation.statistics.verdicts import Verdict

    for pair in comparison.pairs:
        found = pair.found
        wanted = found.seeds_needed or (MIN_SEEDS if found.question is Question.WEIGHTS else 0)
        arms = (found.baseline, found.candidate)
        lacking = [arm for arm in arms if len(arm.runs) < wanted and not arm.nothing_random]
        if found.verdict is Verdict.CANNOT_TELL and lacking:
            return f"more seeds, {more_seeds(lacking[0].record.command, lacking[0].seeds, wanted)}"
    a, b = shlex.quote(comparison.a), shlex.quote(comparison.b)
    return f"hold further runs to this, bench check --baseline {a} --candidate {b}"


def more_seeds(command: str, seeds: list[int], wanted: int) -> str:
    """The command of a run with the seeds that an arm still lacks.

    Args:
        command: that made one of its runs.
        seeds: that are there.
        wanted: how many there should be.
    """
    free = (seed for seed in range(1, len(seeds) + wanted + 1) if seed not in seeds)
    more = [str(next(free)) for _ in range(wanted - len(seeds))]
    words = shlex.split(command)
    for name in ("--seed", "--seeds"):
        if name in words:
            place = words.index(name)
            del words[place : place + 2]
    return shlex.join([*words, "--seeds", ",".join(more)])
