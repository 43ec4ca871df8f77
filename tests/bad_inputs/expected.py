"""What a command may rightly do with a bad input, besides refusing it or giving what it would have given without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bad_cases import Case
    from outcomes import Outcome


def rightly(case: Case, found: Outcome) -> bool:
    """Whether this result is right, with the reason."""
    return False
