"""A board, its results and what is handed in for it, on a Hub on loopback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from hub_server import Hub
from sample_records import ranked_runs, write_runs
from tiny_runs import made

from hubtools.findings.board.leaderboard import build_board
from hubtools.findings.naming.named_runs import runs_named
from hubtools.publishing.results_repository import RESULTS, result_rows, write_results
from hubtools.runs.store import read_record
from hubtools.specs.references import RESULT_RECORDS

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
SPACE, DATA = "me/board", "me/results"
Bench = Callable[..., tuple[int, str, str]]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    write_runs(tmp_path / "runs", ranked_runs())
    return tmp_path / "runs"


def files(hub: Hub, kind: str, repo: str) -> set[str]:
    return set(hub.repos[kind, repo].history()[0].files)


def test_the_board_as_a_static_space(hub: Hub, bench: Bench, runs: Path) -> None:
    code, _, err = bench("board", runs, "--push", SPACE)
    assert code == 0 and f"{hub.endpoint}/spaces/{SPACE}" in err, err
    there = files(hub, "spaces", SPACE)
    assert {"index.html", "README.md", "results.csv", "results.json", "bench-site.json"} <= there
    commit = hub.repos["spaces", SPACE].history()[0]
    text = hub.blob(commit.files["README.md"].sha256).read_text()
    values = yaml.safe_load(text.split("---\n")[1])
    assert (values["sdk"], values["app_file"]) == ("static", "index.html") and len(values["short_description"]) <= 60
    # The same again is nothing to do; somebody's own file stays, data of a table that is gone does not.
    assert "nothing to do" in bench("board", runs, "--push", SPACE)[2]
    hub.commit(hub.repos["spaces", SPACE], {"about.html": "mine", "data/old-v1-9.js": "x"})
    bench("board", runs, "--task", "localisation", "--push", SPACE)
    there = files(hub, "spaces", SPACE)
    assert "about.html" in there and "data/old-v1-9.js" not in there
    assert sum(name.startswith("data/") for name in there) == 1


def test_a_page_of_somebody_else_is_not_overwritten(hub: Hub, bench: Bench, runs: Path) -> None:
    hub.add_repo("spaces", SPACE, {"index.html": "mine", "photo.png": b"x"})
    code, _, err = bench("board", runs, "--push", SPACE)
    assert code == 2 and "a page that bench did not write" in err and not hub.writes


def test_what_the_hub_puts_into_a_new_space_is_no_page_of_somebody(hub: Hub, bench: Bench, runs: Path) -> None:
    hub.add_repo("spaces", SPACE, {"index.html": "welcome", "style.css": "", "README.md": "---\nsdk: static\n---\n"})
    assert bench("board", runs, "--push", SPACE)[0] == 0


@pytest.mark.slow
def test_a_board_is_made_from_a_results_repository(hub: Hub, bench: Bench, runs: Path) -> None:
    code, _, err = bench("board", runs, "--results", DATA)
    assert code == 0, err
    assert {"README.md", RESULTS, RESULT_RECORDS} <= files(hub, "datasets", DATA)
    found = runs_named([f"hub://{DATA}"]).found
    board, again = build_board(ranked_runs()), build_board(found)
    assert [[row.scores[t.primary].value for row in t.rows] for t in again.tables] == [
        [row.scores[t.primary].value for row in t.rows] for t in board.tables
    ]
    # And the command reads it as it reads a folder.
    assert bench("board", f"hub://{DATA}", "--format", "csv")[1] == bench("board", runs, "--format", "csv")[1]


@pytest.mark.slow
def test_so_is_one_from_a_folder_of_results(bench: Bench, runs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    code, shown, err = bench("board", runs, "--format", "csv", "--results", folder)
    assert code == 0 and f"wrote 3 files: {folder}" in err
    assert bench("board", folder, "--format", "csv")[1] == shown
    assert "bench board hub://" not in (folder / "README.md").read_text()
    code, _, err = bench("compare", folder, folder)
    assert code == 2 and "it has results alone, and predictions are wanted" in err


def test_the_table_holds_every_score_of_every_run(tmp_path: Path) -> None:
    found = ranked_runs()
    write_results(found, tmp_path, DATA)
    frame = pd.read_parquet(tmp_path / RESULTS)
    for _, record in found:
        for split in record.test_splits:
            rows = frame[(frame.run_id == record.run_id) & (frame.split == split)].set_index("metric")
            assert rows["value"].to_dict() == {m: s.value for m, s in record.results[split].scores.items()}
            assert rows["primary"].sum() == 1
    records = pq.read_table(tmp_path / RESULT_RECORDS)
    assert sorted(records["run_id"].to_pylist()) == sorted({record.run_id for _, record in found})
    card = yaml.safe_load((tmp_path / "README.md").read_text().split("---\n")[1])
    assert [config["config_name"] for config in card["configs"]] == ["results", "records"]


def test_datasets_reads_it_as_its_card_says(tmp_path: Path) -> None:
    import datasets

    found = ranked_runs()
    write_results(found, tmp_path / "repository", DATA)
    cache = str(tmp_path / "cache")
    results = datasets.load_dataset(str(tmp_path / "repository"), "results", split="train", cache_dir=cache)
    assert len(results) == len(result_rows(found)) and results.features["value"].dtype == "float64"
    records = datasets.load_dataset(str(tmp_path / "repository"), "records", split="train", cache_dir=cache)
    assert len(records) == len({record.run_id for _, record in found})


def test_the_same_records_give_the_same_files(tmp_path: Path) -> None:
    first, second = (
        [file.sha256 for file in write_results(ranked_runs(), tmp_path / name, DATA)] for name in ("a", "b")
    )
    assert first == second


@pytest.mark.slow
def test_a_submission_by_pull_request_is_checked_and_a_lie_is_found(
    hub: Hub, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = made(tmp_path, "sequence-classification")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    hub.add_repo("datasets", DATA, {"README.md": "# Results"})
    held = ("--project", tmp_path)
    code, out, err = bench("submissions", "add", run, "--repo", DATA)
    assert code == 0 and "opened a pull request" in out, err
    assert "submissions" not in " ".join(files(hub, "datasets", DATA)), "main is as it was"
    code, out, err = bench("submissions", "check", f"hub://{DATA}@refs/pr/1", *held, "--json", tmp_path / "report.json")
    assert code == 3 and "0 accepted, 0 refused, 1 not wholly checked" in out, out + err
    assert "✓ scores" in out and "? checkpoint: its checkpoint is a folder" in out
    (report,) = json.loads((tmp_path / "report.json").read_text())
    assert report["submission"] == read_record(run).run_id and report["accepted"] is None
    # The same run with a better score: the pull request is found out.
    bench("submissions", "add", run, "--to", tmp_path / "lies")
    record_file = tmp_path / "lies" / read_record(run).run_id / "run.json"
    record = json.loads(record_file.read_text())
    record["results"]["test"]["scores"]["accuracy"]["value"] = 0.99
    record_file.write_text(json.dumps(record))
    code, out, _ = bench("submissions", "check", tmp_path / "lies", *held)
    assert code == 1 and "✗ scores: accuracy on test" in out and "1 refused" in out


def test_where_a_submission_goes_must_be_said(bench: Bench, tmp_path: Path) -> None:
    assert "Give --to DIR, or --repo" in bench("submissions", "add", tmp_path)[2]
    code, _, err = bench("submissions", "check", tmp_path)
    assert code == 2 and "there is no submission in it" in err
