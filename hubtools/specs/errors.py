"""The one exception for a user's mistake."""

from __future__ import annotations


class UserError(Exception):
    """Input that cannot be used: shown as one line, without a traceback, and a non-zero exit.

    Args:
        what: the problem, in the user's words (names, values).
        where: file, key, row or address it was found at.
        fix: what to do about it.
    """

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        self.what, self.where, self.fix = what, where, fix
        line = f"{where}: {what}" if where else what
        super().__init__(f"{line.rstrip('.')}. {fix}" if fix else line)
