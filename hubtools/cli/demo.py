"""``bench demo``: a model as a page on this machine."""

from __future__ import annotations

import time

import click

from hubtools.api.computing import ExecutionOptions
from hubtools.cli.shared.commands import StrictCommand
from hubtools.cli.shared.execution_options import ASKING, execution_options
from hubtools.cli.shared.terminal import hush_transformers, note

ONE_BY_ONE = "a page answers one question at a time, too few for the model to be made faster first"


@click.command(cls=StrictCommand, short_help="A model as a page on this machine.")
@click.argument("model", metavar="MODEL")
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 lets other machines in.")
@click.option("--port", default=7860, show_default=True, type=click.IntRange(1, 65535))
@click.option("--no-browser", is_flag=True, help="Do not open a browser.")
@execution_options(refused=ASKING | {"packing": ONE_BY_ONE, "compiled": ONE_BY_ONE})
def demo(model: str, host: str, port: int, no_browser: bool, execution: ExecutionOptions) -> None:
    """Serve a page on which a sequence is pasted and the model's answer is read.

    MODEL is one run, named as for bench board, or a model on the Hub that bench published. The page runs on this machine: nothing that is
    pasted leaves it. It needs gradio: pip install "plm-hubtools[demo]".

    \b
    bench demo me/esm2-localisation
    bench demo runs/RUN --port 8000
    """
    import hubtools
    from hubtools.inference.demo_page import build, serve

    hush_transformers()
    page = build(hubtools.open_model(model, execution, on_note=note))
    address = serve(page, host=host, port=port, browser=not no_browser)
    click.echo(f"{address}   (stop with Ctrl-C)")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        click.echo("stopped", err=True)
    finally:
        page.close(verbose=False)
