"""What the token at hand may do, from what the Hub says about it: asked before any work is done."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from hubtools.common.errors import UserError
from hubtools.common.hub import hub_api
from hubtools.publishing.patience import patiently

WRITES = frozenset({"repo.write", "repo.content.write"})
PROPOSES = "discussion.write"
_TOKENS = "https://huggingface.co/settings/tokens"


@dataclass(frozen=True)
class Access:
    """A token as ``whoami`` describes it.

    Attributes:
        name: whose it is.
        roles: their role in each organisation, and ``admin`` under their own name.
        kind: ``read``, ``write``, ``fineGrained``, or None where the Hub does not say (a token of an app).
        granted: permissions of a fine-grained token for each owner or repository, lower case.
        everywhere: its permissions that belong to no owner.
    """

    name: str
    roles: dict[str, str | None]
    kind: str | None = None
    granted: dict[str, frozenset[str]] = field(default_factory=dict)
    everywhere: frozenset[str] = frozenset()

    @classmethod
    def of(cls, who: dict[str, Any]) -> Access:
        """Read the Hub's answer; what it does not say is left open."""
        token = (who.get("auth") or {}).get("accessToken") or {}
        fine = token.get("fineGrained") or {}
        granted: dict[str, frozenset[str]] = {}
        for scope in fine.get("scoped") or []:
            entity = str((scope.get("entity") or {}).get("name") or "").lower()
            granted[entity] = granted.get(entity, frozenset()) | frozenset(scope.get("permissions") or [])
        roles = {org["name"]: org.get("roleInOrg") for org in who.get("orgs") or []}
        return cls(
            who["name"],
            {**roles, who["name"]: "admin"},
            token.get("role"),
            granted,
            frozenset(fine.get("global") or []),
        )

    def permissions(self, repo: str, *, create: bool) -> frozenset[str]:
        """Of a fine-grained token for a repository; to create one, only what it has for the owner counts."""
        owner = repo.split("/")[0].lower()
        return self.granted.get(owner, frozenset()) | (
            frozenset() if create else self.granted.get(repo.lower(), frozenset())
        )


def who_am_i() -> Access | None:
    """The token, described; None for the token of a trusted publisher, which belongs to a repository, not a person."""
    if os.environ.get("HF_OIDC_RESOURCE"):
        return None
    return Access.of(patiently(hub_api().whoami))


def require(access: Access | None, repo: str, *, exists: bool, pull_request: bool) -> str:
    """Refuse a token that cannot do what is planned; say what it is otherwise.

    Args:
        access: from :func:`who_am_i`.
        repo: ``owner/name``.
        exists: whether the repository is there, or would be created.
        pull_request: whether nothing but a pull request is planned.

    Raises:
        UserError: it may not, and what would.
    """
    if access is None:
        return f"of a trusted publisher, for {os.environ.get('HF_OIDC_RESOURCE')}"
    owner = repo.split("/")[0]
    names = {name.lower(): name for name in access.roles}
    if access.kind == "read":
        raise UserError("your token may only read", fix="Make one that may write: hf auth login, or set HF_TOKEN.")
    if not exists and owner.lower() not in names:
        raise UserError(
            f"you cannot create a repository of {owner}",
            where=f"--repo {repo}",
            fix=f"Use one of your own names: {', '.join(sorted(access.roles))}.",
        )
    if not pull_request and access.roles.get(names.get(owner.lower(), "")) == "read":
        raise UserError(
            f"{access.name} may only read in {owner}",
            where=f"--repo {repo}",
            fix="Ask its administrators for the role write, or open a pull request: --pr.",
        )
    if access.kind == "fineGrained":
        _require_fine(access, repo, exists=exists, pull_request=pull_request)
    kind = {"fineGrained": "fine-grained", "write": "write"}.get(access.kind or "", "kind not known")
    return f"of {access.name} ({kind})"


def _require_fine(access: Access, repo: str, *, exists: bool, pull_request: bool) -> None:
    owner, has = repo.split("/")[0], access.permissions(repo, create=not exists)
    proposes = PROPOSES in has | access.everywhere
    if WRITES & has or (pull_request and proposes):
        return
    if exists and proposes:
        raise UserError(
            f"your token may only open pull requests in {repo}",
            fix=f"Give --pr, or let it write to repositories of {owner}: {_TOKENS}.",
        )
    what = "open a pull request in" if pull_request else "write to" if exists else "create"
    needs = f"write access to repositories of {owner}" + (f", or to {repo}" if exists else "")
    raise UserError(f"your fine-grained token may not {what} {repo}", fix=f"Give it {needs}: {_TOKENS}.")
