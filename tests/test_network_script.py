"""``benchmarks/network``: the steps against servers on this machine, and what becomes of failures, secrets and repositories."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hub_server import TOKEN, Hub
from network_on_loopback import entries
from uniprot_server import UniProt

import hubtools
from hubtools.common.errors import UserError
from hubtools.specs.lookup.content import shipped_root
from hubtools.specs.lookup.trusted import TrustedSpecs

FOLDER = shipped_root() / "benchmarks" / "network"
HERE = {"hub": "here", "uniprot": "here"}


@pytest.fixture(autouse=True)
def scripts_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))


@pytest.fixture
def journal(tmp_path: Path) -> Any:
    from journal import Journal

    return Journal(tmp_path, HERE)


def outcome(line: str, state: Any = "passed") -> Any:
    from journal import Outcome

    return Outcome(line, state)


def refused() -> Any:
    raise UserError("the token hf_abcdefghijklmnop is not accepted", where="https://me:secret@host/x")


@pytest.mark.slow
def test_all_of_it_against_servers_on_this_machine(tmp_path: Path) -> None:
    """Once, and again: then nothing is left to do. The patch is one, and the token is nowhere."""
    command = [sys.executable, str(FOLDER), "--smoke", "--folder", "kept"]
    environment = os.environ | {"PYTHONPATH": str(shipped_root()), "BENCH_DATA_MIRROR": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "kept" / "network.json").read_text()
    assert TOKEN not in done.stdout + done.stderr + text
    kept = json.loads(text)
    assert kept["counted"] == {"passed": len(kept["steps"])} and kept["made"] == []
    assert [step["step"] for step in kept["steps"] if step["step"].startswith("hub")] == [
        "hub publish", "hub tag", "hub pull request", "hub space", "hub results", "hub read back", "hub delete",
    ]  # fmt: skip
    assert {step["step"].split()[0] for step in kept["steps"]} == {"data", "checkpoints", "published", "uniprot", "hub"}
    shutil.copytree(tmp_path / "kept" / "servers" / "project", project := tmp_path / "project")
    patched = subprocess.run(["git", "apply", "../kept/network.patch"], cwd=project, capture_output=True, text=True)
    assert patched.returncode == 0, patched.stderr
    pinned = hubtools.load_task(str(project / "tasks" / "notebook-localisation.yaml"))
    assert pinned.template is None and pinned.data.frozen is not None
    again = subprocess.run([*command, "--only", "uniprot", "hub"], cwd=tmp_path, env=environment, capture_output=True)
    assert again.returncode == 0 and b"hub publish" not in again.stderr
    assert json.loads((tmp_path / "kept" / "network.json").read_text())["steps"] == kept["steps"]


def test_a_step_that_fails_is_one_line_and_is_tried_again(journal: Any, tmp_path: Path) -> None:
    from journal import Journal

    assert not journal.do("data one", refused)
    assert not journal.do("data two", lambda: [][1])
    assert journal.do("data three", lambda: outcome("fine"))
    lines = [step.line for step in journal.steps.values()]
    assert lines[0].startswith("https://[…]@host/x: the token [token] is not accepted")
    assert re.fullmatch(r"IndexError: list index out of range \(test_network_script\.py:\d+\)", lines[1])
    assert "secret" not in journal.path.read_text() and "hf_abc" not in journal.path.read_text()
    assert journal.exit_code == 1
    # Another process goes on.
    journal = Journal(tmp_path, HERE)
    assert journal.do("data one", lambda: outcome("mended")) and journal.do("data three", refused)
    assert journal.do("data two", lambda: outcome("mended")) and journal.exit_code == 0
    assert not journal.do("published x", lambda: outcome("too wide", "cannot tell")) and journal.exit_code == 3
    assert journal.kept("published x")


def test_a_journal_of_other_servers_or_that_is_damaged_is_refused(journal: Any, tmp_path: Path) -> None:
    from journal import Journal

    journal.do("data one", lambda: outcome("fine"))
    with pytest.raises(UserError, match=r"made with hub here, and here is elsewhere\. Name another --folder\.$"):
        Journal(tmp_path, HERE | {"hub": "elsewhere"})
    journal.path.write_text("{}")
    with pytest.raises(UserError, match=r"it is damaged\. Remove it"):
        Journal(tmp_path, HERE)


def test_what_is_asked_for_is_what_ships() -> None:
    from catalogue import REAL

    known = TrustedSpecs(None).cells()
    assert len(REAL.cells) >= 5 and set(REAL.cells) <= set(known)
    counts = REAL.counts()
    for cell in REAL.cells:
        task = known[cell].experiment.task
        assert task in counts and (REAL.root / "tasks" / f"{task}.yaml").is_file()
    assert REAL.probed in counts
    for name, counted in REAL.notebook.items():
        notes = " ".join(hubtools.load_task(str(REAL.task(name))).notes)
        assert all(f"{n:,} {what}" in notes for what, n in counted.items())


def test_counts_that_are_others_fail(journal: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from catalogue import REAL, Catalogue
    from steps import Network

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    name = "notebook-localisation"
    with UniProt(entries(60)) as server:
        monkeypatch.setenv("BENCH_UNIPROT", server.address)
        network = Network(Catalogue(REAL.root, (), "", {}, {}), tmp_path, journal)
        found = network.load(name, None)
        assert found.state == "passed" and found.facts["counts"]["test"] == [15, 15]
        known = {split: tuple(both) for split, both in found.facts["counts"].items()}
        assert network.load(name, known).state == "passed"
        other = network.load(name, known | {"test": (15, 14)})
        assert other.state == "failed" and "test 15 (14) is known" in other.line
        assert network.ask(name, {"cytosolic": 34}).state == "passed"
        assert network.ask(name, {"cytosolic": 36}).line.endswith("cytosolic is not 85% to 130% of that")
        server.entries = entries(50)
        assert network.ask(name, {"cytosolic": 30}).line.startswith("asked twice, it gives two answers: release")


# Below, a round trip whose runs and publishing are made up: what of it is on the Hub, and what is left there.


@pytest.fixture
def round_trip(journal: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    from catalogue import REAL
    from round_trip import RoundTrip
    from steps import Network

    monkeypatch.setattr(Network, "probes", lambda *_: [type("Run", (), {"folder": tmp_path})] * 2)
    return RoundTrip(Network(REAL, tmp_path, journal))


def half_published(run: Path, repo: str, space: str, **_: Any) -> None:
    """The model is there when its Space is refused."""
    from hubtools.common.hub import hub_api

    hub_api().create_repo(repo, private=True)
    raise UserError("the Space is refused", where=space)


def states(journal: Any) -> dict[str, str]:
    return {name: step.state for name, step in journal.steps.items()}


def test_what_was_made_is_deleted_also_where_a_part_failed(
    hub: Hub, journal: Any, round_trip: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_model("me/other", {"config.json": "{}"})
    monkeypatch.setattr(hubtools, "publish", half_published)
    round_trip.run()
    assert states(journal) == {
        "hub publish": "failed", "hub tag": "not run", "hub pull request": "not run", "hub space": "not run",
        "hub results": "not run", "hub read back": "not run", "hub delete": "passed",
    }  # fmt: skip
    assert set(hub.repos) == {("models", "me/other")} and journal.made == []


def test_what_could_not_be_deleted_is_named_and_goes_the_next_time(
    hub: Hub, journal: Any, round_trip: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from journal import Journal

    monkeypatch.setattr(hubtools, "publish", half_published)
    hub.fail("DELETE", "/api/repos/delete", status=403, times=1)
    round_trip.run()
    left = journal.steps["hub delete"]
    ((_, name),) = hub.repos
    assert left.state == "failed" and f"hf repos delete {name} --type model" in left.line
    assert journal.made == [("model", name)] == Journal(tmp_path, HERE).made
    round_trip.run()
    assert not hub.repos and journal.made == [] and journal.steps["hub delete"].state == "passed"


def test_whoever_stops_it_leaves_nothing_behind(
    hub: Hub, journal: Any, round_trip: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(run: Path, repo: str, **_: Any) -> None:
        from hubtools.common.hub import hub_api

        hub_api().create_repo(repo, private=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(hubtools, "publish", stopped)
    with pytest.raises(KeyboardInterrupt):
        round_trip.run()
    assert not hub.repos and journal.made == []


def test_a_repository_that_was_there_is_not_touched(
    hub: Hub, journal: Any, round_trip: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("round_trip.secrets.token_hex", lambda size: "00")
    hub.add_model("me/bench-network-00", {"config.json": "{}"})
    round_trip.run()
    assert "it is there already, and not ours" in journal.steps["hub publish"].line
    assert [method for method, _ in hub.writes] == [] and ("models", "me/bench-network-00") in hub.repos


def test_without_a_token_it_is_not_run(
    hub: Hub, journal: Any, round_trip: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    round_trip.run()
    assert states(journal) == {"hub publish": "not run"} and journal.exit_code == 0
    assert hub.writes == []
