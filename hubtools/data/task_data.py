"""From a task to its splits: one call, one canonical form, and the facts about it for the run record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING

from hubtools.common.errors import UserError
from hubtools.common.readers import reads
from hubtools.data.rows.arrow import dataset_dict
from hubtools.data.rows.canonical import labelled
from hubtools.data.rows.facts import absent_labels, split_facts
from hubtools.data.rows.labels import scored_labels
from hubtools.data.rows.row_kinds import canonical_rows, rows_of
from hubtools.data.sources.file_cache import DataCache
from hubtools.data.sources.known_sources import pinned, source_of
from hubtools.data.sources.source_rows import read_rows
from hubtools.data.splits.folds import (
    Fold,
    cross_validation,
    fold_overlaps,
    fold_traits,
    refuse_choosing,
    told_folds,
    with_folds,
)
from hubtools.data.splits.fractions import fraction_of
from hubtools.data.splits.homology import cluster_words, with_clusters
from hubtools.data.splits.leakage import cleaned, shared_clusters
from hubtools.data.splits.overlap import ALWAYS, split_overlaps
from hubtools.data.splits.splitting import ACROSS, declared_splits, final_splits, proven_draw, subset_of
from hubtools.data.splits.traits import Traits, row_traits
from hubtools.data.structures.folder import folder_digest
from hubtools.data.structures.row_structures import STRUCTURE, has_structures, structure_facts
from hubtools.specs.record import DataFacts, SourceFile
from hubtools.specs.task import Task

if TYPE_CHECKING:
    import datasets
    import pandas as pd

_SHIFTED = (
    "labels are shifted by one residue on purpose: each residue is scored against the label of the {} one, to reproduce "
    "a published result"
)


@dataclass(frozen=True)
class TaskData:
    """A task's rows, ready for any checkpoint.

    Attributes:
        task: the task.
        splits: train, validation, test and further test splits, with the columns ``id`` (str), ``sequence`` (str, A to
            Z), ``label`` and, where known, ``cluster`` (str or None). ``label`` is a class index (int64), a list of
            int8 (one per label), a float64; for residue tasks a list of int16 (-100: not scored), a list of lists of
            int8 (residues × labels, -100: not scored), a list of float64 (NaN: not scored). A row of a pair task also
            has the second protein's sequence, ``partner``, a name for each of the two, ``protein`` and
            ``partner_protein``, and, where known, ``partner_cluster``. A variant-effect task has test splits only; its
            rows also have ``wildtype``, ``mutations``, ``group``, ``protein``, ``category`` and, where the task says
            it, ``active`` (see ``hubtools.data.rows.variants``). Where the task has structures, ``structure`` has a 3Di letter
            in lower case, or #, for each residue of the sequence, or of the wild type. A contact task may have test splits only, and has
            a list of int8 as ``label``, one for each pair of residues (see ``hubtools.data.structures.contacts``).
        facts: what the record says about them.
        traits: of the rows of the test splits; empty for variants.
        folds: of a task with folds, by name; ``splits`` then has all rows as ``test``, and nothing else.
        of_fold: the fold whose fit these are the data of; None of a whole task.
        dates: of the test splits, the day on which the protein of each row became public, None where that is not known;
            empty for tasks without dates.
    """

    task: Task
    splits: datasets.DatasetDict
    facts: DataFacts
    traits: Mapping[str, Traits] = field(default_factory=dict)
    dates: Mapping[str, Sequence[date | None]] = field(default_factory=dict)
    folds: Mapping[str, Fold] = field(default_factory=dict)
    of_fold: str | None = None

    def fold(self, name: str) -> TaskData:
        """What the model of one fold learns from, chooses on and predicts, as data of a task with these splits."""
        import datasets

        rows, fold = self.splits["test"], self.folds[name]
        splits = {part: rows.select(getattr(fold, part)) for part in ("train", "validation", "test")}
        return replace(self, splits=datasets.DatasetDict(splits), folds={}, of_fold=name)

    def sequences(self, split: str) -> list[str]:
        """The sequences of a split that a model reads: of each row, of the distinct proteins of pairs, or wild types."""
        return rows_of(self.task.problem).sequences_read(self.splits[split])

    def structures(self, split: str) -> list[str] | None:
        """3Di letters of :meth:`sequences`, where the task has structures."""
        rows = self.splits[split]
        return rows_of(self.task.problem).structures_read(rows) if STRUCTURE in rows.column_names else None

    def without_test(self) -> TaskData:
        """Train and validation alone: what may be looked at while something is chosen.

        Raises:
            UserError: the task has folds.
        """
        import datasets

        refuse_choosing(self.task)

        kept = {name: self.splits[name] for name in ("train", "validation")}
        facts = self.facts.model_copy(update={"splits": {name: self.facts.splits[name] for name in kept}, "audit": []})
        return TaskData(self.task, datasets.DatasetDict(kept), facts)


@reads("data of a task")
def load_task_data(
    task: Task, cache: DataCache, *, subset: int | None = None, fraction: float | None = None, seed: int = 0
) -> TaskData:
    """Load, clean and split the data of a task.

    The order of things: rows are read and joined; rows without a label are left out where the task file says what that is; declared splits are assigned and rows of no split dropped; sequences
    and labels are put into canonical form; equal sequences are dealt with (see ``hubtools.data.splits.leakage``); similarity
    clusters are found; folds, or seeded splits, are drawn, or validation is carved off train where none is declared (whole
    clusters and equal sequences on one side); at most ``subset`` proteins of each split are taken by a fixed sample;
    of the training proteins only the share ``fraction`` is kept (see ``hubtools.data.splits.fractions``).

    Args:
        task: the task.
        cache: where source files come from.
        subset: at most this many proteins (pairs or variants, where these have the labels) of each split.
        fraction: share of the training proteins (or pairs) to learn from; None for all.
        seed: by which that share is drawn.

    Raises:
        UserError: the data cannot be had, or are not what the task says; nothing is dropped or repaired in silence.
    """
    if subset is not None and subset < 1:
        raise UserError(f"a subset of {subset} proteins is empty", fix="Give at least 1.")
    removed: Counter[str] = Counter()
    raw, findings = read_rows(task, cache, removed)
    if task.template:
        findings.insert(0, task.template_told)
    raw = labelled(raw, task, removed)
    if task.data.label_shift:
        findings.append(_SHIFTED.format("next" if task.data.label_shift > 0 else "previous"))
    if task.data.folds is not None and fraction is not None:
        raise UserError(
            "a task with folds has no one training split to take a share of",
            where=f"task {task.name}",
            fix="Leave --fraction out, or the task.",
        )
    splits = declared_splits(raw, task) if task.data.splits else None
    told = told_folds(raw, task) if task.data.folds else None
    if splits is not None:
        used = splits != None  # noqa: E711
        if not used.all():
            findings.append(f"{int((~used).sum()):,} rows are in no split")
        raw, splits = raw[used], splits[used]
    rows, changed, found = canonical_rows(raw, task, cache)
    findings += found
    if splits is not None:
        rows["split"] = splits
    if told is not None:
        rows["fold"] = told
    if task.data.folds is not None:
        rows["split"] = "test"
    rows, repeats, found = cleaned(rows, task)
    findings += found
    removed += repeats
    rows = with_clusters(rows, task, cache)
    drawn: str | None
    if task.data.folds is not None:
        rows, drawn = with_folds(rows, task)
    else:
        rows, validation = final_splits(rows, task)
    if across := int(rows["split"].isna().sum()):
        removed[ACROSS] = across
        rows = rows[rows["split"].notna()]
    if task.data.folds is None:
        drawn = proven_draw(rows, task)
    if subset is not None:
        rows, line = subset_of(rows, subset, task)
        findings.append(line)
    if fraction is not None:
        rows, line = fraction_of(rows, fraction, seed, task)
        findings.append(line)
    folds = dict[str, Fold]()
    if task.data.folds is not None:
        folds, repeats, found, validation = cross_validation(rows, task)
        findings += found
        removed += repeats
    # From here on about what is learnt from.
    findings += shared_clusters(rows, task)
    findings += rows_of(task.problem).findings(rows, task)
    learnt = ["train", "validation"] if task.learns and not folds else []
    parts = {name: rows[rows["split"] == name] for name in [*learnt, *task.data.test_splits]}
    _refuse_empty(parts, removed, task)
    facts = {name: split_facts(part, task) for name, part in parts.items()}
    pairs = [(first, second) for first in learnt for second in task.data.test_splits]
    if folds:
        audit, audit_method = fold_overlaps(rows, folds, ALWAYS, task, cache)
        traits = fold_traits(rows, folds, task, cache)
    else:
        audit, audit_method = split_overlaps(parts, pairs, ALWAYS, task.problem, cache)
        traits = row_traits(parts, task.data.test_splits, task.problem, cache)
    source = source_of(pinned(task, cache)[0].data)
    facts_of_source, structures = source.facts(cache), None
    if task.data.structures is not None:
        folder = task.data.structures
        named = SourceFile(name="structures", location=str(folder.folder), sha256=folder_digest(folder, task.name))
        facts_of_source = replace(facts_of_source, files=[*facts_of_source.files, named])
    if has_structures(task):
        structures = structure_facts(parts, task, rows_of(task.problem).structured)
        findings.append(f"structures: {structures}")
    return TaskData(
        task=task,
        splits=dataset_dict(parts, {name: split.rows_sha256[:16] for name, split in facts.items()}, task.problem),
        facts=DataFacts(
            source=task.data.source,
            **vars(facts_of_source),
            splits=facts,
            validation=validation,
            split_sha256=drawn,
            clusters=cluster_words(task),
            removed=dict(removed),
            changed=dict(changed),
            findings=findings + absent_labels(facts, task),
            audit=audit,
            audit_method=audit_method,
            structures=structures,
        ),
        traits=traits,
        dates={name: parts[name]["date"].tolist() for name in task.data.test_splits if task.data.columns.date},
        folds=folds,
    )


def _refuse_empty(parts: Mapping[str, pd.DataFrame], removed: Counter[str], task: Task) -> None:
    """Raise for a split that has nothing to learn from or to score."""
    for name, part in parts.items():
        if part.empty:
            gone = "".join(f"; removed were {count:,}: {reason}" for reason, count in removed.items())
            raise UserError(f"the split {name} is empty{gone}", where=f"task {task.name}", fix="Correct data.splits.")
        if not any(scored_labels(task, label) for label in part["label"]):
            fix = "Check data.candidates, data.columns.mask and data.masked_value."
            raise UserError(f"in the split {name} no residue is scored", where=f"task {task.name}", fix=fix)
