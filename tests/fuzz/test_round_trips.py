"""What bench writes, it reads, and gets what was written: of each kind of file, of any value that it may hold."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import samples
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_fuzz import TIMES
from tiny_tasks import tiny_task

from hubtools.cli.run import parse_seeds
from hubtools.data import DataCache
from hubtools.data.rows.label_cells import listed, number_entries, residue_entries
from hubtools.data.sources.fasta import fasta_entries
from hubtools.data.sources.separated import separated_rows
from hubtools.data.sources.table_files import table_rows
from hubtools.evaluation.predictions import Predictions, read_label_names, read_predictions, write_predictions
from hubtools.evaluation.statistics.resampled import Units, read_replicates, write_replicates
from hubtools.findings.naming.selectors import parse
from hubtools.reporting.card.card_edits import CLOSING, changed_by_hand, edits, keep_edits, opening, sign
from hubtools.runs.store import parse_record, read_record, write_record
from hubtools.specs.base import read_recorded
from hubtools.specs.baseline_file import BaselineFile
from hubtools.specs.data_sources import LocalFile
from hubtools.specs.lookup.spec_files import parse_spec
from hubtools.specs.problem import Problem
from hubtools.specs.recipe import Recipe
from hubtools.specs.references import Reference, read_address
from hubtools.specs.task import Task

often = settings(
    max_examples=25 * max(TIMES, 1),
    derandomize=not TIMES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)

# What a spec may hold: no control characters, nothing that changes the direction of writing, no half characters.
LINES = st.text(
    st.characters(
        exclude_categories=["Cc", "Cs"],
        exclude_characters="\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
    ),
    min_size=1,
    max_size=20,
).filter(lambda text: text.strip() == text)
NAMES = st.from_regex("[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
SEQUENCES = st.text("ACDEFGHIKLMNPQRSTVWYX", min_size=1, max_size=40)
FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)
# Of a table, what its writer keeps: csv makes a line break of a lone carriage return.
CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=12)


@often
@given(LINES, LINES, st.integers(1, 10**6), st.lists(LINES, min_size=2, max_size=4, unique=True))
def test_a_task_file(title: str, licence: str, version: int, labels: list[str]) -> None:
    values = tiny_task("sequence-classification").model_dump(mode="json", exclude_none=True)
    values |= {"title": title, "licence": licence, "version": version, "labels": labels}
    try:
        task = Task.model_validate(values)
    except ValueError:
        return
    text = yaml.safe_dump(task.model_dump(mode="json", exclude_none=True), allow_unicode=True, sort_keys=False)
    again = parse_spec(text, Task, "t.yaml")
    assert again == task and again.hash == task.hash


@often
@given(st.floats(1e-9, 1, exclude_max=True), st.integers(1, 10**6), st.sampled_from(["auto", "float32", "bf16"]))
def test_a_recipe_file(rate: float, epochs: int, precision: str) -> None:
    recipe = Recipe.model_validate(
        {"name": "r", "adaptation": "full", "learning_rate": rate, "epochs": epochs, "precision": precision}
    )
    text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)
    assert (
        parse_spec(text, Recipe, "r.yaml")
        == recipe
        == read_recorded(Recipe, recipe.model_dump(mode="json"), recipe.hash)
    )


@often
@given(
    st.integers(0, 2),
    LINES,
    FINITE,
    st.dictionaries(NAMES, st.one_of(FINITE, LINES, st.booleans(), st.none()), max_size=3),
)
def test_a_record(which: int, command: str, value: float, overrides: dict[str, Any]) -> None:
    record = samples.records()[which].model_copy(deep=True)
    record.command, record.overrides = f"bench run {command}", overrides
    if record.results:
        next(iter(record.results["test"].scores.values())).value = value
    try:
        parse_record(record.model_dump_json(), "run.json")
    except Exception:
        # It looks like a token, say: what is not taken is not written either.
        return
    with TemporaryDirectory() as folder:
        write_record(Path(folder), record)
        assert read_record(Path(folder)) == record


@often
@given(
    st.sampled_from(["sequence-classification", "residue-classification", "sequence-regression", "residue-multilabel"]),
    st.data(),
)
def test_predictions(problem: str, data: st.DataObject) -> None:
    kind, by_residue = Problem(problem).kind, problem.startswith("residue")
    n, width = data.draw(st.integers(1, 6)), data.draw(st.integers(2, 4))
    draw = np.random.default_rng(data.draw(st.integers(0, 99)))
    truths = {
        "classification": draw.integers(0, width, n),
        "multilabel": draw.integers(0, 2, (n, width)),
        "regression": draw.normal(size=n) * 10.0 ** data.draw(st.integers(-30, 30)),
    }
    ids = data.draw(st.lists(LINES, min_size=n, max_size=n))
    made = Predictions(
        problem=Problem(problem),
        ids=np.array(ids),
        positions=np.arange(1, n + 1) if by_residue else None,
        clusters=np.array([f"c{i // 2}" for i in range(n)]) if data.draw(st.booleans()) else None,
        truth=truths[kind],
        scores=draw.normal(size=n) if kind == "regression" else draw.random((n, width)),
    )
    labels = data.draw(st.lists(LINES, min_size=width, max_size=width))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "predictions.parquet"
        write_predictions(path, {"test": made}, labels)
        again = read_predictions(path)["test"]
        assert read_label_names(path) == labels
    assert again.problem == made.problem
    for name in ("ids", "positions", "clusters", "truth", "scores"):
        np.testing.assert_array_equal(getattr(again, name), getattr(made, name))


@often
@given(st.lists(FINITE, min_size=1, max_size=6), st.integers(1, 10**6), LINES, st.floats(0, 1e6))
def test_replicates(values: list[float], count: int, described: str, effective: float) -> None:
    units = Units(count, None, described, "a" * 64, effective)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "replicates.safetensors"
        write_replicates(path, {"test": {"mcc": np.array(values)}}, {"test": units})
        found, of = read_replicates(path, [("test", "mcc"), ("test", "f1")]).pop(("test", "mcc"))
    np.testing.assert_array_equal(found, np.array(values, dtype=np.float32).astype(float))
    assert (of.n_units, of.described, of.digest, of.effective) == (count, described, units.digest, effective)


@often
@given(
    NAMES.map(str.lower),
    st.lists(st.tuples(FINITE, st.integers(0, 10**9)), min_size=1, max_size=3, unique_by=lambda one: one[1]),
)
def test_a_baseline_file(metric: str, runs: list[tuple[float, int]]) -> None:
    listed_runs = [
        {"seed": seed, "folder": f"run-{seed}", "scores": {"test": value}, "files": {"run.json": "a" * 64}}
        for value, seed in runs
    ]
    arm = {
        "task": "t",
        "version": 1,
        "metric": metric,
        "recipe": "full",
        "scores": {"test": {"mean": runs[0][0]}},
        "runs": listed_runs,
    }
    made = BaselineFile.model_validate({"name": "main", "question": "weights", "arms": [arm]})
    assert parse_spec(made.text(), BaselineFile, "baseline.yaml") == made


@often
@given(
    st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=5),
    st.sampled_from(["csv", "tsv"]),
    st.booleans(),
)
def test_a_table(rows: list[list[str]], kind: str, packed: bool) -> None:
    """Of a table that Python's csv module writes, every cell comes back; what looks like a quote left open is refused.

    Rows of empty cells, which spreadsheets leave behind, are none.
    """
    names = ["id", "sequence", "label"]
    held = io.StringIO()
    writer = csv.writer(held, delimiter={"csv": ",", "tsv": "\t"}[kind], quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([names, *rows])
    text, rows = held.getvalue(), [row for row in rows if any(cell.strip() for cell in row)]
    found, below = separated_rows(io.StringIO(text, newline=""), kind, "x")
    assert found == names and list(below) == rows
    if not rows:
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"t.{kind}{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(text.encode(), mtime=0) if packed else text.encode())
        table = table_rows(LocalFile(path=path), path)
    assert list(table.columns) == names
    assert table.to_numpy().tolist() == rows


@often
@given(
    st.lists(
        st.dictionaries(
            NAMES,
            st.one_of(CELLS, FINITE, st.booleans(), st.lists(st.integers(-5, 5), max_size=3)),
            min_size=1,
            max_size=3,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_json_lines(rows: list[dict[str, Any]]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "t.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        table = table_rows(LocalFile(path=path), path)
    for number, row in enumerate(rows):
        assert {name: table[name][number] for name in row} == row


@often
@given(
    st.lists(st.tuples(NAMES, SEQUENCES), min_size=1, max_size=6), st.integers(1, 30), st.sampled_from(["\n", "\r\n"])
)
def test_fasta(proteins: list[tuple[str, str]], width: int, end: str) -> None:
    lines = [
        line
        for name, sequence in proteins
        for line in (f">{name}", *(sequence[at : at + width] for at in range(0, len(sequence), width)))
    ]
    entries = list(fasta_entries([line + end for line in lines], "x"))
    assert [(entry.header, "".join(entry.body.split())) for entry in entries] == proteins


@often
@given(st.lists(st.one_of(st.integers(-(2**50), 2**50), FINITE, st.none(), LINES), max_size=6))
def test_a_list_in_a_cell(values: list[Any]) -> None:
    """As JSON writes it, and as Python does (what pandas puts into a CSV file)."""
    assert listed(json.dumps(values)) == values
    assert listed(json.dumps(values, ensure_ascii=False)) == values
    assert listed(str(values)) == values


@often
@given(st.lists(FINITE.map(float), min_size=1, max_size=6), st.sampled_from([",", ";", " ", ", "]))
def test_numbers_in_a_cell(values: list[float], separator: str) -> None:
    cell = separator.join(map(repr, values))
    assert [float(value) for value in number_entries(cell, len(values))] == values
    assert residue_entries(json.dumps(values), separator) == values


@often
@given(
    NAMES,
    st.dictionaries(
        st.sampled_from(["recipe", "task", "checkpoint", "head.hidden", "seed"]),
        st.from_regex(r"[A-Za-z0-9*?\[\]|_.-]{1,10}", fullmatch=True),
        min_size=1,
        max_size=4,
    ),
)
def test_a_selector(place: str, patterns: dict[str, str]) -> None:
    written = f"{place}:{','.join(f'{key}={pattern}' for key, pattern in patterns.items())}"
    assert parse(written)[0] == place and dict(parse(written)[1].patterns) == patterns


@often
@given(
    st.from_regex("[a-z][a-z0-9]{0,9}/[a-z][a-z0-9]{0,9}", fullmatch=True),
    st.none() | st.from_regex("[a-z][a-z0-9]{0,6}(/[a-z0-9]{1,5})?", fullmatch=True),
    st.none() | st.just("a/b"),
)
def test_an_address(repo: str, revision: str | None, inside: str | None) -> None:
    made = Reference(repo, revision, inside)
    assert read_address(str(made), "a task", "name") == made


@often
@given(st.lists(st.integers(0, 10**9 - 1), min_size=1, max_size=6, unique=True))
def test_seeds(seeds: list[int]) -> None:
    assert parse_seeds(None, None, (",".join(map(str, seeds)),)) == seeds  # type: ignore[arg-type]
    assert parse_seeds(None, None, tuple(map(str, seeds))) == seeds  # type: ignore[arg-type]


@often
@given(st.lists(st.text("abc \n#`*", max_size=15), min_size=1, max_size=3), LINES)
def test_what_a_user_writes_on_a_card(notes: list[str], title: str) -> None:
    """It comes into a new card, and again into the next; nothing else counts as changed by hand."""
    new = sign(
        "---\nlicense: mit\n---\n# T\n\n" + "\n".join(f"{opening(f'n{i}')}\n{CLOSING}\n" for i, _ in enumerate(notes))
    )
    old = new
    for number, note in enumerate(notes):
        mark = opening(f"n{number}")
        old = old.replace(f"{mark}\n", f"{mark}\n{note}\n")
    once = keep_edits(new, old)
    assert edits(once) == edits(old)
    assert keep_edits(new, once) == once and not changed_by_hand(once)


@often
@given(st.lists(st.floats(), max_size=6))
def test_an_array_of_the_data_cache(values: list[float]) -> None:
    with TemporaryDirectory() as folder:
        cache, array = DataCache(Path(folder)), np.array(values)
        np.testing.assert_array_equal(cache.array("a", lambda: array), array)
        np.testing.assert_array_equal(cache.array("a", lambda: np.zeros(99)), array)
        assert [path.name for path in (Path(folder) / "arrays").iterdir()] == ["a.npy"]
