"""``bench view``: structures as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hubtools.cli.shared.commands import StrictCommand
from hubtools.cli.shared.terminal import MIRRORS, TEMPLATES, tell_of_proteins
from hubtools.common.errors import UserError


@click.command(cls=StrictCommand, short_help="Structures as a page.")
@click.argument("structures", metavar="STRUCTURES...", nargs=-1, required=True)
@click.option("--predictions", metavar="FILE", help="What bench predict wrote of residues: painted on the structures.")
@click.option("--label", metavar="NAME", help="In place of decided labels the probability of this one.")
@click.option("-o", "--out", default="structures.html", show_default=True, metavar="FILE", help="The page.")
@click.option("--painted", metavar="DIR", help="Also the structures, with predictions as B factors.")
@click.option(
    "--figure", metavar="FILE", help="Also a still picture: .png, .pdf, .svg; of several structures a folder."
)
@click.option("--title", metavar="TEXT", help="Heading of the page.")
@click.option(
    "--runtime",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder with 3Dmol.js; by default it is fetched from npm once.",
)
@MIRRORS
@TEMPLATES
def view(
    structures: tuple[str, ...],
    out: str,
    painted: str | None,
    figure: str | None,
    mirrors: tuple[Path, ...],
    **asked: Any,
) -> None:
    """Write a page on which structures turn, in the colours of confidence or of what a model predicts of each residue.

    STRUCTURES are files (PDB, mmCIF, BinaryCIF, also gzipped) or folders of them, such as bench fold writes. The page is one file that
    asks nobody for anything. Predicted structures have their pLDDT as B factor and are shown in AlphaFold's colours; the predicted aligned
    error stands beside them where NAME.pae.npz has it.

    \b
    bench view folds/ -o folds.html
    bench predict runs/RUN proteins.fasta -o sites.tsv
    bench view 1aki.pdb --predictions sites.tsv -o sites.html --painted sites/
    """
    import hubtools
    from hubtools.findings.wording import plural

    if painted is not None and asked["predictions"] is None:
        raise UserError("--painted writes predictions as B factors", fix="Name them: --predictions FILE.")
    done = hubtools.view(structures, mirrors=mirrors, **asked)
    page = done.write(out)
    files = [] if painted is None else done.write_painted(painted)
    figures = [] if figure is None else done.draw(figure)
    # On stderr, as other commands say what they wrote.
    click.echo(str(done), err=True)
    tell_of_proteins(done.notes, [])
    click.echo(f"wrote {page}", err=True)
    if painted is not None:
        click.echo(f"wrote {plural(len(files), 'file')} with predictions as B factors in {painted}", err=True)
    if figure is not None:
        click.echo(f"wrote {plural(len(figures), 'figure')}: {figure}", err=True)
