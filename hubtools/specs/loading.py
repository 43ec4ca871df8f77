"""Reading YAML files into specs: one message that names file, line, key, problem and remedy."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from hubtools.specs.content import find
from hubtools.specs.errors import UserError
from hubtools.specs.recipe import Recipe
from hubtools.specs.suite import Suite
from hubtools.specs.task import Task

Spec = TypeVar("Spec", bound=BaseModel)


def load_task(name: str) -> Task:
    """The task of that name, or of that YAML file. Relative data paths are resolved against the file.

    Raises:
        UserError: no such task, or the file is wrong.
    """
    path = find("task", name)
    task = read_spec(path, Task)
    _same_name(task.name, path)
    return task.located_at(path.parent)


def load_recipe(name: str, overrides: dict[str, Any] | None = None) -> Recipe:
    """The recipe of that name with single fields replaced, as in ``--set learning_rate=1e-4``.

    Raises:
        UserError: no such recipe, an unknown field, or a value of the wrong type.
    """
    path = find("recipe", name)
    recipe = read_spec(path, Recipe)
    _same_name(recipe.name, path)
    if not overrides:
        return recipe
    values = recipe.model_dump(mode="json")
    for key, value in overrides.items():
        *parents, leaf = key.split(".")
        inner = values
        for parent in parents:
            if not isinstance(inner.get(parent), dict):
                inner[parent] = {}
            inner = inner[parent]
        inner[leaf] = value
    return _validate(values, Recipe, where=f"--set on recipe {recipe.name}", line_of=lambda loc: None)


def load_suite(name: str) -> Suite:
    """The suite of that name, or of that YAML file."""
    path = find("suite", name)
    suite = read_spec(path, Suite)
    _same_name(suite.name, path)
    return suite


def _same_name(name: str, path: Path) -> None:
    if name != path.stem:
        raise UserError(
            f"name is {name!r} but the file is called {path.name}",
            where=str(path),
            fix=f"Call the file {name}.yaml or write name: {path.stem}.",
        )


def read_spec(path: Path, model: type[Spec]) -> Spec:
    """Parse and validate one YAML file.

    Raises:
        UserError: not YAML, or the first thing that is wrong in it.
    """
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except OSError as error:
        raise UserError(f"cannot read it ({error.strerror})", where=str(path)) from None
    except UnicodeDecodeError:
        raise UserError("not a text file in UTF-8", where=str(path)) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise UserError(f"not valid YAML ({error.problem})", where=where, fix="Check indentation and quotes.") from None
    if not isinstance(values, dict):
        raise UserError("expected keys and values", where=str(path), fix="Start with the key name.")
    duplicate = _duplicate_key(root)
    if duplicate is not None:
        raise UserError(
            f"key {duplicate.value!r} is given twice",
            where=f"{path}:{duplicate.start_mark.line + 1}",
            fix="Keep one of them.",
        )
    return _validate(values, model, where=str(path), line_of=lambda loc: _line_of(root, loc))


def _validate(values: dict[str, Any], model: type[Spec], where: str, line_of: Any) -> Spec:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        loc = tuple(first["loc"])
        if loc[:1] == ("data",) and loc[1:2] and loc[1] in _SOURCES:
            loc = loc[:1] + loc[2:]
        loc += getattr(first.get("ctx", {}).get("error"), "key", ())
        key = _dotted(loc)
        line = line_of(loc)
        place = f"{where}:{line}" if line else where
        what, fix = _explain(first, loc, model)
        more = len(error.errors()) - 1
        suffix = f" ({more} more after this one)" if more else ""
        raise UserError(f"{key}: {what}{suffix}" if key else what + suffix, where=place, fix=fix) from None


# Where the data come from: pydantic puts the choice into an error's location although it is no key of the file.
_SOURCES = ("url", "file", "hub", "package", "uniprot")

_PATTERNS = {
    "^[0-9a-f]{64}$": "64 hexadecimal digits",
    "^[0-9a-f]{40}$": "the 40 hexadecimal digits of a commit",
    "^[a-z0-9][a-z0-9-]*$": "lower-case letters, digits and hyphens",
    "^[a-z][a-z0-9_]*$": "lower-case letters, digits and underscores",
    "^[A-Z]+$": "capital letters",
    "^https?://": "an address that starts with https://",
}


def _explain(error: Any, loc: tuple[Any, ...], model: type[BaseModel]) -> tuple[str, str | None]:
    """The problem in plain words, and the remedy."""
    kind, got = error["type"], error.get("input")
    context = error.get("ctx", {})
    shown = "" if isinstance(got, (dict, list)) else f" (it is {got!r})"
    if kind == "extra_forbidden":
        return "unknown key", _nearest(str(loc[-1]), _fields_at(model, loc[:-1]), "keys")
    if kind == "missing":
        return "this key is missing", "Add it."
    if kind in {"value_error", "assertion_error"}:
        what, _, fix = str(error["msg"]).split(", ", 1)[-1].partition(". ")
        return what.rstrip("."), fix or None
    if kind == "union_tag_not_found":
        return "the key source is missing", f"Add source: {', '.join(_SOURCES[:-1])} or {_SOURCES[-1]}."
    if kind == "union_tag_invalid":
        return f"unknown source {context['tag']!r}", _nearest(context["tag"], list(_SOURCES), "sources")
    if kind in {"enum", "literal_error"}:
        return f"unknown value {got!r}", _nearest(str(got), re.findall(r"'([^']*)'", context["expected"]), "values")
    if got is None:
        return "there is no value", "Write one, or remove the key."
    if kind == "string_pattern_mismatch":
        expected = _PATTERNS.get(context["pattern"], f"text that matches {context['pattern']}")
        return f"expected {expected}{shown}", None
    if kind == "string_type":
        return f"expected text{shown}", None if isinstance(got, (dict, list)) else "Write it in quotes."
    if kind in {"int_parsing", "int_type", "int_from_float"}:
        return f"expected a whole number{shown}", None
    if kind in {"float_parsing", "float_type"}:
        return f"expected a number{shown}", None
    if kind in {"dict_type", "model_type", "model_attributes_type"}:
        return f"expected keys and values{shown}", None
    if kind == "list_type":
        return f"expected a list{shown}", None
    return f"{error['msg'][0].lower()}{error['msg'][1:]}{shown}", None


def _nearest(value: str, known: list[str], what: str) -> str:
    close = difflib.get_close_matches(value, known, n=1)
    return f"Did you mean {close[0]}?" if close else f"Known {what}: {', '.join(known)}."


def _fields_at(model: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    """Names of the fields allowed at a location, through optionals, lists, dicts and unions."""
    models: list[Any] = [model]
    for part in loc:
        following: list[Any] = []
        for current in models:
            if isinstance(part, str) and part in current.model_fields:
                following += _models_in(current.model_fields[part].annotation)
            elif isinstance(part, int) or part not in current.model_fields:
                following.append(current)
        models = following or models
    return sorted({name for current in models for name in current.model_fields})


def _models_in(annotation: Any) -> list[Any]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for argument in getattr(annotation, "__args__", ()) for found in _models_in(argument)]


def _dotted(loc: tuple[Any, ...]) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _line_of(root: yaml.Node | None, loc: tuple[Any, ...]) -> int | None:
    node, line = root, None
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _duplicate_key(node: yaml.Node | None) -> yaml.ScalarNode | None:
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                return key
            seen.add(key.value)
            if (inner := _duplicate_key(value)) is not None:
                return inner
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            if (inner := _duplicate_key(value)) is not None:
                return inner
    return None
