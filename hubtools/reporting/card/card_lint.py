"""The rules by which the Hub is known to refuse a card, checked without asking it."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator
from typing import Any, TypeGuard

import yaml

from hubtools.common.bounds import yaml_parsed
from hubtools.common.readers import reads
from hubtools.specs.licences import LICENCES

_RELATIONS = {"finetune", "adapter", "quantized", "merge"}
_PIPELINES = {"text-classification", "token-classification", "feature-extraction", "fill-mask", "text-generation"}
_HUB_ID = re.compile(
    r"(?!.*(--|\.\.))[A-Za-z0-9](?:[\w.-]{0,94}[A-Za-z0-9_])?(/[A-Za-z0-9](?:[\w.-]{0,94}[A-Za-z0-9_])?)?"
)
_LICENCE_NAME = re.compile(r"[a-z0-9.-]+")
_LINK = re.compile(r"https?://\S+")
_LIBRARIES = {"transformers", "peft"}
_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)


class _Unrepeated(yaml.SafeLoader):
    """YAML in which a key stands once: Python would take the last, and the Hub refuses it."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if repeated := [key for key in keys if keys.count(key) > 1]:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {repeated[0]!r} stands twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


@reads("card", refuses=())
def lint_card(text: str) -> list[str]:
    """What the Hub is known to refuse, or to show wrongly, in a card; empty where nothing is found.

    The Hub's own rules live on its servers and change: it is asked as well when a card is pushed.
    """
    found = _FRONT_MATTER.match(text)
    if not found:
        return ["the card has no front matter between two lines of ---"]
    try:
        values = yaml_parsed(found[1], _Unrepeated)[1]
    except yaml.YAMLError as error:
        return [f"the front matter is not YAML ({' '.join(str(error).split())})"]
    if not isinstance(values, dict):
        return ["the front matter holds no keys"]
    body = text[found.end() :]
    return [
        *_lint_values(values),
        *_lint_licence(values),
        *_lint_shown(values),
        *_lint_index(values.get("model-index")),
        *_lint_body(body),
    ]


def _is_one_of(value: Any, known: Collection[str]) -> bool:
    """Whether a value, which may be a list or whatever else YAML has, is one of these words."""
    return isinstance(value, str) and value in known


def _is_finite(value: Any) -> TypeGuard[float]:
    # Not math.isfinite, for which a number may be too large.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < math.inf


def _lint_values(values: dict[str, Any]) -> Iterator[str]:
    # The Hub's own checks are of the text: an empty value is one of the wrong kind.
    yield from (
        f"{key}: has no value; leave it out" for key, value in values.items() if value is None and key != "license"
    )
    for key in ("base_model", "datasets", "new_version"):
        stated = values.get(key, [])
        for value in stated if isinstance(stated, list) else [] if stated is None else [stated]:
            if not isinstance(value, str) or not _HUB_ID.fullmatch(value):
                yield f"{key}: {value!r} is not a Hub id"
    relation = values.get("base_model_relation")
    if relation is not None and not _is_one_of(relation, _RELATIONS):
        yield f"base_model_relation: {relation!r} is none of {', '.join(sorted(_RELATIONS))}"
    if relation is not None and not values.get("base_model"):
        yield "base_model_relation is given without base_model"
    if (tag := values.get("pipeline_tag")) is not None and not _is_one_of(tag, _PIPELINES):
        yield f"pipeline_tag: {tag!r} is not one that a protein model has"
    library = values.get("library_name")
    if library is not None and not _is_one_of(library, _LIBRARIES):
        yield f"library_name: {library!r} does not load what bench saves; write one of {', '.join(sorted(_LIBRARIES))}"
    if relation == "adapter" and library != "peft":
        yield "base_model_relation: an adapter is loaded by peft; set library_name: peft"
    languages = values.get("language") or []
    for language in languages if isinstance(languages, list) else [languages]:
        if not re.fullmatch(r"[a-z]{2,3}|code|multilingual", str(language)):
            yield f"language: {language!r} is not an ISO 639 code; proteins have none, leave it out"
    for key in ("tags", "metrics", "widget", "datasets"):
        if key in values and not isinstance(values[key], list):
            yield f"{key}: must be a list"
    for key in ("tags", "metrics"):
        if isinstance(values.get(key), list) and not all(isinstance(value, str) and value for value in values[key]):
            yield f"{key}: every entry must be a text"


def _lint_licence(values: dict[str, Any]) -> Iterator[str]:
    licence = values.get("license")
    if not _is_one_of(licence, LICENCES):
        yield f"license: {licence!r} is not an identifier of the Hub; use other with license_name and license_link"
    if licence == "other":
        yield from (f"license: other needs {key}" for key in ("license_name", "license_link") if not values.get(key))
    name, link = values.get("license_name"), values.get("license_link")
    if name is not None and not (isinstance(name, str) and _LICENCE_NAME.fullmatch(name)):
        yield f"license_name: {name!r} may hold small letters, digits, dots and hyphens only"
    if link is not None and link != "LICENSE" and not (isinstance(link, str) and _LINK.fullmatch(link)):
        yield f"license_link: {link!r} is neither an address nor LICENSE, a file beside the card"
    if licence != "other" and (name is not None or link is not None):
        yield "license_name and license_link belong to license: other"


def _lint_shown(values: dict[str, Any]) -> Iterator[str]:
    """What the Hub shows beside the text: emissions, pictures, examples, conditions of access."""
    emissions = values.get("co2_eq_emissions")
    grams = emissions.get("emissions") if isinstance(emissions, dict) else emissions
    if emissions is not None and not (_is_finite(grams) and grams >= 0):
        yield f"co2_eq_emissions: {grams!r} is not a number of grams"
    if isinstance(emissions, dict):
        texts = ("source", "training_type", "geographical_location", "hardware_used")
        yield from (
            f"co2_eq_emissions.{key} must be a text"
            for key in texts
            if key in emissions and not isinstance(emissions[key], str)
        )
    thumbnail = values.get("thumbnail")
    if thumbnail is not None and not (isinstance(thumbnail, str) and _LINK.fullmatch(thumbnail)):
        yield "thumbnail: must be the address of a picture"
    widgets = values.get("widget")
    if isinstance(widgets, list) and not all(isinstance(one, dict) and one for one in widgets):
        yield "widget: every example must have keys, such as text"
    if not isinstance(values.get("extra_gated_fields", {}), dict):
        yield "extra_gated_fields: must have keys"
    yield from (
        f"{key}: must be a text"
        for key in (
            "extra_gated_prompt",
            "extra_gated_heading",
            "extra_gated_description",
            "extra_gated_button_content",
        )
        if key in values and not isinstance(values[key], str)
    )


def _lint_index(index: Any) -> Iterator[str]:
    if index is None:
        return
    if not isinstance(index, list) or len(index) != 1 or not isinstance(index[0], dict) or not index[0].get("name"):
        yield "model-index: must be a list of one model with a name"
        return
    keys = set()
    results = index[0].get("results") or []
    if not isinstance(results, list):
        yield "model-index[0].results: must be a list"
        return
    for place, result in enumerate(results):
        where = f"model-index[0].results[{place}]"
        if not isinstance(result, dict):
            yield f"{where} must have keys"
            continue
        task, dataset, metrics = (result.get(key) or {} for key in ("task", "dataset", "metrics"))
        if not isinstance(task, dict) or not isinstance(dataset, dict):
            yield f"{where}.task and .dataset must have keys"
            continue
        if metrics and not (isinstance(metrics, list) and all(isinstance(metric, dict) for metric in metrics)):
            yield f"{where}.metrics must be a list, each with keys"
            continue
        source = result.get("source")
        if source is not None and not (isinstance(source, dict) and _LINK.fullmatch(str(source.get("url")))):
            yield f"{where}.source needs a url"
        if not task.get("type"):
            yield f"{where}.task.type is missing"
        yield from (f"{where}.dataset.{key} is missing" for key in ("type", "name") if not dataset.get(key))
        for part in ("config", "split", "revision"):
            if part in dataset and not isinstance(dataset[part], str):
                yield f"{where}.dataset.{part} must be a text"
        key = (str(task.get("type")), *(str(dataset.get(part)) for part in ("type", "config", "split", "revision")))
        if key in keys:
            yield f"{where} repeats task, data set, config, split and revision of another result, and would be merged with it"
        keys.add(key)
        if not metrics:
            yield f"{where}.metrics is empty"
        names = [(str(metric.get("type")), str(metric.get("name"))) for metric in metrics]
        if len(set(names)) < len(names):
            yield f"{where}.metrics holds the same metric twice"
        for metric in metrics:
            value = metric.get("value")
            if not metric.get("type"):
                yield f"{where}.metrics: type is missing"
            if not isinstance(metric.get("verified", False), bool):
                yield f"{where}.metrics: verified must be true or false"
            if metric.get("verified") is True and not metric.get("verifyToken"):
                yield f"{where}.metrics: only the Hub verifies; leave out verified, or write false"
            if not _is_finite(value):
                yield f"{where}.metrics: the value {value!r} is not a finite number"


def _outside_code(body: str) -> tuple[str, bool]:
    """The lines outside fenced blocks, and whether a block is not closed: a line of as many ticks, or more, closes it."""
    opened, outside = "", []
    for line in body.splitlines():
        found = re.match(r" {0,3}(`{3,})(.*)", line)
        if found is None:
            outside += [] if opened else [line]
        elif not opened:
            opened = found[1]
        elif len(found[1]) >= len(opened) and not found[2].strip():
            opened = ""
    return "\n".join(outside), bool(opened)


def _lint_body(body: str) -> Iterator[str]:
    if re.search(r"more information needed", body, re.IGNORECASE):
        yield "the card says that more information is needed"
    # Fenced blocks hold BibTeX, where double braces keep capitals.
    outside, left_open = _outside_code(body)
    # A tag shows its texts as they are, as the one of a picture.
    if re.search(r"\{\{|\{%", re.sub(r"<[^<>]*>", "", outside)):
        yield "the card has an unfilled place of its template"
    if not re.search(r"^# \S", body, re.MULTILINE):
        yield "the card has no title"
    if left_open:
        yield "the card has a code block that is not closed"
