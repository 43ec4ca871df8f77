"""What the scripts under benchmarks/speed share, and that rivals are given the same task. Nothing here is timed."""

from __future__ import annotations

import csv
import os
import sys
from collections import Counter
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks" / "speed"


@pytest.fixture(autouse=True)
def scripts_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))


def test_ratios_are_within_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    import measuring

    # The second round is three times as slow for both: a busy machine.
    clock = iter([0, 4, 4, 6, 6, 18, 18, 24])
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: next(clock))
    timings = measuring.interleaved({"slow": lambda: None, "fast": lambda: None}, 2, "slow")
    assert (timings["fast"].ratio_low, timings["fast"].ratio, timings["fast"].ratio_high) == (2, 2, 2)
    assert (timings["fast"].low, timings["fast"].median, timings["fast"].high) == (2, 4, 6)


def test_a_process_is_charged_with_its_own_memory_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from measuring import process

    mine = bytearray(300_000_000)
    monkeypatch.setenv("THERE", "1")
    code = "import os; x = b'1' * 100_000_000; print(os.environ.get('THERE'), os.environ['HERE'])"
    done = process([sys.executable, "-c", code], {"HERE": "2", "THERE": ""})
    assert done.output == "None 2\n"
    assert 100 < done.megabytes < 250 and len(mine) > 250_000_000
    with pytest.raises(SystemExit, match="failed with 3"):
        process([sys.executable, "-c", "raise SystemExit(3)"], {})
    assert os.environ["THERE"] == "1"


@pytest.mark.parametrize("per_residue", [False, True])
def test_rivals_get_the_task_that_bench_gets(tmp_path: Path, per_residue: bool) -> None:
    from rivals import write_data

    from hubtools.data import DataCache, load_task_data
    from hubtools.specs.lookup.spec_files import load_task

    residues = write_data(tmp_path, 60, per_residue)
    rows = list(csv.DictReader((tmp_path / "data.csv").open()))
    assert sum(len(row["sequence"]) for row in rows) == residues
    lines = (tmp_path / "data.fasta").read_text().splitlines()
    for row, header, sequence in zip(rows, lines[::2], lines[1::2], strict=True):
        split = {"validation": "val"}.get(row["set"], row["set"])
        assert (header, sequence) == (f">{row['id']} TARGET={row['label']} SET={split}", row["sequence"])
    data = load_task_data(load_task(tmp_path / "task.yaml"), DataCache(tmp_path / "cache"))
    assert {name: len(split) for name, split in data.splits.items()} == Counter(row["set"] for row in rows)
    if per_residue:
        assert all(len(row["label"]) == len(row["sequence"]) for row in rows)
