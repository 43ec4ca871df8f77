"""``bench card``: the model card of a run."""

from __future__ import annotations

import click

from hubtools.cli.shared.commands import StrictCommand
from hubtools.cli.shared.terminal import TEMPLATES, note, publish_rehearsal
from hubtools.runs.store import MODEL


@click.command(cls=StrictCommand, short_help="Write the model card of a run.")
@click.argument("names", metavar="RUNS...", nargs=-1, required=True)
@click.option("--author", metavar="NAMES", help="Who made the model, for its citation, as in BibTeX.")
@click.option(
    "--methods", is_flag=True, help="Print a paragraph for the methods section of a paper in place of a card."
)
@TEMPLATES
def card(names: tuple[str, ...], author: str | None, methods: bool) -> None:
    """Write the model card of a run into its folder: card/README.md and its figures.

    RUNS are named as for bench board; each gets a card. Where several are named, those that did not finish are left out.

    The card is made from the run's record and predictions, and from the runs that lie beside it: run again to add
    what came later. bench publish writes it anew for the repository it goes to.

    \b
    bench card runs/RUN
    bench card runs:recipe=probe,seed=1
    bench card --methods runs:recipe=probe

    With --methods nothing is written: the paragraph is printed, one for the seeds of a checkpoint under a recipe, and [@key] names an
    entry of bench cite.

    What you write between <!-- bench:edit ... --> and <!-- /bench:edit --> stays; what you change elsewhere does not.
    """
    import hubtools
    from hubtools.reporting.card.snippet import has_model

    if methods:
        click.echo("\n".join(hubtools.methods(names, on_note=note)), nl=False)
        click.echo(f"next: the references, bench cite {' '.join(names)}", err=True)
        return

    for written in hubtools.write_cards(names, author=author, on_note=note):
        if written.lost:
            click.echo(
                f"note: changed by hand outside the marked places, and written anew: {', '.join(written.lost)}. What is to stay "
                "goes between <!-- bench:edit NAME --> and <!-- /bench:edit -->",
                err=True,
            )
        click.echo(written.path)
        figures = len(list((written.path.parent / "figures").glob("*.png")))
        click.echo(f"wrote the card and {figures} figure{'s' * (figures != 1)}", err=True)
        checkpoint = written.record.identity.checkpoint
        if has_model(written.folder / MODEL):
            if checkpoint is None or not checkpoint.trust_remote_code:  # No model ships with code of its checkpoint's.
                click.echo(f"next: {publish_rehearsal(written.folder, written.record)}", err=True)
        elif checkpoint is None:
            click.echo("a baseline keeps no model, so the card shows no lines to load one", err=True)
        else:
            click.echo("the run holds no model, so the card shows no lines to load one", err=True)
