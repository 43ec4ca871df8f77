"""A task and its files in a folder, made from the few things a test is about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from hubtools.data import DataCache, TaskData, load_task_data
from hubtools.specs.lookup.spec_files import load_task
from hubtools.specs.problem import Problem
from hubtools.specs.task import Task

METRIC = {"classification": "accuracy", "multilabel": "macro_f1", "regression": "spearman"}
BY_SET = {split: {"where": {"set": split}} for split in ("train", "validation", "test")}


def write_task(folder: Path, files: dict[str, str | bytes], **options: Any) -> Path:
    """Write ``t.yaml`` and its files; options are keys of the task or, where it has none such, of its data.

    ``entries`` gives further keys of single files, by name.
    """
    problem = options.pop("problem", "sequence-classification")
    kind = Problem(problem).kind
    entries = options.pop("entries", {})
    for name, content in files.items():
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    task: dict[str, Any] = {
        "name": "t",
        "version": 1,
        "title": "T",
        "problem": problem,
        "summary": "s",
        "data": {"source": "file", "files": [{"path": name, **entries.get(name, {})} for name in files]},
        "metrics": {"primary": METRIC[kind]},
        "licence": "CC0-1.0",
        "citation": "none",
    }
    if kind != "regression":
        task["labels"] = ["a", "b"]
    for key, value in options.items():
        (task if key in Task.model_fields else task["data"])[key] = value
    if not {"split", "splits"} & set(task["data"]):
        task["data"]["splits"] = BY_SET
    path = folder / "t.yaml"
    path.write_text(yaml.safe_dump(task, sort_keys=False))
    return path


def load(folder: Path, files: dict[str, str | bytes], subset: int | None = None, **options: Any) -> TaskData:
    """Write a task and load its data."""
    task = load_task(str(write_task(folder, files, **options)))
    return load_task_data(task, DataCache(folder / "cache"), subset=subset)


def csv(rows: list[tuple[Any, ...]], header: str = "sequence,label,set") -> str:
    """A CSV table."""
    return "\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n"
