"""What a sweep searches: ranges and choices of recipe fields, read from text and checked before anything runs."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel

from hubtools.common.bounds import yaml_values
from hubtools.common.errors import UserError
from hubtools.common.readers import reads
from hubtools.specs.lookup.spec_files import load_recipe
from hubtools.specs.problem import Problem
from hubtools.specs.recipe import Recipe

_EXAMPLE = "For example --over learning_rate=1e-4..1e-2, --over epochs=5..20 or --over head.hidden=null,64,256."
_RANGE = re.compile(r"(?P<low>[^.,]*\.?[^.,]*)\.\.(?P<high>[^,\s]+)(?:\s+(?P<scale>log|linear))?")
# A range that spans this much is searched on a logarithmic scale unless it says otherwise.
_DECADE = 10
_PROSE = {"name", "title", "summary"}


@dataclass(frozen=True)
class Dimension:
    """One recipe field and the values that are tried.

    Attributes:
        field: name, nested ones with a dot.
        choices: the values, where they were listed.
        low, high: ends of the range, otherwise; both may be tried.
        whole: only whole numbers.
        log: on a logarithmic scale.
    """

    field: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    log: bool = False

    def __str__(self) -> str:
        if self.choices:
            return ", ".join(map(json.dumps, self.choices)).replace('"', "")
        return f"{self.low:g}..{self.high:g}{' log' if self.log else ''}"

    def contains(self, value: Any) -> bool:
        """Whether a value is one of those that are tried."""
        if self.choices:
            return value in self.choices
        return isinstance(value, (int, float)) and self.low <= value <= self.high

    def rounded(self, value: float) -> int | float:
        """A drawn number as people would write it: whole, or of three digits, inside the range."""
        if self.whole:
            return int(value)
        return min(max(float(f"{value:.3g}"), self.low), self.high)


@reads("option --over")
def read_space(
    given: Sequence[str], recipe_name: str, settings: Mapping[str, Any], problem: Problem
) -> tuple[Dimension, ...]:
    """The search space of options such as ``learning_rate=1e-4..1e-2``.

    ``a..b`` is a range; floats that span a decade or more are drawn on a logarithmic scale, others evenly, and
    ``a..b log`` or ``a..b linear`` says it. Values between commas are choices.

    Args:
        given: the texts.
        recipe_name, settings: the recipe whose fields they are, and what is set in it anyway.
        problem: of the task, for which the recipe must exist with every value.

    Raises:
        UserError: not of this form, no field of a recipe, a field that is given twice, or a value it cannot have.
    """
    space: list[Dimension] = []
    for text in given:
        name, equals, raw = (part.strip() for part in text.partition("="))
        where = f"--over {name}"
        if not equals or not name or not raw:
            raise UserError(f"{text!r} is not field=values", where="--over", fix=_EXAMPLE)
        if name in {dimension.field for dimension in space} | set(settings):
            twice = "set by --set" if name in settings else "given twice"
            raise UserError(f"it is {twice}", where=where, fix="Say it once.")
        if name in _PROSE:
            raise UserError("it changes nothing that is computed", where=where, fix=_EXAMPLE)
        dimension = _dimension(name, raw, where)
        for value in dimension.choices or (dimension.low, dimension.high):
            whole = dimension.whole and not dimension.choices
            _check(name, int(value) if whole else value, recipe_name, settings, problem, where)
        space.append(dimension)
    if not space:
        raise UserError("a sweep needs something to search", where="--over", fix=_EXAMPLE)
    return tuple(space)


def _dimension(name: str, raw: str, where: str) -> Dimension:
    import yaml

    if (match := _RANGE.fullmatch(raw)) is not None:
        try:
            low, high = float(match["low"]), float(match["high"])
        except ValueError:
            raise UserError(f"the ends of {raw!r} are not numbers", where=where, fix=_EXAMPLE) from None
        if not low < high < float("inf"):
            raise UserError(f"the range {raw!r} is empty", where=where, fix="Write the smaller number first.")
        whole = _is_whole(name)
        if whole and not (low.is_integer() and high.is_integer()):
            raise UserError(f"expected whole numbers (it is {raw!r})", where=where, fix="For example epochs=5..20.")
        log = match["scale"] == "log" or (match["scale"] is None and not whole and low > 0 and high / low >= _DECADE)
        if log and low <= 0:
            raise UserError(f"a logarithmic range cannot start at {low:g}", where=where, fix="Start above 0.")
        return Dimension(name, low=low, high=high, whole=whole, log=log)
    try:
        values = yaml_values(f"[{raw}]")
    except yaml.YAMLError:
        raise UserError(f"cannot read {raw!r}", where=where, fix=_EXAMPLE) from None
    choices = tuple(_number(value) for value in values)
    if len({json.dumps(value) for value in choices}) != len(choices):
        raise UserError("the same value is listed twice", where=where, fix="Say it once.")
    if len(choices) < 2:
        raise UserError(
            "one value is nothing to choose from", where=where, fix=f"Use --set {name}={raw}, or give more."
        )
    return Dimension(name, choices=choices)


def _number(value: Any) -> Any:
    """YAML 1.1 reads 1e-4 as text; people mean the number."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return float(value)
    return value


def _is_whole(name: str) -> bool:
    """Whether a recipe field takes whole numbers only; a field that is none does not."""
    models: list[type[BaseModel]] = [Recipe]
    kinds: set[Any] = set()
    for part in name.split("."):
        kinds = {
            kind
            for model in models
            if part in model.model_fields
            for kind in _kinds(model.model_fields[part].annotation)
        }
        models = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return int in kinds and float not in kinds


def _kinds(annotation: Any) -> set[Any]:
    inner = get_args(annotation)
    return {annotation} if not inner else {kind for argument in inner for kind in _kinds(argument)}


def _check(name: str, value: Any, recipe_name: str, settings: Mapping[str, Any], problem: Problem, where: str) -> None:
    """Refuse a value with which the recipe does not exist."""
    try:
        recipe = load_recipe(recipe_name, {**settings, name: value})
    except UserError as error:
        if error.where is None or not error.where.startswith("--set"):
            raise
        raise UserError(error.what, where=where, fix=error.fix) from None
    if (reason := recipe.why_not(problem)) is not None:
        raise UserError(
            f"with {name}={json.dumps(value)} the recipe does not exist for {problem.value}: {reason}", where=where
        )
