"""``bench export``: a model as ONNX graphs, proven against torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hubtools.cli.shared.commands import StrictCommand
from hubtools.cli.shared.terminal import MIRRORS, hush_transformers, note


@click.command(cls=StrictCommand, short_help="A model as ONNX, proven against torch.")
@click.argument("model", metavar="MODEL")
@click.option(
    "--format", "form", type=click.Choice(["onnx"]), default="onnx", show_default=True, help="What is written."
)
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A new folder, or an earlier export.",
)
@click.option(
    "--quantise",
    type=click.Choice(["int8"]),
    help="Weights of eight bits: a quarter of the size, at a cost that is measured on the run's validation proteins.",
)
@MIRRORS
def export(model: str, form: str, out: Path, quantise: Any, mirrors: tuple[Path, ...]) -> None:
    """Write a model as ONNX graphs, which any onnxruntime runs: on a server, in a browser, without torch.

    MODEL is one run, named as for bench board, or a model on the Hub that bench published. The folder gets model.onnx (and head.onnx
    of a model that predicts of proteins), tokens.json with the token of each letter, and export.json with labels, thresholds, window
    and how it was proven. The graphs read proteins from one residue to the window, alone and padded together; where a logit
    differs from torch by more than 1e-4, nothing is written. It needs onnx: pip install "plm-hubtools[export]".

    \b
    bench export runs/RUN -o esm2-localisation-onnx
    bench export me/esm2-localisation -o small --quantise int8
    """
    import hubtools
    from hubtools.api.computing import ExecutionOptions

    hush_transformers()
    done = hubtools.export(
        model, out, quantise=quantise, execution=ExecutionOptions(device="cpu", mirrors=mirrors), on_note=note
    )
    for line in done.lines():
        click.echo(line, err=True)
    click.echo(done.folder)
