"""One atomic commit to a repository of the Hub, on top of exactly the state that was looked at, and read back afterwards."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hubtools.data.hub import hub_api, hub_errors, scrub
from hubtools.specs.errors import UserError
from hubtools.specs.hashing import file_sha256

MAIN = "main"
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
class Target:
    """Where a publication goes, as it was when looked at.

    Attributes:
        repo: ``owner/name``.
        kind: ``model``, ``dataset`` or ``space``.
        branch: that the commit goes to, or that the pull request is against.
        pull_request: whether the commit becomes a pull request.
        private: whether a repository that is to be created will be private.
        exists: whether the repository is there.
        new_branch: whether the branch is to be created, from main.
        head: commit that the new one comes after; None where the repository is to be created.
        files: names in the repository at that commit.
        sdk: of a Space that is to be created: ``static`` or ``gradio``.
    """

    repo: str
    kind: str = "model"
    branch: str = MAIN
    pull_request: bool = False
    private: bool = False
    exists: bool = False
    new_branch: bool = False
    head: str | None = None
    files: tuple[str, ...] = field(default=(), repr=False)
    sdk: str | None = None


@dataclass(frozen=True)
class Published:
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
        signed_in: also ask who the token is, so that one that may not write is refused before the work begins.
        sdk: of a Space, should it have to be created.

    Raises:
        UserError: the Hub cannot be asked, or the token, the branch or the visibility do not allow the push.
    """
    from huggingface_hub.errors import RepositoryNotFoundError

    if pull_request and branch != MAIN:
        raise UserError("a pull request is against main", where="--revision", fix="Give --pr or --revision.")
    api = hub_api()
    with hub_errors(f"repository {repo}"):
        owner = repo.split("/")[0]
        # The token of a trusted publisher belongs to a repository, not to a person.
        who = api.whoami() if signed_in and not os.environ.get("HF_OIDC_RESOURCE") else None
        if who and _role(who) == "read":
            raise UserError("your token may only read", fix="Make one that may write: hf auth login, or set HF_TOKEN.")
        try:
            info: Any = api.repo_info(repo, repo_type=kind)
        except RepositoryNotFoundError:
            if pull_request:
                raise UserError(
                    "there is no such repository to open a pull request in", where=repo, fix="Leave out --pr."
                ) from None
            names = {who["name"], *(org["name"] for org in who.get("orgs", []))} if who else {owner}
            if owner not in names:
                raise UserError(
                    f"you cannot create a repository of {owner}",
                    where=f"--repo {repo}",
                    fix=f"Use one of your own names: {', '.join(sorted(names))}.",
                ) from None
            return Target(repo, kind, branch, private=private, new_branch=branch != MAIN, sdk=sdk)
        if private and not info.private:
            raise UserError(
                "the repository is there already, and public",
                where=repo,
                fix="Leave out --private, choose another name, or make it private on its page.",
            )
        heads = {ref.name: ref.target_commit for ref in api.list_repo_refs(repo, repo_type=kind).branches}
        head = heads.get(branch) or heads.get(MAIN)
        files = tuple(api.list_repo_files(repo, revision=head, repo_type=kind)) if head else ()
    return Target(repo, kind, branch, pull_request, bool(info.private), True, branch not in heads, head, files, sdk)


def send(target: Target, files: Sequence[PublishedFile], removed: Sequence[str], title: str, text: str) -> Published:
    """Make the one commit, and check what the Hub then has.

    Args:
        target: from :func:`look`, taken before the checks: if the branch has moved since, nothing is written.
        files: to be in the repository.
        removed: names in the repository that go.
        title: of the commit.
        text: its description.

    Raises:
        UserError: a file changed, the branch moved, or the Hub refused. Nothing is half-published: files that were
            uploaded are in no commit.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete
    from huggingface_hub.errors import HfHubHTTPError

    api, repo, kind, head = hub_api(), target.repo, target.kind, target.head
    for file in files:
        if not file.source.is_file() or file_sha256(file.source) != file.sha256:
            raise UserError("it changed while it was being published", where=str(file.source), fix="Run it again.")
    operations: list[Any] = [CommitOperationAdd(f.path, f.source) for f in files]
    operations += [CommitOperationDelete(name) for name in removed]
    with hub_errors(f"repository {repo}"):
        if not target.exists:
            api.create_repo(repo, repo_type=kind, private=target.private, exist_ok=False, space_sdk=target.sdk)
            created: Any = api.repo_info(repo, repo_type=kind)
            head = created.sha
        if target.new_branch:
            api.create_branch(repo, repo_type=kind, branch=target.branch, revision=head)
        try:
            with warnings.catch_warnings():
                # Predictions belong beside the model that made them.
                warnings.filterwarnings("ignore", message=".*commit a data file.*")
                commit = api.create_commit(
                    repo,
                    operations,
                    repo_type=kind,
                    commit_message=title,
                    commit_description=text,
                    revision=target.branch,
                    parent_commit=head,
                    create_pr=target.pull_request,
                )
        except ValueError as error:
            # The card's metadata is refused as a plain ValueError; the Hub's other answers are explained outside.
            if isinstance(error, HfHubHTTPError) or "README.md" not in str(error):
                raise
            said = scrub(" ".join(str(error).split()))
            raise UserError(said, where=repo, fix="Correct what it names, then run it again.") from None
        _read_back(target, files, removed, commit.oid)
    url = commit.pr_url or f"{api.endpoint}/{_PAGES[kind]}{repo}/tree/{commit.oid}"
    return Published(url=url, commit=commit.oid, changed=commit.oid != head)


def _read_back(target: Target, files: Sequence[PublishedFile], removed: Sequence[str], commit: str) -> None:
    """Compare size and content hash of every file at the commit with what was sent."""
    repo = target.repo
    tree = hub_api().list_repo_tree(repo, repo_type=target.kind, recursive=True, revision=commit)
    there = {entry.path: entry for entry in tree}
    for file in files:
        entry: Any = there.get(file.path)
        lfs = getattr(entry, "lfs", None)
        same = entry is not None and (
            lfs.sha256 == file.sha256 if lfs is not None else entry.blob_id == _git_blob_id(file.source)
        )
        if not same:
            raise UserError(
                f"{file.path} on the Hub at {commit} is not what was sent", where=repo, fix="Push it again."
            )
    if left := [name for name in removed if name in there]:
        raise UserError(f"{left[0]} is still there at {commit}", where=repo, fix="Remove it on its page.")


def _git_blob_id(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _role(who: dict[str, Any]) -> str | None:
    return ((who.get("auth") or {}).get("accessToken") or {}).get("role")
