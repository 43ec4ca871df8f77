"""Contacts as matrices beside a file of sequences, as PBC publishes them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import yaml

from hubtools.common.errors import UserError
from hubtools.data import DataCache, load_task_data
from hubtools.data.structures.contact_matrices import matrix_row
from hubtools.data.structures.contacts import labels_of
from hubtools.specs.lookup.spec_files import load_task

SEQUENCE = "MKTAYIAKQRGSHMW"


def matrix(length: int = len(SEQUENCE), seed: int = 0) -> np.ndarray:
    touching = np.random.default_rng(seed).random((length, length)) < 0.3
    square = (np.triu(touching, 1) | np.triu(touching, 1).T | np.eye(length, dtype=bool)).astype(np.int64)
    square[3] = square[:, 3] = -1
    return square


def content(array: np.ndarray, **options: bool) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def test_matrices_and_sequences_are_a_task(tmp_path: Path) -> None:
    for name, seed in (("T1-D1", 1), ("T2-D1", 2)):
        (tmp_path / f"{name}.npy").write_bytes(content(matrix(seed=seed)))
    (tmp_path / "all.fasta").write_text(f">T1-D1\n{SEQUENCE}\n>T2-D1\n{SEQUENCE[::-1]}\n>T3-D1\nMK\n")
    spec = yaml.safe_load((Path(__file__).parents[2] / "tasks" / "contacts-casp14.yaml").read_text())
    del spec["template"]
    spec["data"]["source"] = "file"
    spec["data"]["files"] = [{"path": "all.fasta", "lookup": True}, {"path": "T1-D1.npy"}, {"path": "T2-D1.npy"}]
    (tmp_path / "task.yaml").write_text(yaml.safe_dump(spec))
    rows = load_task_data(load_task(str(tmp_path / "task.yaml")), DataCache(tmp_path / "cache")).splits["test"]
    assert dict(zip(rows["id"], rows["sequence"], strict=True)) == {"T1-D1": SEQUENCE, "T2-D1": SEQUENCE[::-1]}
    for label, name in zip(rows["label"], rows["id"], strict=True):
        square = matrix(seed=int(name[1]))
        assert label == labels_of(square == 1, square[0] != -1).tolist()

    (tmp_path / "T2-D1.npy").write_bytes(content(matrix(length=9)))
    with pytest.raises(UserError, match="T2-D1: its contacts are of 9 residues, its sequence has 15"):
        load_task_data(load_task(str(tmp_path / "task.yaml")), DataCache(tmp_path / "cache"))
    (tmp_path / "all.fasta").write_text(f">T1-D1\n{SEQUENCE}\n")
    with pytest.raises(UserError, match="there is no protein 'T2-D1' in the lookup file"):
        load_task_data(load_task(str(tmp_path / "task.yaml")), DataCache(tmp_path / "cache"))


def half_known() -> np.ndarray:
    square = matrix()
    square[0, 9] = square[9, 0] = -1
    return square


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (b"no array", "no array in NumPy's format"),
        (content(np.array([{"a": 1}], dtype=object), allow_pickle=True), "no square matrix of numbers"),
        (content(np.zeros((3, 4))), "no square matrix of numbers"),
        (content(np.zeros((0, 0))), "no square matrix of numbers"),
        (content(np.full((8, 8), 7.5)), "its values are to be 1, 0 and -1"),
        (content(np.triu(np.ones((8, 8)))), "the same on both sides of the diagonal"),
        (content(half_known()), "it does not know of some pairs"),
        (content(matrix())[:-20], "the file ends early"),
        (
            content(np.zeros((2, 2))).replace(b"(2, 2), }" + b" " * 8, b"(900000, 900000)}"),
            "900,000 residues have too many pairs",
        ),
    ],
)
def test_what_is_no_contact_matrix_is_refused(given: bytes, said: str) -> None:
    with pytest.raises(UserError, match=said):
        matrix_row(given, "p", "p.npy")
