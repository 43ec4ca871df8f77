"""bench publish: a dry run unless told otherwise, and never a token on the screen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hub_server import Hub

from hubtools.common.errors import UserError
from hubtools.publishing.reload import ReloadedPredictions

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
REPO = "me/peptides"
Bench = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "publishing"))
    from small_run import make_run, write_small_card

    monkeypatch.setattr("hubtools.publishing.contents._write_card", write_small_card)
    monkeypatch.setattr(
        "hubtools.publishing.reload.reproduce_in_fresh_process",
        lambda folder, mirrors=(), task=None: ReloadedPredictions(
            rows=3, splits=("test",), difference=2e-7, tolerance=1e-4
        ),
    )
    return make_run(tmp_path / "run")


def test_a_dry_run_lists_exactly_what_would_go_and_sends_nothing(hub: Hub, bench: Bench, run: Path) -> None:
    hub.add_model(REPO, {"pytorch_model.bin": b"old", "notes.txt": "mine"})
    code, out, _ = bench("publish", run, "--repo", REPO)
    assert code == 2 and not hub.writes and "a model that bench did not publish (pytorch_model.bin)" in out
    code, out, _ = bench("publish", run, "--repo", REPO, "--replace")
    assert code == 0 and not hub.writes
    assert "1 other file stays (notes.txt)" in out, out
    listed = [line.split()[0] for line in out.splitlines() if line.startswith("  ") and line.split()[0][0] not in "✓✗"]
    for name in (
        "README.md",
        "config.json",
        "model.safetensors",
        "run.json",
        "predictions.parquet",
        "figures/confusion.png",
    ):
        assert name in listed
    assert "9 files" in out and all(line.endswith("new") for line in out.splitlines() if line.startswith("  model."))
    assert "pytorch_model.bin" in out and "removed" in out
    assert "✓ licence: mit (base model: mit, data: CC-BY-4.0)" in out and "✓ reload: 3 predictions" in out
    assert "Nothing was sent" in out and f"--repo {REPO} --replace --push" in out
    assert bench("publish", run, "--repo", REPO, "--replace", "--dry-run")[1] == out


def test_a_dry_run_needs_no_hub(hub: Hub, bench: Bench, run: Path) -> None:
    hub.fail("GET", ".*")
    code, out, err = bench("publish", run, "--repo", REPO)
    assert code == 0 and "Nothing was sent" in out and "the Hub was not asked" in err


def test_push_publishes_and_says_where(hub: Hub, bench: Bench, run: Path) -> None:
    code, out, _ = bench("publish", run, "--repo", REPO, "--push", "--private")
    head = hub.model(REPO).branches["main"]
    assert code == 0 and f"{hub.endpoint}/{REPO}/tree/{head}" in out and "read back and identical" in out
    assert f"hf download {REPO} --revision {head}" in out and hub.model(REPO).private
    code, out, _ = bench("publish", run, "--repo", REPO, "--push")
    assert code == 0 and "nothing to do" in out and hub.model(REPO).branches["main"] == head


def test_a_pull_request(hub: Hub, bench: Bench, run: Path) -> None:
    hub.add_model(REPO, {"README.md": "# there"})
    code, out, _ = bench("publish", run, "--repo", REPO, "--push", "--pr")
    assert code == 0 and f"opened a pull request: {hub.endpoint}/{REPO}/discussions/1" in out


def test_a_model_that_does_not_reproduce_is_not_sent(hub: Hub, bench: Bench, run: Path, monkeypatch) -> None:
    def differs(*_: object) -> ReloadedPredictions:
        raise UserError("the saved model does not do what was measured", fix="Do not publish it.")

    monkeypatch.setattr("hubtools.publishing.reload.reproduce_in_fresh_process", differs)
    code, out, err = bench("publish", run, "--repo", REPO, "--push")
    assert code == 2 and "✗ reload: the saved model does not do what was measured" in out and not hub.writes
    assert "1 of 7 checks failed" in err and ("models", REPO) not in hub.repos


def test_the_model_is_not_even_loaded_when_something_else_is_wrong(
    hub: Hub, bench: Bench, run: Path, monkeypatch
) -> None:
    monkeypatch.setattr("hubtools.publishing.reload.reproduce_in_fresh_process", lambda *_: pytest.fail("loaded"))
    (run / "model" / "evil.pkl").write_bytes(b"")
    code, out, err = bench("publish", run, "--repo", REPO, "--push")
    assert code == 2 and "evil.pkl can run code" in out and "2 of 6 checks failed" in err and not hub.writes


def test_a_branch_that_moves_during_the_reload_is_left_alone(hub: Hub, bench: Bench, run: Path, monkeypatch) -> None:
    hub.add_model(REPO, {"README.md": "# there"})

    def slow(*_: object) -> ReloadedPredictions:
        hub.commit(hub.model(REPO), {"README.md": "# somebody was faster"})
        return ReloadedPredictions(rows=3, splits=("test",), difference=0.0, tolerance=1e-4)

    monkeypatch.setattr("hubtools.publishing.reload.reproduce_in_fresh_process", slow)
    code, _, err = bench("publish", run, "--repo", REPO, "--push")
    assert code == 2 and "the branch moved since it was looked at" in err
    assert [c.title for c in hub.model(REPO).history()] == ["edit", "initial commit"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--push", "--dry-run"], "contradict each other"),
        (["--push", "--pr", "--revision", "v2"], "a pull request is against main"),
        (["--push", "--pr"], "no such repository to open a pull request in"),
    ],
)
def test_what_contradicts_itself(hub: Hub, bench: Bench, run: Path, arguments: list[str], message: str) -> None:
    code, _, err = bench("publish", run, "--repo", REPO, *arguments)
    assert code == 2 and message in err and err.startswith("error: ") and err.count("\n") == 1 and not hub.writes


@pytest.mark.parametrize(
    ("status", "message"), [(401, "token"), (403, "may not do this"), (429, "slow down"), (500, "problem")]
)
def test_the_hubs_refusals_are_one_line(hub: Hub, bench: Bench, run: Path, status: int, message: str) -> None:
    hub.fail(
        "POST",
        f"/api/models/{REPO}/commit/",
        status,
        {"X-Error-Message": "Invalid credentials in Authorization header"},
    )
    code, _, err = bench("publish", run, "--repo", REPO, "--push")
    last = [line for line in err.splitlines() if line.startswith("error: ")]
    assert code == 2 and len(last) == 1 and message in last[0]
