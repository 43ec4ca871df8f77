"""``SECURITY.md`` names a test or a hostile input for what it says, and each of them is there."""

from __future__ import annotations

import re
from pathlib import Path

from hostile_inputs import HOSTILE

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")


def test_every_test_that_the_page_names_is_there() -> None:
    tests = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^ *def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    named = set(re.findall(r"\[`(test_\w+)`\]", PAGE))
    assert len(named) > 10 and not named - tests


def test_every_hostile_input_that_the_page_names_is_in_the_table() -> None:
    named = set(re.findall(r"\[([a-z]+(?:-[a-z0-9]+)+)\]", PAGE))
    assert len(named) > 40 and not named - {row.name for row in HOSTILE}


def test_whatever_is_trusted_has_a_row_with_what_it_may_and_may_not_and_a_test_of_it() -> None:
    rows = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| **")]
    assert len(rows) > 10 and all(len(row) == 3 and re.search(r"\[`?[a-z]", row[2]) for row in rows)
    for heading in ("What is not defended against", "To report a hole"):
        assert f"## {heading}" in PAGE
