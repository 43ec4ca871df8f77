"""As many threads as there are cores that are really there and free; what a user sets goes before."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import torch

from hubtools.training.compute import threads
from hubtools.training.compute.device import Execution
from hubtools.training.compute.machine import cores, quota
from hubtools.training.compute.threads import busy, chosen


def machine(root: Path, group: str, **files: str) -> Path:
    """A file system with control groups: ``group`` is what the process is told of its own."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(group)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("group", "files", "expected"),
    [
        # Version 2, as the kernel's admin-guide/cgroup-v2 has it: "$MAX $PERIOD".
        ("0::/", {"cpu_DOT_max": "200000 100000\n"}, 2.0),
        ("0::/", {"cpu_DOT_max": "max 100000\n"}, None),
        ("0::/", {}, None),
        ("0::/a/b", {"a__cpu_DOT_max": "150000 100000", "a__b__cpu_DOT_max": "max 100000"}, 1.5),
        ("0::/a/b", {"a__cpu_DOT_max": "400000 100000", "a__b__cpu_DOT_max": "50000 100000"}, 0.5),
        # A container that is told its place on the host, and sees its own group at the top.
        ("0::/docker/0123", {"cpu_DOT_max": "300000 100000"}, 3.0),
        # Version 1: microseconds in two files, -1 is no limit.
        (
            "4:memory:/m\n3:cpu,cpuacct:/j\n0::/\n",
            {"cpu,cpuacct__j__cpu_DOT_cfs_quota_us": "250000\n", "cpu,cpuacct__j__cpu_DOT_cfs_period_us": "100000\n"},
            2.5,
        ),
        (
            "3:cpuacct,cpu:/j",
            {"cpu__cpu_DOT_cfs_quota_us": "100000", "cpu__cpu_DOT_cfs_period_us": "100000"},
            1.0,
        ),
        ("3:cpu:/", {"cpu__cpu_DOT_cfs_quota_us": "-1\n", "cpu__cpu_DOT_cfs_period_us": "100000\n"}, None),
        ("nonsense", {"cpu_DOT_max": "nonsense"}, None),
    ],
)
def test_quotas_of_control_groups(tmp_path: Path, group: str, files: dict[str, str], expected: float | None) -> None:
    assert quota(machine(tmp_path, group, **files)) == expected


def test_no_control_groups(tmp_path: Path) -> None:
    assert quota(tmp_path) is None


@pytest.mark.parametrize(("limit", "expected"), [(None, 8), (2.5, 2), (0.5, 1), (16.0, 8)])
def test_cores_are_those_of_the_affinity_within_the_quota(
    monkeypatch: pytest.MonkeyPatch, limit: float | None, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr("hubtools.training.compute.machine.quota", lambda: limit)
    assert cores() == expected


def test_what_others_run_is_counted_without_this_process(tmp_path: Path) -> None:
    load = tmp_path / "loadavg"
    for text, expected in (("9.00 5.00 1.00 1/300 77", 0), ("0.00 0.00 0.00 4/300 77", 3), ("0 0 0 0/0 1", 0)):
        load.write_text(text)
        assert busy(load) == expected, "not the average, which holds what a run before did itself"


def test_a_system_that_does_not_tell_gives_its_average(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (2.6, 9.0, 9.0))
    assert busy(tmp_path / "none") == 3


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine of eight cores, six of which are this process's, and no variable."""
    for name in threads.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(threads, "cores", lambda: 6)
    monkeypatch.setattr(threads, "busy", lambda: 0)
    return monkeypatch


@pytest.mark.parametrize(
    ("others", "usual", "expected", "why"),
    [
        (0, 8, 6, "6 of 6 cores"),
        (2, 8, 6, "6 of 6 cores"),
        (3, 8, 5, "5 of 6 cores, others are busy"),
        (7, 8, 1, "1 of 6 cores, others are busy"),
        (40, 8, 1, "1 of 6 cores, others are busy"),
        # Where two threads share a core torch takes one of them; and a program that imports bench may have set fewer.
        (0, 4, 4, "4 of 6 cores"),
        (3, 4, 4, "4 of 6 cores"),
        (0, 1, 1, "1 of 6 cores"),
    ],
)
def test_what_is_busy_is_left_to_others(
    free: pytest.MonkeyPatch, others: int, usual: int, expected: int, why: str
) -> None:
    free.setattr(threads, "busy", lambda: others)
    found = chosen(None, usual)
    assert (found.number, found.why) == (expected, why)
    assert found.wanting == min(usual, 6) - expected


def test_what_a_user_sets_goes_before(free: pytest.MonkeyPatch) -> None:
    free.setattr(threads, "busy", lambda: pytest.fail("nobody has to look"))
    free.setenv("MKL_NUM_THREADS", "4")
    assert (chosen(None, 4).number, chosen(None, 4).why) == (4, "MKL_NUM_THREADS")
    free.setenv("OMP_NUM_THREADS", "3")
    assert (chosen(None, 3).number, chosen(None, 3).why) == (3, "OMP_NUM_THREADS")
    # The option is typed for this very command.
    assert (chosen(7, 3).number, chosen(7, 3).why) == (7, "as asked for")


def test_a_busy_machine_is_noticed_and_a_quieter_one_too(
    free: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = torch.get_num_threads()
    free.setattr(threads, "_usual", 2)
    free.setattr(threads, "_settled", None)
    free.setattr(threads, "cores", lambda: 2)
    free.setattr(os, "cpu_count", lambda: 2)
    try:
        free.setattr(threads, "busy", lambda: 1)
        Execution.choose("cpu")
        assert torch.get_num_threads() == 1
        threads.settle_again()
        said = capsys.readouterr().err
        assert said == "note: 1 thread: 1 of 2 cores, others are busy (--threads says otherwise)\n", "said once"
        assert threads.why() == "1 of 2 cores, others are busy"
        free.setattr(threads, "busy", lambda: 0)
        threads.settle_again()
        assert torch.get_num_threads() == 1, "who has looked just now does not look again"
        free.setattr(threads, "_looked", time.monotonic() - threads.AGAIN - 1)
        threads.settle_again()
        assert torch.get_num_threads() == 2 and capsys.readouterr().err == ""
        # What somebody has set since then is not bench's choice.
        torch.set_num_threads(3)
        assert threads.why() == ""
    finally:
        threads.settle(before)


def test_the_answer_that_a_runs_name_holds_is_not_asked_by_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``fastest`` is settled once for a device: else a busy machine would make another run of the same command."""
    from hubtools.training.compute import device, measured

    asked = []
    monkeypatch.setattr(device, "measured", lambda *question: asked.append(question[:2]) or "float32")
    before = torch.get_num_threads()
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            assert not Execution(torch.device("cpu"), 512).bf16("fastest")
    finally:
        torch.set_num_threads(before)
    assert asked[0] == asked[1] and measured.FILE
