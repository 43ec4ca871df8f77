#!/usr/bin/env python3
"""What somebody sees when publishing fails, one row a failure: ``python tests/publishing/failures.py [--only NAME]``.

A tiny real run is published by ``bench publish --push`` in a process of its own to a Hub on loopback that misbehaves. Of
each failure the table says what was printed, the exit code, what is on the Hub afterwards, and what the same command did
once the Hub was well again. The token must be in nothing that was printed, also with huggingface_hub's debug log.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

import warm_process  # noqa: E402
from hub_server import TOKEN, Hub  # noqa: E402

REPO = "me/tiny"
COMMIT = rf"/api/models/{REPO}/commit/"
# No room on the disk: writing the card meets it first.
FULL = """
import errno, sys, tempfile
def full(*_, **__): raise OSError(errno.ENOSPC, "No space left on device")
tempfile.mkstemp = full
sys.argv = ["bench", *sys.argv[1:]]
from hubtools.cli.main import main
main()
"""


@dataclass(frozen=True)
class Case:
    """One failure.

    Attributes:
        name: in the table.
        arrange: makes the Hub misbehave; may be given the running process later.
        token: that the process has.
        program: what runs instead of bench.
        interrupts: whether the process gets Ctrl-C in the middle of an upload.
        succeeds: whether waiting is the remedy, so that it succeeds after all.
    """

    name: str
    arrange: Callable[[Hub], None] = lambda hub: None
    token: str = TOKEN
    program: str | None = None
    interrupts: bool = False
    succeeds: bool = False


def moves(hub: Hub) -> None:
    """Somebody commits to the branch while a file goes up."""
    hub.add_model(REPO, {"notes.txt": "mine"})

    def once(_: str) -> None:
        hub.during_upload = None
        hub.commit(hub.model(REPO), {"notes.txt": "faster"})

    hub.during_upload = once


CASES = [
    Case("401, a token that is not accepted", token="hf_wrongTokenOfTheTests0123456789"),
    Case("403 at the commit", lambda hub: hub.fail("POST", COMMIT, 403)),
    Case("404 at the commit", lambda hub: hub.fail("POST", COMMIT, 404)),
    Case("409, the repository appears meanwhile", lambda hub: hub.fail("POST", "/api/repos/create", 409)),
    Case("412, the branch moves during the upload", moves),
    Case(
        "429, Retry-After: 1, twice",
        lambda hub: hub.fail("GET", rf"/api/models/{REPO}", 429, {"Retry-After": "1"}, times=2),
        succeeds=True,
    ),
    Case("429, Retry-After: 900", lambda hub: hub.fail("POST", COMMIT, 429, {"Retry-After": "900"})),
    Case("500 at the commit", lambda hub: hub.fail("POST", COMMIT, 500)),
    Case(
        "connection cut in the middle of an upload, once",
        lambda hub: hub.fail("PUT", "/lfs/", after=20_000, times=1),
        succeeds=True,
    ),
    Case("connection cut in the middle of every upload", lambda hub: hub.fail("PUT", "/lfs/", after=20_000)),
    Case("disk full", program=FULL),
    Case("Ctrl-C in the middle of an upload", interrupts=True),
]


def publish(run: Path, hub: Hub, case: Case | None = None) -> tuple[int, str]:
    """Exit code and everything printed by a process that publishes."""
    environment = (
        os.environ
        | hub.env
        | {"PYTHONPATH": str(TESTS.parent), "HF_DEBUG": "1", "BENCH_CACHE": str(run.parents[1] / "cache")}
    )
    if case:
        environment["HF_TOKEN"] = case.token
    command = ["publish", run, "--repo", REPO, "--licence", "mit", "--push"]
    process = warm_process.start(command, code=case.program if case else None, env=environment, cwd=Path.cwd())
    if case and case.interrupts:
        pressed = threading.Lock()
        # Files are uploaded side by side, and the key is pressed once.
        hub.during_upload = lambda _: process.send_signal(signal.SIGINT) if pressed.acquire(blocking=False) else None
    output = "".join(process.communicate(timeout=300))
    hub.during_upload = None
    assert process.returncode is not None
    return process.returncode, output


def state(hub: Hub) -> str:
    """What a visitor of the repository sees."""
    repo = hub.repos.get(("models", REPO))
    if repo is None:
        return "nothing"
    files = set(repo.history()[0].files)
    if {"README.md", "model.safetensors", "run.json"} <= files:
        return "complete"
    ours = files & {"README.md", "model.safetensors", "run.json", "config.json"}
    return f"HALF: {', '.join(sorted(ours))}" if ours else "as before"


def row(case: Case, run: Path, folder: Path) -> tuple[str, str, str, str, str]:
    """A row of the table.

    Raises:
        SystemExit: something is half-published, a token was printed, or the remedy does not hold.
    """
    with Hub(folder) as hub:
        case.arrange(hub)
        code, output = publish(run, hub, case)
        said = [line for line in output.splitlines() if line.startswith(("error: ", "stopped"))]
        after = state(hub)
        hub.failures.clear()
        again, text = publish(run, hub)
        for secret in (TOKEN, case.token):
            if secret in output + text:
                raise SystemExit(f"{case.name}: the token was printed")
        if "Traceback" in output + text or after.startswith("HALF") or (again, state(hub)) != (0, "complete"):
            raise SystemExit(f"{case.name}: {after}, then {again} and {state(hub)}\n{output[-2000:]}\n{text[-2000:]}")
        if (code == 0) != case.succeeds:
            raise SystemExit(f"{case.name}: exit code {code}\n{output[-2000:]}")
        message = (
            said[-1].removeprefix("error: ") if said else "published, after waiting" if case.succeeds else "published"
        )
        return case.name, message, str(code), after, "published" if "published on" in text else "nothing to do"


def tiny_run(folder: Path) -> Path:
    """A run of a tiny checkpoint, made once for all failures."""
    from tiny_runs import made

    with mock.patch.dict(os.environ, {"BENCH_ENERGY": "off"}):
        return made(folder, "sequence-classification")


def main() -> None:
    """Print the table."""
    # A shell's background jobs ignore Ctrl-C, and hand that on.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="failures whose name holds this")
    only = parser.parse_args().only or ""
    with tempfile.TemporaryDirectory() as scratch:
        run = tiny_run(Path(scratch) / "run")
        print(
            "| failure | what is printed | exit code | on the Hub | the same command again |\n| --- | --- | ---: | --- | --- |"
        )
        for number, case in enumerate(case for case in CASES if only in case.name):
            print(f"| {' | '.join(row(case, run, Path(scratch) / f'hub{number}'))} |".replace(scratch, "…"), flush=True)


if __name__ == "__main__":
    main()
