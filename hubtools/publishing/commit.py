"""One atomic commit to a repository of the Hub, on top of exactly the state that was looked at, and read back afterwards."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hubtools.common.errors import UserError
from hubtools.common.hashing import file_sha256
from hubtools.common.hub import hub_api, hub_errors
from hubtools.common.secrets import scrub
from hubtools.publishing.access import require, who_am_i
from hubtools.publishing.patience import is_transient, patiently

MAIN = "main"
# Larger files are sent one by one, in this thread, so that Ctrl-C is heard at once.
LARGE = 4 * 2**20
# Where the page of a repository of each kind lies.
_PAGES = {"model": "", "dataset": "datasets/", "space": "spaces/"}


@dataclass(frozen=True)
class PublishedFile:
    """One file of the repository-to-be.

    Attributes:
        path: in the repository.
        source: on this machine.
        bytes: its size.
        sha256: of its content when it was checked.
    """

    path: str
    source: Path
    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: str, source: Path) -> PublishedFile:
        """A file as it is now."""
        return cls(path, source, source.stat().st_size, file_sha256(source))


@dataclass(frozen=True)
class RemoteFile:
    """A file that a repository holds.

    Attributes:
        bytes: its size.
        blob: git's hash of it (of the pointer, where it is stored as a large file).
        sha256: of its content, where it is stored as a large file.
    """

    bytes: int
    blob: str
    sha256: str | None

    def is_same(self, file: PublishedFile) -> bool:
        """Whether it is this very content."""
        if self.sha256 is not None:
            return self.sha256 == file.sha256
        return self.bytes == file.bytes and self.blob == _git_blob_id(file.source)


@dataclass(frozen=True)
class Target:
    """Where a publication goes, as it was when looked at.

    Attributes:
        repo: ``owner/name``.
        kind: ``model``, ``dataset`` or ``space``.
        branch: that the commit goes to, or that the pull request is against; ``refs/pr/N`` to continue one.
        pull_request: whether the commit becomes a pull request.
        private: whether the repository is private, or will be created as a private one.
        exists: whether the repository is there.
        new_branch: whether the branch is to be created, from main.
        head: commit that the new one comes after; None where the repository is to be created.
        held: its files at that commit.
        sdk: of a Space that is to be created: ``static`` or ``gradio``.
        gated: whether readers must ask for access.
    """

    repo: str
    kind: str = "model"
    branch: str = MAIN
    pull_request: bool = False
    private: bool = False
    exists: bool = False
    new_branch: bool = False
    head: str | None = None
    held: Mapping[str, RemoteFile] = field(default_factory=dict, repr=False)
    sdk: str | None = None
    gated: bool = False

    @property
    def files(self) -> tuple[str, ...]:
        """Names in the repository at that commit."""
        return tuple(self.held)

    def holds(self, files: Sequence[PublishedFile], removed: Sequence[str] = ()) -> bool:
        """Whether everything is there already, and nothing that should be gone."""
        there = [self.held.get(file.path) for file in files]
        same = all(one is not None and one.is_same(file) for one, file in zip(there, files, strict=True))
        return same and not any(name in self.held for name in removed)


@dataclass(frozen=True)
class PushedCommit:
    """What was published where.

    Attributes:
        url: page of the repository at the commit, or of the pull request.
        commit: its id.
        changed: False where the repository already held exactly this.
    """

    url: str
    commit: str
    changed: bool


def look(
    repo: str,
    *,
    kind: str = "model",
    branch: str = MAIN,
    pull_request: bool = False,
    private: bool = False,
    signed_in: bool = True,
    sdk: str | None = None,
) -> Target:
    """The repository as it is now; reads only.

    Args:
        repo: ``owner/name``.
        kind: ``model``, ``dataset`` or ``space``.
        branch: to commit to.
        pull_request: whether the commit is to be a pull request against main.
        private: whether the repository must be private.
        signed_in: also ask what the token may do, so that one that may not write is refused before the work begins.
        sdk: of a Space, should it have to be created.

    Raises:
        UserError: the Hub cannot be asked, or the token, the branch or the visibility do not allow the push.
    """
    if pull_request and branch != MAIN:
        raise UserError("a pull request is against main", where="--revision", fix="Give --pr or --revision.")
    with hub_errors(f"repository {repo}"):
        target = _as_it_is(repo, kind, branch, pull_request, private, sdk)
    if signed_in:
        may_write(target)
    return target


def may_write(target: Target) -> str:
    """What the token is, where it may do what is planned.

    Raises:
        UserError: there is none, or it may not.
    """
    from huggingface_hub.errors import HfHubHTTPError

    with hub_errors(f"repository {target.repo}"):
        said = require(who_am_i(), target.repo, exists=target.exists, pull_request=target.pull_request)
        if target.exists and not target.pull_request:
            api = hub_api()
            try:
                patiently(lambda: api.auth_check(target.repo, repo_type=target.kind, write=True))
            except HfHubHTTPError as error:
                # A Hub that does not know the question: the repository was found a moment ago.
                if error.response.status_code != 404:
                    raise
                return f"{said}; whether it may write was not said"
    return said


def _as_it_is(repo: str, kind: str, branch: str, pull_request: bool, private: bool, sdk: str | None) -> Target:
    from huggingface_hub.errors import RepositoryNotFoundError

    api = hub_api()
    try:
        info: Any = patiently(lambda: api.repo_info(repo, repo_type=kind))
    except RepositoryNotFoundError:
        if pull_request:
            raise UserError(
                "there is no such repository to open a pull request in", where=repo, fix="Leave out --pr."
            ) from None
        return Target(repo, kind, branch, private=private, new_branch=branch != MAIN, sdk=sdk)
    if info.id != repo and info.id.lower() != repo.lower():
        raise UserError(f"the repository was renamed: it is {info.id} now", where=repo, fix=f"Give --repo {info.id}.")
    if getattr(info, "disabled", False):
        raise UserError("the Hub has disabled it", where=repo, fix="See its page, or choose another name.")
    if private and not info.private:
        raise UserError(
            "the repository is there already, and public",
            where=repo,
            fix="Leave out --private, choose another name, or make it private on its page.",
        )
    refs = patiently(lambda: api.list_repo_refs(repo, repo_type=kind))
    heads = {ref.name: ref.target_commit for ref in refs.branches}
    head = heads.get(branch) or heads.get(MAIN)
    return Target(
        repo,
        kind,
        branch,
        pull_request,
        bool(info.private),
        True,
        branch not in heads,
        head,
        _held(repo, kind, head) if head else {},
        sdk,
        bool(getattr(info, "gated", False)),
    )


def _held(repo: str, kind: str, commit: str) -> dict[str, RemoteFile]:
    tree = hub_api().list_repo_tree(repo, repo_type=kind, recursive=True, revision=commit)
    files: list[Any] = [entry for entry in tree if hasattr(entry, "blob_id")]
    return {f.path: RemoteFile(f.size, f.blob_id, f.lfs.sha256 if f.lfs else None) for f in files}


def send(target: Target, files: Sequence[PublishedFile], removed: Sequence[str], title: str, text: str) -> PushedCommit:
    """Make the one commit, and check what the Hub then has.

    What can be repeated is repeated while the Hub is busy. Large files are sent before the commit, and those that the
    Hub has already are not sent again. A commit whose answer was lost is recognised, and so is an open pull request of
    the same title and text: it is continued, not opened twice.

    Args:
        target: from :func:`look`, taken before the checks: if the branch has moved since, nothing is written.
        files: to be in the repository.
        removed: names in the repository that go.
        title: of the commit.
        text: its description, which should say which run it is of.

    Raises:
        UserError: a file changed, the branch moved, or the Hub refused. Nothing is half-published: files that were
            uploaded are in no commit.
    """
    for file in files:
        if not file.source.is_file() or file_sha256(file.source) != file.sha256:
            raise UserError("it changed while it was being published", where=str(file.source), fix="Run it again.")
    with hub_errors(f"repository {target.repo}"):
        target, url = _prepared(target, title, text)
        removed = [name for name in removed if name in target.held]
        if target.head is not None and target.holds(files, removed):
            return PushedCommit(url or _page(target, target.head), target.head, False)
        commit, pull = _committed(target, files, removed, title, text)
        _read_back(target, files, removed, commit)
    return PushedCommit(pull or url or _page(target, commit), commit, True)


def open_pull_request(target: Target, title: str, text: str) -> tuple[str, str, str] | None:
    """Page, branch and head of an open pull request whose latest commit says the same, or None."""
    api, repo, kind = hub_api(), target.repo, target.kind

    def found() -> list[Any]:
        return list(
            api.get_repo_discussions(repo, repo_type=kind, discussion_type="pull_request", discussion_status="open")
        )

    for pull in patiently(found):
        if pull.title != title or not pull.git_reference:
            continue
        branch = pull.git_reference
        last = api.list_repo_commits(repo, repo_type=kind, revision=branch)[0]
        if _says(last, title, text):
            return pull.url, branch, last.commit_id
    return None


def _prepared(target: Target, title: str, text: str) -> tuple[Target, str | None]:
    """The target with repository and branch created, or the pull request that it continues, with its page."""
    api, repo, kind = hub_api(), target.repo, target.kind
    if not target.exists:
        _create(target)
        head = patiently(lambda: api.repo_info(repo, repo_type=kind)).sha
        target = replace(target, exists=True, head=head, held=_held(repo, kind, head) if head else {})
    if target.new_branch:
        start = target.head
        patiently(lambda: api.create_branch(repo, repo_type=kind, branch=target.branch, revision=start, exist_ok=True))
        target = replace(target, new_branch=False)
    if target.pull_request and (mine := open_pull_request(target, title, text)):
        url, branch, head = mine
        return replace(target, branch=branch, head=head, pull_request=False, held=_held(repo, kind, head)), url
    return target, None


def _create(target: Target) -> None:
    """Create the repository, which must not be there: unless it is this call whose answer was lost."""
    from huggingface_hub.errors import HfHubHTTPError

    attempts = 0

    def create() -> None:
        nonlocal attempts
        attempts += 1
        try:
            hub_api().create_repo(target.repo, repo_type=target.kind, private=target.private, space_sdk=target.sdk)
        except HfHubHTTPError as error:
            if attempts == 1 or error.response.status_code != 409:
                raise

    patiently(create)


def _committed(
    target: Target, files: Sequence[PublishedFile], removed: Sequence[str], title: str, text: str
) -> tuple[str, str | None]:
    """Id of the commit, and the page of the pull request that it opened.

    The call itself is never repeated: a commit that is made twice is two commits. Where the answer is lost, the Hub
    is asked whether it was made.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete
    from huggingface_hub.errors import HfHubHTTPError

    api, repo, kind = hub_api(), target.repo, target.kind
    additions = [CommitOperationAdd(file.path, file.source) for file in files]
    shared: dict[str, Any] = {"repo_type": kind, "revision": target.branch, "create_pr": target.pull_request}
    there = _unchanged(target, files)
    try:
        with warnings.catch_warnings():
            # Predictions belong beside the model that made them.
            warnings.filterwarnings("ignore", message=".*commit a data file.*")
            for card in (file for file in files if file.path == "README.md"):
                # huggingface_hub asks too, but after what is large has gone up.
                validate_card(card.source.read_text(encoding="utf-8"), kind, repo)
            for addition, file in zip(additions, files, strict=True):
                if file.bytes > LARGE and file.path not in there:
                    api.preupload_lfs_files(repo, [addition], free_memory=False, **shared)
            commit = api.create_commit(
                repo,
                [*additions, *(CommitOperationDelete(name) for name in removed)],
                commit_message=title,
                commit_description=text,
                parent_commit=target.head,
                **shared,
            )
        return commit.oid, commit.pr_url
    except ValueError as error:
        # What the Hub says about the card, or about single large files, comes as a plain ValueError.
        if isinstance(error, HfHubHTTPError) or not ("README.md" in str(error) or "LFS" in str(error)):
            raise
        said = scrub(" ".join(str(error).split()))
        fix = "Correct what it names, then run it again."
        if "storage" in said.lower():
            fix = "Free storage of the owner, or get more; then run it again."
        raise UserError(said, where=repo, fix=fix) from None
    except Exception as error:
        moved = isinstance(error, HfHubHTTPError) and error.response.status_code == 412
        if not (moved or is_transient(error)):
            raise
        if made := _made_after_all(target, title, text):
            return made
        raise


def validate_card(text: str, kind: str, repo: str) -> None:
    """Ask the Hub, which knows more rules than :func:`hubtools.reporting.card.card_lint.lint_card`.

    Raises:
        UserError: it refuses the card.
    """
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    api = hub_api()

    def ask() -> Any:
        content = {"content": text, "repoType": kind}
        response = get_session().post(f"{api.endpoint}/api/validate-yaml", json=content, headers=build_hf_headers())
        if response.status_code != 400:
            hf_raise_for_status(response)
        return response

    with hub_errors(f"repository {repo}"):
        answer = patiently(ask)
        if answer.status_code != 400:
            return
        said = "; ".join(str(error.get("message")) for error in answer.json().get("errors", []))
    raise UserError(
        f"the Hub refuses README.md: {scrub(' '.join(said.split()))}", where=repo, fix="Correct what it names."
    )


def _unchanged(target: Target, files: Sequence[PublishedFile]) -> set[str]:
    """Files that the repository holds as they are."""
    return {file.path for file in files if (held := target.held.get(file.path)) and held.is_same(file)}


def _made_after_all(target: Target, title: str, text: str) -> tuple[str, str | None] | None:
    """The commit whose answer was lost, if the Hub made it; None also where it cannot be asked."""
    api, repo, kind = hub_api(), target.repo, target.kind
    try:
        if target.pull_request:
            mine = open_pull_request(target, title, text)
            return (mine[2], mine[0]) if mine else None
        last = patiently(lambda: api.list_repo_commits(repo, repo_type=kind, revision=target.branch))[0]
    except Exception as error:
        if is_transient(error):
            return None
        raise
    return (last.commit_id, None) if last.commit_id != target.head and _says(last, title, text) else None


def _says(commit: Any, title: str, text: str) -> bool:
    return commit.title == title and " ".join(commit.message.split()) == " ".join(text.split())


def _page(target: Target, commit: str) -> str:
    return f"{scrub(hub_api().endpoint)}/{_PAGES[target.kind]}{target.repo}/tree/{commit}"


def _read_back(target: Target, files: Sequence[PublishedFile], removed: Sequence[str], commit: str) -> None:
    """Compare the content of every file at the commit with what was sent."""
    repo = target.repo
    there = patiently(lambda: _held(repo, target.kind, commit))
    for file in files:
        if file.path not in there or not there[file.path].is_same(file):
            raise UserError(
                f"{file.path} on the Hub at {commit} is not what was sent", where=repo, fix="Push it again."
            )
    if left := [name for name in removed if name in there]:
        raise UserError(f"{left[0]} is still there at {commit}", where=repo, fix="Remove it on its page.")


def _git_blob_id(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
