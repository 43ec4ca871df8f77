"""How each reader is tried: what it is given, and how it is called. A reader without an attempt fails the suite."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import samples
import yaml
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from mutations import (
    NUMBERS,
    SIGNS,
    WORDS,
    Schema,
    as_json,
    encoded,
    mutated_bytes,
    mutated_texts,
    mutated_values,
    texts_as_bytes,
    zipped,
)

from hubtools.specs.baseline_file import BaselineFile
from hubtools.specs.data_sources import LocalFile
from hubtools.specs.published_results import PaperSource
from hubtools.specs.recipe import Recipe
from hubtools.specs.record import RunRecord
from hubtools.specs.suite import Suite
from hubtools.specs.task import Task

# Inputs that are tried where a fixed number is, for a reader that takes about a millisecond.
USUAL, FEW, FEWER = 30, 12, 5


class Attempt(NamedTuple):
    """How a reader is tried.

    Attributes:
        inputs: made when they are asked for.
        call: with the reader, an empty folder and an input.
        examples: how many are tried in continuous integration.
    """

    inputs: Callable[[], SearchStrategy[Any]]
    call: Callable[[Callable[..., Any], Path, Any], Any]
    examples: int = USUAL


ATTEMPTS: dict[str, list[Attempt]] = {}


def attempt(*names: str, examples: int = USUAL) -> Callable[[Any], Any]:
    """The function below makes the inputs, and says how a reader is called with one."""

    def add(function: Callable[[], tuple[SearchStrategy[Any], Any]]) -> Any:
        made = cache(function)
        for name in names:
            one = Attempt(lambda: made()[0], lambda read, folder, value: made()[1](read, folder, value), examples)
            ATTEMPTS.setdefault(name, []).append(one)
        return function

    return add


def put(folder: Path, name: str, content: bytes) -> Path:
    """A file in a folder."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


def all_of(found: Any) -> Any:
    """What a generator gives; anything else as it is."""
    return list(found) if isinstance(found, Iterator) else found


# Of JSON and YAML themselves.


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

MODELS: dict[str, Any] = {"task": Task, "recipe": Recipe, "suite": Suite, "published": PaperSource}


@cache
def schema(model: Any) -> Schema:
    """Of a model."""
    return Schema(model)


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


# Records, and what lies beside them.


def _record_inputs() -> SearchStrategy[bytes]:
    examples = samples.record_values()
    values = mutated_values(examples, schema(RunRecord)).map(as_json).map(encoded)
    return st.one_of(values, values, values, texts_as_bytes([as_json(examples[0])]))


@attempt("runs.store.parse_record")
def _() -> Any:
    return _record_inputs(), lambda read, folder, content: read(content, "run.json")


@attempt("runs.store.read_record", "runs.store.find_records")
def _() -> Any:
    def call(read: Any, folder: Path, content: bytes) -> Any:
        put(folder, "one/run.json", content)
        if read.__name__ == "read_record":
            return read(folder / "one")
        found, problems = read([folder])
        assert len(found) + len(problems) == 1
        return [shown(run) for run in found]

    return _record_inputs(), call


def shown(run: Any) -> Any:
    """What a board asks of every run."""
    from hubtools.findings.naming.selectors import KEYS, said
    from hubtools.runs.store import run_folder

    return [said(run.record, key) for key in (*KEYS, "epochs", "head.hidden")], run_folder(
        Path("runs"), run.record.identity
    )


@attempt("runs.store.OpenRun.training_log")
def _() -> Any:
    lines = ['{"epoch": 1, "loss": 0.5, "validation": {"mcc": 0.1}}\n{"epoch": 2, "loss": null}\n{"epo']

    def call(read: Any, folder: Path, content: bytes) -> Any:
        from hubtools.runs.store import OpenRun

        put(folder, "training.jsonl", content)
        return read(OpenRun(folder, samples.records()[0]))

    return texts_as_bytes(lines), call


@attempt("findings.naming.hub_runs.read_results", examples=FEW)
def _() -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def write(rows: Any, path: Path) -> None:
        pq.write_table(pa.table({"record": rows, "run": list(range(len(rows)))}), path)

    texts = [as_json(values) for values in samples.record_values()]
    whole = samples.written(partial(write, texts))
    others = [samples.written(partial(write, rows)) for rows in ([1, 2], [None, "{}"], [b"\xff"], [["a"]], [])]
    records = mutated_values(samples.record_values(), schema(RunRecord)).map(as_json)
    files = records.map(lambda text: samples.written(partial(write, [encoded(text)])))

    def call(read: Any, folder: Path, content: bytes) -> Any:
        put(folder, "data/records.parquet", content)
        return read(folder, "hub://lab/results")

    return st.one_of(mutated_bytes([whole]), st.sampled_from(others), files), call


@attempt("findings.verification.check_submission", examples=FEW)
def _() -> Any:
    from hubtools.data import DataCache
    from hubtools.evaluation.predictions import write_predictions
    from hubtools.specs.lookup.trusted import TrustedSpecs

    record = samples.record_values()[0]
    whole = samples.written(
        lambda path: write_predictions(path, samples.predictions("sequence-classification"), ["a", "b"])
    )
    inputs = st.tuples(
        st.one_of(mutated_values([record], schema(RunRecord)), st.just(record)).map(as_json).map(encoded),
        st.one_of(mutated_bytes([whole]), st.just(whole)),
    )

    def call(read: Any, folder: Path, content: tuple[bytes, bytes]) -> Any:
        place = folder / record["run_id"]
        put(place, "run.json", content[0])
        put(place, "predictions.parquet", content[1])
        found = read(place, DataCache(folder / "cache"), TrustedSpecs())
        assert found.findings
        return found

    return inputs, call


def _predictions_inputs() -> SearchStrategy[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from hubtools.evaluation.predictions import METADATA_KEY, write_predictions

    problems = ["sequence-classification", "residue-classification", "variant-effect"]
    written = [
        samples.written(lambda path, one=problem: write_predictions(path, samples.predictions(one), ["a", "b"]))
        for problem in problems
    ]

    def with_metadata(which: int, about: Any) -> bytes:
        table = pq.read_table(pa.BufferReader(written[which]))
        return samples.written(
            lambda path: pq.write_table(table.replace_schema_metadata({METADATA_KEY: encoded(as_json(about))}), path)
        )

    def with_columns(which: int, columns: dict[str, Any]) -> bytes:
        table = pq.read_table(pa.BufferReader(written[which]))
        for name, values in columns.items():
            at = table.column_names.index(name) if name in table.column_names else None
            if at is not None:
                table = table.remove_column(at)
            if values is not None:
                table = table.append_column(name, pa.array((values * len(table))[: len(table)]))
        return samples.written(lambda path: pq.write_table(table, path))

    abouts = [json.loads(pq.read_schema(pa.BufferReader(content)).metadata[METADATA_KEY]) for content in written]
    which = st.integers(0, len(written) - 1)
    names = st.sampled_from(
        ["split", "id", "position", "cluster", "label", "probability", "prediction", "group", "active"]
    )
    columns: list[Any] = [
        None,
        [None],
        [1],
        ["x"],
        [b"\xff"],
        [[0.5]],
        [[0.5, 0.5], [1.0]],
        [float("nan")],
        [[None, 1.0]],
        [-5],
        [2**40],
    ]
    return st.one_of(
        mutated_bytes(written),
        which.flatmap(lambda at: mutated_values([abouts[at]], Schema()).map(partial(with_metadata, at))),
        st.builds(with_columns, which, st.dictionaries(names, st.sampled_from(columns), max_size=3)),
    )


@attempt("evaluation.predictions.read_predictions", "evaluation.predictions.read_label_names")
def _() -> Any:
    return _predictions_inputs(), lambda read, folder, content: read(put(folder, "predictions.parquet", content))


@attempt("evaluation.predictions.read_predictions", examples=FEW)
def _() -> Any:
    return _predictions_inputs(), lambda read, folder, content: read(
        put(folder, "predictions.parquet", content), only="test"
    )


def tensors(values: dict[str, Any], metadata: dict[str, str]) -> bytes:
    """A safetensors file."""
    from safetensors.numpy import save

    return save({name: np.asarray(value) for name, value in values.items()}, metadata=metadata)


@attempt("evaluation.statistics.resampled.read_replicates")
def _() -> Any:
    about = {"test": {"units": "a" * 64, "n_units": 3, "drawn": "3 proteins", "effective": 2.5}}
    values = {"test/mcc": np.arange(4, dtype=np.float32)}
    about_changed = mutated_values([about], Schema()).map(
        lambda changed: tensors(values, {"bench.replicates": as_json(changed)})
    )
    others = [
        tensors(values, {}),
        tensors(values, {"about": "{}"}),
        tensors({"test/mcc": np.array(["1"], dtype="S1").view(np.uint8)}, {}),
    ]

    def call(read: Any, folder: Path, content: bytes) -> Any:
        return read(put(folder, "replicates.safetensors", content), [("test", "mcc"), ("test", "x")])

    return st.one_of(mutated_bytes([_replicates()]), about_changed, st.sampled_from(others)), call


def _replicates() -> bytes:
    from hubtools.evaluation.statistics.resampled import Units, write_replicates

    drawn = {"test": {"mcc": np.linspace(0, 1, 5)}}
    return samples.written(
        lambda path: write_replicates(path, drawn, {"test": Units(3, None, "3 proteins", "a" * 64, 2.5)})
    )


@attempt("runs.sweeps.trials.kept_trials")
def _() -> Any:
    line = {
        "number": 1,
        "values": {"epochs": 3},
        "run_id": "a" * 12,
        "status": "complete",
        "score": 0.5,
        "epochs": 3,
        "seconds": 1.5,
    }
    texts = [as_json(line) + "\n" + as_json(line | {"number": 2, "status": "failed", "score": None}) + "\n"]
    values = mutated_values([line], Schema()).map(as_json).map(encoded)

    def call(read: Any, folder: Path, content: bytes) -> Any:
        put(folder, "trials.jsonl", content)
        return read(folder)

    return st.one_of(values, texts_as_bytes(texts)), call


@attempt("training.finetune.resume.read_progress")
def _() -> Any:
    state = {
        "epoch": 1,
        "step": 4,
        "tokens": 10,
        "seconds": 1.0,
        "best_score": 0.5,
        "best_step": 4,
        "waited": 0,
        "sums": {},
    }

    def call(read: Any, folder: Path, content: bytes) -> Any:
        put(folder, "state.json", content)
        return read(folder)

    return st.one_of(
        mutated_values([state], Schema()).map(as_json).map(encoded), texts_as_bytes([as_json(state)])
    ), call


@attempt("training.compute.measured._read")
def _() -> Any:
    answers = {"key": {"name": "sdpa", "times": {"sdpa": 0.1}, "steady": True}}
    values = mutated_values([answers], Schema()).map(as_json).map(encoded)

    def call(read: Any, folder: Path, content: bytes) -> Any:
        found = read(put(folder, "cpu.json", content))
        assert all(isinstance(one["name"], str) for one in found.values())

    return st.one_of(values, texts_as_bytes([as_json(answers)])), call


@attempt("training.frozen.embedding_store.Shard")
def _() -> Any:
    from hubtools.training.frozen.embedding_store import Space, write_shard

    space = Space("lab/esm", "a" * 64, "pretrained", "mean", 2, "float32", "cpu", "torch 2")
    rows = {bytes([i]) * 16: np.full((1, 3), i, dtype=np.float32) for i in range(3)}
    whole = samples.written(lambda folder: write_shard(folder, space, rows))

    def header(values: Any) -> bytes:
        text = encoded(as_json(values))
        length = int.from_bytes(whole[:8], "little")
        return len(text).to_bytes(8, "little") + text + whole[8 + length :]

    values = json.loads(whole[8 : 8 + int.from_bytes(whole[:8], "little")])

    def call(read: Any, folder: Path, content: bytes) -> Any:
        shard = read(put(folder, f"{space.name}/x.safetensors", content))
        return shard.width, [np.array(shard.rows(i)) for i in range(len(shard.keys))]

    return st.one_of(mutated_bytes([whole]), mutated_values([values], Schema()).map(header)), call


# Tables, FASTA and flat files.


def _file(path: Path, **options: Any) -> LocalFile:
    return LocalFile(path=path, **options)


def parquet(columns: dict[str, Any]) -> bytes:
    """A table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    return samples.written(lambda path: pq.write_table(pa.table(columns), path))


@cache
def parquets() -> list[bytes]:
    """Tables of several types."""
    import datetime

    import pyarrow as pa
    import pyarrow.parquet as pq

    return [
        parquet({"id": ["a", "b"], "sequence": ["MKV", None], "label": [[0, 1], None]}),
        parquet({"sequence": [b"\xff", b"MK"], "label": [1.5, float("nan")]}),
        parquet({"sequence": ["MKV"], "label": [datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)], "x": [{"a": 1}]}),
        samples.written(lambda path: pq.write_table(pa.table([["MKV"], ["M"]], names=["sequence", "sequence"]), path)),
        parquet({"sequence": pa.array(["MKV"]), "label": pa.array([2**62], pa.timestamp("us"))}),
        parquet({"sequence": pa.array([b"\xff"]).view(pa.string())}),
    ]


def table_files() -> SearchStrategy[tuple[str, bytes]]:
    """Files that a task or a user may name: a name, and the content."""
    fasta = texts_as_bytes([*samples.FASTA, *samples.THREE_LINES])
    csv = texts_as_bytes(samples.CSV)
    packed = st.sampled_from([*samples.CSV, *samples.FASTA]).map(encoded)
    archives = st.one_of(
        mutated_bytes([zipped({"a.csv": encoded(samples.CSV[0])}), zipped({"a.fasta": encoded(samples.FASTA[0])})]),
        st.builds(
            lambda name, content: zipped({name: content}),
            st.sampled_from(["a.csv", "../a.csv", "a\x1b.csv", "é.fasta", "a"]),
            packed,
        ),
    )
    rows = mutated_values([json.loads(line) for line in samples.JSONL[0].split("\n") if line], Schema())
    return st.one_of(
        st.tuples(st.just("x.csv"), csv),
        st.tuples(st.just("x.tsv"), texts_as_bytes(samples.TSV)),
        st.tuples(st.sampled_from(["x.fasta", "x.fa", "x.fasta.gz"]), fasta),
        st.tuples(st.just("x.jsonl"), st.one_of(texts_as_bytes(samples.JSONL), rows.map(as_json).map(encoded))),
        st.tuples(st.just("x.parquet"), st.one_of(mutated_bytes(parquets()), st.sampled_from(parquets()))),
        st.tuples(st.sampled_from(["x.zip", "x.ZIP", "x.csv"]), archives),
    )


@attempt("data.sources.table_files.table_rows", "data.sources.table_files.read_table", examples=60)
def _() -> Any:
    options = st.sampled_from(
        [
            {},
            {"rename": {"label": "y"}},
            {"skip_rows": 1},
            {"header": ["id", "sequence", "label", "set"]},
            {"format": "fasta", "lines": ["sequence", "label"]},
            {"format": "fasta", "body": "label"},
            {"format": "fasta", "header": ["id", "kingdom"], "header_separator": "|"},
            {"format": "csv"},
            {"format": "parquet"},
            {"format": "jsonl"},
        ]
    )

    def call(read: Any, folder: Path, given: Any) -> Any:
        (name, content), more = given
        if name.lower().endswith(".zip"):
            more = more | {"member": "a.csv"}
        path = put(folder, name, content)
        try:
            file = _file(path, **more)
        except ValueError:
            return None
        return read(file, path)

    return st.tuples(table_files(), options), call


@attempt("data.rows.inspection.read_sheet", examples=60)
def _() -> Any:
    return table_files(), lambda read, folder, given: read(put(folder, *given))


@attempt("inference.proteins.read_proteins", examples=60)
def _() -> Any:
    def call(read: Any, folder: Path, given: Any) -> Any:
        file, pairs = given
        found = list(read(str(put(folder, *file)), pairs=pairs))
        assert all(said(one) for one in found)
        return found

    return st.tuples(table_files(), st.booleans()), call


def said(found: Any) -> bool:
    """Whether a protein, or what is wrong with one, can be shown."""
    from hubtools.inference.proteins import Unreadable

    if isinstance(found, Unreadable):
        str(found.error).encode()
        return "\n" not in str(found.error)
    return found.sequence.isascii() and found.sequence.isupper()


@attempt("api.tasks.task_proposals.new_task", examples=FEW)
def _() -> Any:
    tables = st.tuples(st.just("x.csv"), texts_as_bytes([samples.task_rows(one) for one in samples.PROBLEMS]))
    rows = [json.loads(samples.task_json_lines(one)) for one in samples.PROBLEMS]
    lines = mutated_values(rows, Schema()).map(
        lambda found: "\n".join(map(as_json, found if isinstance(found, list) else [found]))
    )

    def call(read: Any, folder: Path, given: Any) -> Any:
        return read(put(folder, *given), to=folder / "tasks", licence="mit", citation="none").text

    return st.one_of(tables, tables, st.tuples(st.just("x.jsonl"), lines.map(encoded)), table_files()), call


@attempt("data.task_data.load_task_data", examples=FEW * 2)
def _() -> Any:
    from tiny_project import write_task

    from hubtools.data import DataCache
    from hubtools.specs.lookup.spec_files import task_in

    def rows(problem: str) -> SearchStrategy[tuple[str, str, bytes]]:
        """As text, and as JSON lines, whose cells are of any type."""
        lines = mutated_values(json.loads(samples.task_json_lines(problem)), Schema()).map(as_json)
        typed = st.lists(lines, min_size=6, max_size=18).map(lambda found: encoded("\n".join(found)))
        kinds = st.tuples(st.just("csv"), texts_as_bytes([samples.task_rows(problem)])) | st.tuples(
            st.just("jsonl"), typed
        )
        return kinds.map(lambda kind: (problem, *kind))

    inputs = st.sampled_from(samples.PROBLEMS).flatmap(rows)

    def call(read: Any, folder: Path, given: tuple[str, str, bytes]) -> Any:
        problem, kind, content = given
        path = write_task(folder, problem, 6)
        path.write_text(path.read_text().replace(".csv", f".{kind}"))
        put(folder / "tasks", f"{problem}.{kind}", content)
        return read(task_in(path), DataCache(folder / "cache"))

    return inputs, call


@attempt("data.sources.separated.separated_rows")
def _() -> Any:
    kinds = st.sampled_from(["csv", "tsv"])

    def call(read: Any, folder: Path, given: Any) -> Any:
        text, kind, skip = given
        names, rows = read(text.splitlines(keepends=True), kind, "x", skip=skip)
        return [len(row) == len(names) for row in rows]

    return st.tuples(mutated_texts([*samples.CSV, *samples.TSV]), kinds, st.integers(0, 2)), call


@attempt("data.sources.fasta.fasta_entries", "data.sources.fasta.sequence_entries", "data.sources.fasta.labels_below")
def _() -> Any:
    return mutated_texts([*samples.FASTA, *samples.THREE_LINES]), lambda read, folder, text: all_of(
        read(text.split("\n"), "x")
    )


@attempt("inference.proteins.pasted")
def _() -> Any:
    return mutated_texts([*samples.FASTA, "MKTAYIAK QRQ\nMK"]), lambda read, folder, text: [
        said(one) for one in read(text)
    ]


@attempt("inference.proteins.canonical_protein")
def _() -> Any:
    texts = mutated_texts(["MKTAYIAKQR", "mkv*"])
    return st.tuples(texts, texts, st.none() | texts), lambda read, folder, given: said(read(*given))


@attempt("data.rows.sequences.canonical_sequences")
def _() -> Any:
    cells = st.one_of(mutated_texts(["MKTAYIAKQR", "MKs#TA#"]), mutated_values([["M", 1]], Schema()))
    return st.tuples(cells, st.sampled_from([None, "#"])), lambda read, folder, given: read(
        [given[0]], ["a"], "t", given[1]
    )


@attempt("data.sources.streams.unpacked", "data.sources.streams.ended_lines")
def _() -> Any:
    def call(read: Any, folder: Path, given: Any) -> Any:
        name, content = given
        member = {"member": "a.csv"} if name.lower().endswith(".zip") else {}
        path = put(folder, name, content)
        file = _file(path, format="csv", **member)
        if read.__name__ == "ended_lines":
            return list(read(file, path))
        with read(file, path) as (stream, _):
            return stream.read()

    return table_files(), call


@attempt("data.sources.streams.only_member")
def _() -> Any:
    members = st.dictionaries(
        st.sampled_from(["a.csv", "b/a.csv", "__MACOSX/a", ".x", "../a", "a\nb", "é"]), st.just(b"x"), max_size=3
    )
    files = st.one_of(mutated_bytes([zipped({"a.csv": b"a,b\n"})]), members.map(zipped))
    return files, lambda read, folder, content: read(put(folder, "x.zip", content))


@attempt("data.sources.swissprot.read_entries", examples=60)
def _() -> Any:
    fields = ["ft_mod_res", "ft_domain", "ft_signal", "ft_binding", "cc_subcellular_location", "cc_function"]

    def call(read: Any, folder: Path, content: bytes) -> Any:
        path = put(folder, "x.dat", content)
        return list(read(_file(path, format="csv"), path, fields))

    return texts_as_bytes(samples.SWISSPROT), call


@attempt("data.rows.annotation.features_of_cell")
def _() -> Any:
    return mutated_texts(samples.FEATURES), lambda read, folder, cell: read(cell, "ft_mod_res", "P1")


@attempt(
    "data.rows.label_cells.listed",
    "data.rows.label_cells.several_labels",
    "data.rows.label_cells.residue_entries",
    "data.rows.label_cells.number_entries",
    examples=60,
)
def _() -> Any:
    from hubtools.data.rows.label_cells import flat, label_text

    cells = st.one_of(
        mutated_texts(samples.LABEL_CELLS), mutated_values([[1, "a"], {"a": 1}, 1.5], Schema(), finite=False)
    )

    def call(read: Any, folder: Path, given: Any) -> Any:
        cell, separator = given
        found = read(cell, separator) if read.__name__ in {"several_labels", "residue_entries"} else read(cell)
        return [label_text(value) for value in flat(found or [])]

    return st.tuples(cells, st.sampled_from([None, ";", ",", " "])), call


@attempt("data.rows.variants._parse")
def _() -> Any:
    task = samples.tiny_task("variant-effect")
    return mutated_texts(samples.MUTANTS), lambda read, folder, cell: list(map(str, read(cell, "MK", "v1", task)))


@attempt("data.sources.uniprot._read")
def _() -> Any:
    headers = {
        "X-Total-Results": "2",
        "X-UniProt-Release": "2026_01",
        "Link": '<https://rest.uniprot.org/x?cursor=1>; rel="next"',
    }
    names = st.sampled_from([*headers, "Content-Type", "Content-Encoding"])
    values = st.sampled_from(
        [
            "",
            "²",
            "x",
            "gzip",
            "text/html",
            "-1",
            "9" * 30,
            '<a>; rel="next"',
            '<http://[::1>; rel="next"',
            "<//[>; rel=next",
        ]
    )
    changed = st.dictionaries(names, values, max_size=2).map(lambda more: headers | more)

    def call(read: Any, folder: Path, given: Any) -> Any:
        from email.message import Message

        message = Message()
        for name, value in given[1].items():
            message[name] = value
        return read(given[0], message, "https://rest.uniprot.org/x", ["accession", "sequence"])

    return st.tuples(texts_as_bytes([samples.PAGE]), changed), call


@attempt("data.sources.uniprot._own_words")
def _() -> Any:
    import gzip
    import io
    from email.message import Message
    from urllib.error import HTTPError

    said = as_json({"messages": ["Invalid query", "x"], "url": "x"})
    contents = st.one_of(texts_as_bytes([said, "[]", "<html>"]), mutated_bytes([gzip.compress(encoded(said), mtime=0)]))

    def call(read: Any, folder: Path, given: Any) -> Any:
        content, packed = given
        headers = Message()
        if packed:
            headers["Content-Encoding"] = "gzip"
        return read(HTTPError("https://rest.uniprot.org", 400, "Bad", headers, io.BytesIO(content)))

    return st.tuples(contents, st.booleans()), call


@attempt("data.sources.uniprot_answers.read_answer", examples=FEW)
def _() -> Any:
    from hubtools.data.sources.uniprot_answers import rows_sha256
    from hubtools.specs.data_sources import UniProtData

    columns = {"accession": ["P1", "P2"], "sequence": ["MK", "MKV"]}
    pin = rows_sha256(list(columns), zip(*columns.values(), strict=True))
    frozen = {"release": "2026_01", "rows": 2, "sha256": pin}
    data = UniProtData.model_validate(
        {
            "source": "uniprot",
            "query": "x",
            "fields": ["accession"],
            "frozen": frozen,
            "split": {"fractions": {"train": 0.8, "test": 0.2}},
        }
    )
    files = st.one_of(mutated_bytes([parquet(columns)]), st.sampled_from([*parquets(), parquet({"accession": ["P1"]})]))
    return files, lambda read, folder, content: read(data, put(folder, "a.parquet", content))


@attempt("data.sources.uniprot_answers._read_note")
def _() -> Any:
    note = {
        "query": "x",
        "fields": ["a"],
        "release": "1",
        "date": "d",
        "rows": 1,
        "sha256": "a" * 64,
        "file_sha256": "b" * 64,
        "fetched": "d",
    }
    values = mutated_values([note], Schema()).map(as_json).map(encoded)
    return st.one_of(values, texts_as_bytes([as_json(note)])), lambda read, folder, content: read(
        put(folder, "query-x.json", content)
    )


@attempt("data.sources.file_cache.DataCache._noted")
def _() -> Any:
    note = {"url": "https://example.org/x", "sha256": "a" * 64, "fetched": "2026-01-01"}
    values = mutated_values([note], Schema()).map(as_json).map(encoded)

    def call(read: Any, folder: Path, content: bytes) -> Any:
        return read(None, put(folder, "note.json", content))

    return st.one_of(values, texts_as_bytes([as_json(note)])), call


@attempt("data.sources.file_cache.DataCache.array")
def _() -> Any:
    whole = samples.written(lambda path: np.save(path, np.arange(6).reshape(2, 3)), "a.npy")

    def call(read: Any, folder: Path, content: bytes) -> Any:
        from hubtools.data import DataCache

        put(folder, "arrays/a.npy", content)
        assert isinstance(read(DataCache(folder), "a", lambda: np.zeros(1)), np.ndarray)

    return mutated_bytes([whole]), call


# What users write after an option, and what names a place.


def _words(*examples: str) -> SearchStrategy[str]:
    return st.one_of(mutated_texts(examples, 2), st.sampled_from([*NUMBERS, *WORDS, *SIGNS]))


def _option(name: str, *examples: str) -> None:
    @attempt(name)
    def _() -> Any:
        return st.lists(_words(*examples), max_size=3), lambda read, folder, value: read(None, None, tuple(value))


_option("cli.run.parse_seeds", "1", "1,2,3", "1-5")
_option("cli.run.parse_fractions", "0.1", "0.01,0.1,1")
_option(
    "cli.run.parse_settings", "learning_rate=1e-4", "head.hidden=null", "window={residues: 100}", "x=[1, 2]", "epochs=5"
)


@attempt("cli.sweep.parse_budget")
def _() -> Any:
    def call(read: Any, folder: Path, value: Any) -> Any:
        seconds = read(None, None, value)
        assert seconds is None or (0 < seconds < math.inf)

    return st.none() | _words("2h", "1h30m", "30 min", "0.5h"), call


@attempt("cli.execution_options._budget")
def _() -> Any:
    return st.none() | _words("auto", "2048", "64"), lambda read, folder, value: read(None, None, value)


@attempt("cli.check._margins")
def _() -> Any:
    return st.lists(_words("my-task=0.02", "a=1e-3"), max_size=3), lambda read, folder, value: read(value)


@attempt("api.stored.embeddings_kept._seconds")
def _() -> Any:
    def call(read: Any, folder: Path, value: str) -> Any:
        assert 0 <= read(value) < 1e17

    return _words("30d", "12h", "8w", "1.5 h"), call


@attempt("api.tasks.task_text.drawn_splits", "training.frozen.embedding_store.size_limit")
def _() -> Any:
    return _words("80/10/10", "0.8/0.2", "20", "500 MB", "1.5GiB"), lambda read, folder, text: read(text)


@attempt("findings.reproduction._checkpoint_of")
def _() -> Any:
    def call(read: Any, folder: Path, text: str) -> Any:
        record = samples.records()[1]
        return read(record.model_copy(update={"command": text.replace("HERE", str(folder))}), None)

    commands = ["bench run --checkpoint HERE --task x", "bench run --task x --checkpoint '~nobody/esm'", "bench run --checkpoint"]
    return mutated_texts(commands, 2), call


@attempt("runs.sweeps.search_space.read_space")
def _() -> Any:
    from hubtools.specs.problem import Problem

    texts = _words(
        "learning_rate=1e-4..1e-2",
        "epochs=5..20",
        "head.hidden=null,64,256",
        "window.overlap=0..10 linear",
        "batch_size=1..64 log",
    )

    def call(read: Any, folder: Path, given: Any) -> Any:
        return list(map(str, read(given, "probe", {}, Problem("sequence-classification"))))

    return st.lists(texts, max_size=2), call


@attempt("findings.naming.selectors.parse")
def _() -> Any:
    def call(read: Any, folder: Path, text: str) -> Any:
        _, selector = read(text)
        record = samples.records()[0]
        selector.fits(record), [selector.unmet(key, [record]) for key in selector.patterns]
        selector.check([record], text)

    return _words(
        "runs:recipe=lora,checkpoint=*8M*",
        "a:task=x|y,seed=[12]",
        "C:/runs:head.hidden=64",
        "hub://lab/esm:fraction=0.1",
    ), call


@attempt("specs.references.read_address", "specs.references.read_id")
def _() -> Any:
    texts = _words(
        "hub://lab/esm@main/a/b",
        "hub://lab/esm",
        "lab/esm@refs/pr/1",
        "hub://lab/esm@a%2Fb",
        "lab/esm",
        "hub://l/r@%2e%2e",
    )
    return (
        texts,
        lambda read, folder, text: read(text, "a task", "name") if read.__name__ == "read_address" else read(text),
    )


# Cards and templates.


@attempt("reporting.card.card_lint.lint_card")
def _() -> Any:
    matters = [
        yaml.safe_load(card.replace("\r\n", "\n").split("---\n")[1]) for card in samples.CARDS if card[:3] == "---"
    ]
    values = mutated_values(matters, Schema(), finite=False).map(
        lambda found: f"---\n{yaml.safe_dump(found, allow_unicode=True)}---\n# A card\n"
    )
    return st.one_of(values, mutated_texts(samples.CARDS)), lambda read, folder, text: [
        one.encode("utf-8", "replace") for one in read(text)
    ]


@attempt("reporting.card.card_edits.edits", "reporting.card.card_edits.changed_by_hand", "publishing.card_lines.blocks")
def _() -> Any:
    from hubtools.reporting.card.card_edits import sign

    signed = sign(samples.CARDS[0])
    texts = [*samples.CARDS, signed, signed.replace("<!-- /bench:edit -->", "")]
    return mutated_texts(texts), lambda read, folder, text: read(text)


@attempt("reporting.card.card_edits.keep_edits", "publishing.earlier.merged_card")
def _() -> Any:
    from hubtools.reporting.card.card_edits import sign

    new = sign(samples.CARDS[0])

    def call(read: Any, folder: Path, text: str) -> Any:
        return (
            read(new, text) if read.__name__ == "keep_edits" else [read(new, text, ours=ours) for ours in (False, True)]
        )

    return mutated_texts([*samples.CARDS, new]), call


@attempt("publishing.earlier._published")
def _() -> Any:
    record = {"run_id": "a" * 12, "outputs": [{"path": "model/config.json"}]}
    values = mutated_values([record], Schema()).map(as_json)
    return st.one_of(values, mutated_texts([as_json(record)])), lambda read, folder, text: read(text)


@attempt("reporting.templates.render")
def _() -> Any:
    texts = [
        "# {{ title|cell }}\n{% for row in rows %}\n- {{ row.name }}: {{ row.value|number }}\n{% endfor %}\n",
        "{% macro a(x) %}{{ x|code }}{% endmacro %}{{ a(title) }}{% if rows|length > 1 %}x{% endif %}{{ '%d' % 3 }}\n",
    ]
    tricks = [
        *("{{ 1 / 0 }}", "{{ rows[5] }}", "{{ title + 1 }}", "{{ rows|sort }}", "{{ ''.join(rows) }}", "{{ title.x }}"),
        *(
            "{{ title|number }}",
            "{% import 'a' as b %}",
            "{{ range(10**9)|list }}",
            "{{ 'a'.__class__ }}",
            "{{ title|nope }}",
        ),
        *("{% include 'own.md.j2' %}", "{{ '%s' % () }}", "{{ title|int(base='x') }}", "{{ [1]|batch(0)|list }}"),
        *("{{ title() }}", "{{ caller() }}", "{{ self }}", "{% include 'x.md.j2' %}"),
    ]

    def call(read: Any, folder: Path, content: bytes) -> Any:
        from hubtools.reporting.templates import templates_of

        put(folder, "own.md.j2", content)
        with templates_of(folder):
            return read("own.md.j2", title="A", rows=[{"name": "x|y", "value": 0.5}])

    return st.one_of(texts_as_bytes(texts), st.sampled_from(tricks).map(encoded)), call


# Files of models.


@attempt("models.foreign.read_json", "models.checkpoint.read_licence")
def _() -> Any:
    values = mutated_values([samples.CONFIG], Schema()).map(as_json).map(encoded)
    return (
        st.one_of(values, texts_as_bytes([as_json(samples.CONFIG), *samples.CARDS])),
        lambda read, folder, content: (
            read(put(folder, "config.json", content), "x")
            if read.__name__ == "read_json"
            else read(put(folder, "README.md", content))
        ),
    )


@attempt("models.foreign.check_config")
def _() -> Any:
    values = mutated_values(
        [samples.CONFIG, samples.CONFIG | {"attn_implementation": {"": "sdpa"}}], Schema(), finite=False
    )
    return values, lambda read, folder, value: read(value if isinstance(value, dict) else {"x": value}, "x")


@attempt("models.foreign.check_index", "models.checkpoint.check_weights")
def _() -> Any:
    weights = tensors({"a.weight": np.zeros(2, dtype=np.float32)}, {"format": "pt"})
    values = mutated_values([samples.INDEX], Schema()).map(as_json).map(encoded)
    names = st.sampled_from(["model.safetensors.index.json", "model.safetensors", "pytorch_model.bin.index.json"])

    def call(read: Any, folder: Path, given: Any) -> Any:
        name, content = given
        for one in samples.INDEX["weight_map"].values():
            put(folder, one, weights)
        return (
            read(put(folder, name, content), "x")
            if read.__name__ == "check_index"
            else read(put(folder, name, content))
        )

    lfs = st.just(b"version https://git-lfs.github.com/spec/v1\noid x\n")
    return st.tuples(
        names, st.one_of(values, texts_as_bytes([as_json(samples.INDEX)]), mutated_bytes([weights]), lfs)
    ), call


@attempt("models.saved._refuse_other_adapter")
def _() -> Any:
    about = {"peft_type": "LORA", "r": 8, "target_modules": r"encoder\.(?:query|key)", "revision": "c" * 40, "auto_mapping": None}
    values = mutated_values([about | {"base_model_name_or_path": "lab/esm", "rank_pattern": {}}], Schema(), finite=False)
    return values, lambda read, folder, value: read(value if isinstance(value, dict) else {"x": value}, folder)


@cache
def checkpoint() -> dict[str, bytes]:
    """The files of a tiny one."""
    from tempfile import TemporaryDirectory

    from tiny_checkpoints import write_checkpoint

    with TemporaryDirectory() as folder:
        made = write_checkpoint(Path(folder) / "esm", "esm", width=4)
        return {path.name: path.read_bytes() for path in made.iterdir()}


def damaged(files: dict[str, bytes], *names: str) -> SearchStrategy[dict[str, bytes]]:
    """A folder with one of its files changed, as values where it is JSON, or gone."""

    def of(name: str) -> SearchStrategy[dict[str, bytes]]:
        content = files[name]
        changes = [mutated_bytes([content])]
        if name.endswith(".json"):
            changes += [mutated_values([json.loads(content)], Schema(), finite=False).map(as_json).map(encoded)] * 3
        else:
            changes += [texts_as_bytes([content.decode()])] if name.endswith(".txt") else []
        return st.one_of(*changes).map(lambda changed: files | {name: changed})

    there = [name for name in (names or tuple(files)) if name in files]
    gone = st.sampled_from(sorted(there)).map(lambda name: {one: files[one] for one in files if one != name})
    return st.one_of(*[of(name) for name in sorted(there)] * 3, gone)


@attempt("models.checkpoint.resolve_checkpoint", examples=USUAL)
def _() -> Any:
    def call(read: Any, folder: Path, files: dict[str, bytes]) -> Any:
        for name, content in files.items():
            put(folder / "esm", name, content)
        return read(str(folder / "esm"))

    return damaged(checkpoint()), call


@attempt(
    "models.tokenisation.ResidueTokeniser.from_checkpoint",
    "models.encoder.load_encoder",
    "models.masked_lm.load_masked_lm",
    examples=FEWER,
)
def _() -> Any:
    def call(read: Any, folder: Path, files: dict[str, bytes]) -> Any:
        from hubtools.models.checkpoint import resolve_checkpoint
        from hubtools.models.tokenisation import ResidueTokeniser

        for name, content in files.items():
            put(folder / "esm", name, content)
        found = resolve_checkpoint(str(folder / "esm"))
        return ResidueTokeniser.from_checkpoint(found) if read.__name__ == "from_checkpoint" else read(found)

    return damaged(checkpoint()), call


@cache
def saved_model() -> dict[str, bytes]:
    """The files of a tiny model that bench saved."""
    from tempfile import TemporaryDirectory

    from hubtools.models.checkpoint import resolve_checkpoint
    from hubtools.models.encoder import load_encoder
    from hubtools.models.saved import save_model
    from hubtools.models.task_model import bench_model
    from hubtools.models.tokenisation import ResidueTokeniser
    from hubtools.specs.lookup.spec_files import load_recipe

    with TemporaryDirectory() as folder:
        for name, content in checkpoint().items():
            put(Path(folder) / "esm", name, content)
        source = resolve_checkpoint(str(Path(folder) / "esm"))
        task, tokeniser = samples.tiny_task("sequence-classification"), ResidueTokeniser.from_checkpoint(source)
        model = bench_model(load_encoder(source), task, load_recipe("full"), tokeniser, 1)
        save_model(model, tokeniser, task, Path(folder) / "model")
        return {path.name: path.read_bytes() for path in (Path(folder) / "model").iterdir() if path.is_file()}


@attempt("models.saved.load_model", examples=FEWER)
def _() -> Any:
    task = samples.tiny_task("sequence-classification")

    def call(read: Any, folder: Path, files: dict[str, bytes]) -> Any:
        for name, content in files.items():
            put(folder / "model", name, content)
        return read(folder / "model", task, shipped_code=False)

    return damaged(
        saved_model(), "config.json", "tokenizer_config.json", "model.safetensors", "tokenizer.json", "vocab.txt"
    ), call
