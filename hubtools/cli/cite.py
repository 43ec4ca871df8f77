"""``bench cite``: what a paper that uses runs cites."""

from __future__ import annotations

import click

from hubtools.cli.shared.commands import StrictCommand
from hubtools.cli.shared.terminal import note


@click.command(cls=StrictCommand, short_help="BibTeX of all that runs used.")
@click.argument("names", metavar="RUNS...", nargs=-1, required=True)
def cite(names: tuple[str, ...]) -> None:
    """Print BibTeX of all that runs used: checkpoints, data, methods of their recipes, and bench; each entry once.

    RUNS are named as for bench board. The keys are those of bench card --methods.

    \b
    bench cite runs > references.bib
    """
    import hubtools

    click.echo(hubtools.cite(names, on_note=note), nl=False)
