"""What is predicted: a level (what has one label) times a kind (what one label is)."""

from __future__ import annotations

from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

from hubtools.specs.level import LEVELS, Kind, Level, problems


class Problem(str):
    """A level times a kind, as text that task files, records and predictions hold: ``residue-multilabel``.

    There is one object of each, so that two are the same where they are equal.

    Args:
        value: level and kind with a hyphen between.

    Raises:
        ValueError: there is no such level, or no such kind of it.
    """

    level: Level
    kind: Kind
    _made: dict[str, Problem] = {}

    def __new__(cls, value: str) -> Problem:
        """The one object of that value."""
        for level in LEVELS.values():
            prefix, _, ending = value.partition(f"{level.prefix}-")
            if prefix or ending not in level.kinds:
                continue
            known = cls._made.get(value)
            if known is None or known.level is not level:
                known = str.__new__(cls, value)
                known.level, known.kind = level, level.kinds[ending]
                cls._made[value] = known
            return known
        raise ValueError(f"there is no problem {value!r}; there are {', '.join(problems())}")

    @property
    def value(self) -> str:
        """As plain text."""
        return str.__str__(self)

    def __repr__(self) -> str:
        return f"Problem({self.value!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Problem, (self.value,)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _validated, serialization=core_schema.to_string_ser_schema(when_used="json")
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "string", "enum": problems()}


def problem_of(level: Level, kind: Kind) -> Problem:
    """The problem of a level and a kind.

    Raises:
        ValueError: the level has no labels of that kind.
    """
    for ending, of_kind in level.kinds.items():
        if of_kind == kind:
            return Problem(f"{level.prefix}-{ending}")
    raise ValueError(f"there is no {kind} of a {level.name}")


def _validated(value: Any) -> Problem:
    if isinstance(value, str) and value in problems():
        return Problem(value)
    expected = ", ".join(f"'{known}'" for known in problems())
    raise PydanticCustomError("enum", "Input should be {expected}", {"expected": expected})
