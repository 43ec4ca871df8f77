"""The predictions file: what is written is read, bit for bit, and nothing half-written is left."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from evaluation_cases import classification, multilabel, pairs, regression

from hubtools.common.errors import UserError
from hubtools.evaluation import Predictions, read_label_names, read_predictions, write_predictions
from hubtools.specs.problem import Problem


def per_protein(kind):
    made = {"classification": classification, "multilabel": multilabel, "regression": regression}[kind]()
    ids = np.array([f"sp|P{i:05}|ÅÄ_HUMAN" for i in range(len(made))])
    clusters = np.array([f"c{i // 3}" for i in range(len(made))])
    return Predictions(Problem(f"sequence-{kind}"), ids, None, clusters, made.truth, made.scores)


def assert_equal(a: Predictions, b: Predictions) -> None:
    for field in dataclasses.fields(Predictions):
        one, other = getattr(a, field.name), getattr(b, field.name)
        if isinstance(one, np.ndarray):
            assert (one.dtype.kind, other.dtype.kind) == ("U", "U") or one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
        else:
            assert one == other


@pytest.mark.parametrize("make", [classification, multilabel, regression])
def test_residues_round_trip(tmp_path, make):
    written = {"validation": make(seed=1), "test": make(seed=2), "hard": make(seed=3, n=7)}
    write_predictions(tmp_path / "p.parquet", written, ["a", "b"])
    read = read_predictions(tmp_path / "p.parquet")
    assert list(read) == ["validation", "test", "hard"]
    for split, predictions in read.items():
        assert_equal(predictions, written[split])
    (alone,) = read_predictions(tmp_path / "p.parquet", "test").items()
    assert alone[0] == "test"
    assert_equal(alone[1], written["test"])
    assert read_predictions(tmp_path / "p.parquet", "train") == {}
    assert read_label_names(tmp_path / "p.parquet") == ["a", "b"]
    assert [path.name for path in tmp_path.iterdir()] == ["p.parquet"]


@pytest.mark.parametrize("kind", ["classification", "multilabel", "regression"])
def test_proteins_with_clusters_round_trip(tmp_path, kind):
    predictions = per_protein(kind)
    without = dataclasses.replace(predictions, clusters=None)
    write_predictions(tmp_path / "p.parquet", {"test": predictions, "other": without})
    read = read_predictions(tmp_path / "p.parquet")
    assert_equal(read["test"], predictions)
    assert_equal(read["other"], without)


@pytest.mark.parametrize("with_clusters", [True, False])
def test_pairs_round_trip(tmp_path, with_clusters):
    predictions = pairs()
    if not with_clusters:
        predictions = dataclasses.replace(predictions, clusters=None)
    write_predictions(tmp_path / "p.parquet", {"test": predictions})
    assert_equal(read_predictions(tmp_path / "p.parquet")["test"], predictions)
    table = pq.read_table(tmp_path / "p.parquet")
    assert table["protein"].to_pylist() == predictions.proteins[:, 0].tolist()
    assert table["partner"].to_pylist() == predictions.proteins[:, 1].tolist()


def test_pairs_need_their_proteins():
    with pytest.raises(ValueError, match="the two proteins of each row"):
        dataclasses.replace(pairs(), proteins=None)


def test_an_empty_split_is_kept(tmp_path):
    full = multilabel()
    empty = Predictions(full.problem, full.ids[:0], full.positions[:0], None, full.truth[:0], full.scores[:0])
    write_predictions(tmp_path / "p.parquet", {"test": full, "none": empty})
    assert_equal(read_predictions(tmp_path / "p.parquet")["none"], empty)


@pytest.mark.parametrize(
    ("make", "label", "score"),
    [
        (classification, "int64", "probability: list<float>"),
        (multilabel, "list<int8>", "probability: list<float>"),
        (regression, "double", "prediction: float"),
    ],
)
def test_the_table_is_flat_and_readable_by_anyone(tmp_path, make, label, score):
    write_predictions(tmp_path / "p.parquet", {"test": make()})
    schema = [
        f"{field.name}: {str(field.type).replace('element: ', '').replace('item: ', '')}"
        for field in pq.read_schema(tmp_path / "p.parquet")
    ]
    assert schema == ["split: string", "id: string", "position: int32", "cluster: string", f"label: {label}", score]
    assert pq.ParquetFile(tmp_path / "p.parquet").metadata.row_group(0).column(0).compression == "ZSTD"


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "p.parquet"
    write_predictions(path, {"test": classification()})
    before = path.read_bytes()

    def full_disk(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full_disk)
    with pytest.raises(UserError, match="No space left on device"):
        write_predictions(path, {"test": regression()})
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["p.parquet"]


def test_an_unwritable_folder_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write it"):
        write_predictions(tmp_path / "file" / "p.parquet", {"test": classification()})


def test_what_is_no_predictions_file_is_one_line(tmp_path):
    with pytest.raises(UserError, match="there are no predictions"):
        read_predictions(tmp_path / "p.parquet")
    (tmp_path / "p.parquet").write_text("not parquet")
    with pytest.raises(UserError, match="not a predictions file"):
        read_predictions(tmp_path / "p.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "p.parquet")
    with pytest.raises(UserError, match="not a predictions file"):
        read_label_names(tmp_path / "p.parquet")


def test_a_damaged_file_is_one_line(tmp_path):
    path = tmp_path / "p.parquet"
    write_predictions(path, {"test": classification()})
    content = bytearray(path.read_bytes())
    content[4 : len(content) // 2] = bytes(len(content) // 2 - 4)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"cannot read it|not a predictions file"):
        read_predictions(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": np.array(["a"])}, "shape"),
        ({"positions": None}, "needs positions"),
        ({"truth": np.full(120, 3)}, "label outside"),
        ({"truth": np.full(120, -1)}, "label outside"),
        ({"scores": np.zeros(120)}, "shape|column"),
        ({"clusters": np.array([None] * 120)}, "without a value"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(classification(), **change)


def test_a_diverged_model_is_the_users_to_know():
    scores = regression().scores.copy()
    scores[[3, 5]] = np.nan
    with pytest.raises(UserError, match="not a number for 2 of 120 rows"):
        dataclasses.replace(regression(), scores=scores)
