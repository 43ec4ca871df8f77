"""Labels that lie below one another: who has one has all above it, and is as likely to have them as its likeliest part.

Metrics that read scores (Fmax, Smin, AUPRC, AUROC) are of all terms: the labels and what is above them, truth and scores
propagated. Metrics of decisions are of the labels as they were annotated, with their own thresholds.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hubtools.common.errors import UserError, one_line
from hubtools.common.hashing import file_sha256
from hubtools.evaluation.predictions import Predictions
from hubtools.evaluation.statistics.resampling import blocks
from hubtools.specs.metric_names import METRICS
from hubtools.specs.task import Ontology, Task, ec_numbers

if TYPE_CHECKING:
    from datasets import Dataset

# Proteins whose labels are looked at together.
_ROWS = 1024


@dataclass(frozen=True, eq=False)
class LabelTerms:
    """The labels of a task and everything above them.

    Attributes:
        names: of the terms, in alphabetical order.
        columns: (k,) labels that are, or lie below, each term, those of one term after those of another.
        starts: (T,) where the labels of each term begin.
        parents: of each term, the terms just above it.
    """

    names: tuple[str, ...]
    columns: np.ndarray
    starts: np.ndarray
    parents: tuple[np.ndarray, ...]

    def propagate(self, values: np.ndarray) -> np.ndarray:
        """(n, L) of labels to (n, T) of terms, of the same type: the largest of the labels that are or lie below each."""
        found = np.empty((len(values), len(self.names)), dtype=values.dtype)
        for rows in blocks(len(values), len(self.columns)):
            found[rows] = np.maximum.reduceat(values[rows][:, self.columns], self.starts, axis=1)
        return found


def terms_of(task: Task) -> LabelTerms | None:
    """The terms of a task whose labels are a hierarchy; else None.

    Raises:
        UserError: the ontology's file cannot be read, is another one than the task names, or lacks a label.
    """
    asked = task.hierarchy
    if asked is None:
        return None
    if isinstance(asked, Ontology):
        return _ontology_terms(tuple(task.label_names), asked.obo, asked.sha256, task.name)
    return _ec_terms(tuple(task.label_names))


def as_read(metric: str, task: Task, predictions: Predictions) -> Predictions:
    """What a metric reads of predictions: of a metric of scores whose labels are a hierarchy, those of all terms."""
    terms = terms_of(task) if METRICS[metric].reads_scores else None
    return predictions if terms is None else propagated(terms, predictions)


def propagated(terms: LabelTerms, predictions: Predictions) -> Predictions:
    """Predictions of labels as those of all terms; (n, T) truth and scores."""
    return replace(predictions, truth=terms.propagate(predictions.truth), scores=terms.propagate(predictions.scores))


def information_of(task: Task, train: Dataset) -> np.ndarray:
    """How much is known by each term, beside what is above it: -log2((n + 1) / (m + 1)), in bits, shape (T,).

    Of m training proteins that have all its parents (all proteins, where it has none), n have the term (Clark and
    Radivojac, Bioinformatics 29, 2013). One is added to both, so that a term that no training protein has is finite.

    Args:
        task: of several labels; without a hierarchy terms are labels, and none is above another.
        train: canonical rows of the training split.
    """
    terms = terms_of(task)
    n_terms = task.n_outputs if terms is None else len(terms.names)
    have, may = np.zeros(n_terms), np.zeros(n_terms)
    for part in train.select_columns(["label"]).with_format("numpy").iter(_ROWS):
        rows = np.concatenate([np.reshape(label, (-1, task.n_outputs)) for label in part["label"]]) == 1
        if terms is None:
            have += rows.sum(axis=0)
            may += len(rows)
            continue
        rows = terms.propagate(rows)
        have += rows.sum(axis=0)
        may += [rows[:, above].all(axis=1).sum() for above in terms.parents]
    return np.log2(may + 1) - np.log2(have + 1)


# --- What is above a label ---------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=8)
def _ec_terms(labels: tuple[str, ...]) -> LabelTerms:
    """Numbers of the Enzyme Commission: 1.1.1.1 is below 1.1.1, 1.1 and 1; 1.1.1.- is 1.1.1."""
    known = {label: ec_numbers(label) for label in labels}
    parents: dict[str, list[str]] = {}
    for numbers in known.values():
        for depth in range(1, len(numbers) + 1):
            parents[".".join(numbers[:depth])] = [".".join(numbers[: depth - 1])] if depth > 1 else []
    return _terms([".".join(numbers) for numbers in known.values()], parents)


@functools.lru_cache(maxsize=8)
def _ontology_terms(labels: tuple[str, ...], path: Path, sha256: str, task: str) -> LabelTerms:
    """Terms of an ontology by ``is_a`` and ``part_of`` within a namespace; the roots, which all have, are left out."""
    try:
        import fastobo
    except ImportError:
        what = "the package fastobo, which reads ontologies, is not installed"
        raise UserError(what, where=f"task {task}", fix='pip install "plm-hubtools[ontology]"') from None
    try:
        found = file_sha256(path)
    except OSError as error:
        raise UserError(f"cannot read the ontology ({error.strerror or error})", where=str(path)) from None
    if found != sha256:
        raise UserError(
            f"its sha256 is {found}, and not the one of the task",
            where=str(path),
            fix="Take the file that the task names, or correct hierarchy.sha256.",
        )
    try:
        above, known = _read_ontology(fastobo.load(str(path)))
    except (ValueError, SyntaxError, OSError) as error:
        raise UserError(f"it is no ontology in OBO ({one_line(str(error))})", where=str(path)) from None
    own: list[str] = []
    for label in labels:
        if label not in known:
            raise UserError(
                f"label {label!r} is not in the ontology, or obsolete",
                where=str(path),
                fix="Use the file of the release that the labels are from, or correct labels.",
            )
        own.append(known[label])
    parents: dict[str, list[str]] = {}
    waiting = list(own)
    while waiting:
        name = waiting.pop()
        if name not in parents:
            parents[name] = above[name]
            waiting += parents[name]
    roots = {name for name, above in parents.items() if not above}
    for label, name in zip(labels, own, strict=True):
        if name in roots:
            raise UserError(
                f"label {label!r} is a root, which every protein has",
                where=f"task {task}",
                fix="Remove it from labels.",
            )
    kept = {name: [term for term in above if term not in roots] for name, above in parents.items() if above}
    return _terms(own, kept)


def _read_ontology(frames: Iterable[Any]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The terms just above each one that is not obsolete, in alphabetical order; and the id of each by any of its ids."""
    from fastobo.term import (
        AltIdClause,
        IsAClause,
        IsObsoleteClause,
        NamespaceClause,
        RelationshipClause,
        TermFrame,
    )

    above: dict[str, list[str]] = {}
    namespace: dict[str, str] = {}
    others: dict[str, str] = {}
    for frame in frames:
        if not isinstance(frame, TermFrame):
            continue
        name, found = str(frame.id), set()
        for clause in frame:
            if isinstance(clause, IsAClause) or (
                isinstance(clause, RelationshipClause) and str(clause.typedef) == "part_of"
            ):
                found.add(str(clause.term))
            elif isinstance(clause, NamespaceClause):
                namespace[name] = str(clause.namespace)
            elif isinstance(clause, AltIdClause):
                others[str(clause.alt_id)] = name
            elif isinstance(clause, IsObsoleteClause) and clause.obsolete:
                break
        else:
            above[name] = sorted(found)
    for name, terms in above.items():
        above[name] = [term for term in terms if term in above and namespace.get(term) == namespace.get(name)]
    return above, {old: name for old, name in others.items() if name in above} | {name: name for name in above}


def _terms(own: Sequence[str], parents: Mapping[str, Sequence[str]]) -> LabelTerms:
    """From the term of each label, and what is just above each term."""
    names = sorted(parents)
    index = {name: at for at, name in enumerate(names)}
    below: list[list[int]] = [[] for _ in names]
    for label, name in enumerate(own):
        for term in _closure(name, parents):
            below[index[term]].append(label)
    sizes = np.array([len(labels) for labels in below], dtype=np.int64)
    return LabelTerms(
        names=tuple(names),
        columns=np.array([label for labels in below for label in labels], dtype=np.int64),
        starts=np.cumsum(sizes) - sizes,
        parents=tuple(np.array([index[above] for above in parents[name]], dtype=np.int64) for name in names),
    )


def _closure(name: str, parents: Mapping[str, Sequence[str]]) -> Iterable[str]:
    """A term and all above it."""
    seen, waiting = {name}, [name]
    while waiting:
        for above in parents[waiting.pop()]:
            if above not in seen:
                seen.add(above)
                waiting.append(above)
    return seen
