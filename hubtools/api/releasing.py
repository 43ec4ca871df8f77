"""A run, or the models of a suite, on the Hub: checked here, shown, and sent only where that is asked for."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from hubtools.api.asked import Say, refuse_unknown, silent
from hubtools.api.computing import quiet, quiet_hub
from hubtools.api.found_runs import said_of
from hubtools.common.errors import UserError
from hubtools.common.notebook import line_html, lines_html, table_html
from hubtools.runs.store import DEFAULT_ROOT

if TYPE_CHECKING:
    from hubtools.exporting.static_space import StaticSpace
    from hubtools.publishing.commit import PushedCommit, Target
    from hubtools.publishing.contents import Publication, PublishingCheck
    from hubtools.publishing.demo_space import DemoSpace
    from hubtools.publishing.push import PreparedPush, PushRequest
    from hubtools.runs.store import OpenRun


class PublishOptions(TypedDict, total=False):
    """How a run goes to the Hub.

    Attributes:
        private: create the repository as a private one.
        pull_request: open a pull request instead of committing.
        revision: branch, created if missing; ``main`` by default.
        replace: put it in the place of a model that bench did not publish there.
        licence: of the model, where it cannot be inherited.
        author: whom its citation names; by default the owner of the repository.
        weights: of a run with an adapter; by default both where its base is on the Hub.
    """

    private: bool
    pull_request: bool
    revision: str
    replace: bool
    licence: str | None
    author: str | None
    weights: Literal["merged", "adapter", "both"] | None


# How far it is: the Hub was not asked, the model is being loaded again, everything was examined, the page is known, the model
# was sent, its page was sent; of suites also which models are there already, that one is next, that all are checked and sending
# begins, and that all are in a collection.
Stage = Literal[
    "unasked", "reloading", "checked", "page", "sent", "page sent", "already", "next", "sending", "collected"
]


@dataclass(frozen=True)
class StaticPageOptions:
    """How the page of a model is made that computes in the browser.

    Attributes:
        quantise: ``int8``, or None for the weights as they are.
        runtime: folder with onnxruntime-web; None to fetch it.
        mirrors: folders of data, for what int8 costs.
    """

    quantise: Literal["int8"] | None = None
    runtime: Path | None = None
    mirrors: tuple[Path, ...] = ()


@dataclass
class RunPublication:
    """A run on its way to the Hub, as far as it is.

    Attributes:
        order: what is wanted.
        ready: files and checks, and the repository as it was looked at; None before.
        unasked: why the Hub was not asked; empty where it was.
        space: of its page, where one is wanted.
        target: the page's repository; None where it was not looked at.
        page: what is in the page.
        done: the commit; None where nothing was sent.
        page_done: that of the page.
        static: how the page is made, where it needs no server; None for one that runs on the Hub.
    """

    order: PushRequest
    ready: PreparedPush | None = None
    unasked: str = ""
    space: str | None = None
    target: Target | None = None
    page: DemoSpace | None = None
    done: PushedCommit | None = None
    page_done: PushedCommit | None = None
    static: StaticPageOptions | None = None

    @property
    def publication(self) -> Publication:
        """Files and checks."""
        assert self.ready is not None
        return self.ready.publication

    @property
    def failed(self) -> list[PublishingCheck]:
        """The conditions of publishing that do not hold."""
        return self.publication.failed

    @property
    def url(self) -> str | None:
        """Of the commit or pull request; None where nothing was sent."""
        return self.done.url if self.done else None

    @property
    def private(self) -> bool:
        """Whether the model is private there."""
        target = self.ready.target if self.ready else None
        return self.order.private or (target is not None and target.private)

    def __repr__(self) -> str:
        from hubtools.publishing.push import title

        state = f"published: {self.url}" if self.done else "nothing was sent"
        failed = f"{len(self.failed)} of {len(self.publication.checks)} checks failed, " if self.failed else ""
        return f"{title(self.publication)} → {self.order.repo}: {failed}{state}"

    def _repr_html_(self) -> str:
        from hubtools.findings.wording import size

        files = [(file.path, size(file.bytes)) for file in self.publication.files]
        checks = [f"{'✗' if c.error else '✓'} {c.title}: {c.error or c.detail}" for c in self.publication.checks]
        table = table_html(("file", "size"), files, numbers=["size"])
        return line_html(repr(self), strong=True) + lines_html("Checks", checks) + table


OnStage = Callable[[Stage, RunPublication], None]


def _unseen(stage: Stage, so_far: Any) -> None:
    """Nobody watches."""


def publish(
    run: str | PathLike[str],
    repo: str,
    *,
    push: bool = False,
    space: str | None = None,
    static: bool = False,
    quantise: Literal["int8"] | None = None,
    runtime: str | PathLike[str] | None = None,
    mirrors: Sequence[Path] = (),
    on_stage: OnStage = _unseen,
    on_note: Say = silent,
    **options: Unpack[PublishOptions],
) -> RunPublication:
    """A run's model, card and record on the Hub. Nothing is sent unless ``push`` is True.

    The saved model is loaded by a fresh process and must reproduce the recorded test predictions.

    Args:
        run: one run, named as for :func:`hubtools.results`.
        repo: ``owner/name``; created if it is not there.
        push: really send it; else everything is checked, and nothing leaves this machine.
        space: also publish a page on which the model can be tried, as the Space ``owner/name``.
        static: the page computes in the browser, and the Space is files alone.
        quantise, runtime: of a static page, as of :func:`hubtools.static_page`.
        mirrors: folders of data, for the check.
        on_stage: called with how far it is and with what is known by then.
        on_note: as for :func:`hubtools.results`.
        options: fields of :class:`PublishOptions`.

    Returns:
        Files, checks (``failed``) and, where it was sent, ``url``.

    Raises:
        UserError: there is no such run, the Hub does not allow it, or it is to be sent and a check failed.
    """
    from hubtools.findings.naming.named_runs import Needs, run_named
    from hubtools.reporting.card.model_card import ModelPage
    from hubtools.runs.whole_model import kept_small

    refuse_unknown(options, PublishOptions, "publish")
    if space and options.get("pull_request"):
        raise UserError("a Space loads a model that is published", where="--space --pr", fix="Leave out one of them.")
    if not static and (quantise or runtime):
        raise UserError("quantise and runtime are for a page that computes in the browser", fix="Add --static.")
    if static and not space:
        raise UserError("a static page is a Space", where="--static", fix="Name it: --space OWNER/NAME.")
    chosen, named = run_named(fspath(run), Needs.FOLDER)
    said_of([named], on_note)
    so_far = RunPublication(_order(chosen, repo, options), space=space)
    if space and not static:
        so_far.order = dataclasses.replace(so_far.order, page=ModelPage(space))
    if static:
        so_far.static = StaticPageOptions(quantise, None if runtime is None else Path(runtime), tuple(mirrors))
    if space:
        # Before the slow part too: a Space that cannot be written is no reason to publish the model first.
        so_far.target = _look_at_space(space, private=so_far.order.private, signed_in=push, static=static)
    with _quiet([chosen]), kept_small(chosen), tempfile.TemporaryDirectory(prefix="bench-space-") as scratch:
        page = _check(so_far, push, mirrors, on_stage, Path(scratch))
        if so_far.failed:
            if push:
                raise not_publishable(so_far.publication)
            return so_far
        if space:
            so_far.page = _plan_page(so_far, page, space, Path(scratch))
            on_stage("page", so_far)
        if push:
            _send(so_far, page, on_stage)
    return so_far


def _quiet(runs: Sequence[OpenRun]) -> contextlib.AbstractContextManager[None]:
    """No bars that nobody asked for; transformers has some where a model is put together, and is not imported where none is."""
    from hubtools.runs.whole_model import has_whole_model

    return quiet_hub() if all(map(has_whole_model, runs)) else quiet()


def not_publishable(publication: Publication) -> UserError:
    """What is said where checks failed."""
    return UserError(
        f"not publishable, {len(publication.failed)} of {len(publication.checks)} checks failed",
        where=str(publication.folder),
        fix="See ✗ above; nothing was sent.",
    )


def _order(run: OpenRun, repo: str, options: PublishOptions) -> PushRequest:
    from hubtools.publishing.push import PushRequest

    given: dict[str, Any] = dict(options)
    return PushRequest(run, repo, branch=given.pop("revision", "main"), **given)


def _check(
    so_far: RunPublication, send: bool, mirrors: Sequence[Path], on_stage: OnStage, scratch: Path
) -> StaticSpace | None:
    """Everything examined. Before the slow part the repository is looked at, and kept: if the branch moves while we check,
    nothing is written.

    Returns:
        The page that computes in the browser, where one is wanted: the card says what its weights cost.

    Raises:
        UserError: the model has no such page, or the Hub does not allow it.
    """
    from huggingface_hub import get_token

    from hubtools.common.hub import HubUnavailable
    from hubtools.publishing.push import carded, looked_at, planned, verified
    from hubtools.reporting.card.model_card import ModelPage

    page = None
    ready = planned(so_far.order)
    try:
        # A dry run can say what the token may do, where there is one.
        ready = looked_at(ready, so_far.order, signed_in=send or get_token() is not None)
    except HubUnavailable as error:
        if send:
            raise
        so_far.unasked = error.what
        on_stage("unasked", so_far)
    so_far.ready = ready
    if not ready.publication.failed and so_far.static is not None and so_far.space is not None:
        page = _static_page(so_far, so_far.static, so_far.space, scratch / "static")
        so_far.order = dataclasses.replace(so_far.order, page=ModelPage(so_far.space, page.weights(so_far.order.repo)))
        so_far.ready = ready = carded(ready, so_far.order)
    if not ready.publication.failed:
        on_stage("reloading", so_far)
        so_far.ready = verified(ready, mirrors)
    on_stage("checked", so_far)
    return page


def _look_at_space(repo: str, *, private: bool, signed_in: bool, static: bool) -> Target | None:
    """The Space as it is now, or None where the Hub cannot be asked and nothing is to be sent.

    Raises:
        UserError: it may not be written, or holds another app or page.
    """
    from hubtools.common.hub import HubUnavailable
    from hubtools.publishing.commit import look
    from hubtools.publishing.demo_space import refuse_another_page

    try:
        target = look(repo, kind="space", private=private, signed_in=signed_in, sdk="static" if static else "gradio")
    except HubUnavailable:
        if signed_in:
            raise
        return None
    refuse_another_page(target)
    return target


def _plan_page(so_far: RunPublication, static: StaticSpace | None, space: str, scratch: Path) -> DemoSpace:
    """What would go into the Space."""
    if so_far.target is not None and not so_far.target.exists and so_far.private:
        so_far.target = dataclasses.replace(so_far.target, private=True)
    if static is not None:
        return static.at(so_far.publication, "COMMIT")
    from hubtools.publishing.demo_space import write_space

    return write_space(scratch / "plan", space, so_far.publication, "COMMIT", private=so_far.private)


def _static_page(so_far: RunPublication, asked: StaticPageOptions, space: str, folder: Path) -> StaticSpace:
    from hubtools.exporting.static_space import write_static_space
    from hubtools.exporting.web_runtime import ONNXRUNTIME_WEB
    from hubtools.inference.predictor import Predictor
    from hubtools.runs.store import open_run
    from hubtools.training.compute.device import Execution

    runtime = ONNXRUNTIME_WEB.files(asked.runtime, asked.mirrors)
    # As it is by now: the whole model was put into its folder.
    predictor = Predictor.open(open_run(so_far.publication.folder), Execution.choose("cpu"))
    return write_static_space(
        predictor,
        so_far.publication,
        space,
        folder,
        runtime,
        quantised=asked.quantise,
        mirrors=asked.mirrors,
    )


def _send(so_far: RunPublication, static: StaticSpace | None, on_stage: OnStage) -> None:
    """The one commit, and that of the page.

    Raises:
        UserError: the Hub refused; where it refused the page the model stays published.
    """
    from hubtools.publishing.demo_space import push_space, write_space
    from hubtools.publishing.push import release

    assert so_far.ready is not None
    so_far.done = release(so_far.ready)
    on_stage("sent", so_far)
    if so_far.target is None:
        return
    target, commit = so_far.target, so_far.done.commit
    with tempfile.TemporaryDirectory(prefix="bench-space-") as folder:
        if static is not None:
            so_far.page = static.at(so_far.publication, commit)
        else:
            so_far.page = write_space(Path(folder), target.repo, so_far.publication, commit, private=target.private)
        so_far.page_done = push_space(so_far.page, target, so_far.publication, commit)
    on_stage("page sent", so_far)


@dataclass
class SuitePublication:
    """The models of a suite on their way to the Hub, as far as they are.

    Attributes:
        suite: its name.
        orders: one a model.
        already: repositories that hold theirs already.
        models: those that are not there yet, as far as they are.
        collection: its address; None where there is none.
    """

    suite: str
    orders: tuple[PushRequest, ...]
    already: tuple[str, ...] = ()
    models: list[RunPublication] = field(default_factory=list)
    collection: str | None = None

    @property
    def published(self) -> list[str]:
        """Repositories that hold their model."""
        return [*self.already, *(model.order.repo for model in self.models if model.done)]

    @property
    def waiting(self) -> list[PushRequest]:
        """What was not there when it was looked at."""
        return [order for order in self.orders if order.repo not in self.already]

    def __repr__(self) -> str:
        return f"suite {self.suite}: {len(self.published)} of {len(self.orders)} models are published"

    def _repr_html_(self) -> str:
        rows = [(m.order.repo, m.url or "nothing was sent", f"{len(m.failed)} failed") for m in self.models]
        rows += [(repo, "is published already", "") for repo in self.already]
        return line_html(repr(self), strong=True) + table_html(("repository", "state", "checks"), rows)


OnSuiteStage = Callable[[Stage, SuitePublication], None]


def publish_suite(
    suite: str,
    owner: str,
    *,
    runs: str | PathLike[str] = DEFAULT_ROOT,
    push: bool = False,
    seed: int | None = None,
    template: str | None = None,
    mirrors: Sequence[Path] = (),
    on_stage: OnSuiteStage = _unseen,
    on_note: Say = silent,
    **options: Unpack[PublishOptions],
) -> SuitePublication:
    """All models of a suite, a repository each, in a collection. All are checked before the first is sent.

    Args:
        suite: name or file.
        owner: whose the repositories are.
        runs: where its runs are.
        push: really send them.
        seed: which one; by default the first of each.
        template: of the names, with {checkpoint}, {task}, {recipe}, {seed}.
        mirrors, on_note, options: as for :func:`hubtools.publish`.
        on_stage: called with how far it is; the last of ``models`` is what it is about.

    Raises:
        UserError: a run is missing, a check failed, or the Hub does not allow it. The same call goes on where it stopped.
    """
    from hubtools.findings.naming.named_runs import Needs, runs_named
    from hubtools.findings.wording import plural
    from hubtools.publishing.push import release
    from hubtools.publishing.suites import collect, is_published, models_of, repository_names
    from hubtools.runs.store import open_run
    from hubtools.runs.whole_model import kept_small
    from hubtools.specs.lookup.spec_files import suite_named

    refuse_unknown(options, PublishOptions, "publish_suite")
    name, root = suite_named(suite), fspath(runs)
    named = runs_named([root], Needs.FOLDER)
    said_of([named], on_note)
    chosen = models_of(named.found, name, seed, root)
    names = repository_names([record for _, record in chosen], owner, template)
    orders = tuple(_order(run, repo, options) for run, repo in zip(chosen, names, strict=True))
    there = {order.repo for order in orders if push and is_published(order.repo, open_run(order.run).record)}
    so_far = SuitePublication(name, orders, tuple(sorted(there)))
    on_stage("already", so_far)
    with _quiet(chosen), contextlib.ExitStack() as made_whole:
        for order in so_far.waiting:
            # All are whole until the last is sent: they are checked before the first is.
            made_whole.enter_context(kept_small(open_run(order.run)))
            model = RunPublication(order)
            so_far.models.append(model)
            on_stage("next", so_far)
            _check(model, push, mirrors, lambda stage, _: on_stage(stage, so_far), Path())
        if failed := [model for model in so_far.models if model.failed]:
            repos = ", ".join(model.order.repo for model in failed)
            raise UserError(
                f"{len(failed)} of {plural(len(orders), 'model')} are not publishable: {repos}", fix="Nothing was sent."
            )
        if not push:
            return so_far
        on_stage("sending", so_far)
        for model in so_far.models:
            assert model.ready is not None
            model.done = release(model.ready)
            on_stage("sent", so_far)
        if not orders[0].pull_request:
            so_far.collection = collect(owner, name, [order.repo for order in orders], private=orders[0].private)
            on_stage("collected", so_far)
    return so_far
