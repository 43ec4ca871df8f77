"""A run goes to the Hub: one atomic commit, in which what an earlier model left behind is removed, and a tag of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hubtools.common.errors import UserError
from hubtools.findings.wording import plural
from hubtools.publishing import reload
from hubtools.publishing.commit import PushedCommit, Target, look, send
from hubtools.publishing.contents import Publication, lay_out, plan_publication
from hubtools.publishing.earlier import PreviousPublication, foreign_model, look_back, stale, with_edits
from hubtools.publishing.tags import tag_run
from hubtools.reporting.card.snippet import Weights
from hubtools.runs.store import OpenRun

if TYPE_CHECKING:
    from hubtools.reporting.card.model_card import ModelPage


@dataclass(frozen=True)
class PushRequest:
    """What whoever publishes a run decides.

    Attributes:
        run: as it was opened, or its folder.
        repo: ``owner/name``.
        branch: to commit to.
        pull_request: whether the commit becomes a pull request.
        private: whether the repository must be private.
        replace: whether a model may go that bench did not publish there.
        licence, weights, author, page: as for :func:`hubtools.publishing.contents.plan_publication`.
    """

    run: OpenRun | Path
    repo: str
    branch: str = "main"
    pull_request: bool = False
    private: bool = False
    replace: bool = False
    licence: str | None = None
    weights: Weights | None = None
    author: str | None = None
    page: ModelPage | None = None

    @property
    def folder(self) -> Path:
        """Of the run."""
        return self.run.folder if isinstance(self.run, OpenRun) else self.run


@dataclass(frozen=True)
class PreparedPush:
    """A publication whose repository was looked at.

    Attributes:
        publication: files and checks.
        target: the repository; None where the Hub was not asked.
        earlier: what an earlier publication left there.
    """

    publication: Publication
    target: Target | None = None
    earlier: PreviousPublication | None = None

    @property
    def removed(self) -> list[str]:
        """Names in the repository that go."""
        return stale(self.publication, self.target, self.earlier) if self.target else []


def planned(order: PushRequest) -> PreparedPush:
    """The publication alone, before the Hub is asked.

    Raises:
        UserError: there is nothing to publish.
    """
    options = {name: getattr(order, name) for name in ("licence", "weights", "author", "page")}
    return PreparedPush(plan_publication(order.run, order.repo, **options))


def looked_at(ready: PreparedPush, order: PushRequest, *, signed_in: bool = True) -> PreparedPush:
    """The same after a look at its repository.

    Args:
        ready: from :func:`planned`.
        order: what is wanted.
        signed_in: whether a token that may do it must be there.

    Raises:
        UserError: the Hub cannot be asked or does not allow it.
    """
    target = look(
        order.repo,
        branch=order.branch,
        pull_request=order.pull_request,
        private=order.private,
        signed_in=signed_in,
    )
    return _beside(ready.publication, order, target, look_back(target))


def carded(ready: PreparedPush, order: PushRequest) -> PreparedPush:
    """The same with a card that says what is known by now; the repository stays as it was looked at.

    Args:
        ready: from :func:`looked_at`, or :func:`planned` where the Hub was not asked.
        order: what is wanted, with the page.
    """
    publication = planned(order).publication
    if ready.target is None or ready.earlier is None:
        return PreparedPush(publication)
    return _beside(publication, order, ready.target, ready.earlier)


def _beside(publication: Publication, order: PushRequest, target: Target, earlier: PreviousPublication) -> PreparedPush:
    """What is published beside what the repository holds."""
    publication = with_edits(publication, earlier)
    return PreparedPush(publication.with_check("repository", lambda: _state(order, target, earlier)), target, earlier)


def verified(ready: PreparedPush, mirrors: Sequence[Path] = ()) -> PreparedPush:
    """The same after the saved model was loaded by a fresh process, which predicts the test splits again."""
    publication = ready.publication
    with lay_out(publication.files) as stage:
        publication = publication.with_check(
            "reload", lambda: str(reload.reproduce_in_fresh_process(Path(stage), mirrors, publication.record.task))
        )
    return PreparedPush(publication, ready.target, ready.earlier)


def push(publication: Publication, target: Target, earlier: PreviousPublication | None = None) -> PushedCommit:
    """Make the one commit, and check what the Hub then has.

    Args:
        publication: a plan whose checks all hold.
        target: from :func:`hubtools.publishing.commit.look`, taken before the checks.
        earlier: what an earlier publication left there; its files that are no longer part go.

    Raises:
        UserError: a check failed, or as :func:`hubtools.publishing.commit.send`.
    """
    if failed := publication.failed:
        raise failed[0].error or UserError(failed[0].title)
    removed = stale(publication, target, earlier)
    return send(target, publication.files, removed, title(publication), _description(publication))


def release(ready: PreparedPush) -> PushedCommit:
    """Push, and tag the commit with the run's name; a pull request is tagged by nobody before it is merged.

    Raises:
        UserError: as :func:`push`; or the tag could not be set, after the commit was made.
    """
    assert ready.target is not None
    done = push(ready.publication, ready.target, ready.earlier)
    if not ready.target.pull_request:
        tag_run(ready.target, ready.publication.record, done.commit, title(ready.publication))
    return done


def title(publication: Publication) -> str:
    """What the commit is called."""
    identity = publication.record.identity
    return f"{identity.task.name}: {publication.record.subject}, {identity.recipe.name}, seed {identity.seed}"


def _state(order: PushRequest, target: Target, earlier: PreviousPublication) -> str:
    if not target.exists:
        return f"will be created, {'private' if target.private else 'public'}"
    if (theirs := foreign_model(target, earlier)) and not order.replace:
        raise UserError(
            f"it holds a model that bench did not publish ({', '.join(theirs[:3])}{' …' if len(theirs) > 3 else ''})",
            where=order.repo,
            fix="Choose another name, or give --replace: those files then go, and everything else stays.",
        )
    facts = ["private" if target.private else "public", *(["gated"] if target.gated else [])]
    if earlier.run is not None:
        facts.append(f"holds run {earlier.run}")
    return f"is there, {', '.join(facts)}, {plural(len(target.files), 'file')}"


def _description(publication: Publication) -> str:
    record = publication.record
    version = f"{record.identity.task.name} version {record.identity.task.version}"
    return f"bench run {record.run_id} of {version}, published by bench {record.environment.bench}."
