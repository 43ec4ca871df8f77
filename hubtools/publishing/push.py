"""One atomic commit to the Hub, on top of exactly the state that was looked at, and read back afterwards."""

from __future__ import annotations

import hashlib
import os
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hubtools.data.hub import hub_api, hub_errors, scrub
from hubtools.models.checkpoint import TOKENIZER_FILES
from hubtools.publishing.contents import SHIPPED_CODE, UNSAFE, Publication, PublishedFile
from hubtools.specs.errors import UserError
from hubtools.specs.hashing import file_sha256

MAIN = "main"


@dataclass(frozen=True)
class Target:
    """Where a publication goes, as it was when looked at.

    Attributes:
        repo: ``owner/name``.
        branch: that the commit goes to, or that the pull request is against.
        pull_request: whether the commit becomes a pull request.
        private: whether a repository that is to be created will be private.
        exists: whether the repository is there.
        new_branch: whether the branch is to be created, from main.
        head: commit that the new one comes after; None where the repository is to be created.
        files: names in the repository at that commit.
    """

    repo: str
    branch: str = MAIN
    pull_request: bool = False
    private: bool = False
    exists: bool = False
    new_branch: bool = False
    head: str | None = None
    files: tuple[str, ...] = field(default=(), repr=False)

    def stale(self, files: tuple[PublishedFile, ...]) -> list[str]:
        """What lies in the repository, would be loaded or shown with the model, and is not part of it."""
        new = {file.path for file in files}
        return [name for name in self.files if name not in new and _belongs_to_a_model(name)]


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
    repo: str, *, branch: str = MAIN, pull_request: bool = False, private: bool = False, signed_in: bool = True
) -> Target:
    """The repository as it is now; reads only.

    Args:
        repo: ``owner/name``.
        branch: to commit to.
        pull_request: whether the commit is to be a pull request against main.
        private: whether the repository must be private.
        signed_in: also ask who the token is, so that one that may not write is refused before the work begins.

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
            info = api.model_info(repo)
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
            return Target(repo, branch, private=private, new_branch=branch != MAIN)
        if private and not info.private:
            raise UserError(
                "the repository is there already, and public",
                where=repo,
                fix="Leave out --private, choose another name, or make it private on its page.",
            )
        heads = {ref.name: ref.target_commit for ref in api.list_repo_refs(repo).branches}
        head = heads.get(branch) or heads.get(MAIN)
        files = tuple(api.list_repo_files(repo, revision=head)) if head else ()
    return Target(repo, branch, pull_request, bool(info.private), True, branch not in heads, head, files)


def push(publication: Publication, target: Target) -> Published:
    """Make the one commit, and check what the Hub then has.

    Args:
        publication: a plan whose checks all hold.
        target: from :func:`look`, taken before the checks: if the branch has moved since, nothing is written.

    Raises:
        UserError: a check failed, the branch moved, or the Hub refused. Nothing is half-published: files that were
            uploaded are in no commit.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete
    from huggingface_hub.errors import HfHubHTTPError

    if failed := publication.failed:
        raise failed[0].error or UserError(failed[0].title)
    api, repo, head = hub_api(), target.repo, target.head
    for file in publication.files:
        if not file.source.is_file() or file_sha256(file.source) != file.sha256:
            raise UserError("it changed while it was being published", where=str(file.source), fix="Run it again.")
    operations: list[Any] = [CommitOperationAdd(f.path, f.source) for f in publication.files]
    operations += [CommitOperationDelete(name) for name in target.stale(publication.files)]
    with hub_errors(f"repository {repo}"):
        if not target.exists:
            api.create_repo(repo, private=target.private, exist_ok=False)
            head = api.model_info(repo).sha
        if target.new_branch:
            api.create_branch(repo, branch=target.branch, revision=head)
        try:
            with warnings.catch_warnings():
                # Predictions belong beside the model that made them.
                warnings.filterwarnings("ignore", message=".*commit a data file.*")
                commit = api.create_commit(
                    repo,
                    operations,
                    commit_message=_title(publication),
                    commit_description=_description(publication),
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
        _read_back(publication.files, repo, commit.oid, target.stale(publication.files))
    url = commit.pr_url or f"{api.endpoint}/{repo}/tree/{commit.oid}"
    return Published(url=url, commit=commit.oid, changed=commit.oid != head)


def _read_back(files: tuple[PublishedFile, ...], repo: str, commit: str, removed: list[str]) -> None:
    """Compare size and content hash of every file at the commit with what was sent."""
    there = {entry.path: entry for entry in hub_api().list_repo_tree(repo, recursive=True, revision=commit)}
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


def _belongs_to_a_model(name: str) -> bool:
    """Whether transformers would load it, or the old card shows it."""
    path = Path(name)
    weights = path.suffix in UNSAFE | {".safetensors"} or name.endswith((".safetensors.index.json", ".bin.index.json"))
    at_root = "/" not in name and (weights or name in SHIPPED_CODE or name in TOKENIZER_FILES)
    return at_root or name.startswith("figures/")


def _role(who: dict[str, Any]) -> str | None:
    return ((who.get("auth") or {}).get("accessToken") or {}).get("role")


def _title(publication: Publication) -> str:
    identity = publication.record.identity
    return f"{identity.task.name}: {publication.record.subject}, {identity.recipe.name}, seed {identity.seed}"


def _description(publication: Publication) -> str:
    record = publication.record
    version = f"{record.identity.task.name} version {record.identity.task.version}"
    return f"bench run {record.run_id} of {version}, published by bench {record.environment.bench}."
