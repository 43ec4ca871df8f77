"""``bench publish``: what would go to the Hub, and with ``--push`` the one commit that sends it."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hubtools.api.releasing import not_publishable
from hubtools.cli.shared.commands import StrictCommand
from hubtools.cli.shared.space import show_published_space, show_space
from hubtools.cli.shared.terminal import MIRRORS, NAMED_RUNS, TEMPLATES, note
from hubtools.common.errors import UserError
from hubtools.findings.wording import plural

if TYPE_CHECKING:
    from hubtools.api.releasing import RunPublication, Stage, SuitePublication
    from hubtools.publishing.push import PreparedPush, PushRequest

SHOWN_KEPT = 5


@click.command(cls=StrictCommand)
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
@click.option("--static", is_flag=True, help="With --space: the page computes in the browser, and needs no server.")
@click.option(
    "--quantise", type=click.Choice(["int8"]), help="With --static: weights of eight bits, as of bench export."
)
@click.option(
    "--runtime",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="With --static: a folder with onnxruntime-web; by default it is fetched once.",
)
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
    static: bool,
    quantise: Any,
    runtime: Path | None,
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
    bench publish runs/RUN --repo me/esm2-localisation --space me/esm2-localisation-demo --static --quantise int8 --push
    bench publish runs:recipe=lora,seed=1 --repo me/esm2-localisation
    bench publish --all --suite core --owner me --push
    """
    if send and dry_run:
        raise UserError("--push and --dry-run contradict each other", fix="Give one of them.")
    import hubtools

    if everything:
        if run or repo or space or static or quantise or runtime or not (suite and owner):
            raise UserError("--all is for a suite", fix="Write: bench publish --all --suite NAME --owner NAME")
        again = [f"bench publish --all --suite {shlex.quote(suite)} --owner {owner} --runs {shlex.quote(root)}"]
        again += ([f"--name {shlex.quote(template)}"] if template else []) + (
            [f"--seed {seed}"] if seed is not None else []
        )
        told = _Suite(" ".join(again))
        try:
            done = hubtools.publish_suite(
                suite,
                owner,
                runs=root,
                push=send,
                seed=seed,
                template=template,
                mirrors=mirrors,
                on_stage=told.tell,
                on_note=note,
                revision=revision,
                **options,
            )
        except (UserError, KeyboardInterrupt):
            told.tell_stopped()
            raise
        if not send:
            models = plural(len(done.orders), "model")
            click.echo(f"\n{models} can be published. Nothing was sent. To publish them: {told.again}")
        return
    if run is None or repo is None:
        raise UserError("which run goes where?", fix="Write: bench publish RUN --repo OWNER/NAME")
    one = hubtools.publish(
        run,
        repo,
        push=send,
        space=space,
        static=static,
        quantise=quantise,
        runtime=runtime,
        mirrors=mirrors,
        on_stage=_tell,
        on_note=note,
        revision=revision,
        **options,
    )
    if one.failed:
        raise not_publishable(one.publication)
    if one.done is None:
        again_one = f"{_again(one.order)} --space {space}" if space else _again(one.order)
        again_one += " --static" * static + (f" --quantise {quantise}" if quantise else "")
        again_one += f" --runtime {shlex.quote(str(runtime))}" if runtime else ""
        click.echo(f"\nNothing was sent. To publish it: bench publish {one.order.folder} {again_one} --push")
        return
    name = one.order.repo.split("/")[1]
    click.echo(
        f"\nAnyone can check it:\n  hf download {one.order.repo} --revision {one.done.commit} --local-dir {name}"
    )
    click.echo(f"  python -m hubtools.publishing.reload {name}")


def _tell(stage: Stage, so_far: RunPublication) -> None:
    """What there is to say of a model when it has come so far."""
    order = so_far.order
    if stage == "unasked":
        click.echo(f"note: the Hub was not asked about {order.repo} ({so_far.unasked})", err=True)
    elif stage == "reloading":
        click.echo("loading the saved model in a fresh process and predicting the test split again …", err=True)
    elif stage == "checked" and so_far.ready is not None:
        _show(so_far.ready)
    elif stage == "page":
        show_space(so_far)
    elif stage == "sent" and so_far.done is not None:
        if so_far.done.changed:
            what = "opened a pull request" if order.pull_request else f"published on {order.branch}"
            click.echo(f"\n{what}: {so_far.done.url}\ncommit {so_far.done.commit}, read back and identical")
        else:
            click.echo(f"\nnothing to do, {order.repo} already holds exactly this: {so_far.done.url}")
        if not order.pull_request:
            click.echo(f"for ever: revision run-{so_far.publication.record.run_id}")
    elif stage == "page sent":
        show_published_space(so_far)


class _Suite:
    """What is said of the models of a suite, one after the other."""

    def __init__(self, again: str) -> None:
        self.command, self.sending = again, False
        self.so_far: SuitePublication | None = None

    @property
    def again(self) -> str:
        """The command that goes on."""
        given = _options(self.so_far.orders[0]) if self.so_far else []
        return " ".join([self.command, *given, "--push"])

    def tell(self, stage: Stage, so_far: SuitePublication) -> None:
        """What there is to say when it has come so far."""
        self.so_far = so_far
        if stage == "already":
            for name in so_far.already:
                click.echo(f"{name}: is published already")
        elif stage == "next":
            click.echo(f"\n[{len(so_far.models)}/{len(so_far.waiting)}]")
        elif stage == "sending":
            self.sending = True
        elif stage == "sent":
            model = next(model for model in reversed(so_far.models) if model.done)
            click.echo(f"published {model.order.repo}: {model.url}")
        elif stage == "collected":
            click.echo(f"collection: {so_far.collection}")
        else:
            _tell(stage, so_far.models[-1])

    def tell_stopped(self) -> None:
        """What is published and what is not, where sending had begun."""
        so_far = self.so_far
        left = [o.repo for o in so_far.orders if o.repo not in so_far.published] if so_far else []
        if so_far is None or not (self.sending and left):
            return
        counted = f"{len(so_far.published)} of {plural(len(so_far.orders), 'model')} are published"
        click.echo(f"{counted}; not yet: {', '.join(left)}", err=True)
        click.echo(f"go on with the same command: {self.again}", err=True)


def _again(order: PushRequest) -> str:
    """The options of a command that does the same."""
    return " ".join([f"--repo {order.repo}", *_options(order)])


def _options(order: PushRequest) -> list[str]:
    """Those that were given, but for the repository."""
    parts = []
    for field in dataclasses.fields(order):
        value = getattr(order, field.name)
        if field.name in {"run", "repo", "page"} or value == field.default:
            continue
        name = {"pull_request": "pr", "branch": "revision"}.get(field.name, field.name)
        parts.append(f"--{name}" if value is True else f"--{name} {shlex.quote(str(value))}")
    return parts


def _show(ready: PreparedPush) -> None:
    from hubtools.findings.wording import size
    from hubtools.publishing.push import title

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
