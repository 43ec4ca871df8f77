"""``bench materialise``: the whole model of a run that names its encoder, on the disk."""

from __future__ import annotations

from pathlib import Path

import click

from hubtools.cli.shared.commands import StrictCommand
from hubtools.cli.shared.terminal import MIRRORS, hush_transformers, note


@click.command(cls=StrictCommand, short_help="Put the whole model of a run together.")
@click.argument("run", metavar="RUN")
@click.option(
    "-o", "--out", metavar="DIR", help="A new folder, in place of the run's own: the model, run.json, the predictions."
)
@click.option("--encoder", metavar="DIR", help="Folder of the checkpoint, where it is not where the run had it.")
@click.option("--no-check", is_flag=True, help="Do not predict the test splits again.")
@MIRRORS
def materialise(run: str, out: str | None, encoder: str | None, no_check: bool, mirrors: tuple[Path, ...]) -> None:
    """Put the whole model of a run together: weights that plain transformers loads.

    RUN is one run, named as for bench board. A run of a probe or an adapter keeps its head (and adapter) and names its encoder;
    bench predict, demo and publish put them together by themselves. This is for whoever wants the files.

    Every weight is proven to be the one that was measured. Then a fresh process loads the model, and must reproduce the recorded test
    predictions.

    \b
    bench materialise runs/RUN
    bench materialise runs/RUN -o my-model
    bench materialise runs/RUN --encoder ~/checkpoints/esm2
    """
    import hubtools

    hush_transformers()
    done = hubtools.materialise(run, out, encoder=encoder, check=not no_check, mirrors=mirrors, on_note=note)
    if done.was_whole:
        click.echo("the run has its whole model already", err=True)
    if done.reloaded:
        click.echo(done.reloaded, err=True)
    click.echo(done.folder)
