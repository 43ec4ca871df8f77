"""Records of runs, submissions, and what lies beside them: predictions, replicates, logs, embeddings."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import samples
from attempts import FEW, attempt, put, schema, tensors
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from mutations import Schema, as_json, encoded, mutated_bytes, mutated_texts, mutated_values, texts_as_bytes

from hubtools.specs.record import RunRecord


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


@attempt("runs.store.find_records", examples=FEW)
def _() -> Any:
    """A board on which one of two records is odd: what can be read of it is shown, or it is left out."""

    def call(read: Any, folder: Path, content: bytes) -> Any:
        import hubtools

        put(folder, "one/run.json", content)
        put(folder, "two/run.json", encoded(as_json(samples.record_values()[0])))
        if len(read([folder])[0]) == 2:
            return hubtools.board(folder).to_pandas().to_string()
        return None

    return _record_inputs(), call


def shown(run: Any) -> Any:
    """What a board asks of every run."""
    from hubtools.findings.naming.selectors import KEYS, said
    from hubtools.runs.store import run_folder

    return [said(run.record, key) for key in (*KEYS, "epochs", "head.hidden")], run_folder(
        Path("runs"), run.record.identity
    )


@attempt("runs.public_record.placed")
def _() -> Any:
    from hubtools.runs.public_record import Places

    record = samples.records()[1]
    note = {
        "command": record.command,
        "data": record.task["data"],
        "files": [file.location for file in record.data.files],
    }
    assert Places.model_validate(note)
    values = mutated_values([note], Schema()).map(as_json)

    def call(read: Any, folder: Path, text: str) -> Any:
        assert read(record, text).identity == record.identity

    return st.one_of(values, mutated_texts([as_json(note)])), call


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


@attempt("runs.sweeps.choices.chosen_recipe")
def _() -> Any:
    import hubtools
    from hubtools.runs.sweeps.choices import keep_choice

    (run,) = hubtools.plan("embedded", "localisation", "probe")

    def call(read: Any, folder: Path, content: bytes) -> Any:
        keep_choice(folder, run, run.recipe)
        (path,) = (folder / "sweeps" / ".chosen").iterdir()
        assert read(folder, run) == run.recipe.hash
        path.write_bytes(content)
        found = read(folder, run)
        assert found is None or isinstance(found, str)
        return found

    return mutated_values([{"recipe_hash": run.recipe.hash}], Schema()).map(as_json).map(encoded), call


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


@attempt("runs.kept_plan.read_plan", "runs.kept_plan.read_plans")
def _() -> Any:
    import hubtools
    from hubtools.runs.kept_plan import PLANS, KeptPlan, plan_of

    asked = hubtools.plan("embedded", "localisation", "probe", seeds=[1, 2])
    plan = plan_of(asked, "bench run", engine="slurm").with_jobs({"7_0": [0], "7_1": [1]})
    values = mutated_values([plan.model_dump(mode="json")], schema(KeptPlan)).map(as_json).map(encoded)

    def call(read: Any, folder: Path, content: bytes) -> Any:
        put(folder, f"{PLANS}/{plan.id}.json", content)
        if read.__name__ == "read_plan":
            return read(folder, plan.id).planned()
        found, problems = read(folder)
        assert len(found) + len(problems) == 1
        return None

    return values, call


@attempt("inference.folding.kept_folds.read_folds")
def _() -> Any:
    from hubtools.inference.asking import Protein
    from hubtools.inference.folding.kept_folds import KeptFolds, folds_of
    from hubtools.runs.kept_plan import PLANS

    how: dict[str, Any] = {"checkpoint": "owner/name", "form": "pdb", "samples": 2}
    kept = folds_of([Protein("sp|P1", "MKV"), Protein("b", "MKV:GG")], ["sp_P1", "b"], "slurm", **how)
    value = kept.with_jobs({"7_0": [0], "7_1": [1]}).model_dump(mode="json")
    values = mutated_values([value], schema(KeptFolds)).map(as_json).map(encoded)

    def call(read: Any, folder: Path, content: bytes) -> Any:
        put(folder, f"{PLANS}/{kept.id}.folds", content)
        found = read(folder, kept.id)
        return found.given, found.stems, found.keys()

    return values, call


@attempt("runs.many.run_states.beginning_of")
def _() -> Any:
    def call(read: Any, folder: Path, content: bytes) -> Any:
        put(folder, "one/run.json", content)
        return read(folder / "one")

    return _record_inputs(), call


@attempt("runs.many.run_states.last_epoch")
def _() -> Any:
    def call(read: Any, folder: Path, content: bytes) -> Any:
        put(folder, "training.jsonl", content)
        return read(folder)

    lines = ['{"epoch": 1, "step": 2}\n{"epoch": 2, "step": 4}\n']
    return st.one_of(texts_as_bytes(lines), mutated_bytes([line.encode() for line in lines])), call


@attempt("runs.folds.fold_work.log_lines")
def _() -> Any:
    lines = ['{"epoch": 1, "loss": 0.5}\n{"epoch": 2, "loss": null}\n{"epo']
    return texts_as_bytes(lines), lambda read, folder, content: read(put(folder, "training.jsonl", content))


@attempt("runs.folds.fold_work.read_fold", examples=FEW)
def _() -> Any:
    from hubtools.evaluation.predictions import Predictions, write_predictions
    from hubtools.specs.problem import Problem

    result = {"name": "0", "rows": 2, "train": 4, "validation": 1, "epochs_run": 1, "best_epoch": 1, "steps": 2}
    training = {"parameters_trained": 3, "epochs_run": 1, "best_epoch": 1, "steps": 2, "selected_by": "x"}
    work = {"result": result | {"scores": {"rmse": 0.5}}, "training": training, "windows": None, "seconds": 1.0}
    text = as_json(work | {"lines": [{"fold": "0", "epoch": 1}]})
    values = np.array([0.5, 1.0])
    said = Predictions(Problem("sequence-regression"), np.array(["a", "b"]), None, None, values, values)

    def call(read: Any, folder: Path, content: bytes) -> Any:
        write_predictions(folder / "fold.parquet", {"test": said})
        put(folder, "fold.json", content)
        found = read(folder)
        return None if found is None else found[1].model_dump()

    return texts_as_bytes([text]), call


@attempt("runs.claims.holder_in")
def _() -> Any:
    from hubtools.runs.claims import Holder

    holder = {"host": "node7", "pid": 12, "boot": "x", "token": "0", "since": "2026-01-01T00:00:00Z"}
    values = mutated_values([holder], schema(Holder)).map(as_json).map(encoded)
    return values, lambda read, folder, content: str(read(content))
