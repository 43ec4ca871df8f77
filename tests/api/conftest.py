"""Here bench is imported by a program, not called by its command."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def warnings_on_stderr() -> None:
    """They are not, unless the program wants it."""
