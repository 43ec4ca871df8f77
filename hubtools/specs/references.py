"""Addresses on the Hugging Face Hub: ``hub://user/repo[@revision][/inside]``, and a plain Hub id ``user/repo[@revision]``.

The revision is a branch, tag, commit or ``refs/pr/N``; a slash in another revision is written ``%2F``. Whether the Hub
has it is not known here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import unquote

from hubtools.common.errors import UserError
from hubtools.common.inside import why_not_inside
from hubtools.common.readers import reads
from hubtools.specs.names import HUB_ID

HUB = "hub://"
# Of a results repository, and of a folder that is written as one: the records, one a row. bench board --results writes it.
RESULT_RECORDS = "data/records.parquet"
_REFERENCE = re.compile(
    rf"(?P<scheme>hub://)?(?P<repo>{HUB_ID})"
    r"(?:@(?P<revision>refs/(?:pr|convert)/[^/\s]+|[^/\s]+))?"
    r"(?:/(?P<inside>[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*)/?)?"
)


@dataclass(frozen=True)
class Reference:
    """Something in a repository.

    Attributes:
        repo: ``user/repo``.
        revision: as the user gave it; None for the newest of main.
        inside: what of the repository is meant.
    """

    repo: str
    revision: str | None = None
    inside: str | None = None

    @property
    def repository(self) -> str:
        """The address without what is inside."""
        revision = self.revision or ""
        written = revision if revision.startswith("refs/") else revision.replace("/", "%2F")
        return f"{HUB}{self.repo}{f'@{written}' if written else ''}"

    def __str__(self) -> str:
        return f"{self.repository}/{self.inside}" if self.inside else self.repository

    def at(self, commit: str, inside: str | None = None) -> Reference:
        """The same at a commit; with ``inside`` that in the place of what was."""
        return replace(self, revision=commit, inside=inside or self.inside)


def is_address(text: str) -> bool:
    """Whether a text is meant as an address on the Hub."""
    return text.startswith(HUB)


@reads("address on the Hub")
def read_address(text: str, what: str, inside: str | None = None) -> Reference:
    """Parse an address.

    Args:
        text: as the user wrote it.
        what: that has the address, for messages: ``a task``.
        inside: what may be named of the repository, for messages; None for nothing.

    Raises:
        UserError: it is none.
    """
    match = _REFERENCE.fullmatch(text)
    if match is None or not match["scheme"] or (match["inside"] and inside is None) or not _stays(match):
        end = f"/{inside}" if inside else ", a slash in a revision as %2F"
        raise UserError(
            f"not the address of {what} on the Hub", where=text, fix=f"Write {HUB}user/repository@revision{end}."
        )
    return _reference(match)


@reads("id on the Hub", refuses=())
def read_id(text: str) -> Reference | None:
    """Parse a plain Hub id, perhaps with a revision; None where it is none, and may be a path."""
    match = _REFERENCE.fullmatch(text)
    if match is None or match["scheme"] or match["inside"] or not _stays(match):
        return None
    return _reference(match)


def _stays(match: re.Match[str]) -> bool:
    """Whether what is named stays in its place: huggingface_hub keeps a revision in a file that has its name."""
    named = [match["repo"], unquote(match["revision"] or "main"), match["inside"] or "all"]
    return all(why_not_inside(name) is None for name in named)


def _reference(match: re.Match[str]) -> Reference:
    return Reference(match["repo"], unquote(match["revision"]) if match["revision"] else None, match["inside"])
