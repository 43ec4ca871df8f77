"""Canonical rows -> the Arrow tables of a data set, without a Python loop over residues."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hubtools.data.rows.row_kinds import rows_of
from hubtools.data.structures.row_structures import STRUCTURE
from hubtools.specs.problem import Problem

if TYPE_CHECKING:
    import datasets
    import pandas as pd
    import pyarrow as pa


def dataset_dict(
    parts: Mapping[str, pd.DataFrame], fingerprints: Mapping[str, str], problem: Problem
) -> datasets.DatasetDict:
    """A data set a split.

    Args:
        parts: canonical rows by split.
        fingerprints: of the content of each split.
        problem: what rows and labels are.
    """
    import datasets
    import pyarrow as pa

    texts = list(rows_of(problem).texts)
    if any(part["cluster"].notna().any() for part in parts.values()):
        texts += rows_of(problem).clusters
    made = {}
    for name, part in parts.items():
        columns = {
            "id": pa.array(part["id"], pa.string()),
            "sequence": pa.array(part["sequence"], pa.string()),
            "label": _labels(part["label"].tolist(), problem),
        }
        structured = [STRUCTURE] if STRUCTURE in part else []
        columns |= {text: pa.array(part[text], pa.string()) for text in [*texts, *structured]}
        if "active" in part:
            columns["active"] = pa.array(part["active"], pa.int8())
        table = datasets.table.InMemoryTable(pa.table(columns))
        made[name] = datasets.Dataset(table, fingerprint=fingerprints[name])
    return datasets.DatasetDict(made)


def _labels(labels: list[Any], problem: Problem) -> pa.Array:
    import pyarrow as pa

    if np.ndim(labels[0]) == 0:
        return pa.array(labels, pa.int64() if problem.kind == "classification" else pa.float64())
    offsets = pa.array(np.cumsum([0, *map(len, labels)]), pa.int32())
    values = np.concatenate(labels)
    if values.ndim == 1:
        return pa.ListArray.from_arrays(offsets, pa.array(values))
    # int8 (residues × labels): a list of lists.
    inner = pa.array(np.arange(len(values) + 1) * values.shape[1], pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.ListArray.from_arrays(inner, pa.array(values.reshape(-1))))
