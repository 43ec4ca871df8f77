"""Predictions of one run: what was true and what the model said, row by row, and the file that keeps them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hubtools.common.bounds import json_values
from hubtools.common.errors import UserError
from hubtools.common.files import replacing
from hubtools.common.readers import reads
from hubtools.evaluation.scored_rows import scored_rows
from hubtools.specs.problem import Problem

if TYPE_CHECKING:
    import pyarrow as pa

METADATA_KEY = b"bench.predictions"


@dataclass(frozen=True, eq=False)
class Assays:
    """Where each variant was measured.

    Attributes:
        group: (n,) str, the assay; metrics are computed within it.
        protein: (n,) str, the protein that several assays may share.
        category: (n,) str, the class of function measured; empty where the task has none.
        active: (n,) int8, 1 where the data count the variant as functional, or None.
    """

    group: np.ndarray
    protein: np.ndarray
    category: np.ndarray
    active: np.ndarray | None = None

    def rows(self, chosen: np.ndarray) -> Assays:
        """The same of some rows."""
        active = None if self.active is None else self.active[chosen]
        return Assays(self.group[chosen], self.protein[chosen], self.category[chosen], active)


@dataclass(frozen=True, eq=False)
class Predictions:
    """Truth and model output of one split. A row is a protein, a pair of them or, for residue tasks, a scored residue.

    Arrays are brought to the types below when the object is made.

    Attributes:
        problem: what is predicted.
        ids: (n,) str, the protein, or pair, of each row.
        positions: (n,) int32, residue numbers from 1 (residue tasks), or None. Of contact tasks the number of a pair of residues,
            from 1: that of the residues i < j is (j - 1) × (j - 2) / 2 + i. Of structures the number of a coordinate: 3 × (residue - 1) + 1 of x.
        clusters: (n,) str, the homology cluster of each row's protein, or None; (n, 2) for pairs.
        truth: (n,) int64 class for classification; (n, L) int8 for multi-label; (n,) float64 for regression.
        scores: (n, C) float32 probabilities for classification; (n, L) for multi-label; (n,) values for regression.
        assays: where each variant was measured (variant effects), else None.
        proteins: (n, 2) str, names of the two proteins of each row (pair tasks), or None.
        information: (T,) float64, bits that a metric weighs each label by, or each term where labels are a hierarchy; None
            where no metric of the task does.
        residues: (n,) int32, how many residues the protein of each row has (contact tasks), or None.

    Raises:
        ValueError: shapes or labels do not fit each other.
        UserError: the model's output is not finite.
    """

    problem: Problem
    ids: np.ndarray
    positions: np.ndarray | None
    clusters: np.ndarray | None
    truth: np.ndarray
    scores: np.ndarray
    assays: Assays | None = None
    proteins: np.ndarray | None = None
    information: np.ndarray | None = None
    residues: np.ndarray | None = None

    def __post_init__(self) -> None:
        kind, rows = self.problem.kind, scored_rows(self.problem)
        truth_type = {"classification": np.int64, "multilabel": np.int8, "regression": np.float64}[kind]
        types = {"ids": np.str_, "positions": np.int32, "clusters": np.str_, "truth": truth_type, "scores": np.float32}
        types |= {"proteins": np.str_, "residues": np.int32}
        for name, dtype in types.items():
            given = getattr(self, name)
            if given is None:
                continue
            array = np.asarray(given)
            if array.dtype == object and None in array:
                raise ValueError(f"{name} has rows without a value")
            object.__setattr__(self, name, array.astype(dtype, copy=False))
        n, width = len(self.ids), self.scores.shape[1:]
        expected = {
            "ids": (n,),
            "positions": (n,),
            "clusters": rows.cluster_shape(n),
            "proteins": (n, 2),
            "residues": (n,),
            "truth": (n, *width) if kind == "multilabel" else (n,),
            "scores": (n,) if kind == "regression" else (n, *width),
        }
        for name, shape in expected.items():
            array = getattr(self, name)
            if array is not None and array.shape != shape:
                raise ValueError(f"{name} has the shape {array.shape}, expected {shape} ({kind}, {n} rows)")
        if kind != "regression" and len(width) != 1:
            raise ValueError(f"scores of a {kind} task have one column a label, got the shape {self.scores.shape}")
        rows.refuse(self)
        if n and kind != "regression":
            top = width[0] if kind == "classification" else 2
            if self.truth.size and (self.truth.min() < 0 or self.truth.max() >= top):
                raise ValueError(f"truth has a label outside 0 to {top - 1}")
        if not np.isfinite(self.truth).all():
            raise ValueError("truth is not finite: leave rows without a label out")
        finite = np.isfinite(self.scores)
        if not finite.all():
            bad = n - int(finite.reshape(n, -1).all(axis=1).sum())
            raise UserError(
                f"the model's output is not a number for {bad:,} of {n:,} rows",
                fix="Training diverged: try a lower learning_rate, or precision: float32.",
            )

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, chosen: np.ndarray) -> Predictions:
        """The same of some rows, by index."""
        return Predictions(
            problem=self.problem,
            ids=self.ids[chosen],
            positions=None if self.positions is None else self.positions[chosen],
            clusters=None if self.clusters is None else self.clusters[chosen],
            truth=self.truth[chosen],
            scores=self.scores[chosen],
            assays=None if self.assays is None else self.assays.rows(chosen),
            proteins=None if self.proteins is None else self.proteins[chosen],
            information=self.information,
            residues=None if self.residues is None else self.residues[chosen],
        )

    @property
    def n_outputs(self) -> int:
        """Number of classes or labels; 1 for regression."""
        return self.scores.shape[1] if self.scores.ndim == 2 else 1


def write_predictions(path: Path, splits: Mapping[str, Predictions], label_names: Sequence[str] = ()) -> None:
    """Write the predictions of all splits as one flat Parquet table, under a temporary name and renamed.

    Columns: ``split``, ``id``, ``position``, ``cluster``, ``label`` (int, list of 0 and 1, or value), and
    ``probability`` (list) or ``prediction`` (value); in pair tasks also ``protein``, ``partner`` and ``partner_cluster``;
    for variants also ``group``, ``protein``, ``category`` and, where the data say it, ``active``; for pairs of residues
    ``residues``. The file's metadata
    names problem, labels and splits. The same predictions give the same bytes, as few as the format allows.

    Args:
        path: where to.
        splits: predictions by split, all of one problem.
        label_names: names of the outputs, in order.

    Raises:
        UserError: the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    problems = {predictions.problem for predictions in splits.values()}
    if len(problems) != 1:
        raise ValueError(f"expected splits of one problem, got {sorted(problems)}")
    about: dict[str, Any] = {
        "problem": problems.pop().value,
        "labels": list(label_names),
        "splits": {
            name: {"rows": len(p), "outputs": p.n_outputs, "positions": p.positions is not None}
            | {"clusters": p.clusters is not None}
            | ({} if p.assays is None else {"active": p.assays.active is not None})
            for name, p in splits.items()
        },
    }
    # The same for all: it was counted in training.
    if (known := next((p.information for p in splits.values() if p.information is not None), None)) is not None:
        about["information"] = known.tolist()
    table = pa.concat_tables([_to_table(name, predictions) for name, predictions in splits.items()])
    table = table.replace_schema_metadata({METADATA_KEY: json.dumps(about, ensure_ascii=False)})
    with replacing(path) as temporary:
        pq.write_table(table, temporary, **_compact(table.schema))


def _compact(schema: pa.Schema) -> dict[str, Any]:
    """How the columns are stored, so that a file is small without taking longer to write.

    Of floats the first bytes are alike and the last are noise, so bytes are stored place by place (byte stream split);
    positions count up, so their differences are; names and labels repeat, so a dictionary is. Nobody asks the file for
    minima.
    """
    import pyarrow as pa

    dictionary, encoding = [], {}
    for field in schema:
        nested = pa.types.is_list(field.type)
        column = f"{field.name}.list.element" if nested else field.name
        if pa.types.is_floating(field.type.value_type if nested else field.type):
            encoding[column] = "BYTE_STREAM_SPLIT"
        elif field.name == "position":
            encoding[column] = "DELTA_BINARY_PACKED"
        else:
            dictionary.append(column)
    return {
        "compression": "zstd",
        "use_dictionary": dictionary,
        "column_encoding": encoding,
        "write_statistics": False,
    }


@reads("predictions")
def read_predictions(path: Path, only: str | None = None) -> dict[str, Predictions]:
    """Read what :func:`write_predictions` wrote, bit for bit.

    Args:
        path: of the file.
        only: a split; the rows of others are not decoded, and not returned. By default all.

    Raises:
        UserError: there is no such file, or it is not one of bench's.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    with _reading(path):
        about = _metadata(path)
        table = pq.read_table(path, filters=None if only is None else [("split", "==", only)])
        problem, splits = Problem(about["problem"]), table["split"]
        return {
            name: _from_table(table.filter(pc.equal(splits, name)), problem, facts, about.get("information"))
            for name, facts in about["splits"].items()
            if only in {None, name}
        }


@reads("predictions")
def read_label_names(path: Path) -> list[str]:
    """Names of the outputs that the file was written with.

    Raises:
        UserError: there is no such file, or it is not one of bench's.
    """
    with _reading(path):
        return [str(name) for name in _metadata(path)["labels"]]


def _metadata(path: Path) -> dict[str, Any]:
    import pyarrow.parquet as pq

    return json_values(pq.read_schema(path).metadata[METADATA_KEY])


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Say in one line why a file cannot be read."""
    import pyarrow as pa

    try:
        yield
    except FileNotFoundError:
        raise UserError("there are no predictions", where=str(path), fix="Name a run that is complete.") from None
    except OSError as error:
        raise UserError(f"cannot read it ({error.strerror or error})", where=str(path)) from None
    # What it says of itself may be anything, and its columns of any type.
    except (pa.ArrowException, KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise UserError("not a predictions file of bench", where=str(path), fix="Run it again with --force.") from None


def _to_table(split: str, predictions: Predictions) -> pa.Table:
    import pyarrow as pa

    n = len(predictions)
    missing = np.full(n, None)
    proteins, clusters = predictions.proteins, predictions.clusters
    if clusters is None:
        clusters = missing if proteins is None else np.full((n, 2), None)
    columns = {
        "split": pa.array([split], pa.string()).take(pa.array(np.zeros(n, dtype=np.int64))),
        "id": pa.array(predictions.ids, pa.string()),
        "position": pa.array(missing if predictions.positions is None else predictions.positions, pa.int32()),
        "cluster": pa.array(clusters if proteins is None else clusters[:, 0], pa.string()),
        "label": _column(predictions.truth),
    }
    if (assays := predictions.assays) is not None:
        columns |= {name: pa.array(getattr(assays, name), pa.string()) for name in ("group", "protein", "category")}
        columns["active"] = pa.array(missing if assays.active is None else assays.active, pa.int8())
    if predictions.residues is not None:
        columns["residues"] = pa.array(predictions.residues, pa.int32())
    if proteins is not None:
        columns |= {
            "protein": pa.array(proteins[:, 0], pa.string()),
            "partner": pa.array(proteins[:, 1], pa.string()),
            "partner_cluster": pa.array(clusters[:, 1], pa.string()),
        }
    columns["prediction" if predictions.scores.ndim == 1 else "probability"] = _column(predictions.scores)
    return pa.table(columns)


def _column(values: np.ndarray) -> pa.Array:
    """An array of values, or of lists where there are several a row."""
    import pyarrow as pa

    if values.ndim == 1:
        return pa.array(values)
    offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.ravel()))


def _from_table(
    table: pa.Table, problem: Problem, facts: dict[str, Any], information: list[float] | None
) -> Predictions:
    import pyarrow as pa

    def values(name: str) -> np.ndarray:
        column = table[name].combine_chunks()
        if not pa.types.is_list(column.type):
            return column.to_numpy(zero_copy_only=False)
        return column.flatten().to_numpy().reshape(len(column), facts["outputs"])

    assays, rows = None, scored_rows(problem)
    if rows.assays:
        assays = Assays(
            group=values("group").astype(np.str_),
            protein=values("protein").astype(np.str_),
            category=values("category").astype(np.str_),
            active=values("active").astype(np.int8) if facts["active"] else None,
        )

    return Predictions(
        problem=problem,
        assays=assays,
        ids=values("id"),
        positions=values("position") if facts["positions"] else None,
        clusters=rows.together(rows.clusters, values) if facts["clusters"] else None,
        proteins=rows.together(rows.proteins, values),
        residues=values("residues") if rows.sized else None,
        truth=values("label"),
        information=None if information is None else np.array(information, dtype=np.float64),
        scores=values("prediction" if problem.kind == "regression" else "probability"),
    )
