"""Reading YAML files into specs: one message that names file, line, key, problem and remedy."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from hubtools.common.bounds import LARGEST_SPEC, read_bounded, yaml_nodes, yaml_parsed
from hubtools.common.errors import UserError
from hubtools.common.readers import reads
from hubtools.common.texts import ONE_LINE, control_character
from hubtools.specs.data_sources import source_names
from hubtools.specs.licences import meant_licence
from hubtools.specs.lookup.content import ONE_TASK, find, is_path
from hubtools.specs.names import HUB_ID
from hubtools.specs.recipe import Recipe
from hubtools.specs.suite import Profile, Suite
from hubtools.specs.task import Task

Spec = TypeVar("Spec", bound=BaseModel)
Named = TypeVar("Named", Task, Recipe, Suite, Profile)


def load_task(name: str) -> Task:
    """The task of that name, of that YAML file or folder. Relative data paths are resolved against the file.

    Raises:
        UserError: no such task, or the file is wrong.
    """
    path = find("task", name)
    task = task_in(path)
    if (meant := meant_licence(task.licence)) is not None:
        where = f"{path}:{line_of_key(path, 'licence')}"
        raise UserError(f"licence: {task.licence!r} is no identifier", where=where, fix=f"Did you mean {meant}?")
    return task


@reads("task file")
def task_in(path: Path) -> Task:
    """The task of a file.

    Raises:
        UserError: the file is wrong.
    """
    return _read_named(path, Task).located_at(_recordable(path.parent))


def load_recipe(name: str, overrides: dict[str, Any] | None = None) -> Recipe:
    """The recipe of that name with single fields replaced, as in ``--set learning_rate=1e-4``.

    Raises:
        UserError: no such recipe, an unknown field, or a value of the wrong type.
    """
    return recipe_in(find("recipe", name), overrides)


@reads("recipe file")
def recipe_in(path: Path, overrides: dict[str, Any] | None = None) -> Recipe:
    """The recipe of a file, single fields replaced.

    Raises:
        UserError: the file is wrong, an unknown field, or a value of the wrong type.
    """
    recipe = _read_named(path, Recipe)
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
    """The suite of that name, or of that YAML file. Relative paths in it are resolved against the file."""
    return suite_in(find("suite", name))


def suite_named(name: str) -> str:
    """What the suite of a file is called; of a name that name, which runs may have although no file is here any more.

    Raises:
        UserError: the file is not there, or wrong.
    """
    return load_suite(name).name if is_path(name) else name


@reads("suite file")
def suite_in(path: Path) -> Suite:
    """The suite of a file.

    Raises:
        UserError: the file is wrong.
    """
    return _read_named(path, Suite).located_at(_recordable(path.parent))


@reads("profile file")
def profile_in(path: Path) -> Profile:
    """The profile of a file.

    Raises:
        UserError: the file is wrong.
    """
    return _read_named(path, Profile)


def _recordable(folder: Path) -> Path:
    """A folder below which files of a spec lie: where they are is recorded.

    Raises:
        UserError: its name is no text of one line.
    """
    if (character := control_character(str(folder))) is not None:
        raise UserError(
            f"the name of the folder holds the character {character}, which may not be shown",
            where=str(folder),
            fix="Rename the folder, or work in another.",
        )
    return folder


def _read_named(path: Path, model: type[Named]) -> Named:
    """A spec that is called as its file is."""
    spec = read_spec(path, model)
    if spec.name != path.stem and path.name != ONE_TASK:
        raise UserError(
            f"name is {spec.name!r} but the file is called {path.name}",
            where=str(path),
            fix=f"Call the file {spec.name}.yaml or write name: {path.stem}.",
        )
    return spec


@reads("YAML file of a spec")
def read_spec(path: Path, model: type[Spec], where: str | None = None) -> Spec:
    """Parse and validate one YAML file, called ``where`` in messages (by default its path).

    Raises:
        UserError: not YAML, or the first thing that is wrong in it.
    """
    where = where or str(path)
    try:
        text = read_bounded(path, LARGEST_SPEC, where).decode("utf-8")
    except OSError as error:
        raise UserError(f"cannot read it ({error.strerror})", where=where) from None
    except UnicodeDecodeError:
        raise UserError("not a text file in UTF-8", where=where) from None
    return parse_spec(text, model, where)


def line_of_key(path: Path, key: str) -> int | None:
    """The line of a task file at which a key such as ``data.columns.sequence`` is, or the nearest key above it."""
    root = yaml_nodes(path.read_text(encoding="utf-8"), yaml.SafeLoader)
    return _line_of(root, tuple(int(part) if part.isdigit() else part for part in key.split(".")))


@reads("YAML of a spec")
def parse_spec(text: str, model: type[Spec], where: str) -> Spec:
    """Parse and validate YAML.

    Args:
        text: the YAML.
        model: what it describes.
        where: its file, for messages.

    Raises:
        UserError: not YAML, or the first thing that is wrong in it.
    """
    try:
        try:
            root, duplicate, values = _parsed(text, _FAST)
        except yaml.YAMLError as error:
            if isinstance(error, yaml.composer.ComposerError):
                raise
            # Said again by the parser that names the character it stumbled over.
            root, duplicate, values = _parsed(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{where}:{mark.line + 1}" if mark else where
        if (tag := _TAG.search(str(error.problem))) is not None:
            what = f"not valid YAML (the tag {tag[1][:80]!r} is not known here)"
            raise UserError(what, where=place, fix="Remove it.") from None
        raise UserError(f"not valid YAML ({error.problem})", where=place, fix="Check indentation and quotes.") from None
    except yaml.YAMLError:
        raise UserError("it holds characters that YAML does not allow", where=where, fix="Save it as UTF-8.") from None
    if not isinstance(values, dict):
        raise UserError("expected keys and values", where=where, fix="Start with the key name.")
    if duplicate is not None:
        raise UserError(
            f"key {duplicate.value!r} is given twice",
            where=f"{where}:{duplicate.start_mark.line + 1}",
            fix="Keep one of them.",
        )
    return _validate(values, model, where=where, line_of=lambda loc: _line_of(root, loc))


# libyaml's parser, ten times as fast, where PyYAML was built with it.
_FAST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


_TAG = re.compile(r"could not determine a constructor for the tag '(?:tag:yaml\.org,2002:)?([^']*)'")


def _parsed(text: str, parser: Any) -> tuple[yaml.Node | None, yaml.ScalarNode | None, Any]:
    """The nodes of a text, a key that is given twice if there is one, and the values."""
    duplicates: list[yaml.ScalarNode | None] = []
    root, values = yaml_parsed(text, parser, lambda root: duplicates.append(_duplicate_key(root)))
    return root, duplicates[0], values


def _validate(values: dict[str, Any], model: type[Spec], where: str, line_of: Any) -> Spec:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        loc, what, fix = first_mistake(error, model)
        line = line_of(loc)
        raise UserError(what, where=f"{where}:{line}" if line else where, fix=fix) from None


def first_mistake(error: ValidationError, model: type[BaseModel]) -> tuple[tuple[Any, ...], str, str | None]:
    """Where the first thing is that a model does not take, what it is and how many more there are, and the remedy."""
    first, more = _first_of(error)
    loc = tuple(first["loc"])
    loc += getattr(first.get("ctx", {}).get("error"), "key", ())
    key = _dotted(loc)
    what, fix = _explain(first, loc, model)
    suffix = f" ({more} more after this one)" if more else ""
    return loc, f"{key}: {what}{suffix}" if key else what + suffix, fix


# What pydantic adds to the location of an error inside a union of plain values, such as float | "median".
_CHOICE = re.compile(r"(float|int|str|bool|literal\[.*\])")


def _first_of(error: ValidationError) -> tuple[Any, int]:
    """The first thing that is wrong, and how many more there are; the choices of a union are one thing."""
    found: dict[tuple[Any, ...], Any] = {}
    for entry in error.errors():
        *parents, last = entry["loc"] or ("",)
        if not (isinstance(last, str) and _CHOICE.fullmatch(last)):
            found.setdefault(tuple(entry["loc"]), entry)
            continue
        choice = _explain_choice(entry, last)
        if (known := found.get(tuple(parents))) is not None:
            known["choices"].append(choice)
        else:
            found[tuple(parents)] = {**entry, "loc": tuple(parents), "type": "union", "choices": [choice]}
    # A misspelt key is also a missing one: what was written is the mistake.
    unknown = [entry for entry in found.values() if entry["type"] == "extra_forbidden"]
    misspelt = {
        (*entry["loc"][:-1], name)
        for entry in unknown
        for name in difflib.get_close_matches(
            str(entry["loc"][-1]), [str(loc[-1]) for loc in found if loc[:-1] == tuple(entry["loc"][:-1])], n=2
        )
    }
    others = [
        entry
        for loc, entry in found.items()
        if entry["type"] != "extra_forbidden" and not (entry["type"] == "missing" and loc in misspelt)
    ]
    first, *more = unknown + others
    return first, len(more)


def _explain_choice(entry: Any, choice: str) -> str:
    """One thing that a value may be."""
    if choice.startswith("literal"):
        return " or ".join(re.findall(r"'([^']*)'", choice))
    if entry["type"].endswith(("_type", "_parsing")):
        return {"float": "a number", "int": "a whole number", "bool": "true or false"}.get(choice, "text")
    return f"a number ({entry['msg'][0].lower()}{entry['msg'][1:]})"


# Of a value that is wrong, in a message.
_SHOWN = 200
_PATTERNS = {
    ONE_LINE: "one line without control characters",
    "^[0-9a-f]{12}$": "12 hexadecimal digits",
    r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*$": "a path inside the folder",
    "^[A-Za-z0-9][A-Za-z0-9_.-]*$": "the name of a file or folder, without folders before it",
    rf"^{HUB_ID}(@[0-9a-f]{{40}})?$": "the name of a repository on the Hub, owner/name",
    rf"^{HUB_ID}$": "the name of a repository on the Hub, owner/name",
    "^[0-9a-f]{64}$": "64 hexadecimal digits",
    "^[0-9a-f]{40}$": "the 40 hexadecimal digits of a commit",
    "^[a-z0-9][a-z0-9-]*$": "lower-case letters, digits and hyphens",
    "^[a-z][a-z0-9_]*$": "lower-case letters, digits and underscores",
    "^[A-Z]+$": "capital letters",
    "^https?://": "an address that starts with https://",
    "^ft_[a-z_]+$": "the name of a UniProt feature field, such as ft_helix",
}


def _explain(error: Any, loc: tuple[Any, ...], model: type[BaseModel]) -> tuple[str, str | None]:
    """The problem in plain words, and the remedy."""
    kind, got = error["type"], error.get("input")
    context = error.get("ctx", {})
    # A string of brackets may be of any length.
    shown = "" if isinstance(got, (dict, list)) else f" (it is {repr(got)[:_SHOWN]})"
    if kind == "union":
        return f"expected {' or '.join(error['choices'])}{shown}", None
    if kind == "json_invalid":
        return ("it is not JSON" if str(got).strip() else "it is empty"), "Get it again."
    if kind == "extra_forbidden":
        return "unknown key", _nearest(str(loc[-1]), _fields_at(model, loc[:-1]), "keys")
    if kind == "missing":
        return "this key is missing", "Add it."
    if kind in {"value_error", "assertion_error"}:
        what, _, fix = str(error["msg"]).split(", ", 1)[-1].partition(". ")
        return what.rstrip("."), fix or None
    if kind == "union_tag_not_found":
        *names, last = source_names()
        return "the key source is missing", f"Add source: {', '.join(names)} or {last}."
    if kind == "union_tag_invalid":
        return f"unknown source {context['tag']!r}", _nearest(context["tag"], source_names(), "sources")
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
    if kind in {"bool_parsing", "bool_type"}:
        return f"expected true or false{shown}", None
    if kind in {"dict_type", "model_type", "model_attributes_type"}:
        return f"expected keys and values{shown}", None
    if kind == "list_type":
        return f"expected a list{shown}", None
    if kind in {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}:
        limit = next(iter(context.values()))
        words = {"greater_than": "more than", "greater_than_equal": "at least", "less_than": "less than"}
        return f"expected {words.get(kind, 'at most')} {limit:g}{shown}", None
    if kind == "too_short":
        return "the list is empty", "Add an entry, or remove the key."
    if kind in {"string_too_short", "string_too_long"}:
        limit = context.get("min_length") or context.get("max_length")
        compared = "at least" if kind == "string_too_short" else "at most"
        return f"expected {compared} {limit} character{'s' if limit != 1 else ''}{shown}", None
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


# YAML 1.1 reads 0777 as 511 and 1:30 as 90. What is written 0x1f or 0b1 is meant so.
_OTHER_BASE = re.compile(r"[-+]?(0[0-7_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)")
_NUMBERS = {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}


def _duplicate_key(node: yaml.Node | None) -> yaml.ScalarNode | None:
    """A key that is given twice, if there is one.

    Raises:
        yaml.YAMLError: a key that is no text, or a number to a base that nobody thinks of.
    """
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.composer.ComposerError(None, None, "a key that is a list or a mapping", key.start_mark)
            if key.value in seen:
                repeated: yaml.ScalarNode = key
                return repeated
            seen.add(key.value)
            if (inner := _duplicate_key(value)) is not None:
                return inner
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            if (inner := _duplicate_key(value)) is not None:
                return inner
    elif isinstance(node, yaml.ScalarNode) and node.tag in _NUMBERS and _OTHER_BASE.fullmatch(node.value):
        what = f"{node.value[:40]} is a number to base {60 if ':' in node.value else 8} there: write it otherwise"
        raise yaml.composer.ComposerError(None, None, what, node.start_mark)
    return None
