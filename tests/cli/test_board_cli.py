"""``bench board`` as people call it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from sample_records import BASELINES, FULL, LOCALISATION, make_record, sample_runs, write_runs

from hubtools.cli.board import board
from hubtools.cli.main import cli
from hubtools.common.errors import UserError
from hubtools.runs.store import RECORD


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    write_runs(root, sample_runs())
    return root


def call(*arguments: str):
    return CliRunner().invoke(cli, ["board", *arguments], catch_exceptions=False)


def test_table_on_stdout_talk_on_stderr(runs: Path) -> None:
    result = call("--runs", str(runs))
    assert result.exit_code == 0
    assert "Subcellular localisation · version 1" in result.stdout
    assert "next:" in result.stderr and "next:" not in result.stdout


def test_data_formats_are_clean_on_stdout(runs: Path) -> None:
    assert len(json.loads(call(str(runs), "--format", "json").stdout)["tables"]) == 7
    assert call(str(runs), "--format", "csv").stdout.startswith("task,task_version,")
    assert call(str(runs), "--format", "markdown").stdout.startswith("## ")


def test_one_task(runs: Path) -> None:
    content = json.loads(call(str(runs), "--task", "gb1-fitness", "--format", "json").stdout)
    assert {table["task"] for table in content["tables"]} == {"gb1-fitness"}


def test_html_is_written_whole(runs: Path, tmp_path: Path) -> None:
    page = tmp_path / "deep" / "board.html"
    result = call(str(runs), "--html", str(page))
    assert page.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert str(page) in result.stderr
    assert [path.name for path in page.parent.iterdir()] == ["board.html"]


def test_several_folders_and_single_runs(runs: Path, tmp_path: Path) -> None:
    write_runs(tmp_path, [(tmp_path, make_record(LOCALISATION, FULL, 0.99, checkpoint="me/mine"))])
    single = next(tmp_path.iterdir())
    content = json.loads(call(str(runs), str(single), "--format", "json", "--task", "localisation").stdout)
    assert content["tables"][0]["rows"][0]["subject"] == "me/mine"


def test_the_next_step_fits(tmp_path: Path) -> None:
    write_runs(tmp_path, [(tmp_path, make_record(LOCALISATION, BASELINES["majority"], 0.1))])
    assert "add a checkpoint" in call(str(tmp_path)).stderr
    write_runs(tmp_path, [(tmp_path, make_record(LOCALISATION, FULL, 0.5, checkpoint="a/b"))])
    assert "--html board.html" in call(str(tmp_path)).stderr
    assert "next: write a model card, bench card" in call(str(tmp_path), "--html", str(tmp_path / "x.html")).stderr
    write_runs(tmp_path, [(tmp_path, make_record(LOCALISATION, FULL, 0.0, checkpoint="a/c", status="interrupted"))])
    assert "finish what stopped" in call(str(tmp_path)).stderr


def test_a_damaged_record_is_named_and_the_others_shown(tmp_path: Path) -> None:
    write_runs(tmp_path, [(tmp_path, make_record(LOCALISATION, FULL, 0.5, checkpoint="a/b"))])
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / RECORD).write_text("{")
    result = call(str(tmp_path))
    assert "left out:" in result.stderr and "broken" in result.stderr
    assert "a/b" in result.stdout


def test_no_runs_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no run in"):
        call(str(tmp_path))
    with pytest.raises(UserError, match="there is no folder"):
        call("--runs", str(tmp_path / "nowhere"))


def test_it_starts_without_the_heavy_libraries(runs: Path, tmp_path: Path) -> None:
    """A board of records must come at once: numpy alone is needed for it, for ranks over tasks."""
    code = (
        "import sys; from hubtools.cli.main import cli; "
        f"cli.main(['board', {str(runs)!r}, '--html', {str(tmp_path / 'b.html')!r}], standalone_mode=False); "
        "heavy = {'torch', 'transformers', 'datasets', 'sklearn', 'pandas', 'scipy', 'matplotlib', 'pyarrow'}; "
        "print('LOADED', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "LOADED []" in done.stdout


def test_help_names_the_options() -> None:
    text = CliRunner().invoke(board, ["--help"]).output
    for option in ("--runs", "--task", "--split", "--format", "--html"):
        assert option in text
