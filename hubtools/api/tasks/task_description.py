"""What a task asks, on which data, scored how: in words."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING

from hubtools.api.asked import task_of
from hubtools.common.notebook import facts_html, line_html
from hubtools.specs.references import is_address

if TYPE_CHECKING:
    from hubtools.specs.data_sources import Data
    from hubtools.specs.task import Task


@dataclass(frozen=True)
class TaskDescription:
    """A task in words.

    Attributes:
        task: the checked file.
        facts: what is said of it (problem, labels, data, files, splits, scored by, ...), some of several lines.
    """

    task: Task
    facts: dict[str, str]

    def __repr__(self) -> str:
        lines = [f"{self.task.title} ({self.task.name}, version {self.task.version})"]
        for name, text in self.facts.items():
            first, *rest = text.splitlines()
            lines += [f"{name:<12} {first}", *(f"{'':<12} {line}" for line in rest)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        task = self.task
        said = line_html(f"{task.title} ({task.name}, version {task.version})", strong=True) + line_html(task.summary)
        trust = {"trust": f"{task.trust.colour}: {task.trust.reason}"} if task.trust else {}
        more = {**trust, "notes": "\n".join(task.notes), "citation": task.citation.rstrip()}
        return said + facts_html((name, text) for name, text in {**self.facts, **more}.items() if text)


def describe_task(task: str | PathLike[str] | Task, *, labels: int | None = None) -> TaskDescription:
    """What a task asks, on which data, scored how.

    Args:
        task: name, file, folder, ``hub://user/repo[@revision][/name]``, or what :func:`hubtools.load_task` gave.
        labels: of more labels than this, the first are named.

    Raises:
        UserError: there is no such task, or its file is wrong.

    >>> import hubtools
    >>> hubtools.describe_task("localisation").facts["problem"]
    'sequence-multilabel'
    """
    reference, spec = task_of(task)
    facts = _facts(spec, labels)
    if reference is not None and is_address(reference) and spec.local_files:
        facts["data"] = f"files of {reference}"
    return TaskDescription(spec, facts)


def _facts(task: Task, labels: int | None) -> dict[str, str]:
    from hubtools.data.sources.known_sources import source_of
    from hubtools.findings.wording import averages
    from hubtools.specs.metric_names import METRICS

    data = task.data
    files = "\n".join(
        f"{file.name}: {file.location}{f' ({file.member})' if file.member else ''}"
        f"{', sequences that rows name (lookup)' if file.lookup else ''}"
        f"{f', facts joined by {file.joins}' if file.joins else ''}"
        for file in data.files
    )
    named = "\n".join(_label_words(task, labels))
    scored = ", ".join(
        f"{METRICS[name].title}{' (ranks)' if name == task.metrics.primary else ''}" for name in task.metrics.names
    )
    rows = {
        "template": task.template_told,
        "problem": task.problem.value,
        "labels": named or f"a number{f' ({task.unit})' if task.unit else ''}",
        "detects": task.metrics.positive or "",
        "data": source_of(data).described(),
        "files": files,
        "chains": task.chains_told,
        "structures": _structure_words(data),
        "splits": "\n".join(_split_words(task)),
        "scored by": scored,
        "averaged": averages(task),
        "worse means": f"a loss of more than {task.margin:g} in {METRICS[task.metrics.primary].title}",
        "licence": task.licence,
        "homepage": task.homepage or "",
    }
    return {key: value for key, value in rows.items() if value}


def _structure_words(data: Data) -> str:
    """Where structures are from; empty where there are none."""
    files, column = data.structures, data.columns.structure
    if files is None:
        return f"3Di letters (column {column})" if column else ""
    return f"files in {files.folder}, named by {f'the column {column}' if column else 'id'}"


def _label_words(task: Task, most: int | None) -> list[str]:
    """Each label with what the data call it: `helix (H, G, I in the data)`."""
    values: dict[str, list[str]] = {}
    for value, name in task.labels.items():
        values.setdefault(name, []).append(value)
    words = [name if given == [name] else f"{name} ({', '.join(given)} in the data)" for name, given in values.items()]
    more = [f"… {len(words):,} in all"] if most is not None and len(words) > most else []
    return words[:most] + more


def _together(data: Data) -> str:
    """What a drawn split keeps on one side."""
    rule = data.cluster_rule
    if (data.split is not None and data.split.by == "sequences") or not (rule or data.columns.cluster):
        return "equal sequences"
    if data.columns.cluster:
        return f"clusters (column {data.columns.cluster}) and equal sequences"
    if rule is not None and rule.identity is not None:
        return f"clusters (at least {rule.identity:.0%} identity over {rule.coverage:.0%} of both) and equal sequences"
    assert rule is not None
    return f"clusters (sharing {rule.min_shared:.0%} of the {rule.k}-mers of the smaller) and equal sequences"


def _split_words(task: Task) -> list[str]:
    data = task.data
    if data.split is not None:
        lines = [f"{name}: {share:.0%}" for name, share in data.split.fractions.items()]
        several = task.problem.level.proteins > 1
        what = "proteins drawn" if several else "drawn"
        by = ", stratified by label" if data.stratified else ""
        lines.append(f"{what} by seed {data.split.seed}{by}; {_together(data)} stay on one side")
        if several:
            lines.append("shares are of proteins; a pair whose proteins are in different splits is left out")
        declared = set(data.split.fractions)
    elif data.folds is not None:
        how = (
            f"named by the column {data.folds.column}" if data.folds.column else f"{data.folds.k}, {data.folds.scheme}"
        )
        by = f" by seed {data.folds.seed}" if data.folds.scheme == "random" else ""
        lines = [f"test: all rows, each predicted out of its fold (folds: {how}{by})"]
        share, seed = data.validation_fraction, data.validation_seed
        return [*lines, f"validation: {share:.0%} of the other folds in each fit, drawn by seed {seed}"]
    else:
        lines = []
        for name, rule in (data.splits or {}).items():
            where = [f"{column} is {' or '.join(value or 'empty' for value in v)}" for column, v in rule.where.items()]
            lines.append(f"{name}: {', '.join(rule.files) or 'all files'}{''.join(f', {part}' for part in where)}")
        declared = set(data.splits or {})
    if "validation" not in declared and task.learns:
        by = ", stratified by label" if data.stratified and data.split is None else ""
        lines.append(f"validation: {data.validation_fraction:.0%} of train, drawn by seed {data.validation_seed}{by}")
    return lines
