"""Files that are not what the run wrote: every command that reads one says which, of which run, and what to do."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sample_records import BASELINES, FULL, PEPTIDES, PROBE, relisted, write_full_run

sys.path.insert(0, str(Path(__file__).parents[1] / "publishing"))
from small_run import make_run

from hubtools.evaluation import score_and_resample
from hubtools.evaluation.statistics.resampled import write_replicates
from hubtools.runs.store import PREDICTIONS, RECORD, REPLICATES, open_run, read_record

Bench = Callable[..., tuple[int, str, str]]


def written(root: Path, recipe: object, **more: object) -> Path:
    """A run with everything that a run writes but a model."""
    folder = write_full_run(root, PEPTIDES, recipe, **more)  # type: ignore[arg-type]
    run = open_run(folder)
    test = run.predictions["test"]
    _, drawn, units = score_and_resample(PEPTIDES, test, [0.5], replicates=50)
    write_replicates(folder / REPLICATES, {"test": drawn}, {"test": units})
    return relisted(folder)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two runs of one task in the folder ``runs``, the first of which will be altered."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return written(Path("runs"), FULL), written(Path("runs"), PROBE)


def alter(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "random bytes":
        path.write_bytes(os.urandom(len(content)))
    elif how == "other size":
        path.write_bytes(content + b"\0")
    else:
        # One bit: the file can still be read, and says something else.
        path.write_bytes(content[:-40] + bytes([content[-40] ^ 1]) + content[-39:])


HOW = ["random bytes", "other size", "one bit"]
COMMANDS = {
    "card": lambda run, other: ["card", run],
    "compare": lambda run, other: ["compare", other, run],
    "compare, as A": lambda run, other: ["compare", run, other],
    "check": lambda run, other: ["check", "--baseline", other, "--candidate", run],
    "baseline create": lambda run, other: ["baseline", "create", "held", "--runs", run],
    "submissions add": lambda run, other: ["submissions", "add", run, "--to", "handed-in"],
    "reproduce": lambda run, other: ["reproduce", run, "--dry-run"],
}


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("command", COMMANDS)
def test_other_predictions_stop_what_reads_them(
    command: str, how: str, runs: tuple[Path, Path], bench: Bench, blank_figures: None
) -> None:
    run, other = runs
    alter(run / PREDICTIONS, how)
    code, _, err = bench(*COMMANDS[command](run, other))
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    identifier = read_record(run).run_id
    assert (
        code == 2 and f"{run}/{PREDICTIONS}: it changed after the run {identifier}: it is not what was measured" in line
    )
    assert f"Put it back, or run it again: {read_record(run).command} --force." in line
    assert not (Path("handed-in") / identifier).exists() and not (run / "card").exists()


def test_predictions_that_are_gone_are_not_taken_for_a_run_without(runs: tuple[Path, Path], bench: Bench) -> None:
    run, other = runs
    (run / PREDICTIONS).unlink()
    for command in ("card", "compare", "check"):
        code, _, err = bench(*COMMANDS[command](run, other))
        assert code == 2 and f"{run}/{PREDICTIONS}: it is gone. Put it back" in err, command


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name", [PREDICTIONS, REPLICATES])
def test_a_board_leaves_the_run_out_and_shows_the_others(
    name: str, how: str, runs: tuple[Path, Path], bench: Bench
) -> None:
    run, other = runs
    written(Path("runs"), BASELINES["composition"])
    alter(run / name, how)
    code, out, err = bench("board", "--format", "json")
    shown = {seed["run_id"] for table in json.loads(out)["tables"] for row in table["rows"] for seed in row["runs"]}
    assert code == 0 and read_record(other).run_id in shown and len(shown) == 2
    (line,) = [line for line in err.splitlines() if "left out" in line]
    assert f"{run}/{name}: it changed after the run {read_record(run).run_id}" in line


def test_a_card_reads_no_other_replicates_either(runs: tuple[Path, Path], bench: Bench) -> None:
    run, _ = runs
    alter(run / REPLICATES, "random bytes")
    code, _, err = bench("card", run)
    assert code == 2 and f"{run}/{REPLICATES}: it changed after the run" in err


def test_a_file_that_the_run_did_not_write_is_not_read(runs: tuple[Path, Path], bench: Bench) -> None:
    run, other = runs
    record = json.loads((run / RECORD).read_text())
    record["outputs"] = [file for file in record["outputs"] if file["path"] != PREDICTIONS]
    (run / RECORD).write_text(json.dumps(record))
    code, _, err = bench("compare", run, other)
    assert code == 2 and f"{run}/{PREDICTIONS}: the run {record['run_id']} did not write it. Remove it" in err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("model.safetensors", "it changed after the run"),
        ("config.json", "it changed after the run"),
        ("tokenizer.json", "did not write it"),
    ],
)
@pytest.mark.parametrize("layout", ["as a run", "as published"])
def test_predict_loads_no_other_model(layout: str, name: str, said: str, tmp_path: Path, bench: Bench) -> None:
    run = make_run(tmp_path / "run")
    place = run / "model"
    if layout == "as published":
        for path in place.iterdir():
            path.rename(run / path.name)
        place.rmdir()
        place = run
    if name == "tokenizer.json":
        (place / name).write_text("{}")
    else:
        alter(place / name, "random bytes")
    (tmp_path / "x.fasta").write_text(">a\nMKTAYIAK\n")
    code, out, err = bench("predict", run, tmp_path / "x.fasta")
    assert (code, out) == (2, "") and f"{place / name}: " in err and said in err and read_record(run).run_id in err


def test_predict_loads_no_model_of_which_a_part_is_gone(tmp_path: Path, bench: Bench) -> None:
    run = make_run(tmp_path / "run")
    (run / "model" / "vocab.txt").unlink()
    (tmp_path / "x.fasta").write_text(">a\nMKTAYIAK\n")
    code, _, err = bench("predict", run, tmp_path / "x.fasta")
    assert code == 2 and "vocab.txt: it is gone" in err


@pytest.mark.parametrize("name", [PREDICTIONS, "model/model.safetensors", "training.jsonl"])
def test_publish_sends_none_of_it(
    name: str, tmp_path: Path, bench: Bench, blank_figures: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # There is no Hub to wait for.
    monkeypatch.setattr("hubtools.publishing.patience.ATTEMPTS", 1)
    run = make_run(tmp_path / "run")
    alter(run / name, "random bytes")
    code, out, err = bench("publish", run, "--repo", "me/peptides", "--dry-run")
    assert code == 2 and "nothing was sent" in err
    (line,) = [line for line in (out + err).splitlines() if "✗ files are those of the run" in line]
    assert f"{run / name}: it changed after the run {read_record(run).run_id}" in line


def test_a_large_file_is_read_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("hubtools.data.sources.file_cache.REMEMBERED_ABOVE", 1)
    run = make_run(tmp_path / "run")
    open_run(run).model_files()
    with monkeypatch.context() as patch:
        patch.setattr(
            "hubtools.data.sources.file_cache.file_sha256", lambda path: pytest.fail(f"{path} was read again")
        )
        open_run(run).model_files()
    weights = run / "model" / "model.safetensors"
    before = weights.stat()
    alter(weights, "one bit")
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    with pytest.raises(Exception, match="changed after the run"):
        open_run(run).model_files()
