"""``bench compare`` as people call it: what it prints, writes and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from comparison_cases import write_runs_of
from sample_records import FULL, PEPTIDES, PROBE, STRUCTURE

from hubtools.cli.compare import more_seeds
from hubtools.cli.main import cli, main
from hubtools.common.errors import UserError


def call(*arguments: str):
    return CliRunner().invoke(cli, ["compare", *arguments, "--replicates", "300"], catch_exceptions=False)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("compare") / "runs"
    write_runs_of(root, PEPTIDES, PROBE, quality=1.2, seeds=(1, 2, 3))
    write_runs_of(root, PEPTIDES, FULL, quality=2.4, seeds=(1, 2, 3))
    write_runs_of(root, STRUCTURE, PROBE, quality=1.0, seeds=(1, 2))
    write_runs_of(root, STRUCTURE, FULL, quality=1.01, seeds=(1, 2))
    return root


def test_two_arms_of_one_folder(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = call(f"{runs}:recipe=probe,task=anti*", f"{runs}:recipe=full,task=anti*")
    assert result.exit_code == 0
    assert "B is better: gain of" in result.stdout and "recipe: would training again" in result.stdout
    assert "next: hold further runs to this, bench check --baseline " in result.stderr
    # Nothing is written that was not asked for.
    assert not list(tmp_path.iterdir())


def test_the_exit_code_is_0_whatever_the_verdict(runs: Path) -> None:
    worse = call(f"{runs}:recipe=full,task=anti*", f"{runs}:recipe=probe,task=anti*")
    assert worse.exit_code == 0 and "B is worse" in worse.stdout
    open_ = call(f"{runs}:recipe=probe,task=sec*", f"{runs}:recipe=full,task=sec*", "--question", "recipe")
    assert open_.exit_code == 0 and "needs at least 3 seeds an arm, there are 2 and 2" in open_.stdout
    assert "next: more seeds, bench run --checkpoint facebook/esm2_t6_8M_UR50D" in open_.stderr
    assert "--recipe probe --seeds 3" in open_.stderr


def test_figure_markdown_and_json(runs: Path, tmp_path: Path) -> None:
    sides = (f"{runs}:recipe=probe", f"{runs}:recipe=full")
    figure = tmp_path / "forest.png"
    page = call(*sides, "--out", str(figure), "--format", "markdown", "--per-class")
    assert figure.read_bytes().startswith(b"\x89PNG") and f"wrote {figure}" in page.stderr
    assert "](forest.png)" in page.stdout and "| Helix |" in page.stdout
    content = json.loads(call(*sides, "--format", "json", "--metric", "accuracy").stdout)
    assert [(pair["task"]["name"], pair["metric"]) for pair in content["pairs"]] == [
        ("antimicrobial-peptide", "accuracy"),
        ("secondary-structure", "accuracy"),
    ]


@pytest.mark.parametrize(
    ("a", "b", "more", "line"),
    [
        ("nowhere", "", [], "there is no folder nowhere"),
        (":recipe=lora", "", [], "no complete run with results on test fits it"),
        ("", "", [], "are the same runs, and there is nothing to compare"),
        (":task=sec*", ":task=anti*", [], "no task is on both sides"),
        (
            ":recipe=probe",
            ":recipe=full",
            ["--metric", "mcccc"],
            "--metric: the task antimicrobial-peptide has no metric",
        ),
        (":recipe=probe", ":recipe=full", ["--split", "hpa"], "no run has results on a split hpa"),
        (":recipe=probe", ":recipe=full", ["--split", "validation"], "nothing is compared on validation"),
        (":recipe=probe", ":recipe=full", ["--out", "x.pdf"], "--out: x.pdf does not end with .png. Use --out x.png"),
        (":recipe=probe", ":recipe=full", ["--question", "luck"], "Invalid value for '--question'"),
        (":recipe=probe", ":recipe=full", ["--replicates", "3"], "Invalid value for '--replicates'"),
    ],
)
def test_what_cannot_be_compared_is_one_line_and_exit_code_2(
    runs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    a: str,
    b: str,
    more: list[str],
    line: str,
) -> None:
    sides = [a if a == "nowhere" else f"{runs}{a}", f"{runs}{b}"]
    monkeypatch.setattr("sys.argv", ["bench", "compare", *sides, *more])
    with pytest.raises(SystemExit) as exited:
        main()
    shown = capsys.readouterr().err
    assert exited.value.code == 2
    assert line in shown and len(shown.splitlines()) == 1 and shown.startswith("error: ")


def test_predictions_that_are_gone_are_named(runs: Path, tmp_path: Path) -> None:
    (folder,) = write_runs_of(tmp_path, PEPTIDES, PROBE)
    (folder / "predictions.parquet").unlink()
    with pytest.raises(UserError, match="there are no predictions"):
        call(f"{runs}:recipe=full,task=anti*", str(tmp_path))


def test_more_seeds_are_those_that_are_not_there() -> None:
    assert more_seeds("bench run --task t --seed 2", [2], 3) == "bench run --task t --seeds 1,3"
    assert more_seeds("bench run --seeds 1 --task 'a b'", [1, 2], 5) == "bench run --task 'a b' --seeds 3,4,5"
