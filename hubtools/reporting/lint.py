"""The rules by which the Hub is known to refuse a card, checked without asking it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

from hubtools.reporting.metadata import LICENCES

_RELATIONS = {"finetune", "adapter", "quantized", "merge"}
_PIPELINES = {"text-classification", "token-classification", "feature-extraction", "fill-mask"}
_HUB_ID = re.compile(
    r"(?!.*(--|\.\.))[A-Za-z0-9](?:[\w.-]{0,94}[A-Za-z0-9_])?(/[A-Za-z0-9](?:[\w.-]{0,94}[A-Za-z0-9_])?)?"
)
_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)


def lint_card(text: str) -> list[str]:
    """What the Hub is known to refuse, or to show wrongly, in a card; empty where nothing is found.

    The Hub's own rules live on its servers and change: it is asked as well when a card is pushed.
    """
    found = _FRONT_MATTER.match(text)
    if not found:
        return ["the card has no front matter between two lines of ---"]
    try:
        values = yaml.safe_load(found[1])
    except yaml.YAMLError as error:
        return [f"the front matter is not YAML ({' '.join(str(error).split())})"]
    if not isinstance(values, dict):
        return ["the front matter holds no keys"]
    body = text[found.end() :]
    return [*_lint_values(values), *_lint_index(values.get("model-index")), *_lint_body(body)]


def _lint_values(values: dict[str, Any]) -> Iterator[str]:
    licence = values.get("license")
    if licence not in LICENCES:
        yield f"license: {licence!r} is not an identifier of the Hub; use other with license_name and license_link"
    if licence == "other":
        yield from (f"license: other needs {key}" for key in ("license_name", "license_link") if not values.get(key))
    for key in ("base_model", "datasets"):
        stated = values.get(key, [])
        for value in stated if isinstance(stated, list) else [stated]:
            if not isinstance(value, str) or not _HUB_ID.fullmatch(value):
                yield f"{key}: {value!r} is not a Hub id"
    relation = values.get("base_model_relation")
    if relation is not None and relation not in _RELATIONS:
        yield f"base_model_relation: {relation!r} is none of {', '.join(sorted(_RELATIONS))}"
    if relation is not None and not values.get("base_model"):
        yield "base_model_relation is given without base_model"
    if (tag := values.get("pipeline_tag")) not in _PIPELINES | {None}:
        yield f"pipeline_tag: {tag!r} is not one that a protein model has"
    languages = values.get("language", [])
    for language in languages if isinstance(languages, list) else [languages]:
        if not re.fullmatch(r"[a-z]{2,3}|code|multilingual", str(language)):
            yield f"language: {language!r} is not an ISO 639 code; proteins have none, leave it out"
    for key in ("tags", "metrics", "widget", "datasets"):
        if key in values and not isinstance(values[key], list):
            yield f"{key}: must be a list"
    for key in ("tags", "metrics"):
        if isinstance(values.get(key), list) and not all(isinstance(value, str) and value for value in values[key]):
            yield f"{key}: every entry must be a text"


def _lint_index(index: Any) -> Iterator[str]:
    if index is None:
        return
    if not isinstance(index, list) or len(index) != 1 or not isinstance(index[0], dict) or not index[0].get("name"):
        yield "model-index: must be a list of one model with a name"
        return
    keys = set()
    for place, result in enumerate(index[0].get("results") or []):
        where = f"model-index[0].results[{place}]"
        task, dataset, metrics = (result.get(key) or {} for key in ("task", "dataset", "metrics"))
        if not task.get("type"):
            yield f"{where}.task.type is missing"
        yield from (f"{where}.dataset.{key} is missing" for key in ("type", "name") if not dataset.get(key))
        for part in ("config", "split", "revision"):
            if part in dataset and not isinstance(dataset[part], str):
                yield f"{where}.dataset.{part} must be a text"
        key = (task.get("type"), *(str(dataset.get(part)) for part in ("type", "config", "split", "revision")))
        if key in keys:
            yield f"{where} repeats task, data set, config, split and revision of another result, and would be merged with it"
        keys.add(key)
        if not metrics:
            yield f"{where}.metrics is empty"
        names = [(metric.get("type"), metric.get("name")) for metric in metrics]
        if len(set(names)) < len(names):
            yield f"{where}.metrics holds the same metric twice"
        for metric in metrics:
            value = metric.get("value")
            if not metric.get("type"):
                yield f"{where}.metrics: type is missing"
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                yield f"{where}.metrics: the value {value!r} is not a finite number"


def _lint_body(body: str) -> Iterator[str]:
    if re.search(r"more information needed", body, re.IGNORECASE):
        yield "the card says that more information is needed"
    # Fenced blocks hold BibTeX, where double braces keep capitals.
    if re.search(r"\{\{|\{%", re.sub(r"^```.*?^```", "", body, flags=re.DOTALL | re.MULTILINE)):
        yield "the card has an unfilled place of its template"
    if not re.search(r"^# \S", body, re.MULTILINE):
        yield "the card has no title"
    if body.count("```") % 2:
        yield "the card has a code block that is not closed"
