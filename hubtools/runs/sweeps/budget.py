"""What a suite allows every checkpoint to try, fitted to one recipe and the problem of one task."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

from hubtools.common.errors import UserError
from hubtools.runs.sweeps.search_space import read_space
from hubtools.specs.lookup.spec_files import load_recipe
from hubtools.specs.problem import Problem
from hubtools.specs.suite import Tuning


def require_optuna(what: str) -> None:
    """Raises UserError where the package that draws trials is not installed."""
    if importlib.util.find_spec("optuna") is None:
        raise UserError(f"{what} needs Optuna", fix="pip install 'plm-hubtools[sweep]'")


def fitted(tuning: Tuning, recipe_name: str, settings: Mapping[str, Any], problem: Problem) -> Tuning | None:
    """The budget with the values alone that the recipe may have for a problem; None where nothing is left to choose.

    A suite holds tasks of several problems: a pooling is no field of a task per residue. Values are left out by the problem
    alone, so that it is the same search for every checkpoint of a task.

    Args:
        tuning: of the suite.
        recipe_name, settings: the recipe that is fitted, and what is set in it anyway.
        problem: of the task.

    Raises:
        UserError: no field of a recipe, or a value that it can never have.
    """
    kept: dict[str, str | list[Any]] = {}
    for name, values in tuning.over.items():
        where = f"tuning.over.{name}"
        if isinstance(values, str):
            kept[name] = values
            continue
        possible = []
        for value in values:
            try:
                recipe = load_recipe(recipe_name, {**settings, name: value})
            except UserError as error:
                raise UserError(error.what, where=where, fix=error.fix) from None
            if recipe.why_not(problem) is None:
                possible.append(value)
        if len(possible) > 1 or len(values) < 2:
            kept[name] = possible
    if not kept:
        return None
    own = tuning.model_copy(update={"over": kept})
    try:
        read_space(own.texts, recipe_name, settings, problem)
    except UserError as error:
        where = (error.where or "").replace("--over ", "tuning.over.").replace("--over", "tuning.over")
        raise UserError(error.what, where=where or "tuning", fix=error.fix) from None
    return own
