"""Addresses on the Hub: one grammar for tasks, runs, models and results."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hubtools.common.errors import UserError
from hubtools.specs.references import HUB, Reference, read_address, read_id

ROOT = Path(__file__).resolve().parents[2] / "hubtools"
COMMIT = "1f0c9d2" + 33 * "0"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hub://me/model", Reference("me/model")),
        ("hub://me/model@v1.0", Reference("me/model", "v1.0")),
        (f"hub://me/model@{COMMIT}", Reference("me/model", COMMIT)),
        ("hub://me/results@refs/pr/3", Reference("me/results", "refs/pr/3")),
        ("hub://me/baselines@refs/pr/3/main", Reference("me/baselines", "refs/pr/3", "main")),
        ("hub://me/baselines/benchmarks/main/", Reference("me/baselines", None, "benchmarks/main")),
        ("hub://me/model@feature%2Fx/main", Reference("me/model", "feature/x", "main")),
        ("hub://me/model@feature/x", Reference("me/model", "feature", "x")),
    ],
)
def test_an_address_is_repository_revision_and_what_is_inside(text: str, expected: Reference) -> None:
    found = read_address(text, "runs", "folder")
    assert found == expected and read_address(str(found), "runs", "folder") == found


@pytest.mark.parametrize(
    "text", ["hub://", "hub://me", "hub://me/", "hub://me/a b", "hub://me/x@", "hub://me/x/../y", "me/x"]
)
def test_what_is_none_is_told_what_to_write(text: str) -> None:
    line = f"{text}: not the address of runs on the Hub. Write hub://user/repository@revision/folder."
    with pytest.raises(UserError, match=re.escape(line)):
        read_address(text, "runs", "folder")


def test_where_nothing_inside_can_be_named_a_slash_is_no_part_of_a_revision() -> None:
    with pytest.raises(UserError, match=r"not the address of a model on the Hub.* a slash in a revision as %2F"):
        read_address("hub://me/model@feature/x", "a model")
    assert read_address("hub://me/model@feature%2Fx", "a model").revision == "feature/x"


def test_a_commit_takes_the_place_of_a_revision() -> None:
    asked = read_address("hub://me/tasks@main", "a task", "name")
    assert str(asked.at(COMMIT, "solubility")) == f"hub://me/tasks@{COMMIT}/solubility"
    assert asked.repository == "hub://me/tasks@main"


@pytest.mark.parametrize("text", ["me/model", "me/model@v1", "me/model@refs/pr/1"])
def test_a_plain_id_is_the_same_without_what_is_inside(text: str) -> None:
    assert read_id(text) == read_address(f"{HUB}{text}", "a model")


@pytest.mark.parametrize("text", ["runs", "./runs", "../a", "/tmp/runs", "a/b/c", "hub://me/model", "me/mo del"])
def test_a_path_is_no_plain_id(text: str) -> None:
    assert read_id(text) is None


def test_nobody_else_has_an_expression_for_it() -> None:
    """The scheme is known by one module; others show it in help and messages."""
    parsing = re.compile(
        r"""compile\(.*hub://|(?:startswith|removeprefix|split|partition)\(["']hub://|= ["']hub://["']"""
    )
    found = [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py") if parsing.search(path.read_text())]
    assert found == ["specs/references.py"]
