"""What ``bench publish --space`` says and does after the model: a page of it as a Space."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hubtools.publishing.commit import Target
    from hubtools.publishing.contents import Publication


def look_at_space(repo: str, *, private: bool, signed_in: bool) -> Target | None:
    """The Space as it is now, or None where the Hub cannot be asked and nothing is to be sent.

    Args:
        repo: ``owner/name``.
        private: whether the model is, so that the Space must be.
        signed_in: whether something is to be sent.

    Raises:
        UserError: it may not be written, or holds another app.
    """
    from hubtools.common.hub import HubUnavailable
    from hubtools.publishing.commit import look
    from hubtools.publishing.demo_space import refuse_another_app

    try:
        target = look(repo, kind="space", private=private, signed_in=signed_in, sdk="gradio")
    except HubUnavailable:
        if signed_in:
            raise
        return None
    refuse_another_app(target)
    return target


def show_space(publication: Publication, repo: str, target: Target | None, *, private: bool) -> None:
    """List what would go into the Space."""
    from hubtools.publishing.demo_space import write_space
    from hubtools.results.wording import plural, size

    with tempfile.TemporaryDirectory(prefix="bench-space-") as folder:
        space = write_space(Path(folder), repo, publication, "COMMIT", private=private)
        code = [file for file in space.files if file.path.startswith("hubtools/")]
        rest = [file.path for file in space.files if file not in code]
        state = "" if target is None else " (there already)" if target.exists else " (to be created)"
        click.echo(f"\n→ Space {repo}{state}: {', '.join(rest)}")
        click.echo(f"  and {plural(len(code), 'file')} of bench that the page runs, {size(sum(f.bytes for f in code))}")
        for note in space.notes:
            click.echo(f"  note: {note}")


def publish_space(publication: Publication, target: Target, commit: str) -> None:
    """Push the page of a model that has just been published at a commit.

    Raises:
        UserError: the Hub refused. The model stays published.
    """
    from hubtools.publishing.demo_space import push_space, write_space

    with tempfile.TemporaryDirectory(prefix="bench-space-") as folder:
        space = write_space(Path(folder), target.repo, publication, commit, private=target.private)
        done = push_space(space, target, publication, commit)
    click.echo(f"\n{'its page' if done.changed else 'its page is there already'}: {done.url}")
    for note in space.notes:
        click.echo(f"note: {note}")
