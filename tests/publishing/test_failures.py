"""The failures that need a process of their own: no room on the disk, and Ctrl-C in the middle of an upload."""

from __future__ import annotations

from pathlib import Path

import pytest
from failures import CASES, row, tiny_run

pytestmark = pytest.mark.slow
EXPECTED = {"disk full": ("No space left on device", "2", "nothing"), "Ctrl-C": ("stopped", "130", "as before")}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_run(tmp_path_factory.mktemp("run"))


@pytest.mark.parametrize("name", EXPECTED)
def test_nothing_is_half_published_and_the_same_command_goes_on(run: Path, tmp_path: Path, name: str) -> None:
    (case,) = [case for case in CASES if case.name.startswith(name)]
    # It also refuses a token in what was printed, a traceback, and a remedy that does not hold.
    _, said, code, there, again = row(case, run, tmp_path)
    message, exit_code, state = EXPECTED[name]
    assert message in said and (code, there, again) == (exit_code, state, "published")
