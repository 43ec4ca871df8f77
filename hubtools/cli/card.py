"""``bench card``: the model card of a run."""

from __future__ import annotations

import click

from hubtools.cli.terminal import TEMPLATES, tell


@click.command(short_help="Write the model card of a run.")
@click.argument("names", metavar="RUNS...", nargs=-1, required=True)
@click.option("--author", metavar="NAMES", help="Who made the model, for its citation, as in BibTeX.")
@TEMPLATES
def card(names: tuple[str, ...], author: str | None) -> None:
    """Write the model card of a run into its folder: card/README.md and its figures.

    RUNS are named as for bench board; each gets a card. Where several are named, those that did not finish are left out.

    The card is made from the run's record and predictions, and from the runs that lie beside it: run again to add
    what came later. bench publish writes it anew for the repository it goes to.

    \b
    bench card runs/RUN
    bench card runs:recipe=probe,seed=1

    What you write between <!-- bench:edit ... --> and <!-- /bench:edit --> stays; what you change elsewhere does not.
    """
    from hubtools.reporting.card.card_edits import changed_by_hand
    from hubtools.reporting.card.model_card import build_card, existing_card
    from hubtools.reporting.card.snippet import has_model
    from hubtools.results.naming.named_runs import Needs, no_run, runs_named

    named = runs_named(names, Needs.FOLDER)
    if not named.found:
        raise no_run(names, named)
    tell(named)
    for run in named.found:
        folder, record = run
        if record.status != "complete" and len(named.found) > 1:
            click.echo(f"left out: {folder} is {record.status}", err=True)
            continue
        lost = changed_by_hand(existing_card(folder))
        path = build_card(run, author=author, beside=named.found)
        if lost:
            click.echo(
                f"note: changed by hand outside the marked places, and written anew: {', '.join(lost)}. What is to stay "
                "goes between <!-- bench:edit NAME --> and <!-- /bench:edit -->",
                err=True,
            )
        click.echo(path)
        figures = len(list((path.parent / "figures").glob("*.png")))
        click.echo(f"wrote the card and {figures} figure{'s' * (figures != 1)}", err=True)
        if has_model(run.model):
            task = record.identity.task.name
            click.echo(f"next: bench publish {folder} --repo YOU/{task} --dry-run", err=True)
        elif record.identity.checkpoint is None:
            click.echo("a baseline keeps no model, so the card shows no lines to load one", err=True)
        else:
            click.echo("the run holds no model, so the card shows no lines to load one", err=True)
