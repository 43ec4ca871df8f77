"""What a user writes into a card stays there when the card is written anew.

A card has marked places::

    <!-- bench:edit uses -->
    What is between the two marks is the user's.
    <!-- /bench:edit -->

:func:`keep_edits` carries what stands in them from an old card, of the run's folder or of the Hub, into a new one. A place that
the new card does not have goes, with its marks, to a section of additional notes at the end. All else in a card is
computed, and what somebody changed there is lost; so that this is not silent, the last line of a card holds a digest
of each section as bench wrote it, and :func:`changed_by_hand` names those that are no longer so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hubtools.common.errors import UserError
from hubtools.common.hashing import digest
from hubtools.common.readers import reads

CLOSING = "<!-- /bench:edit -->"
NOTES_HEADING = "## Additional notes"
_MARK = re.compile(r"<!--[ \t]*(?:bench:edit[ \t]+(?P<name>[A-Za-z0-9_-]+)|(?P<closing>/bench:edit))[ \t]*-->")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_SIGNATURE = re.compile(r"\n*<!-- bench:wrote((?: [0-9a-f]{8})*) -->\s*\Z")
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)


@dataclass(frozen=True)
class _Place:
    """A marked place of a card: its name, what stands in it, and where that begins and ends in the text."""

    name: str
    content: str
    start: int
    end: int


def opening(name: str) -> str:
    """The mark that opens a place."""
    return f"<!-- bench:edit {name} -->"


@reads("card")
def edits(text: str) -> dict[str, str]:
    """What a user wrote into the marked places of a card, by name; places that show nothing are left out.

    Raises:
        UserError: a mark is not closed, or closes nothing.
    """
    found: dict[str, str] = {}
    for place in _places(_plain(text)):
        if _COMMENT.sub("", place.content).strip():
            # A name that stands there twice loses neither.
            found[place.name] = "\n\n".join(part for part in (found.get(place.name), place.content.strip("\n")) if part)
    return found


@reads("card")
def keep_edits(new_text: str, old_text: str) -> str:
    """A new card with what a user wrote into the marked places of an old one.

    Args:
        new_text: the card as written now.
        old_text: the card as it was: in the run's folder, or on the Hub.

    Returns:
        The new card, signed (see :func:`changed_by_hand`).

    Raises:
        UserError: a mark of either is not closed, or closes nothing: what it is about cannot be told, and would be lost.
    """
    kept = edits(old_text)
    text = _unsigned(_plain(new_text))
    pieces, at = [], 0
    for place in _places(text):
        if place.name in kept:
            pieces += [text[at : place.start], f"\n{kept.pop(place.name)}\n"]
            at = place.end
    text = "".join([*pieces, text[at:]]).rstrip() + "\n"
    if kept:
        notes = [f"{opening(name)}\n{content}\n{CLOSING}" for name, content in kept.items()]
        text += "\n" + "\n\n".join([NOTES_HEADING, *notes]) + "\n"
    return sign(text)


def sign(text: str) -> str:
    """A card with a last line, invisible when it is shown, that tells later what in it was changed by hand."""
    text = _unsigned(_plain(text)).rstrip() + "\n"
    return f"{text}\n<!-- bench:wrote {' '.join(_digest(body) for _, body in _sections(text))} -->\n"


@reads("card")
def changed_by_hand(text: str) -> list[str]:
    """Headings of what was changed outside the marked places since bench wrote a card.

    Args:
        text: of the card. One that bench did not sign tells nothing.
    """
    text = _plain(text)
    signature = _SIGNATURE.search(text)
    if signature is None:
        return []
    written = set(signature[1].split())
    return [heading for heading, body in _sections(_unsigned(text)) if _digest(body) not in written]


def _plain(text: str) -> str:
    """Line ends of one kind: editors in browsers write others."""
    return text.replace("\r\n", "\n")


def _unsigned(text: str) -> str:
    return _SIGNATURE.sub("\n", text)


def _places(text: str) -> Iterator[_Place]:
    """The marked places of a card, in order. Its front matter holds values, and no mark."""
    opened: re.Match[str] | None = None
    matter = _FRONT_MATTER.match(text)
    for mark in _MARK.finditer(text, matter.end() if matter else 0):
        if mark["closing"] is None and opened is None:
            opened = mark
        elif mark["closing"] is not None and opened is not None:
            yield _Place(opened["name"], text[opened.end() : mark.start()], opened.end(), mark.start())
            opened = None
        else:
            raise _unbalanced(text, opened or mark)
    if opened is not None:
        raise _unbalanced(text, opened)


def _unbalanced(text: str, mark: re.Match[str]) -> UserError:
    line = text.count("\n", 0, mark.start()) + 1
    if mark["closing"] is not None:
        return UserError(
            f"{mark[0]} closes nothing", where=f"the card's README.md, line {line}", fix="Remove it, or put it back."
        )
    return UserError(
        f"{mark[0]} is not closed", where=f"the card's README.md, line {line}", fix=f"Write {CLOSING} after it."
    )


def _sections(text: str) -> Iterator[tuple[str, str]]:
    """(heading, text) of each section of a card without what is the user's, the front matter first."""
    pieces, at = [], 0
    for place in _places(text):
        pieces.append(text[at : place.start])
        at = place.end
    rest = "".join([*pieces, text[at:]])
    if (matter := _FRONT_MATTER.match(rest)) is not None:
        yield "front matter", matter[0]
        rest = rest[matter.end() :]
    for body in re.split(r"^(?=## )", rest, flags=re.MULTILINE):
        heading = body.splitlines()[0] if body.startswith("## ") else "what stands above the first heading"
        if body.strip():
            yield heading.removeprefix("## ").strip(), body


def _digest(body: str) -> str:
    """Of a section, whatever white space is around its lines."""
    return digest([line.strip() for line in body.splitlines() if line.strip()])[:8]
