"""Labels in their one canonical form for each problem; -100 and NaN mean: not scored.

How the data may give the labels of residues: a list column (Parquet, Hub), text that is a JSON list, for classes text
with one character per residue, for values text with numbers between commas, semicolons or spaces. Several labels per
residue are a list of 0 and 1 (in the order of the task's labels) for each residue.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hubtools.common.bounds import json_values
from hubtools.common.errors import UserError
from hubtools.data.sources.source_rows import cell_text
from hubtools.specs.level import Kind
from hubtools.specs.task import Task

NOT_SCORED = -100
_KEPT = "Correct the data, or list it under labels."


class Labels:
    """Turns the cells of a task's label column into labels.

    Args:
        task: what the labels are.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.names = task.label_names
        self.index = {value: self.names.index(name) for value, name in task.labels.items()}
        self.sets = self._sets(task.data.label_sets)
        self.not_scored = set(task.data.masked_labels)
        masked = task.data.masked_value
        self.masked = None if masked is None else _number_text(masked)
        self.candidates = np.zeros(256, dtype=bool)
        self.candidates[[ord(letter) for letter in task.data.candidates or ""]] = True
        self.by_byte = np.full(256, -1, dtype=np.int16)
        for value, position in self.index.items():
            if len(value) == 1 and value.isascii():
                self.by_byte[ord(value)] = position
        if self.masked is not None:
            self.not_scored.add(self.masked)
        for value in self.not_scored:
            if len(value) == 1 and value.isascii():
                self.by_byte[ord(value)] = NOT_SCORED

    def protein(self, cell: Any, name: str) -> Any:
        """One protein's label: class index (int), multi-hot vector (int8, one per label) or value (float)."""
        kind = self.task.problem.kind
        if kind == "classification":
            return self._class(_number_text(cell), name)
        if kind == "regression":
            return self._value(cell, name)
        separator = self.task.data.label_separator
        if isinstance(cell, (list, tuple)):
            values = [_number_text(value) for value in cell]
        else:
            text = cell_text(cell)
            values = [value.strip() for value in text.split(separator)] if separator and text else [text] * bool(text)
        vector = np.zeros(len(self.names), dtype=np.int8)
        vector[[self._class(value, name) for value in values]] = 1
        return vector

    def residues(
        self, cell: Any, sequence: str, name: str, mask: Any = None, marked: npt.NDArray[np.bool_] | None = None
    ) -> np.ndarray:
        """One protein's residue labels.

        Args:
            cell: as the file has it; unused where residues are marked.
            sequence: canonical.
            name: what the protein is called in messages.
            mask: text or list of 0 and 1; None where every residue counts.
            marked: which residues a site marker follows.

        Returns:
            int16 (n,) class indices, int8 (n, labels) of 0 and 1, or float64 (n,) values.

        Raises:
            UserError: another length than the sequence, an unknown label, a value that is no number.
        """
        if marked is not None:
            labels: np.ndarray = marked.astype(np.int16)
        else:
            parse: dict[Kind, Callable[[Any, str], np.ndarray]] = {
                "classification": self._residue_classes,
                "multilabel": self._residue_vectors,
                "regression": self._residue_values,
            }
            # Labels that were read from annotation are in their canonical form already.
            labels = cell.copy() if isinstance(cell, np.ndarray) else parse[self.task.problem.kind](cell, name)
        self._same_length(len(labels), len(sequence), name, "labels")
        scored = np.ones(len(sequence), dtype=bool)
        if self.task.data.candidates:
            scored &= self.candidates[np.frombuffer(sequence.encode("ascii"), dtype=np.uint8)]
        if mask is not None:
            scored &= self._mask(mask, len(sequence), name)
        if labels.dtype.kind != "f":
            labels[~scored] = NOT_SCORED
            return self._shifted(labels)
        if self.task.data.masked_value is not None:
            scored &= labels != self.task.data.masked_value
        if (bad := np.flatnonzero(scored & ~np.isfinite(labels))).size:
            fix = "State masked_value or columns.mask for residues without a value, or correct the data."
            raise self._wrong(f"the value of residue {bad[0] + 1} is {labels[bad[0]]}", name, fix)
        labels[~scored] = np.nan
        return self._shifted(labels)

    def _shifted(self, labels: np.ndarray) -> np.ndarray:
        """Each residue with the label of the one ``label_shift`` places further on; none at the end."""
        shift = self.task.data.label_shift
        if not shift:
            return labels
        moved = np.full_like(labels, np.nan if labels.dtype.kind == "f" else NOT_SCORED)
        target, origin = (
            (slice(None, -shift), slice(shift, None)) if shift > 0 else (slice(-shift, None), slice(None, shift))
        )
        moved[target] = labels[origin]
        return moved

    def _class(self, value: str, name: str) -> int:
        if value not in self.index:
            known = ", ".join(list(self.index)[:30])
            close = difflib.get_close_matches(value, self.index, n=1)
            hint = f"Did the data mean {close[0]}? {_KEPT}" if close else _KEPT
            raise self._wrong(f"unknown label {value!r}; known: {known}", name, hint)
        return self.index[value]

    def _value(self, cell: Any, name: str) -> float:
        try:
            value = float(cell)
        except (TypeError, ValueError):
            raise self._wrong(f"{cell_text(cell)!r} is not a number", name, "Remove the row or correct it.") from None
        if not math.isfinite(value):
            raise self._wrong(f"the value is {value}", name, "Remove the row: a target is a finite number.")
        return value

    def _residue_classes(self, cell: Any, name: str) -> np.ndarray:
        values = listed(cell)
        if values is None:
            text = "".join(cell_text(cell).split())
            codes = np.frombuffer(text.encode("latin-1", "replace"), dtype=np.uint8)
            labels = self.by_byte[codes]
            if (unknown := np.flatnonzero(labels == -1)).size:
                at = int(unknown[0])
                self._unknown_residue(text[at], at, name)
            return labels
        texts, inverse = np.unique(np.array([_number_text(value) for value in values], dtype=str), return_inverse=True)
        known = np.array(
            [NOT_SCORED if text in self.not_scored else self.index.get(str(text), -1) for text in texts], dtype=np.int16
        )
        if (known == -1).any():
            at = int(np.flatnonzero(known[inverse] == -1)[0])
            self._unknown_residue(str(texts[inverse[at]]), at, name)
        return known[inverse]

    def _sets(self, sets: dict[str, list[str]] | None) -> dict[str, np.ndarray] | None:
        """What one value of the label column stands for: (labels,) of 0 and 1, by value."""
        if sets is None:
            return None
        vectors = {value: np.zeros(len(self.names), dtype=np.int8) for value in sets}
        for value, members in sets.items():
            vectors[value][[self.index[member] for member in members]] = 1
        return vectors

    def _residue_sets(self, cell: Any, name: str, sets: dict[str, np.ndarray]) -> np.ndarray:
        values = listed(cell)
        texts = [*"".join(cell_text(cell).split())] if values is None else [_number_text(value) for value in values]
        masked = np.full(len(self.names), NOT_SCORED, dtype=np.int8)
        for at, text in enumerate(texts):
            if text not in sets and text not in self.not_scored:
                known = ", ".join(list(sets)[:30])
                fix = "Correct the data, or list it under label_sets."
                raise self._wrong(f"unknown label {text!r} at residue {at + 1}; known: {known}", name, fix)
        rows = [masked if text in self.not_scored else sets[text] for text in texts]
        return np.array(rows, dtype=np.int8).reshape(-1, len(self.names))

    def _residue_vectors(self, cell: Any, name: str) -> np.ndarray:
        if self.sets is not None:
            return self._residue_sets(cell, name, self.sets)
        values = listed(cell)
        if values is None:
            fix = "Give a list for each residue that holds 0 or 1 for each label."
            raise self._wrong("several labels per residue are given as lists", name, fix)
        width = len(self.names)
        if any(not isinstance(row, (list, tuple)) or len(row) != width for row in values):
            raise self._wrong(f"a residue has not {width} values, one for each label", name, "Correct the data.")
        vectors = np.array(values, dtype=float).reshape(-1, width)
        if self.masked is not None:
            vectors[vectors == self.task.data.masked_value] = NOT_SCORED
        if not np.isin(vectors, (0, 1, NOT_SCORED)).all():
            raise self._wrong("a residue's value is neither 0 nor 1", name, "Correct the data, or state masked_value.")
        return vectors.astype(np.int8)

    def _residue_values(self, cell: Any, name: str) -> np.ndarray:
        values = listed(cell)
        if values is None:
            values = [entry for entry in re.split(r"[\s,;]+", cell_text(cell)) if entry]
        try:
            return np.array(values, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise self._wrong(f"not a number per residue ({error})", name, "Correct the data.") from None

    def _mask(self, cell: Any, length: int, name: str) -> npt.NDArray[np.bool_]:
        values = listed(cell)
        if values is None and "." in cell_text(cell):
            values = [entry for entry in re.split(r"[\s,;]+", cell_text(cell)) if entry]
        # Numbers such as 1.0 are as good as characters; what is neither 0 nor 1 is kept as it is, to be refused.
        text = "".join(cell_text(cell).split()) if values is None else [_mask_text(value) for value in values]
        self._same_length(len(text), length, name, "mask characters")
        if strange := set(text) - {"0", "1"}:
            raise self._wrong(f"the mask holds {sorted(strange)[0]!r}", name, "A mask is made of 0 and 1.")
        return np.array([character == "1" for character in text], dtype=bool)

    def _same_length(self, got: int, length: int, name: str, what: str) -> None:
        if got != length:
            compared = "shorter" if got < length else "longer"
            raise self._wrong(
                f"{got:,} {what} for {length:,} residues: {compared} than the sequence", name, "Correct the data."
            )

    def _unknown_residue(self, value: str, at: int, name: str) -> None:
        known = ", ".join(list(self.index)[:30])
        raise self._wrong(f"unknown label {value!r} at residue {at + 1}; known: {known}", name, _KEPT)

    def _wrong(self, what: str, name: str, fix: str) -> UserError:
        return UserError(what, where=f"task {self.task.name}, {name}", fix=fix)


def label_counts(task: Task, labels: Sequence[Any]) -> dict[str, int]:
    """How many proteins (pairs, or residues) have each label, by its name; empty for regression."""
    if task.problem.kind == "regression" or not labels:
        return {}
    if task.problem.kind == "multilabel":
        stacked = np.concatenate([np.reshape(label, (-1, task.n_outputs)) for label in labels])
        counts = (stacked == 1).sum(axis=0)
    else:
        flat = np.concatenate(labels) if np.ndim(labels[0]) else np.asarray(labels)
        counts = np.bincount(flat[flat >= 0], minlength=len(task.label_names))
    return {name: int(count) for name, count in zip(task.label_names, counts, strict=True)}


def scored_labels(task: Task, label: Any) -> int:
    """How many labels of a row count: its scored residues, or one."""
    if np.ndim(label) == 0:
        return 1
    scored = ~np.isnan(label) if label.dtype.kind == "f" else label != NOT_SCORED
    if task.problem.kind == "multilabel":
        return int(scored.reshape(-1, task.n_outputs).any(axis=1).sum())
    return int(scored.sum())


def listed(cell: Any) -> list[Any] | None:
    """A list cell, or text that is one; None for other text."""
    if isinstance(cell, (list, tuple)):
        return list(cell)
    if isinstance(cell, str) and cell.lstrip().startswith("["):
        try:
            return json_values(cell)
        except ValueError:
            return None
    return None


def _mask_text(value: Any) -> str:
    return {"0.0": "0", "1.0": "1", "False": "0", "True": "1"}.get(cell_text(value), cell_text(value))


def _number_text(value: Any) -> str:
    """A value as labels are written: 1 for 1.0, so that a column that was read as numbers still matches."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else cell_text(value)
