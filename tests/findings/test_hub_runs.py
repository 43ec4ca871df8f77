"""Runs from the Hub, on a Hub on loopback: a published model, a frozen baseline; pinned, checked, and kept."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from frozen_runs import write_seeds
from hub_server import Hub

sys.path.insert(0, str(Path(__file__).parents[1] / "publishing"))
from small_run import make_run

from hubtools.common.errors import UserError
from hubtools.findings.frozen_baseline import arms_to_freeze, freeze, new_baseline, open_baseline, sources
from hubtools.findings.naming.hub_runs import fetch_runs
from hubtools.findings.naming.named_runs import arms_at
from hubtools.runs.store import PREDICTIONS, RECORD, find_records
from hubtools.specs.baseline_file import BASELINE_FILE


def files_of(folder: Path, below: str = "") -> dict[str, bytes | str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {f"{below}{path.relative_to(folder).as_posix()}": path.read_bytes() for path in files}


@pytest.fixture
def frozen(tmp_path: Path) -> Path:
    write_seeds(tmp_path / "runs")
    arms = arms_to_freeze(find_records([tmp_path / "runs"])[0])
    return freeze(tmp_path / "main", new_baseline("main", "recipe", arms, None), sources(arms)).folder


def published(tmp_path: Path) -> dict[str, bytes | str]:
    """The files of a model that bench published."""
    folder = make_run(tmp_path / "run")
    return {name: (folder / name).read_bytes() for name in (RECORD, PREDICTIONS)} | {
        "config.json": "{}",
        "model.safetensors": b"0" * 1000,
        "modeling_protein_task.py": "raise SystemExit",
    }


def test_a_published_model_is_a_run(hub: Hub, tmp_path: Path) -> None:
    commit = hub.add_model("lab/peptides-esm", published(tmp_path))
    fetched = fetch_runs("hub://lab/peptides-esm")
    assert fetched.reference == f"hub://lab/peptides-esm@{commit}"
    # Neither weights nor code.
    assert set(files_of(fetched.folder)) == {RECORD, PREDICTIONS}
    (arm,), named = arms_at("hub://lab/peptides-esm")
    assert (arm.seeds, len(arm.predictions()[0])) == ([1], 3)
    assert named.notes == [f"hub://lab/peptides-esm is hub://lab/peptides-esm@{commit}"]
    assert arms_at(fetched.reference)[1].notes == []


@pytest.mark.parametrize("kind", ["models", "datasets"])
@pytest.mark.parametrize("below", ["", "main/", "benchmarks/baselines/main/"])
def test_a_baseline_of_a_repository_is_the_one_on_disk(hub: Hub, frozen: Path, kind: str, below: str) -> None:
    commit = hub.add_repo(kind, "lab/baselines", files_of(frozen, below) | {"big.bin": b"0" * 99})
    address = f"hub://lab/baselines/{below}".rstrip("/")
    fetched = fetch_runs(address)
    assert fetched.reference == address.replace("baselines", f"baselines@{commit}", 1)
    assert files_of(fetched.folder) == files_of(frozen)
    assert open_baseline(fetched.folder).altered() == []
    (here,), _ = arms_at(str(frozen))
    (there,), _ = arms_at(address)
    assert [record for _, record in there.runs] == [record for _, record in here.runs]


def test_a_commit_needs_the_hub_once(hub: Hub, frozen: Path) -> None:
    commit = hub.add_dataset("lab/baselines", files_of(frozen, "main/"))
    pinned = f"hub://lab/baselines@{commit}/main"
    assert fetch_runs(pinned).reference == pinned
    asked = len(hub.log)
    hub.fail("GET", "/")
    hub.fail("HEAD", "/")
    assert fetch_runs(pinned).reference == pinned
    assert len(hub.log) == asked


def test_a_branch_is_the_last_known_commit_where_the_hub_is_not_reached(hub: Hub, frozen: Path) -> None:
    commit = hub.add_dataset("lab/baselines", files_of(frozen))
    fetch_runs("hub://lab/baselines@main")
    hub.fail("GET", "/", 503)
    hub.fail("HEAD", "/", 503)
    assert fetch_runs("hub://lab/baselines@main").reference == f"hub://lab/baselines@{commit}"


def test_a_later_commit_of_a_branch_is_seen(hub: Hub, frozen: Path) -> None:
    first = hub.add_model("lab/baselines", files_of(frozen))
    assert fetch_runs("hub://lab/baselines").reference.endswith(first)
    second = hub.commit(hub.repos["models", "lab/baselines"], {"README.md": "more"})
    assert fetch_runs("hub://lab/baselines").reference.endswith(second)
    assert fetch_runs(f"hub://lab/baselines@{first}").reference.endswith(first)


def test_an_altered_file_is_refused(hub: Hub, frozen: Path) -> None:
    files = files_of(frozen)
    (altered,) = [name for name in files if "--s2--" in name and name.endswith(RECORD)]
    hub.add_dataset("lab/baselines", files | {altered: bytes(files[altered]) + b"\n"})  # type: ignore[arg-type]
    with pytest.raises(UserError, match="is not what was frozen"):
        arms_at("hub://lab/baselines")


def test_a_file_may_not_lead_elsewhere(hub: Hub, frozen: Path) -> None:
    files = files_of(frozen)
    text = (frozen / BASELINE_FILE).read_text()
    folder = open_baseline(frozen).file.arms[0].runs[0].folder
    hub.add_dataset("lab/baselines", files | {BASELINE_FILE: text.replace(f"folder: {folder}", "folder: ../../x", 1)})
    with pytest.raises(UserError, match=r"^hub://lab/baselines, baseline.yaml.*folder"):
        fetch_runs("hub://lab/baselines")


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("hub://lab", "hub://lab: not the address of runs on the Hub. Write hub://user/repository@revision/folder."),
        ("hub://lab/../x", "hub://lab/../x: not the address of runs on the Hub"),
        ("hub://lab/baselines/../x", "hub://lab/baselines/../x: not the address of runs on the Hub."),
        ("hub://lab/nothing", "hub://lab/nothing: there is no such repository on the Hub"),
        ("hub://lab/baselines@v9", "hub://lab/baselines@v9: no such revision."),
        (f"hub://lab/baselines@{'0' * 40}", f"hub://lab/baselines@{'0' * 40}: no such revision."),
        ("hub://lab/baselines", "hub://lab/baselines: there are no runs. There are: hub://lab/baselines/main."),
        (
            "hub://lab/baselines/dev",
            "hub://lab/baselines: there is no baseline dev. There are: hub://lab/baselines/main.",
        ),
        ("hub://lab/data", "hub://lab/data: there are no runs. A model that bench published has run.json"),
        ("hub://lab/half", "hub://lab/half: it has a run.json but no predictions.parquet."),
        ("hub://lab/closed", "hub://lab/closed: it is gated, and your account has no access."),
    ],
)
def test_what_is_wrong_is_one_line(hub: Hub, frozen: Path, tmp_path: Path, address: str, line: str) -> None:
    hub.add_dataset("lab/baselines", files_of(frozen, "main/"))
    hub.add_dataset("lab/data", {"rows.csv": "a,b\n"})
    hub.add_model("lab/half", {RECORD: published(tmp_path)[RECORD]})
    hub.add_model("lab/closed", published(tmp_path), gated=True)
    with pytest.raises(UserError) as raised:
        arms_at(address)
    said = str(raised.value)
    assert said.startswith(line) and "\n" not in said


def test_a_hub_that_is_not_reached_is_said(hub: Hub) -> None:
    hub.add_model("lab/baselines", {"a": "b"})
    hub.fail("GET", "/")
    with pytest.raises(UserError, match=r"^hub://lab/baselines: the Hub could not be reached"):
        fetch_runs("hub://lab/baselines")
