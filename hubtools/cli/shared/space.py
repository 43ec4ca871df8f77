"""What ``bench publish --space`` says of the page of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hubtools.api.releasing import RunPublication


def show_space(so_far: RunPublication) -> None:
    """List what would go into the Space."""
    from hubtools.findings.wording import plural, size

    page, target = so_far.page, so_far.target
    assert page is not None
    code = [file for file in page.files if file.path.startswith("hubtools/")]
    rest = [file.path for file in page.files if file not in code]
    state = "" if target is None else " (there already)" if target.exists else " (to be created)"
    click.echo(f"\n→ Space {so_far.space}{state}: {', '.join(rest)}")
    if code:
        click.echo(f"  and {plural(len(code), 'file')} of bench that the page runs, {size(sum(f.bytes for f in code))}")
    else:
        click.echo(f"  {size(sum(file.bytes for file in page.files))}, which the browser of whoever opens it loads")
    for line in page.notes:
        click.echo(f"  note: {line}")


def show_published_space(so_far: RunPublication) -> None:
    """Where the page is now."""
    done, page = so_far.page_done, so_far.page
    assert done is not None and page is not None
    click.echo(f"\n{'its page' if done.changed else 'its page is there already'}: {done.url}")
    for line in page.notes:
        click.echo(f"note: {line}")
