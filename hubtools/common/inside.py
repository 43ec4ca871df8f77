"""A name that stays inside the folder in which it is looked up: the one rule, and the one way of joining.

Records, task files, baselines, archives and listings of the Hub come from anybody, and each names files. A name such as
``../../.ssh/config`` must not lead out of the folder, ``nul`` must not be a device, and two names must not be one file on a
disk that knows no case.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from hubtools.common.errors import UserError
from hubtools.common.texts import control_character

# Of one part: what file systems allow, less what a temporary name beside it takes (hubtools.common.files).
LONGEST_PART = 200
LONGEST_PATH = 1000
# Letters that some file system or shell reads otherwise.
_OTHERWISE = re.compile(r'[\\:*?"<>|]')
_WINDOWS = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])", re.IGNORECASE)


def why_not_inside(name: str, parts: int | None = None) -> str | None:
    """Why a name may not be joined to a folder, in words; None where it may.

    Args:
        name: of a file, its folders before it with slashes.
        parts: how many parts it may have; by default any number.
    """
    if not name:
        return "it is empty"
    found = name.split("/")
    if parts is not None and len(found) > parts:
        return "it holds a slash" if parts == 1 else f"it has more than {parts} parts"
    if len(name.encode(errors="surrogatepass")) > LONGEST_PATH:
        return f"it is longer than {LONGEST_PATH} bytes"
    return next((why for part in found if (why := _why_not_part(part)) is not None), None)


def _why_not_part(part: str) -> str | None:
    if part in {"", ".", ".."}:
        return "it may lead out of its folder"
    if part[0] == ".":
        return "it begins with a dot"
    if len(part.encode(errors="surrogatepass")) > LONGEST_PART:
        return f"a part of it is longer than {LONGEST_PART} bytes"
    if (character := control_character(part)) is not None:
        return f"it holds the character {character}"
    if (found := _OTHERWISE.search(part)) is not None:
        return f"it holds the character {found[0]}"
    if part != part.strip() or part.endswith("."):
        return "it begins with a blank, or ends with a blank or a dot"
    if _WINDOWS.fullmatch(part.split(".")[0].rstrip()):
        return "Windows keeps that name for a device"
    return _why_not_letters(part)


def _why_not_letters(part: str) -> str | None:
    """Letters that look like others, or that a file system makes others of."""
    if part.isascii():
        return None
    if any(unicodedata.category(letter) in {"Cf", "Cs", "Co", "Cn"} for letter in part):
        return "it holds a character that is not seen"
    # A full-width slash, a one dot leader: what some program takes for the ones that they look like.
    plain = unicodedata.normalize("NFKC", part)
    if any(plain.count(sign) > part.count(sign) for sign in './\\:~%$"*?<>| '):
        return "it holds a character that looks like another"
    if unicodedata.normalize("NFC", part) != part:
        return "its letters are not composed (Unicode NFC)"
    return None


def stays_inside(name: str, parts: int | None = None) -> str:
    """The name, where it stays inside its folder: for the types of a model.

    Raises:
        ValueError: it does not.
    """
    if (why := why_not_inside(name, parts)) is not None:
        raise ValueError(f"it is no name of a file inside a folder, because {why}. Name it otherwise")
    return name


def inside(folder: Path, name: str, *, where: str | None = None) -> Path:
    """The file of that name in a folder: how any name that is not written in the code is joined to a path.

    Args:
        folder: which it does not leave.
        name: of the file, with slashes.
        where: the name was found, for messages.

    Raises:
        UserError: the name would leave the folder, or is none.
    """
    if (why := why_not_inside(name)) is not None:
        raise UserError(
            f"{name[:80]!r} is no name of a file inside a folder, because {why}",
            where=where,
            fix="Whoever made it must name it otherwise.",
        )
    return folder / name


def file_stem(name: str) -> str:
    """What a file of somebody's protein may be called, without ending: letters, digits, points and hyphens of its name.

    >>> file_stem("sp|P12345|A_HUMAN"), file_stem("../x"), file_stem("con")
    ('sp_P12345_A_HUMAN', 'x', 'protein_con')
    """
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._")[:80].rstrip(".") or "protein"
    return stem if why_not_inside(stem, 1) is None else f"protein_{stem}"


def one_file_twice(names: Iterable[str]) -> tuple[str, str] | None:
    """Two names that are one file on a disk that knows no case; None where there are none."""
    seen: dict[str, str] = {}
    for name in names:
        folded = unicodedata.normalize("NFKC", name).casefold()
        if (other := seen.setdefault(folded, name)) != name:
            return other, name
    return None
