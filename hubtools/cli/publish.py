"""``bench publish``: what would go to the Hub, and with ``--push`` the one commit that sends it."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hubtools.cli.terminal import MIRRORS, NAMED_RUNS, TEMPLATES, tell
from hubtools.common.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hubtools.publishing.push import PreparedPush, PushRequest

SHOWN_KEPT = 5


@click.command()
@click.argument("run", required=False)
@click.option("--repo", metavar="OWNER/NAME", help="Repository on the Hub; created if it is not there.")
@click.option("--push", "send", is_flag=True, help="Really send it. Without this nothing leaves this machine.")
@click.option("--dry-run", is_flag=True, help="Check and list only: the default, said aloud.")
@click.option("--private", is_flag=True, help="Create the repository as a private one.")
@click.option("--pr", "pull_request", is_flag=True, help="Open a pull request instead of committing to main.")
@click.option("--revision", default="main", show_default=True, metavar="BRANCH", help="Branch; created if missing.")
@click.option("--replace", is_flag=True, help="Put it in the place of a model that bench did not publish there.")
@click.option("--licence", metavar="ID", help="Licence of the model, where it cannot be inherited.")
@click.option("--author", metavar="NAME", help="Whom its citation names; by default the owner of the repository.")
@click.option(
    "--weights",
    type=click.Choice(["merged", "adapter", "both"]),
    help="Of a run with an adapter; by default both where its base is on the Hub.",
)
@click.option("--space", metavar="OWNER/NAME", help="Also publish a page on which the model can be tried, as a Space.")
@click.option("--all", "everything", is_flag=True, help="All models of a suite, a repository each, in a collection.")
@click.option("--suite", metavar="NAME", help="With --all: the suite, by its name or file.")
@click.option("--owner", metavar="NAME", help="With --all: whose the repositories are.")
@click.option("--name", "template", metavar="TEXT", help="With --all: {checkpoint}-{task}, {recipe}, {seed}.")
@click.option("--seed", type=int, metavar="N", help="With --all: which seed; by default the first of each.")
@NAMED_RUNS
@MIRRORS
@TEMPLATES
def publish(
    run: str | None,
    repo: str | None,
    send: bool,
    dry_run: bool,
    space: str | None,
    everything: bool,
    suite: str | None,
    owner: str | None,
    template: str | None,
    seed: int | None,
    root: str,
    mirrors: tuple[Path, ...],
    revision: str,
    **options: Any,
) -> None:
    """Push a run's model, card and record to the Hub.

    RUN is one run, named as for bench board. A dry run unless --push is given: everything is checked, nothing is sent.
    The saved model is loaded by a fresh process and must reproduce the recorded test predictions.

    An update keeps the files that are not bench's, what people wrote into the marked places of the card, and every run's
    tag, run-ID. With --all each model of a suite gets a repository; all are checked before the first is sent, and the
    same command goes on where it stopped.

    \b
    bench publish runs/RUN --repo me/esm2-localisation
    bench publish runs/RUN --repo me/esm2-localisation --push
    bench publish runs/RUN --repo me/esm2-localisation --space me/esm2-localisation-demo --push
    bench publish runs:recipe=lora,seed=1 --repo me/esm2-localisation
    bench publish --all --suite core --owner me --push
    """
    if send and dry_run:
        raise UserError("--push and --dry-run contradict each other", fix="Give one of them.")
    from hubtools.publishing.push import PushRequest
    from hubtools.results.naming.named_runs import Needs, run_named
    from hubtools.specs.lookup.spec_files import suite_named

    if everything:
        if run or repo or space or not (suite and owner):
            raise UserError("--all is for a suite", fix="Write: bench publish --all --suite NAME --owner NAME")
        name = suite_named(suite)
        orders = _of_suite(root, name, owner, template, seed, {"branch": revision, **options})
        again = [f"bench publish --all --suite {shlex.quote(suite)} --owner {owner} --runs {shlex.quote(root)}"]
        again += ([f"--name {shlex.quote(template)}"] if template else []) + (
            [f"--seed {seed}"] if seed is not None else []
        )
        again += _options(orders[0])
        _publish_all(orders, owner, name, " ".join([*again, "--push"]), send, mirrors)
        return
    if run is None or repo is None:
        raise UserError("which run goes where?", fix="Write: bench publish RUN --repo OWNER/NAME")
    if space and options["pull_request"]:
        raise UserError("a Space loads a model that is published", where="--space --pr", fix="Leave out one of them.")
    chosen, named = run_named(run, Needs.FOLDER)
    tell(named)
    _publish_one(PushRequest(chosen, repo, branch=revision, **options), space, send, mirrors)


def _publish_one(order: PushRequest, space: str | None, send: bool, mirrors: Sequence[Path]) -> None:
    from hubtools.cli.space import look_at_space, publish_space, show_space

    # Before the slow part too: a Space that cannot be written is no reason to publish the model first.
    page = look_at_space(space, private=order.private, signed_in=send) if space else None
    ready = _checked(order, send, mirrors)
    _refuse_failed(ready)
    if page is not None and not page.exists and ready.target is not None and ready.target.private:
        page = dataclasses.replace(page, private=True)
    if space:
        private = order.private or (ready.target is not None and ready.target.private)
        show_space(ready.publication, space, page, private=private)
    if ready.target is None or not send:
        again = f"{_again(order)} --space {space}" if space else _again(order)
        click.echo(f"\nNothing was sent. To publish it: bench publish {order.folder} {again} --push")
        return
    from hubtools.publishing.push import release

    done = release(ready)
    if done.changed:
        what = "opened a pull request" if order.pull_request else f"published on {order.branch}"
        click.echo(f"\n{what}: {done.url}\ncommit {done.commit}, read back and identical")
    else:
        click.echo(f"\nnothing to do, {order.repo} already holds exactly this: {done.url}")
    if not order.pull_request:
        click.echo(f"for ever: revision run-{ready.publication.record.run_id}")
    if page is not None:
        publish_space(ready.publication, page, done.commit)
    name = order.repo.split("/")[1]
    click.echo(f"\nAnyone can check it:\n  hf download {order.repo} --revision {done.commit} --local-dir {name}")
    click.echo(f"  python -m hubtools.publishing.reload {name}")


def _checked(order: PushRequest, send: bool, mirrors: Sequence[Path]) -> PreparedPush:
    """Everything examined and shown. Before the slow part the repository is looked at, and kept: if the branch moves while
    we check, nothing is written.
    """
    from hubtools.common.hub import HubUnavailable
    from hubtools.publishing.push import looked_at, planned, verified

    ready = planned(order)
    try:
        ready = looked_at(ready, order, signed_in=send or _has_token())
    except HubUnavailable as error:
        if send:
            raise
        click.echo(f"note: the Hub was not asked about {order.repo} ({error.what})", err=True)
    if not ready.publication.failed:
        click.echo("loading the saved model in a fresh process and predicting the test split again …", err=True)
        ready = verified(ready, mirrors)
    _show(ready)
    return ready


def _has_token() -> bool:
    """Whether a dry run can say what the token may do."""
    from huggingface_hub import get_token

    return get_token() is not None


def _refuse_failed(ready: PreparedPush) -> None:
    publication = ready.publication
    if failed := publication.failed:
        raise UserError(
            f"not publishable, {len(failed)} of {len(publication.checks)} checks failed",
            where=str(publication.folder),
            fix="See ✗ above; nothing was sent.",
        )


def _of_suite(
    root: str, suite: str, owner: str, template: str | None, seed: int | None, options: dict[str, Any]
) -> list[PushRequest]:
    from hubtools.publishing.push import PushRequest
    from hubtools.publishing.suites import models_of, repository_names
    from hubtools.results.naming.named_runs import Needs, runs_named

    named = runs_named([root], Needs.FOLDER)
    tell(named)
    chosen = models_of(named.found, suite, seed, root)
    names = repository_names([run.record for run in chosen], owner, template)
    return [PushRequest(run, name, **options) for run, name in zip(chosen, names, strict=True)]


def _publish_all(
    orders: list[PushRequest], owner: str, suite: str, again: str, send: bool, mirrors: Sequence[Path]
) -> None:
    """Check every model, then push them one by one; what is there already is left alone."""
    from hubtools.publishing.push import release
    from hubtools.publishing.suites import collect, is_published
    from hubtools.results.wording import plural
    from hubtools.runs.store import open_run

    there = {order.repo for order in orders if send and is_published(order.repo, open_run(order.run).record)}
    for name in sorted(there):
        click.echo(f"{name}: is published already")
    waiting = [order for order in orders if order.repo not in there]
    readies = []
    for number, order in enumerate(waiting, start=1):
        click.echo(f"\n[{number}/{len(waiting)}]")
        readies.append(_checked(order, send, mirrors))
    if failed := [ready for ready in readies if ready.publication.failed]:
        names = ", ".join(ready.publication.repo for ready in failed)
        raise UserError(
            f"{len(failed)} of {plural(len(orders), 'model')} are not publishable: {names}", fix="Nothing was sent."
        )
    if not send:
        click.echo(f"\n{plural(len(orders), 'model')} can be published. Nothing was sent. To publish them: {again}")
        return
    done = sorted(there)
    try:
        for ready in readies:
            result = release(ready)
            done.append(ready.publication.repo)
            click.echo(f"published {ready.publication.repo}: {result.url}")
    except (UserError, KeyboardInterrupt):
        left = [order.repo for order in orders if order.repo not in done]
        click.echo(f"{len(done)} of {plural(len(orders), 'model')} are published; not yet: {', '.join(left)}", err=True)
        click.echo(f"go on with the same command: {again}", err=True)
        raise
    if not orders[0].pull_request:
        click.echo(f"collection: {collect(owner, suite, [order.repo for order in orders], private=orders[0].private)}")


def _again(order: PushRequest) -> str:
    """The options of a command that does the same."""
    return " ".join([f"--repo {order.repo}", *_options(order)])


def _options(order: PushRequest) -> list[str]:
    """Those that were given, but for the repository."""
    parts = []
    for field in dataclasses.fields(order):
        value = getattr(order, field.name)
        if field.name in {"run", "repo"} or value == field.default:
            continue
        name = {"pull_request": "pr", "branch": "revision"}.get(field.name, field.name)
        parts.append(f"--{name}" if value is True else f"--{name} {shlex.quote(str(value))}")
    return parts


def _show(ready: PreparedPush) -> None:
    from hubtools.publishing.push import title
    from hubtools.results.wording import plural, size

    publication, target = ready.publication, ready.target
    click.echo(title(publication))
    click.echo(f"→ {publication.repo}{_where(ready)}\n")
    width = max(len(file.path) for file in publication.files)
    for file in publication.files:
        held = target.held.get(file.path) if target else None
        state = (
            ""
            if target is None or not target.exists
            else "new"
            if held is None
            else "unchanged"
            if held.is_same(file)
            else "changed"
        )
        click.echo(f"  {file.path:<{width}}  {size(file.bytes):>10}  {state}".rstrip())
    removed = ready.removed
    for name in removed:
        click.echo(f"  {name:<{width}}  {'removed':>10}  of what the repository held before")
    total = f"{plural(len(publication.files), 'file')}, {size(publication.bytes)}"
    if target is not None and target.exists:
        ours = {file.path for file in publication.files} | set(removed)
        kept = [name for name in target.files if name not in ours]
        more = " …" if len(kept) > SHOWN_KEPT else ""
        if kept:
            stay = "stays" if len(kept) == 1 else "stay"
            total += f"; {plural(len(kept), 'other file')} {stay} ({', '.join(kept[:SHOWN_KEPT])}{more})"
    click.echo(f"  {total}\n")
    for check in publication.checks:
        mark, detail = ("✗", str(check.error)) if check.error else ("✓", check.detail)
        click.echo(f"  {mark} {check.title}: {detail}")


def _where(ready: PreparedPush) -> str:
    target = ready.target
    if target is None:
        return ""
    if not target.exists:
        return f" (to be created, {'private' if target.private else 'public'})"
    what = "pull request against" if target.pull_request else "branch"
    new = ", to be created" if target.new_branch else ""
    return f" ({what} {target.branch}{new}, {'private' if target.private else 'public'})"
