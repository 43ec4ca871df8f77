"""Labels in their one canonical form for each problem; there, -100 and NaN mean: not scored.

How the data may give the labels of residues: a list (``hubtools.data.rows.label_cells`` says how one may be written), for
classes text with one character per residue or with the task's ``label_separator`` between, for values text with numbers
between commas, semicolons or spaces. Several labels per residue are a list of 0 and 1 (in the order of the task's labels)
for each residue. What the data call "no label" is what the task file says: ``masked_labels``, ``masked_value``.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hubtools.common.bounds import MOST_LABELS_LISTED
from hubtools.common.errors import UserError
from hubtools.data.rows.label_cells import (
    label_text,
    listed,
    number_entries,
    one_value,
    residue_characters,
    residue_entries,
    several_labels,
)
from hubtools.data.sources.source_rows import cell_text
from hubtools.specs.level import Kind
from hubtools.specs.task import Task

NOT_SCORED = -100
# Texts that stand for no label in any data: an empty cell, null and NaN, as pandas and R write them, and -100, which token
# classification has for residues that do not count.
UNKNOWN_ALWAYS = ("", "-100", "nan", "NaN", "null", "<NA>", "N/A", "#N/A")
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
        # White space does not make a label: cells come with one space for each run of it.
        for value, position in list(self.index.items()):
            self.index.setdefault(label_text(value), position)
        self.sets = self._sets(task.data.label_sets)
        self.separator = task.data.label_separator
        self.unknown = masked_texts(task)
        self.not_scored = set(self.unknown)
        masked = task.data.masked_value
        self.masked = None if masked is None else label_text(masked)
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
            return self._class(label_text(one_value(cell)), name)
        if kind == "regression":
            return self._value(one_value(cell), name)
        vector = np.zeros(len(self.names), dtype=np.int8)
        vector[[self._class(value, name) for value in several_labels(cell, self.separator)]] = 1
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
        gaps = None
        if marked is not None:
            labels: np.ndarray = marked.astype(np.int16)
        else:
            parse: dict[Kind, Callable[[Any, str, int], np.ndarray]] = {
                "classification": self._residue_classes,
                "multilabel": self._residue_vectors,
                "regression": self._residue_values,
            }
            # Labels that were read from annotation are in their canonical form already.
            labels = (
                cell.copy()
                if isinstance(cell, np.ndarray)
                else parse[self.task.problem.kind](cell, name, len(sequence))
            )
            if self.unknown and labels.dtype.kind == "f" and not isinstance(cell, np.ndarray):
                gaps = [label_text(entry) in self.unknown for entry in number_entries(cell, len(sequence))]
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
        if gaps is not None:
            scored &= ~np.array(gaps, dtype=bool)
        if (bad := np.flatnonzero(scored & ~np.isfinite(labels))).size:
            fix = "State masked_value, masked_labels or columns.mask for residues without a value, or correct the data."
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
            hint = self._fix(value, f"Did the data mean {close[0]}? {_KEPT}" if close else _KEPT)
            raise self._wrong(f"unknown label {value!r}; known: {known}", name, hint)
        return self.index[value]

    def _value(self, cell: Any, name: str) -> float:
        try:
            value = float(cell)
        except (TypeError, ValueError, OverflowError):
            raise self._wrong(f"{cell_text(cell)!r} is not a number", name, "Remove the row or correct it.") from None
        if not math.isfinite(value):
            raise self._wrong(f"the value is {value}", name, "Remove the row: a target is a finite number.")
        return value

    def _residue_classes(self, cell: Any, name: str, length: int) -> np.ndarray:
        values = residue_entries(cell, self.separator, length)
        if values is None:
            text = residue_characters(cell)
            codes = np.frombuffer(text.encode("latin-1", "replace"), dtype=np.uint8)
            labels = self.by_byte[codes]
            if (unknown := np.flatnonzero(labels == -1)).size:
                at = int(unknown[0])
                self._unknown_residue(text[at], at, name)
            return labels
        texts, inverse = np.unique(np.array([label_text(value) for value in values], dtype=str), return_inverse=True)
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
        texts = [*residue_characters(cell)] if values is None else [label_text(value) for value in values]
        masked = np.full(len(self.names), NOT_SCORED, dtype=np.int8)
        for at, text in enumerate(texts):
            if text not in sets and text not in self.not_scored:
                known = ", ".join(list(sets)[:30])
                fix = "Correct the data, or list it under label_sets."
                raise self._wrong(f"unknown label {text!r} at residue {at + 1}; known: {known}", name, fix)
        rows = [masked if text in self.not_scored else sets[text] for text in texts]
        return np.array(rows, dtype=np.int8).reshape(-1, len(self.names))

    def _residue_vectors(self, cell: Any, name: str, length: int) -> np.ndarray:
        if self.sets is not None:
            return self._residue_sets(cell, name, self.sets)
        values = listed(cell)
        if values is None:
            fix = "Give a list for each residue that holds 0 or 1 for each label."
            raise self._wrong("several labels per residue are given as lists", name, fix)
        width = len(self.names)
        if self.unknown:
            values = [self._masked_row(row, width) for row in values]
        if any(not isinstance(row, (list, tuple)) or len(row) != width for row in values):
            raise self._wrong(f"a residue has not {width} values, one for each label", name, "Correct the data.")
        try:
            vectors = np.array(values, dtype=float).reshape(-1, width)
        except (TypeError, ValueError, OverflowError):
            raise self._wrong("a residue's value is neither 0 nor 1", name, "Correct the data.") from None
        if self.masked is not None:
            vectors[vectors == self.task.data.masked_value] = NOT_SCORED
        if not np.isin(vectors, (0, 1, NOT_SCORED)).all():
            raise self._wrong("a residue's value is neither 0 nor 1", name, "Correct the data, or state masked_value.")
        return vectors.astype(np.int8)

    def _masked_row(self, row: Any, width: int) -> Any:
        """A residue's 0 and 1, with -100 where the task's word for no label is, of all where that stands for them."""
        if isinstance(row, (list, tuple)):
            return [NOT_SCORED if label_text(value) in self.unknown else value for value in row]
        return [NOT_SCORED] * width if label_text(row) in self.unknown else row

    def _residue_values(self, cell: Any, name: str, length: int) -> np.ndarray:
        values = [math.nan if label_text(entry) in self.unknown else entry for entry in number_entries(cell, length)]
        try:
            return np.array(values, dtype=np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise self._wrong(f"not a number per residue ({error})", name, "Correct the data.") from None

    def _mask(self, cell: Any, length: int, name: str) -> npt.NDArray[np.bool_]:
        values = listed(cell)
        if values is None and any(mark in cell_text(cell) for mark in ".,;"):
            values = number_entries(cell)
        # Numbers such as 1.0 are as good as characters; what is neither 0 nor 1 is kept as it is, to be refused.
        text = residue_characters(cell) if values is None else [_mask_text(value) for value in values]
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
        raise self._wrong(f"unknown label {value!r} at residue {at + 1}; known: {known}", name, self._fix(value, _KEPT))

    @staticmethod
    def _fix(value: str, else_: str) -> str:
        """What to do about a value that is no label."""
        if value in UNKNOWN_ALWAYS:
            return f"Where it stands for no label, say so: masked_labels: [{value!r}] under data."
        return else_

    def _wrong(self, what: str, name: str, fix: str) -> UserError:
        return UserError(what, where=f"task {self.task.name}, {name}", fix=fix)


def label_counts(task: Task, labels: Sequence[Any]) -> dict[str, int]:
    """How many proteins (pairs, or residues) have each label, by its name; empty for regression.

    Of thousands of labels those that none has are left out.
    """
    if task.problem.kind == "regression" or not labels:
        return {}
    if task.problem.kind == "multilabel":
        stacked = np.concatenate([np.reshape(label, (-1, task.n_outputs)) for label in labels])
        counts = (stacked == 1).sum(axis=0)
    else:
        flat = np.concatenate(labels) if np.ndim(labels[0]) else np.asarray(labels)
        counts = np.bincount(flat[flat >= 0], minlength=len(task.label_names))
    every = task.n_outputs <= MOST_LABELS_LISTED
    return {name: int(count) for name, count in zip(task.label_names, counts, strict=True) if count or every}


def masked_texts(task: Task) -> frozenset[str]:
    """What stands for no label in a task's data; the empty text for null, NaN and an empty cell."""
    return frozenset(label_text(text) for text in task.data.masked_labels)


def without_labels(cells: Sequence[Any], task: Task) -> npt.NDArray[np.bool_]:
    """Which rows have no label at all, by what the task file says of that; (n,).

    Of several labels of a protein an empty list says that it has none of them, which is a label.
    """
    texts, by_residue = masked_texts(task), task.problem.level.by_residue
    return np.array(
        [bool(texts) and not isinstance(cell, np.ndarray) and _masked(cell, texts, by_residue) for cell in cells],
        dtype=bool,
    )


def _masked(cell: Any, texts: frozenset[str], by_residue: bool) -> bool:
    value = cell if by_residue else one_value(cell)
    return not isinstance(value, (list, tuple)) and label_text(value) in texts


def scored_labels(task: Task, label: Any) -> int:
    """How many labels of a row count: its scored residues, or one."""
    if np.ndim(label) == 0:
        return 1
    scored = ~np.isnan(label) if label.dtype.kind == "f" else label != NOT_SCORED
    if task.problem.kind == "multilabel":
        return int(scored.reshape(-1, task.n_outputs).any(axis=1).sum())
    return int(scored.sum())


def _mask_text(value: Any) -> str:
    return {"0.0": "0", "1.0": "1", "False": "0", "True": "1"}.get(cell_text(value), cell_text(value))
