"""A task and a recipe, added as docs/extending.md says: one file each, found by name."""

from __future__ import annotations

import csv
import shlex
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from extending_page import PAGE, blocks
from tiny_tasks import tiny_split

from hubtools.cli.main import cli
from hubtools.runs.store import find_records

SECTION = "A task or a recipe"


@pytest.mark.slow
def test_the_files_of_the_page_are_found_by_name_and_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    task, recipe = blocks(SECTION, "yaml")
    for folder, text in (("tasks", task), ("benchmarks/recipes", recipe)):
        (tmp_path / folder).mkdir(parents=True)
        path = f"{folder}/{yaml.safe_load(text)['name']}.yaml"
        assert f"`{path}`" in PAGE.read_text(encoding="utf-8")
        (tmp_path / path).write_text(text)
    with (tmp_path / "tasks" / "solubility.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["id", "sequence", "soluble", "set"])
        for seed, split in enumerate(("train", "test")):
            for row in tiny_split("sequence-classification", 40, seed):
                table.writerow([row["id"], row["sequence"], row["label"], split])
    for line in blocks(SECTION, "sh")[0].splitlines():
        program, *arguments = shlex.split(line)
        done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
        assert program == "bench" and done.exit_code == 0, done.output
    ((_, record),) = find_records([tmp_path / "runs"])[0]
    assert (record.status, record.identity.task.name, record.identity.recipe.name) == (
        "complete",
        "solubility",
        "probe-narrow",
    )
