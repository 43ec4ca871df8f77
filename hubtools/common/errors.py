"""The one exception for a user's mistake, and what is said of a name that is not there."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from hubtools.common.secrets import scrub
from hubtools.common.texts import visible

# Of a part of a message: what is in it may be a cell or an option of any length.
_LONGEST = 2_000


class UserError(Exception):
    """Input that cannot be used: shown as one line, without a traceback, and a non-zero exit.

    Args:
        what: the problem, in the user's words (names, values).
        where: file, key, row or address it was found at.
        fix: what to do about it.
    """

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        # The text may come from a library or a file: one line that nothing acts on, without secrets.
        what = one_line(what)
        where, fix = (None if part is None else one_line(part) for part in (where, fix))
        self.what, self.where, self.fix = what, where, fix
        line = f"{where}: {what}" if where else what
        super().__init__(f"{line.rstrip('.')}. {fix}" if fix else line)


class SeveralErrors(UserError):
    """Several things that are wrong with one input, told at once: one line for a program, a line each for a person.

    Args:
        problems: what is wrong and what to do about it, a sentence or two each.
        where: file that they are found in.
    """

    def __init__(self, problems: Iterable[str], *, where: str) -> None:
        self.problems = tuple(map(one_line, problems))
        counted = " ".join(f"({number}) {text}" for number, text in enumerate(self.problems, 1))
        super().__init__(f"{len(self.problems):,} things are wrong: {counted}", where=where)

    @property
    def lines(self) -> list[str]:
        """A head, and a line for each."""
        return [f"{self.where}: {len(self.problems):,} things are wrong:", *(f"  {text}" for text in self.problems)]


class Unreachable(UserError):
    """Something far away did not answer, or asked to come back later: the same may succeed in a while."""


def one_line(text: str) -> str:
    """A text as a message shows it: on one line, control characters as escapes, without passwords and tokens."""
    shown = str(text)
    if len(shown) > _LONGEST:
        shown = f"{shown[:_LONGEST]} … ({len(shown):,} characters) … {shown[-_LONGEST // 4 :]}"
    return scrub(visible(" ".join(shown.splitlines()).replace("\t", " ")))


# What Python says to a program: of a value that is not what the code took it for.
_TO_A_PROGRAM = (
    KeyError,
    AttributeError,
    TypeError,
    IndexError,
    AssertionError,
    NameError,
    RecursionError,
    NotImplementedError,
)
_PROGRAM_TALK = re.compile(r"<class |object at 0x|NoneType|dtype\(")


def library_words(error: BaseException) -> str:
    """What a library says to a user of what it cannot read, on one line, for brackets behind words of ours.

    Nothing where it says it to a program: an exception's name, or what a value's class is, helps nobody.
    """
    if isinstance(error, UnicodeError):
        return "it is not text in UTF-8"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    said = re.sub(r"\b\w*(?:Error|Exception):\s*", "", " ".join(str(error).split()))
    return "" if isinstance(error, _TO_A_PROGRAM) or _PROGRAM_TALK.search(said) else said[:200].strip()


def in_brackets(error: BaseException) -> str:
    """:func:`library_words` in brackets, behind a space; nothing where there are none."""
    said = library_words(error)
    return f" ({said})" if said else ""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like one that is not there; None where none is."""
    names = [str(entry) for entry in known]
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return next(iter([*close, *(entry for entry in names if entry.lower() == name.lower())]), None)


def near(name: str, known: Iterable[str]) -> str:
    """The remedy for a name that is not there: the nearest one, and all of them where they are few."""
    names = [str(entry) for entry in known]
    close = nearest(name, names)
    listed = f"There are: {', '.join(names[:30])}{' …' if len(names) > 30 else ''}."
    return f"Did you mean {close}? {listed}" if close else listed
