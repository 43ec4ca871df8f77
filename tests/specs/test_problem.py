"""A problem is a level times a kind, written as it always was."""

from __future__ import annotations

import copy
import json
import pickle

import pytest
from pydantic import BaseModel, ValidationError

from hubtools.specs.level import LEVELS, PAIR, PROTEIN, RESIDUE, VARIANT, problems, trained_problems
from hubtools.specs.problem import Problem, problem_of

WRITTEN = [
    "sequence-classification",
    "sequence-multilabel",
    "sequence-regression",
    "residue-classification",
    "residue-multilabel",
    "residue-regression",
    "pair-classification",
    "pair-multilabel",
    "pair-regression",
    "variant-effect",
    "contact-prediction",
    "structure-prediction",
]


class Holder(BaseModel):
    problem: Problem


def test_every_level_times_every_kind_that_it_has() -> None:
    assert problems() == WRITTEN
    assert trained_problems() == WRITTEN[:-3]
    assert {Problem(value).level.name for value in WRITTEN} == set(LEVELS)


@pytest.mark.parametrize("value", WRITTEN)
def test_it_is_one_object_and_its_text(value: str) -> None:
    problem = Problem(value)
    assert problem_of(problem.level, problem.kind) is problem is Problem(problem)
    assert copy.deepcopy(problem) is problem is pickle.loads(pickle.dumps(problem))
    assert (problem, f"{problem}", problem.value, json.dumps(problem)) == (value, value, value, f'"{value}"')
    assert type(problem.value) is str
    held = Holder(problem=problem)
    assert held.model_dump(mode="json") == {"problem": value} and Holder.model_validate_json(
        held.model_dump_json()
    ) == Holder(problem=Problem(value))


def test_what_a_level_is() -> None:
    assert [level.by_residue for level in (PROTEIN, RESIDUE, PAIR, VARIANT)] == [False, True, False, False]
    assert Problem("pair-regression").level.proteins == 2 and Problem("pair-regression").kind == "regression"
    assert (Problem("variant-effect").level.trained, Problem("variant-effect").kind) == (False, "regression")


@pytest.mark.parametrize("value", ["pair", "pair-", "pair-effect", "variant-regression", "x-pair-regression", ""])
def test_nothing_else_is_one(value: str) -> None:
    with pytest.raises(ValueError, match="there is no problem"):
        Problem(value)
    with pytest.raises(ValidationError, match="'pair-multilabel', 'pair-regression'"):
        Holder.model_validate({"problem": value})


def test_a_level_has_problems_of_its_kinds_alone() -> None:
    with pytest.raises(ValueError, match="no classification of a variant"):
        problem_of(VARIANT, "classification")
