"""``bench demo``: a model as a page on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from hubtools.api.computing import ExecutionOptions
from hubtools.cli.shared.commands import StrictCommand
from hubtools.cli.shared.execution_options import ASKING, execution_options
from hubtools.cli.shared.terminal import hush_transformers, note
from hubtools.common.errors import UserError

ONE_BY_ONE = "a page answers one question at a time, too few for the model to be made faster first"


@click.command(cls=StrictCommand, short_help="A model as a page on this machine.")
@click.argument("model", metavar="MODEL")
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 lets other machines in.")
@click.option("--port", default=7860, show_default=True, type=click.IntRange(1, 65535))
@click.option("--no-browser", is_flag=True, help="Do not open a browser.")
@click.option(
    "--static", is_flag=True, help="The page that computes in the browser, and needs no server and no gradio."
)
@click.option(
    "--quantise", type=click.Choice(["int8"]), help="With --static: weights of eight bits, as of bench export."
)
@click.option(
    "--runtime",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="With --static: a folder with onnxruntime-web; by default it is fetched once.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="With --static: write the page there and serve nothing.",
)
@execution_options(refused=ASKING | {"packing": ONE_BY_ONE, "compiled": ONE_BY_ONE})
def demo(
    model: str,
    host: str,
    port: int,
    no_browser: bool,
    static: bool,
    quantise: Any,
    runtime: Path | None,
    out: Path | None,
    execution: ExecutionOptions,
) -> None:
    """Serve a page on which a sequence is pasted and the model's answer is read.

    MODEL is one run, named as for bench board, or a model on the Hub that bench published. The page runs on this machine: nothing that is
    pasted leaves it. It needs gradio: pip install "plm-hubtools[demo]". With --static it is the page of a Space that needs no server: the
    model is exported as by bench export, and computes in the browser.

    \b
    bench demo me/esm2-localisation
    bench demo runs/RUN --port 8000
    bench demo runs/RUN --static --quantise int8
    """
    if static:
        _static(model, host, port, no_browser, quantise, runtime, out, execution)
        return
    for option, given in (("--quantise", quantise), ("--runtime", runtime), ("--out", out)):
        if given is not None:
            raise UserError(f"{option} is for the page that needs no server", fix="Add --static.")
    import hubtools
    from hubtools.api.proteins.viewing_structures import painter
    from hubtools.inference.demo_page import build, serve

    hush_transformers()
    predictor = hubtools.open_model(model, execution, on_note=note)
    page = build(predictor, paint=painter(predictor))
    address = serve(page, host=host, port=port, browser=not no_browser)
    _until_stopped(address, lambda: page.close(verbose=False))


def _static(
    model: str,
    host: str,
    port: int,
    no_browser: bool,
    quantise: Any,
    runtime: Path | None,
    out: Path | None,
    execution: ExecutionOptions,
) -> None:
    """Write the page that needs no server, and serve it unless it was asked for as a folder."""
    import tempfile
    import webbrowser

    import hubtools
    from hubtools.exporting.page_server import PageServer

    hush_transformers()
    with tempfile.TemporaryDirectory(prefix="bench-static-") as scratch:
        folder = out or Path(scratch) / "page"
        done = hubtools.static_page(
            model, folder, quantise=quantise, runtime=runtime, execution=execution, on_note=note
        )
        for line in done.lines():
            click.echo(line, err=True)
        if out is not None:
            click.echo(done.folder)
            return
        server = PageServer(folder, host, port)
        if not no_browser:
            webbrowser.open(server.address)
        _until_stopped(server.address, server.close)


def _until_stopped(address: str, close: Callable[[], None]) -> None:
    """Say where the page is, and wait for Ctrl-C."""
    click.echo(f"{address}   (stop with Ctrl-C)")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        click.echo("stopped", err=True)
    finally:
        close()
