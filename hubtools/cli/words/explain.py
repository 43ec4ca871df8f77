"""``bench explain``: what a word means."""

from __future__ import annotations

import click

from hubtools.cli.shared.commands import StrictCommand


@click.command("explain", cls=StrictCommand)
@click.argument("word", nargs=-1)
def explain(word: tuple[str, ...]) -> None:
    """What a word of bench, or a metric, means; without one, all words.

    \b
    bench explain mcc
    bench explain best set
    """
    import shutil
    import textwrap

    from hubtools.findings.glossary import explained, words

    width = min(shutil.get_terminal_size((80, 24)).columns, 100)
    if not word:
        click.echo("\n".join(textwrap.wrap(", ".join(words()), width, break_on_hyphens=False)))
        click.echo("\nnext: one of them, bench explain mcc")
        return
    name, means = explained(" ".join(word))
    click.echo("\n".join(textwrap.wrap(f"{name}: {means}", width)))
