"""``bench publish``: what would go to the Hub, and with ``--push`` the one commit that sends it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hubtools.cli.terminal import MIRRORS
from hubtools.specs.errors import UserError

if TYPE_CHECKING:
    from hubtools.publishing.commit import Target
    from hubtools.publishing.contents import Publication
    from hubtools.reporting.snippet import Weights


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--repo", required=True, metavar="OWNER/NAME", help="Repository on the Hub; created if it is not there.")
@click.option("--push", "send", is_flag=True, help="Really send it. Without this nothing leaves this machine.")
@click.option("--dry-run", is_flag=True, help="Check and list only: the default, said aloud.")
@click.option("--private", is_flag=True, help="Create the repository as a private one.")
@click.option("--pr", "pull_request", is_flag=True, help="Open a pull request instead of committing to main.")
@click.option("--revision", default="main", show_default=True, metavar="BRANCH", help="Branch; created if missing.")
@click.option("--licence", metavar="ID", help="Licence of the model, where it cannot be inherited.")
@click.option(
    "--weights",
    type=click.Choice(["merged", "adapter", "both"]),
    help="Of a run with an adapter; by default both where its base is on the Hub.",
)
@MIRRORS
def publish(
    run: Path,
    repo: str,
    send: bool,
    dry_run: bool,
    private: bool,
    pull_request: bool,
    revision: str,
    licence: str | None,
    weights: Weights | None,
    mirrors: tuple[Path, ...],
) -> None:
    """Push a run's model, card and record to the Hub.

    RUN is a run folder. A dry run unless --push is given: everything is checked, nothing is sent.
    The saved model is loaded by a fresh process and must reproduce the recorded test predictions.

    \b
    bench publish runs/RUN --repo me/esm2-localisation
    bench publish runs/RUN --repo me/esm2-localisation --push
    """
    if send and dry_run:
        raise UserError("--push and --dry-run contradict each other", fix="Give one of them.")
    from hubtools.publishing.commit import look
    from hubtools.publishing.contents import lay_out, plan_publication
    from hubtools.publishing.push import push
    from hubtools.publishing.reload import reproduce_in_fresh_process

    publication = plan_publication(run, repo, licence=licence, weights=weights)
    options: dict[str, Any] = {"branch": revision, "pull_request": pull_request, "private": private}
    if send:
        # Before the slow part, and kept: if the branch moves while we check, nothing is written.
        target: Target | None = look(repo, **options)
    else:
        target = _look_if_possible(repo, options)
    if not publication.failed:
        click.echo("loading the saved model in a fresh process and predicting the test split again …", err=True)
        with lay_out(publication.files) as stage:
            publication = publication.with_check(
                "reload", lambda: str(reproduce_in_fresh_process(Path(stage), mirrors, publication.record.task))
            )
    _show(publication, target)
    if failed := publication.failed:
        raise UserError(
            f"not publishable, {len(failed)} of {len(publication.checks)} checks failed",
            where=str(run),
            fix="See ✗ above; nothing was sent.",
        )
    if target is None or not send:
        again = [f"--repo {repo}", *(["--private"] if private else []), *(["--pr"] if pull_request else [])]
        again += [f"--revision {revision}"] if revision != "main" else []
        again += [f"--licence {licence}"] if licence else []
        again += [f"--weights {weights}"] if weights else []
        click.echo(f"\nNothing was sent. To publish it: bench publish {run} {' '.join(again)} --push")
        return
    done = push(publication, target)
    if done.changed:
        what = "opened a pull request" if pull_request else f"published on {revision}"
        click.echo(f"\n{what}: {done.url}\ncommit {done.commit}, read back and identical")
    else:
        click.echo(f"\nnothing to do, {repo} already holds exactly this: {done.url}")
    name = repo.split("/")[1]
    click.echo(f"\nAnyone can check it:\n  hf download {repo} --revision {done.commit} --local-dir {name}")
    click.echo(f"  python -m hubtools.publishing.reload {name}")


def _look_if_possible(repo: str, options: dict[str, Any]) -> Target | None:
    from hubtools.data.hub import HubUnavailable
    from hubtools.publishing.commit import look

    try:
        return look(repo, signed_in=False, **options)
    except HubUnavailable as error:
        click.echo(f"note: the Hub was not asked about {repo} ({error.what})", err=True)
        return None


def _show(publication: Publication, target: Target | None) -> None:
    from hubtools.publishing.push import stale
    from hubtools.reporting.wording import plural, size

    record = publication.record
    seed = f"seed {record.identity.seed}"
    click.echo(" · ".join([record.identity.task.name, record.subject, record.identity.recipe.name, seed]))
    click.echo(f"→ {publication.repo}{_where(target)}\n")
    width = max(len(file.path) for file in publication.files)
    for file in publication.files:
        source = file.source.relative_to(publication.folder).as_posix()
        click.echo(f"  {file.path:<{width}}  {size(file.bytes):>10}  {'' if source == file.path else source}".rstrip())
    for name in stale(publication, target) if target else []:
        click.echo(f"  {name:<{width}}  {'removed':>10}  of what the repository held before")
    click.echo(f"  {plural(len(publication.files), 'file')}, {size(publication.bytes)}\n")
    for check in publication.checks:
        mark, detail = ("✗", str(check.error)) if check.error else ("✓", check.detail)
        click.echo(f"  {mark} {check.title}: {detail}")


def _where(target: Target | None) -> str:
    if target is None:
        return ""
    if not target.exists:
        return f" (to be created, {'private' if target.private else 'public'})"
    what = "pull request against" if target.pull_request else "branch"
    new = ", to be created" if target.new_branch else ""
    return f" ({what} {target.branch}{new}, {'private' if target.private else 'public'})"
