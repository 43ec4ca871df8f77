"""A hash names a run for good: what is added to the specs later must not move those of files that do not use it.

Where one of these moves, results of the same files are no longer compared. Then either give the new field a default
that says "as before", or change the expectation on purpose and say so in CHANGELOG.md.
"""

from __future__ import annotations

from typing import Any

import pytest

from hubtools.specs.lookup.spec_files import load_recipe
from hubtools.specs.record import CheckpointIdentity, Identity, RecipeIdentity, TaskIdentity
from hubtools.specs.task import Task

MINIMAL: dict[str, Any] = {
    "name": "t",
    "version": 1,
    "title": "T",
    "problem": "sequence-regression",
    "summary": "s",
    "data": {
        "source": "url",
        "files": [{"url": "https://example.org/a.csv", "sha256": "0" * 64}],
        "splits": {"train": {"where": {"set": ["train"]}}, "test": {"where": {"set": ["test"]}}},
    },
    "metrics": {"primary": "spearman"},
    "licence": "MIT",
    "citation": "c",
}
RESIDUES = MINIMAL | {
    "problem": "residue-classification",
    "labels": ["a", "b"],
    "metrics": {"primary": "accuracy"},
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("full", "55185dcff305bf6d2377399bad6c8078eb3fa9248c4b029ebed0a99324c5c275"),
        ("probe", "1c3de4afa04b603c349a59a6c54846004d55808d70b9b2b35cf76d76ff7fdc90"),
    ],
)
def test_shipped_recipes(name: str, expected: str) -> None:
    assert load_recipe(name).hash == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (MINIMAL, "441db3ed9afeffdf0211275c203862cb37d14f3d0c95d3d1d8e85f064a7cf967"),
        (RESIDUES, "59d352e606b9c6a61d1c9b2b69ec213527a28da7f40eb42008e988f4598cea10"),
    ],
    ids=["proteins", "residues"],
)
def test_tasks(content: dict[str, Any], expected: str) -> None:
    task = Task.model_validate(content)
    assert task.hash == expected
    assert task.model_copy(update={"title": "another", "notes": ["prose"]}).hash == expected
    assert task.model_copy(update={"version": 2}).hash != expected


def test_runs() -> None:
    """The ids are those that bench gave before runs could learn from a share of the training data."""
    identity = Identity(
        protocol=2,
        checkpoint=CheckpointIdentity(name="facebook/esm2_t6_8M_UR50D", source="hub", commit="c" * 40),
        task=TaskIdentity(name="t", version=1, hash="0" * 64),
        data="1" * 64,
        recipe=RecipeIdentity(name="full", hash="2" * 64),
        seed=1,
    )
    assert identity.run_id == "bf9c56c8c737"
    assert identity.model_copy(update={"subset": 50}).run_id == "13f7b0819cda"
    shares = {identity.model_copy(update={"fraction": share}).run_id for share in (None, 0.1, 0.3)}
    assert len(shares) == 3
