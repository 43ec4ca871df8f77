"""JSON, YAML, and the specs written in it: task, recipe, suite, baseline and published files."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import samples
import yaml
from attempts import attempt, put, schema
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from mutations import as_json, encoded, mutated_texts, mutated_values, texts_as_bytes

from hubtools.specs.baseline_file import BaselineFile
from hubtools.specs.published_results import PaperSource
from hubtools.specs.recipe import Recipe
from hubtools.specs.suite import Profile, Suite
from hubtools.specs.task import Task


@attempt("common.bounds.json_values")
def _() -> Any:
    texts = mutated_texts([as_json(values) for values in (samples.CONFIG, [1, [2.5, None]], "x")])
    deep = st.sampled_from(["[" * 100_000, "[" * 101 + "]" * 101, '{"a":' * 5000, "1" * 6000, "NaN", '"\\ud800"', ""])
    return st.one_of(texts, texts.map(encoded), deep), lambda read, folder, text: read(text)


@attempt("common.bounds.yaml_values", "common.bounds.yaml_parsed", "common.bounds.yaml_nodes")
def _() -> Any:
    tricks = [
        "&a [*a]",
        "a: &a [x]\nb: [*a, *a]",
        "<<: {a: 1}\nb: 2",
        "? [a]\n: b",
        "- !!set {a, b}",
        "!!binary x",
        "2024-13-45",
    ]
    texts = mutated_texts([*samples.spec_texts("task")[:4], *tricks])

    def call(read: Any, folder: Path, text: str) -> Any:
        return read(text) if read.__name__ == "yaml_values" else read(text, yaml.SafeLoader)

    return st.one_of(st.sampled_from(tricks), texts), call


# Specs.

MODELS: dict[str, Any] = {"task": Task, "recipe": Recipe, "suite": Suite, "profile": Profile, "published": PaperSource}


def spec_inputs(texts: list[str], model: Any) -> SearchStrategy[bytes]:
    """Files of a spec: accidents of text, and values of the schema in wrong places."""
    values = mutated_values([yaml.safe_load(text) for text in texts], schema(model), finite=False)
    dumped = values.map(partial(yaml.safe_dump, sort_keys=False, allow_unicode=True)).map(encoded)
    return st.one_of(dumped, dumped, texts_as_bytes(texts))


def _spec_attempt(name: str, kind: str) -> None:
    @attempt(name)
    def _() -> Any:
        texts = samples.spec_texts(kind)

        def call(read: Any, folder: Path, content: bytes) -> Any:
            stated = next(
                (line[6:].strip() for line in content.decode("utf-8", "replace").split("\n") if line[:6] == "name: "),
                "x",
            )
            plain = stated if stated.isascii() and stated.replace("-", "").isalnum() and len(stated) < 80 else "x"
            return read(put(folder, f"{plain}.yaml", content))

        return spec_inputs(texts, MODELS[kind]), call


_spec_attempt("specs.lookup.spec_files.task_in", "task")
_spec_attempt("specs.lookup.spec_files.recipe_in", "recipe")
_spec_attempt("specs.lookup.spec_files.suite_in", "suite")
_spec_attempt("specs.lookup.spec_files.profile_in", "profile")
_spec_attempt("specs.published_results.read_source", "published")


@attempt("specs.lookup.spec_files.read_spec")
def _() -> Any:
    return texts_as_bytes(samples.spec_texts("suite")), lambda read, folder, content: read(
        put(folder, "s.yaml", content), Suite
    )


@attempt("specs.lookup.spec_files.parse_spec")
def _() -> Any:
    return mutated_texts(samples.spec_texts("recipe")), lambda read, folder, text: read(text, Recipe, "r.yaml")


@attempt("specs.baseline_file.read_baseline_file")
def _() -> Any:
    def call(read: Any, folder: Path, content: bytes) -> Any:
        put(folder, "baseline.yaml", content)
        return read(folder)

    return spec_inputs(samples.baseline_texts(), BaselineFile), call


@attempt("specs.lookup.pinning.write_pins")
def _() -> Any:
    text = (
        "name: t  # mine\nversion: 1\ntitle: T\nproblem: sequence-regression\nsummary: s\ndata:\n  source: url\n"
        "  files:\n    - url: https://example.org/a.csv\n    - {url: 'https://example.org/b.csv'}\n"
        "  split: {fractions: {train: 0.8, test: 0.2}}\nmetrics: {primary: spearman}\nlicence: mit\ncitation: none\n"
    )

    def call(read: Any, folder: Path, content: bytes) -> Any:
        from hubtools.specs.lookup.spec_files import read_spec

        path = put(folder, "t.yaml", content)
        task = read_spec(path, Task)
        files = [
            file.model_copy(update={"sha256": "a" * 64})
            for file in task.data.files
            if "sha256" in type(file).model_fields
        ]
        return read(
            path, task.model_copy(update={"data": task.data.model_copy(update={"files": files or task.data.files})})
        )

    return texts_as_bytes([text, text.replace("\n", "\r\n")]), call


@attempt("specs.base.read_recorded", "specs.base.read_exactly")
def _() -> Any:
    values = mutated_values([record["task"] for record in samples.record_values()], schema(Task))

    def call(read: Any, folder: Path, value: Any) -> Any:
        # Of a record, so that it is an object; the store keeps what it read by its name.
        return read(Task, value if isinstance(value, dict) else {"x": value}, "task")

    return values, call
