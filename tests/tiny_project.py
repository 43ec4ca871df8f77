"""A user's folder as it would be: tasks with their tables, a checkpoint. Everything tiny, nothing downloaded."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import yaml
from tiny_tasks import METRIC, PROBLEMS, tiny_split

SPLITS = ("train", "validation", "test")
# Few steps that learn something: the rule behind the labels is easy.
QUICK = {"epochs": 2, "batch_size": 8, "learning_rate": 3e-3, "head_learning_rate": 1e-2}


def task_name(problem: str) -> str:
    return f"tiny-{problem}"


def write_task(folder: Path, problem: str, n: int = 40, **changes: Any) -> Path:
    """Write ``tasks/tiny-<problem>.yaml`` and its CSV below a folder; ``changes`` replace keys of the task."""
    (folder / "tasks").mkdir(parents=True, exist_ok=True)
    write_rows(folder, problem, tiny_rows(problem, n))
    kind = problem.split("-")[1]
    task: dict[str, Any] = {
        "name": task_name(problem),
        "version": 1,
        "title": "Tiny",
        "problem": problem,
        "summary": "Made up.",
        "data": {
            "source": "file",
            "files": [{"path": f"{problem}.csv"}],
            "columns": {"id": "id"},
            "splits": {split: {"where": {"set": split}} for split in SPLITS},
        },
        "metrics": {"primary": METRIC[kind]},
        "licence": "CC0-1.0",
        "citation": "none",
    }
    if kind == "classification":
        task["labels"] = {"0": "other", "1": "aromatic"}
    elif kind == "multilabel":
        task["labels"] = ["acid", "aromatic"]
    if problem.startswith("pair-"):
        task["data"]["columns"]["partner"] = "partner"
    if problem in {"sequence-multilabel", "pair-multilabel"}:
        task["data"]["label_separator"] = ";"
    path = folder / "tasks" / f"{task_name(problem)}.yaml"
    path.write_text(yaml.safe_dump({**task, **changes}, sort_keys=False))
    return path


def tiny_rows(problem: str, n: int = 40) -> list[dict[str, str]]:
    """The rows of a task's table: id, sequence (and partner), label as a CSV can hold it, set."""
    columns = ("id", "sequence", "partner") if problem.startswith("pair-") else ("id", "sequence")
    return [
        {**{column: row[column] for column in columns}, "label": _cell(row["label"], problem), "set": split}
        for seed, split in enumerate(SPLITS)
        for row in tiny_split(problem, n, seed)
    ]


def _cell(label: Any, problem: str) -> str:
    if problem in {"sequence-multilabel", "pair-multilabel"}:
        return ";".join(name for name, has in zip(("acid", "aromatic"), label, strict=True) if has)
    return json.dumps(label) if isinstance(label, list) else str(label)


def write_rows(folder: Path, problem: str, rows: list[dict[str, str]]) -> None:
    """Write a task's table."""
    with (folder / "tasks" / f"{problem}.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_project(folder: Path, *problems: str, **changes: Any) -> Path:
    """A folder with a task of each problem type (all of them if none is named)."""
    for problem in problems or PROBLEMS:
        write_task(folder, problem, **changes)
    return folder
