"""From a task to its splits: one call, one canonical form, and the facts about it for the run record."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hubtools.data.cache import DataCache
from hubtools.data.clusters import similarity_clusters
from hubtools.data.identity import engine, identity_clusters
from hubtools.data.labels import Labels, label_counts, scored_labels
from hubtools.data.leakage import shared_clusters, without_leaks, without_repeats
from hubtools.data.overlap import ALWAYS, split_overlaps
from hubtools.data.pairs import ACROSS, PARTNER, canonical_pairs, draw_pairs, proteins, seen_proteins
from hubtools.data.pins import pinned
from hubtools.data.sequences import canonical_sequences
from hubtools.data.sources import FILE, ID, cell_text, columns_present, read_lookup, read_rows, require_column
from hubtools.data.splits import declared_splits, draw_splits, sample
from hubtools.data.variants import VARIANT_COLUMNS, canonical_variants
from hubtools.specs.errors import UserError
from hubtools.specs.hashing import digest
from hubtools.specs.problem import Problem
from hubtools.specs.record import DataFacts, SplitFacts
from hubtools.specs.sources import HubData, PackageData, UniProtData
from hubtools.specs.task import Task

if TYPE_CHECKING:
    import datasets
    import pandas as pd

# More labels than this are counted rather than named.
_LISTED = 20
# Part of the name under which clusters are kept: raised when the method changes.
_CLUSTER_METHOD = 1
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
            it, ``active`` (see ``hubtools.data.variants``).
        facts: what the record says about them.
    """

    task: Task
    splits: datasets.DatasetDict
    facts: DataFacts

    def sequences(self, split: str) -> list[str]:
        """The sequences of a split that a model reads: of each row, of the distinct proteins of pairs, or wild types."""
        rows, problem = self.splits[split], self.task.problem
        if problem.is_pair:
            return list(dict.fromkeys([*rows["sequence"], *rows["partner"]]))
        return list(dict.fromkeys(rows["wildtype"])) if problem.zero_shot else rows["sequence"][:]


def load_task_data(task: Task, cache: DataCache, *, subset: int | None = None) -> TaskData:
    """Load, clean and split the data of a task.

    The order of things: rows are read and joined; declared splits are assigned and rows of no split dropped; sequences
    and labels are put into canonical form; equal sequences are dealt with (see ``hubtools.data.leakage``); similarity
    clusters are found; seeded splits are drawn, or validation is carved off train where none is declared (whole
    clusters and equal sequences on one side); at most ``subset`` proteins of each split are taken by a fixed sample.

    Args:
        task: the task.
        cache: where source files come from.
        subset: at most this many proteins (pairs or variants, where these have the labels) of each split.

    Raises:
        UserError: the data cannot be had, or are not what the task says; nothing is dropped or repaired in silence.
    """
    if subset is not None and subset < 1:
        raise UserError(f"a subset of {subset} proteins is empty", fix="Give at least 1.")
    left_out: Counter[str] = Counter()
    raw, files, findings = read_rows(task, cache, left_out)
    source = pinned(task, cache)[0].data
    if task.data.label_shift:
        findings.append(_SHIFTED.format("next" if task.data.label_shift > 0 else "previous"))
    splits = None
    if task.data.splits:
        splits = declared_splits(raw, task)
        used = splits != None  # noqa: E711
        if not used.all():
            findings.append(f"{int((~used).sum()):,} rows are in no split")
        raw, splits = raw[used], splits[used]
    rows, changed, found = _canonical(raw, task, cache)
    findings += found
    removed: Counter[str] = Counter()
    if task.problem.zero_shot:
        # Nothing is trained: what repeats is reported above, and nothing can leak.
        rows["split"], found = splits, []
    elif splits is None:
        rows, removed, found = without_repeats(rows, task)
    else:
        rows["split"] = splits
        rows, removed, found = without_leaks(rows, task)
    findings += found
    removed = left_out + removed
    if task.data.cluster_rule:
        rows = _with_clusters(rows, task, cache)
    rows, validation = _split(rows, task)
    if across := int(rows["split"].isna().sum()):
        removed[ACROSS] = across
        rows = rows[rows["split"].notna()]
    drawn = None
    if task.data.split is not None:
        _refuse_another_draw(rows, task)
        drawn = split_digest(_content(rows, task).tolist(), rows["split"].tolist())
    findings += shared_clusters(rows, task)
    if subset is not None:
        rows, found = _subset(rows, subset, task)
        findings += found
    if task.problem.is_pair:
        findings += seen_proteins(rows, task)
    order = task.data.test_splits if task.problem.zero_shot else ["train", "validation", *task.data.test_splits]
    parts = {name: rows[rows["split"] == name] for name in order}
    _refuse_empty(parts, removed, task)
    learnt = [name for name in ("train", "validation") if name in parts]
    pairs = [(first, second) for first in learnt for second in task.data.test_splits]
    audit, audit_method = split_overlaps(parts, pairs, ALWAYS, cache)
    facts = DataFacts(
        source=task.data.source,
        files=files,
        package=f"{task.data.package}=={task.data.version}" if isinstance(task.data, PackageData) else None,
        dataset=source.dataset if isinstance(source, HubData) else None,
        revision=source.revision if isinstance(source, HubData) else None,
        release=source.frozen.release if isinstance(source, UniProtData) and source.frozen else None,
        splits={name: _split_facts(part, task) for name, part in parts.items()},
        validation=validation,
        split_sha256=drawn,
        clusters=_cluster_words(task),
        removed=dict(removed),
        changed=dict(changed),
        findings=findings,
        audit=audit,
        audit_method=audit_method,
    )
    return TaskData(task, _datasets(parts, facts, task), _with_label_findings(facts, task))


def _canonical(raw: pd.DataFrame, task: Task, cache: DataCache) -> tuple[pd.DataFrame, Counter[str], list[str]]:
    """Columns id, sequence, label, cluster; how many sequences were altered, by reason; findings."""
    import pandas as pd

    columns, ids = task.data.columns, raw[ID].tolist()
    if "" in ids:
        raise UserError("a protein has no id", where=f"task {task.name}, {raw[FILE].iloc[ids.index('')]}")
    if repeated := [name for name, count in Counter(ids).items() if count > 1]:
        raise UserError(
            f"{len(repeated):,} ids occur more than once, the first is {repeated[0]!r}",
            where=f"task {task.name}",
            fix="Predictions are kept by id: make them unique, or name another column in data.columns.id.",
        )
    if task.problem.zero_shot:
        known, altered = read_lookup(task, cache) or (None, Counter())
        measured = zip(_column(raw, columns.label, "label", task), ids, strict=True)
        reader = Labels(task)
        values = [reader.protein(cell, name) for cell, name in measured]
        rows, changed, findings = canonical_variants(raw, values, known, task)
        return rows, changed + altered, findings
    cells = _column(raw, columns.sequence, "sequence", task)
    if columns.partner:
        partners, labelled = _column(raw, columns.partner, "partner", task), _column(raw, columns.label, "label", task)
        lookup, altered = read_lookup(task, cache) or (None, Counter())
        rows, changed, findings = canonical_pairs(ids, cells, partners, labelled, task, lookup)
        return rows, changed + altered, findings
    sequences, marked, changed = canonical_sequences(cells, ids, task.name, task.data.site_marker)
    given: Sequence[Any] = [None] * len(ids) if marked is not None else _column(raw, columns.label, "label", task)
    labels = Labels(task)
    encoded: list[Any] = []
    if task.problem.per_residue:
        masks = _masks(raw, columns.mask, task)
        marks = marked if marked is not None else [None] * len(ids)
        for cell, sequence, name, mask, sites in zip(given, sequences, ids, masks, marks, strict=True):
            encoded.append(labels.residues(cell, sequence, name, mask, sites))
    else:
        encoded = [labels.protein(cell, name) for cell, name in zip(given, ids, strict=True)]
    rows = pd.DataFrame({"id": ids, "sequence": sequences}, dtype=object)
    rows["label"] = pd.Series(encoded, dtype=object)
    rows["cluster"] = pd.Series(_given_clusters(raw, task), dtype=object)
    return rows, changed, []


def _column(raw: pd.DataFrame, column: str, role: str, task: Task) -> list[Any]:
    """The cells of a column that every row needs."""
    for name, part in raw.groupby(FILE, sort=False):
        require_column(columns_present(part), column, f"task {task.name}, {name}", role)
        missing = part[column].isna()
        if missing.any():
            raise UserError(
                f"{part[ID][missing].iloc[0]} has no {column} ({int(missing.sum()):,} such rows)",
                where=f"task {task.name}, {name}",
                fix="Complete or remove these rows.",
            )
    return raw[column].tolist()


def _masks(raw: pd.DataFrame, column: str | None, task: Task) -> list[Any]:
    """The mask of each row; None where the task has none, or says that a file has none."""
    masked = ~raw[FILE].isin([file.name for file in task.data.files if file.unmasked]).to_numpy()
    if column is None or not masked.any():
        return [None] * len(raw)
    given = iter(_column(raw[masked], column, "mask", task))
    return [next(given) if has else None for has in masked]


def _given_clusters(raw: pd.DataFrame, task: Task) -> list[str | None]:
    """The cluster column; None where a row, or its whole file, has none."""
    column = task.data.columns.cluster
    if column is None:
        return [None] * len(raw)
    require_column(columns_present(raw), column, f"task {task.name}", "cluster")
    return [cell_text(cell) or None for cell in raw[column]]


def _with_clusters(rows: pd.DataFrame, task: Task, cache: DataCache) -> pd.DataFrame:
    """Rows with the similarity cluster of each protein."""
    if not task.problem.is_pair:
        return rows.assign(cluster=_clusters(rows["sequence"].tolist(), task, cache))
    each = proteins(rows)
    cluster = dict(zip(each["protein"], _clusters(each["sequence"].tolist(), task, cache), strict=True))
    return rows.assign(cluster=rows["protein"].map(cluster), partner_cluster=rows["partner_protein"].map(cluster))


def _clusters(sequences: list[str], task: Task, cache: DataCache) -> list[str]:
    """Names of similarity clusters: by content, so that they do not depend on the order of rows."""
    rule = task.data.cluster_rule
    assert rule is not None
    content = hashlib.sha256("\n".join(sequences).encode()).hexdigest()
    how = None if rule.identity is None else engine(rule.identity, clusters=True)
    name = digest({"method": _CLUSTER_METHOD, "rule": rule.model_dump(), "engine": how, "sequences": content})

    def find() -> np.ndarray:
        if rule.identity is not None:
            return identity_clusters(sequences, rule.identity, rule.coverage)
        return similarity_clusters(sequences, k=rule.k, min_shared=rule.min_shared)

    numbers = cache.array(f"clusters-{name}", find)
    names: dict[int, str] = {}
    for number, sequence in zip(numbers.tolist(), sequences, strict=True):
        key = hashlib.sha256(sequence.encode()).hexdigest()[:12]
        names[number] = min(names.get(number, key), key)
    return [names[number] for number in numbers.tolist()]


def _split(rows: pd.DataFrame, task: Task) -> tuple[pd.DataFrame, str]:
    """Rows with their final split, and where the validation split came from."""
    data = task.data
    if task.problem.zero_shot:
        return rows, "none: nothing is trained, so nothing is chosen"
    if data.split is not None:
        fractions, seed = dict(data.split.fractions), data.split.seed
        told = f"drawn by seed {seed} with the other splits"
        if "validation" not in fractions:
            share = data.validation_fraction
            fractions |= {"validation": fractions["train"] * share, "train": fractions["train"] * (1 - share)}
            told += f", {share:.0%} of train"
        return rows.assign(split=_drawn(rows, fractions, seed, task)), told
    if "validation" in (data.splits or {}):
        return rows, "declared by the data"
    train = rows["split"] == "train"
    share, seed = data.validation_fraction, data.validation_seed
    part = rows[train]
    rows = rows.copy()
    rows.loc[train, "split"] = _drawn(part, {"train": 1 - share, "validation": share}, seed, task)
    kept = "whole clusters" if part["cluster"].notna().any() else "equal sequences"
    what = f"{share:.0%} of the proteins of train" if task.problem.is_pair else f"{share:.0%} of train"
    return rows, f"{what}, drawn by seed {seed}, {kept} on one side"


def split_digest(sequences: Sequence[str], splits: Sequence[str]) -> str:
    """sha256 of who is in which split: sorted lines of a sequence's own sha256 and its split, whatever the rows' order."""
    lines = {
        f"{hashlib.sha256(sequence.encode()).hexdigest()} {split}"
        for sequence, split in zip(sequences, splits, strict=True)
    }
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _refuse_another_draw(rows: pd.DataFrame, task: Task) -> None:
    """Raise where the task file pins who is in which split, and the draw came out otherwise."""
    split, rule = task.data.split, task.data.cluster_rule
    if split is None or split.sha256 is None:
        return
    if (got := split_digest(_content(rows, task).tolist(), rows["split"].tolist())) != split.sha256:
        with_what = (
            f" with {engine(rule.identity, clusters=True)}" if rule is not None and rule.identity is not None else ""
        )
        raise UserError(
            f"the splits came out otherwise{with_what}: sha256 {got}, the task file pins {split.sha256}",
            where=f"task {task.name}, data.split.sha256",
            fix="Use the data and the clustering program that the task was made with, or pin the new value "
            "(bench tasks check prints it) and raise version.",
        )


def _drawn(rows: pd.DataFrame, fractions: dict[str, float], seed: int, task: Task) -> npt.NDArray[np.object_]:
    """The split of each row by a draw of proteins; None for a pair whose proteins fall apart."""
    where = f"task {task.name}"
    together = task.data.split is None or task.data.split.by != "sequences"
    if not together:
        # Clusters then only serve the bootstrap.
        rows = rows.assign(**{name: None for name in ("cluster", "partner_cluster") if name in rows})
    if task.problem.is_pair:
        return draw_pairs(rows, fractions, seed, where)
    return draw_splits(rows["sequence"].tolist(), rows["cluster"].tolist(), fractions, seed, where)


def _content(rows: pd.DataFrame, task: Task) -> pd.Series:
    """What a row is about: a sequence, or both of a pair."""
    return rows["sequence"] + "|" + rows["partner"] if task.problem.is_pair else rows["sequence"]


def _subset(rows: pd.DataFrame, size: int, task: Task) -> tuple[pd.DataFrame, list[str]]:
    content = _content(rows, task)
    chosen = np.zeros(len(rows), dtype=bool)
    for _, positions in rows.groupby("split").indices.items():
        ids = rows["id"].iloc[positions].tolist()
        chosen[positions] = sample(ids, content.iloc[positions].tolist(), size)
    what = {"pair": "pairs", "variant": "variants"}.get(task.problem.level, "proteins")
    return rows[chosen], [f"subset: at most {size:,} {what} of each split"]


def _cluster_words(task: Task) -> str | None:
    if task.data.columns.cluster:
        return f"column {task.data.columns.cluster}"
    rule = task.data.cluster_rule
    if rule is None:
        return None
    if rule.identity is not None:
        return (
            f"single linkage of sequences of at least {rule.identity:.0%} identity over {rule.coverage:.0%} of both "
            f"({engine(rule.identity, clusters=True)})"
        )
    return f"single linkage of sequences that share {rule.min_shared:.0%} of the {rule.k}-mers of the smaller set"


def _refuse_empty(parts: dict[str, pd.DataFrame], removed: Counter[str], task: Task) -> None:
    """Raise for a split that has nothing to learn from or to score."""
    for name, part in parts.items():
        if part.empty:
            gone = "".join(f"; removed were {count:,}: {reason}" for reason, count in removed.items())
            raise UserError(f"the split {name} is empty{gone}", where=f"task {task.name}", fix="Correct data.splits.")
        if not any(scored_labels(task, label) for label in part["label"]):
            fix = "Check data.candidates, data.columns.mask and data.masked_value."
            raise UserError(f"in the split {name} no residue is scored", where=f"task {task.name}", fix=fix)


def _split_facts(part: pd.DataFrame, task: Task) -> SplitFacts:
    zero_shot = task.problem.zero_shot
    # What a model reads: of variants, their wild types.
    each = part.drop_duplicates("wildtype") if zero_shot else proteins(part) if task.problem.is_pair else part
    lengths = each["wildtype" if zero_shot else "sequence"].str.len()
    labels = part["label"].tolist()
    rows = hashlib.sha256()
    further = ["partner"] if task.problem.is_pair else [name for name in (*VARIANT_COLUMNS, "active") if name in part]
    for *texts, label in zip(*(part[name] for name in ["id", "sequence", *further]), labels, strict=True):
        rows.update(json.dumps(texts).encode())
        rows.update(np.ascontiguousarray(label).tobytes())
    clusters = each["cluster"].dropna()
    return SplitFacts(
        proteins=len(each),
        residues=int(lengths.sum()),
        labelled=sum(scored_labels(task, label) for label in labels),
        clusters=int(clusters.nunique()) if len(clusters) else None,
        rows_sha256=rows.hexdigest(),
        label_counts=label_counts(task, labels),
        longest=int(lengths.max()),
    )


def _with_label_findings(facts: DataFacts, task: Task) -> DataFacts:
    """Add lines on labels that a split never has: their scores are undefined or their training is impossible."""
    lines = []
    for name, split in facts.splits.items():
        absent = [label for label in task.label_names if split.label_counts and not split.label_counts[label]]
        if len(absent) > _LISTED:
            lines.append(f"{name}: no example of {len(absent):,} of {len(task.label_names):,} labels")
        elif absent:
            lines.append(f"{name}: no example of {', '.join(absent)}")
    return facts.model_copy(update={"findings": [*facts.findings, *lines]})


def _datasets(parts: dict[str, pd.DataFrame], facts: DataFacts, task: Task) -> datasets.DatasetDict:
    """Arrow tables without a Python loop over residues."""
    import datasets
    import pyarrow as pa

    with_clusters = any(part["cluster"].notna().any() for part in parts.values())
    made = {}
    for name, part in parts.items():
        columns = {
            "id": pa.array(part["id"], pa.string()),
            "sequence": pa.array(part["sequence"], pa.string()),
            "label": _label_array(part["label"].tolist(), task.problem),
        }
        further = ["cluster"] if with_clusters else []
        if task.problem.is_pair:
            further = ["partner", "protein", "partner_protein", *further, *(PARTNER[name] for name in further)]
        if task.problem.zero_shot:
            further += [name for name in VARIANT_COLUMNS if name in part]
        columns |= {name: pa.array(part[name], pa.string()) for name in further}
        if "active" in part:
            columns["active"] = pa.array(part["active"], pa.int8())
        table = datasets.table.InMemoryTable(pa.table(columns))
        made[name] = datasets.Dataset(table, fingerprint=facts.splits[name].rows_sha256[:16])
    return datasets.DatasetDict(made)


def _label_array(labels: list[Any], problem: Problem) -> Any:
    import pyarrow as pa

    if not problem.per_residue and problem.kind != "multilabel":
        return pa.array(labels, pa.int64() if problem.kind == "classification" else pa.float64())
    offsets = pa.array(np.cumsum([0, *map(len, labels)]), pa.int32())
    values = np.concatenate(labels)
    if values.ndim == 1:
        return pa.ListArray.from_arrays(offsets, pa.array(values))
    # int8 (residues × labels): a list of lists.
    inner = pa.array(np.arange(len(values) + 1) * values.shape[1], pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.ListArray.from_arrays(inner, pa.array(values.reshape(-1))))
