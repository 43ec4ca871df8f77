"""``bench tasks``: what people and programs read from it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from tiny_checkpoints import write_checkpoint

import hubtools
from hubtools.cli.tasks.group import tasks
from hubtools.common.errors import UserError
from hubtools.specs.lookup.content import shipped_root
from hubtools.specs.lookup.spec_files import load_task

TASK = """\
name: sites
version: 3
title: Sites
problem: residue-classification
summary: Is it a site?
data:
  source: file
  files: [{path: sites.csv}]
  columns: {sequence: seq, label: sites, id: name}
  splits:
    train: {where: {set: train}}
    test: {where: {set: test}}
labels: {"0": other, "1": site}
metrics: {primary: mcc}
licence: CC0-1.0
citation: Somebody, somewhere [1]
notes: ["Read [this] first."]
"""
ROWS = """\
name,seq,sites,set
p1,MKTXX,00110,train
p2,mkvu,0101,train
p3,MKTAYIAK,00000001,train
p4,MKTXX,00111,test
p5,ACD,001,test
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder with one task."""
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "sites.yaml").write_text(TASK)
    (tmp_path / "tasks" / "sites.csv").write_text(ROWS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("BENCH_DATA_MIRROR", raising=False)
    return tmp_path


def output(*arguments: str) -> str:
    result = CliRunner().invoke(tasks, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_list_has_own_and_shipped_tasks(project: Path) -> None:
    lines = output("list").splitlines()
    assert any(line.split()[:2] == ["sites", "Sites"] for line in lines)
    assert any(line.startswith("localisation ") for line in lines)
    listed = {task["name"]: task for task in json.loads(output("list", "--json"))}
    assert listed["sites"]["labels"] == ["other", "site"]
    assert listed["sites"]["path"] == str(project / "tasks" / "sites.yaml")
    assert listed["localisation"]["test_splits"] == ["test", "hpa"]


def test_the_table_in_the_readme_is_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    readme = (shipped_root() / "tasks" / "README.md").read_text(encoding="utf-8")
    # If this fails: put the output of `bench tasks list --markdown` into tasks/README.md.
    assert output("list", "--markdown").strip() in readme
    assert output("list", "--markdown", "--templates").strip() in readme


def test_a_template_is_left_out_and_says_what_it_is(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that was never loaded: kept apart from the others, and named by who would run it."""
    path = project / "tasks" / "sites.yaml"
    whole = load_task(str(path))
    path.write_text(path.read_text().replace("summary:", "template: Nobody had the file.\nsummary:", 1))
    said = "sites is a template, a task that has never been loaded. Nobody had the file."
    listed = hubtools.tasks()
    assert "sites" not in listed.names and "sites" in listed.templates and "glycosylation" in listed.templates
    text = output("list")
    assert f"{len(listed.templates)} templates that have never been loaded: bench tasks list --templates" in text
    assert "glycosylation" not in text
    assert "sites: Nobody had the file." in output("list", "--templates")
    assert (
        "sites" in hubtools.tasks(templates=True).names and "localisation" not in hubtools.tasks(templates=True).names
    )
    (one,) = [task for task in json.loads(output("list", "--json", "--templates")) if task["name"] == "sites"]
    assert one["template"] == "Nobody had the file."
    assert said in output("show", "sites")
    warned: list[str] = []
    monkeypatch.setattr("hubtools.common.telling.warn", warned.append)
    assert len(hubtools.plan(task="sites", recipe="majority")) == 1 and warned == [said]
    assert said in hubtools.check_task("sites").data.facts.findings
    # The line is no part of the task's identity: it goes once the data were loaded.
    assert load_task(str(path)).hash == whole.hash


def test_show_says_everything_a_reader_needs(project: Path) -> None:
    text = output("show", "sites")
    for said in (
        "Sites (sites, version 3)",
        "site (1 in the data)",
        "sites.csv",
        "train: all files, set is train",
        "validation: 10% of train, drawn by seed 0",
        "MCC (ranks)",
        "CC0-1.0",
        "Read [this] first.",
        "Somebody, somewhere [1]",
    ):
        assert said in text


def test_show_says_what_is_merged_looked_up_and_kept_together(tmp_path: Path) -> None:
    pair = TASK.replace("residue-classification", "pair-classification").replace(
        "[{path: sites.csv}]", "[{path: pairs.csv}, {path: proteins.fasta, lookup: true}]"
    )
    start, end = pair.index("  columns:"), pair.index("licence:")
    changed = """\
  columns: {sequence: a, partner: b}
  split: {fractions: {train: 0.8, test: 0.2}, by: clusters, identity: 0.3, seed: 7}
labels: {"0": apart, H: together, G: together}
metrics: {primary: mcc}
"""
    (tmp_path / "sites.yaml").write_text(pair[:start] + changed + pair[end:])
    text = output("show", str(tmp_path / "sites.yaml"))
    for said in (
        "together (H, G in the data)",
        "proteins.fasta, sequences that rows name (lookup)",
        "train: 80%",
        "proteins drawn by seed 7; clusters (at least 30% identity over 80% of both) and equal sequences stay on one side",
    ):
        assert said in text


def test_list_says_what_is_hidden_and_goes_on_after_a_broken_file(project: Path) -> None:
    (project / "tasks" / "localisation.yaml").write_text(TASK.replace("name: sites", "name: localisation"))
    (project / "tasks" / "broken.yaml").write_text(TASK.replace("version:", "verson:"))
    result = CliRunner().invoke(tasks, ["list"], catch_exceptions=False)
    assert result.exit_code == 0
    shipped = shipped_root() / "tasks" / "localisation.yaml"
    assert f"localisation is that of ./tasks; it hides {shipped} (bench)" in result.stdout
    assert result.stderr.startswith("warning: ") and "broken.yaml:2: verson: unknown key" in result.stderr
    listed = {task["name"]: task for task in json.loads(output("list", "--json"))}
    assert (listed["localisation"]["from"], listed["localisation"]["hides"]) == ("./tasks", [str(shipped)])


def test_check_counts_what_is_there(project: Path) -> None:
    rows = {line.split()[0]: line.split() for line in output("check", "sites").splitlines() if line}
    # proteins, residues, residues scored, clusters, lengths: p1 is left out, its sequence is in test.
    assert rows["test"][1:5] == ["2", "8", "8", "–"]
    assert rows["test"][5:11] == ["3", "4", "4", "4", "5", "5"]
    assert rows["test"][11:] == ["X", "2"]
    assert {rows["train"][1], rows["validation"][1]} == {"1"}
    assert rows["site"][-2:] == ["4", "(50.0%)"]
    text = output("check", "sites")
    assert "changed: 1 sequences, upper-cased" in text
    assert "found: 1 training proteins removed: their sequence is in test (1 sequences)" in text
    assert text.splitlines()[-1] == "sites is in order"


def test_check_proves_that_a_checkpoint_reads_the_task(project: Path) -> None:
    checkpoint = write_checkpoint(project / "model", "modernbert")
    text = " ".join(output("check", "sites", "--checkpoint", str(checkpoint)).split())
    # One U, which this vocabulary lacks.
    assert "alignment with model: 20 of 20 residues aligned; shown as X: U 1 (table lookup" in text
    assert "tokens of model: 20, 0 of them unknown to its vocabulary" in text
    assert "window of model: 1,022 residues" in text
    assert re.search(
        r"batches of model: \d proteins of 3 to 8 residues padded: at most \d.\de[-+]\d\d of the usual size", text
    )


def test_what_is_wrong_is_one_line_on_stderr(project: Path) -> None:
    (project / "tasks" / "sites.csv").write_text(ROWS.replace("00111", "0011"))
    command = [sys.executable, "-m", "hubtools.cli.main", "tasks", "check", "sites"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == (
        "error: task sites, p4: 4 labels for 5 residues: shorter than the sequence. Correct the data.\n"
    )


def test_a_mirror_that_is_not_there(project: Path) -> None:
    with pytest.raises(UserError, match="there is no data mirror"):
        output("check", "sites", "--data-mirror", str(project / "absent"))
