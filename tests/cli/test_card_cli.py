"""``bench card`` as people call it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from sample_records import BASELINES, PEPTIDES, STRUCTURE, write_full_run

from hubtools.cli.main import cli
from hubtools.common.errors import UserError
from hubtools.runs.store import read_record, write_record


def call(*arguments: str):
    return CliRunner().invoke(cli, ["card", *arguments], catch_exceptions=False)


def test_it_prints_the_path_of_each_card(tmp_path: Path) -> None:
    folders = [write_full_run(tmp_path, task) for task in (PEPTIDES, STRUCTURE)]
    result = call(*map(str, folders))
    assert result.exit_code == 0
    assert result.stdout.split() == [str(folder / "card" / "README.md") for folder in folders]
    assert all((folder / "card" / "README.md").is_file() for folder in folders)
    assert "wrote the card and 2 figures" in result.stderr


def test_a_model_can_be_published_next(tmp_path: Path) -> None:
    folder = write_full_run(tmp_path, PEPTIDES)
    assert "holds no model" in call(str(folder)).stderr
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    assert f"next: bench publish {folder} --repo YOU/antimicrobial-peptide --dry-run" in call(str(folder)).stderr
    record = read_record(folder)
    record.task["licence"] = "unknown"
    write_record(folder, record)
    assert "--repo YOU/antimicrobial-peptide --licence ID --dry-run" in call(str(folder)).stderr


def test_a_baseline_is_explained(tmp_path: Path) -> None:
    folder = write_full_run(tmp_path, PEPTIDES, BASELINES["composition"])
    assert "a baseline keeps no model" in call(str(folder)).stderr


def test_a_folder_that_is_no_run_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no run record\. Name a folder that bench run made"):
        call(str(tmp_path))
