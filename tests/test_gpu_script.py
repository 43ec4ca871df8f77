"""``benchmarks/gpu.py`` where there is no card: its checks run with tiny shapes, and can fail."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def scripts_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (FOLDER / "speed", FOLDER):
        monkeypatch.syspath_prepend(str(folder))


def gpu(*options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(FOLDER / "gpu.py"), *options]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.slow
def test_all_of_it_runs_on_a_processor(tmp_path: Path) -> None:
    done = gpu("--smoke", "--out", str(tmp_path / "gpu.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    whole = json.loads((tmp_path / "gpu.json").read_text())
    verdicts = {row["check"]: row["verdict"] for row in whole["checks"]}
    assert {"right", "measured", "left out"} >= set(verdicts.values())
    # What needs a card, time or a package says so, and nothing else is left out.
    needs = ("QLoRA", "compiled", "synchronisations", "share of time")
    assert [
        name for name, verdict in verdicts.items() if verdict == "left out" and not any(n in name for n in needs)
    ] == []
    assert all(row["said"] in done.stdout for row in whole["checks"])
    assert verdicts["packed and padded training end alike"] == "right"


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_without_a_card_it_is_one_line() -> None:
    done = gpu()
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == "error: there is no GPU of NVIDIA's here; --smoke runs tiny shapes on the processor\n"


def test_what_is_wrong_takes_too_long_or_has_no_time_is_told_and_the_rest_goes_on() -> None:
    from on_gpu.checking import Check, Finding, LeftOut, run_checks

    def wrong() -> Finding:
        raise AssertionError("off by 3")

    def not_here() -> Finding:
        raise LeftOut("no card")

    def swallows() -> Finding:
        # As an engine does with whatever an architecture raises.
        with contextlib.suppress(Exception):
            time.sleep(5)
        return Finding("never")

    checks = [
        Check("x", name, seconds, run)
        for name, seconds, run in (
            ("wrong", 1, wrong),
            ("elsewhere", 1, not_here),
            ("slow", 0.1, swallows),
            ("large", 1000, wrong),
            ("right", 1, lambda: Finding("well")),
        )
    ]
    found = run_checks(checks, 100, torch.device("cpu"), lambda check, finding: None)
    # A second or two may have gone before the fourth.
    said = [
        (check.name, finding.verdict, re.sub(r"\d+ s are left", "some are left", finding.said))
        for check, finding in found
    ]
    assert said == [
        ("wrong", "wrong", "off by 3"),
        ("elsewhere", "left out", "no card"),
        ("slow", "wrong", "not done within its 0 s"),
        ("large", "left out", "it may take 1000 s, and some are left"),
        ("right", "right", "well"),
    ]


def test_ends_that_differ_are_seen() -> None:
    from on_gpu.correctness import alike

    start, end = torch.zeros(4), torch.tensor([1.0, 2.0, 0.0, 0.0])
    assert alike(start, end, end + 1e-4) < 1e-3
    for other, why in ((start, "the ends are 100.0% of the way apart"), (2 * end, "the ends are 100.0%")):
        with pytest.raises(AssertionError, match=why):
            alike(start, end, other)
    with pytest.raises(AssertionError, match="nothing was learnt"):
        alike(start, start, start)


def test_the_share_of_time_is_of_the_union_of_kernels() -> None:
    from on_gpu.waiting import covered

    assert covered([(0, 2), (1, 3), (4, 5)]) == pytest.approx(4 / 5)
    assert covered([(0, 10), (2, 3)]) == 1.0


def test_a_wrong_kernel_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    from on_gpu.correctness import kernel
    from on_gpu.making import Machine

    from hubtools.models.execution import attention

    machine = Machine(torch.device("cpu"), True)
    assert kernel(machine).verdict == "right"
    whole = attention.Boundaries((584,), torch.tensor([0, 584], dtype=torch.int32))
    monkeypatch.setitem(
        attention.KERNELS, "varlen", lambda q, k, v, boundaries, options: attention.sdpa(q, k, v, whole, options)
    )
    with pytest.raises(AssertionError, match="differs from attention one by one"):
        kernel(machine)
