"""``bench curve``: learning curves, as a figure, a table and numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hubtools.cli.shared.commands import StrictCommand
from hubtools.cli.shared.terminal import NAMED_RUNS, note
from hubtools.common.errors import UserError

if TYPE_CHECKING:
    from hubtools.findings.board.learning_curve import Curve, Series


@click.command(cls=StrictCommand, short_help="Draw learning curves: score against training data.")
@click.argument("names", metavar="[RUNS]...", nargs=-1)
@NAMED_RUNS
@click.option("--task", metavar="NAME", help="Only this task.")
@click.option("--split", default="test", show_default=True, metavar="NAME", help="Test split.")
@click.option(
    "--out",
    default=Path("learning-curve.png"),
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The figure; the numbers go beside it as .json and .tsv.",
)
def curve(names: tuple[str, ...], root: str, task: str | None, split: str, out: Path) -> None:
    """Draw learning curves: score against training data, pretrained beside random weights.

    RUNS are named as for bench board: those of `bench run --suite learning-curve` (or any with --fraction). A point is the mean over its seeds,
    each of which draws its own share of the training proteins (and its own random weights); validation and test are
    whole at every point. The 95 % interval is the board's. Baselines learnt from all training data.

    "As good as random with" is how many times the training data random weights need for the same score, read off their
    own curve, straight between its points over the logarithm of the number: > where all data do not suffice, < where
    the least do. It comes from means and has no interval.
    """
    import hubtools

    if out.suffix != ".png":
        raise UserError(
            f"{out.name} does not end with .png", where="--out", fix=f"Use --out {out.with_suffix('.png')}."
        )
    found = hubtools.curves(names or (root,), task=task, split=split, on_note=note)
    for one in found.curves:
        for series in one.series:
            _print(one, series)
    for line in found.notes:
        click.echo(f"note: {line}", err=True)
    for path in found.write(out):
        click.echo(f"wrote {path}", err=True)


def _print(curve: Curve, series: Series) -> None:
    """One series as a table."""
    from rich.text import Text

    from hubtools.cli.shared.terminal import new_console, new_table
    from hubtools.findings.board.learning_curve import gain, score_text
    from hubtools.findings.wording import SHORT_INTERVAL_MEANING, metric_title, number, share

    console = new_console()
    heading = f": {metric_title(curve.metric, arrow=True)} on {curve.split}"
    console.print(Text.assemble("\n", (curve.title, "bold"), heading))
    console.print(Text(series.name))
    table = new_table(
        "share", curve.noun, "pretrained", "random weights", "gain", "as good as random with", "seeds", numbers_from=1
    )
    for pretrained, random in series.pairs():
        point = pretrained or random
        assert point is not None
        gained = gain(pretrained, random)
        factor = series.factor(pretrained) if pretrained else None
        table.add_row(
            share(point.fraction),
            f"{point.n:,.0f}",
            score_text(pretrained),
            score_text(random),
            "" if gained is None else str(gained),
            f"{factor} the data" if factor else "",
            ", ".join(map(str, point.seeds)),
        )
    console.print(table)
    console.print(f"[dim]{SHORT_INTERVAL_MEANING}[/dim]")
    for name, estimate in curve.baselines:
        console.print(f"{name}, all data: {number(estimate.value)}")
