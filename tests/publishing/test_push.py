"""One commit or none, on the state that was looked at: against a Hub on loopback."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
from hub_server import ID_TOKEN, TOKEN, Hub
from small_run import CARD, make_run, write_small_card

from hubtools.common.errors import UserError
from hubtools.publishing.commit import look
from hubtools.publishing.contents import Publication, plan_publication
from hubtools.publishing.earlier import stale
from hubtools.publishing.push import push
from hubtools.runs.store import OpenRun

REPO = "me/peptides"
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
COMMIT = rf"/api/models/{REPO}/commit/"


@pytest.fixture(autouse=True)
def small_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubtools.publishing.contents._write_card", write_small_card)


@pytest.fixture
def publication(tmp_path: Path) -> Publication:
    return plan_publication(make_run(tmp_path / "run"), REPO)


def titles(hub: Hub, branch: str = "main") -> list[str]:
    return [commit.title for commit in hub.model(REPO).history(branch)]


def test_a_new_repository_gets_everything_in_one_commit(hub: Hub, publication: Publication) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        done = push(publication, look(REPO))
    assert titles(hub) == ["peptides: lab/esm, full, seed 1", "initial commit"]
    head = hub.model(REPO).branches["main"]
    assert done.commit == head and done.changed and done.url == f"{hub.endpoint}/{REPO}/tree/{head}"
    there = hub.model(REPO).commits[head].files
    assert set(there) == {".gitattributes", *(file.path for file in publication.files)}
    for file in publication.files:
        assert hub.read(REPO, file.path) == file.source.read_bytes()
    assert hub.read(REPO, "README.md").decode() == CARD and not hub.model(REPO).private
    assert json.loads(hub.read(REPO, "run.json"))["run_id"] == publication.record.run_id


def test_the_same_again_changes_nothing(hub: Hub, publication: Publication) -> None:
    first = push(publication, look(REPO))
    again = push(publication, look(REPO))
    assert not again.changed and again.commit == first.commit and len(titles(hub)) == 2


def test_another_run_replaces_what_would_be_loaded_and_leaves_the_rest(hub: Hub, tmp_path: Path) -> None:
    old = {"pytorch_model.bin": b"old", "model-00001-of-00002.safetensors": b"old", "spiece.model": b"old"}
    kept = {"LICENSE": "text", "docs/figure.bin": b"mine"}
    hub.add_model(REPO, old | kept | {"figures/old.png": b"old", "README.md": "# old"})
    target = look(REPO)
    publication = plan_publication(make_run(tmp_path / "other", seed=2), REPO)
    assert set(stale(publication, target)) == {*old, "figures/old.png"}
    push(publication, target)
    files = hub.model(REPO).history()[0].files
    assert not set(old) & set(files) and set(kept) <= set(files) and len(titles(hub)) == 2


def test_a_private_repository(hub: Hub, publication: Publication) -> None:
    push(publication, look(REPO, private=True))
    assert hub.model(REPO).private


def test_private_does_not_silently_become_public(hub: Hub) -> None:
    hub.add_model(REPO, {"README.md": "# there"})
    with pytest.raises(UserError, match="already, and public"):
        look(REPO, private=True)


def test_a_pull_request_leaves_main_alone(hub: Hub, publication: Publication) -> None:
    before = hub.add_model(REPO, {"README.md": "# there"})
    done = push(publication, look(REPO, pull_request=True))
    repo = hub.model(REPO)
    assert repo.branches == {"main": before} and list(repo.pulls) == ["refs/pr/1"]
    assert done.url == f"{hub.endpoint}/{REPO}/discussions/1" and done.commit == repo.pulls["refs/pr/1"]
    assert hub.read(REPO, "README.md") == b"# there" and hub.read(REPO, "README.md", "refs/pr/1").decode() == CARD


def test_a_pull_request_needs_a_repository(hub: Hub) -> None:
    with pytest.raises(UserError, match="no such repository to open a pull request in"):
        look(REPO, pull_request=True)
    with pytest.raises(UserError, match="against main"):
        look(REPO, pull_request=True, branch="v2")


def test_a_branch_is_created_from_main(hub: Hub, publication: Publication) -> None:
    before = hub.add_model(REPO, {"README.md": "# there", "LICENSE": "text", "pytorch_model.bin": b"old"})
    push(publication, look(REPO, branch="v2"))
    repo = hub.model(REPO)
    assert repo.branches["main"] == before and [c.oid for c in repo.history("v2")][1] == before
    assert {"LICENSE", "config.json"} <= set(repo.history("v2")[0].files)
    assert "pytorch_model.bin" not in repo.history("v2")[0].files
    push(publication, look(REPO, branch="v2"))
    assert len(repo.history("v2")) == 2


# The branch moves


def test_a_branch_that_moved_is_not_overwritten(hub: Hub, publication: Publication) -> None:
    hub.add_model(REPO, {"README.md": "# there"})
    target = look(REPO)
    moved = hub.commit(hub.model(REPO), {"README.md": "# somebody was faster"})
    with pytest.raises(UserError, match="the branch moved since it was looked at") as caught:
        push(publication, target)
    assert hub.model(REPO).branches["main"] == moved and caught.value.fix
    push(publication, look(REPO))
    assert len(titles(hub)) == 3


def test_a_repository_that_appeared_meanwhile_is_not_taken_over(hub: Hub, publication: Publication) -> None:
    target = look(REPO)
    head = hub.add_model(REPO, {"README.md": "# somebody was faster"})
    with pytest.raises(UserError, match="409"):
        push(publication, target)
    assert hub.model(REPO).branches["main"] == head


def test_a_file_that_changes_during_the_checks_is_not_sent(hub: Hub, publication: Publication) -> None:
    target = look(REPO)
    publication.files[1].source.write_text("{}")
    with pytest.raises(UserError, match="changed while it was being published"):
        push(publication, target)
    assert not hub.writes


def test_a_failed_check_stops_the_push(hub: Hub, tmp_path: Path) -> None:
    publication = plan_publication(make_run(tmp_path / "run", licence=None), REPO)
    with pytest.raises(UserError, match="--licence"):
        push(publication, look(REPO))
    assert not hub.writes


# The Hub says no


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("POST", "/api/repos/create", 403, "may not do this"),
        ("POST", COMMIT, 401, "does not accept your token|no such repository"),
        ("POST", COMMIT, 403, "may not do this"),
        ("POST", COMMIT, 404, "does not know it"),
        ("POST", COMMIT, 409, "conflicts"),
        ("POST", COMMIT, 412, "the branch moved"),
        ("POST", COMMIT, 429, "slow down"),
        ("POST", COMMIT, 500, "problem of its own"),
        ("POST", COMMIT, None, "could not be reached"),
        ("POST", "/preupload/", 500, "problem of its own"),
        ("POST", "/preupload/", None, "could not be reached"),
        ("POST", "/info/lfs/objects/batch", 429, "slow down"),
        ("PUT", "/lfs/", 500, "problem of its own"),
        ("PUT", "/lfs/", None, "could not be reached"),
        ("POST", "/api/validate-yaml", 500, "problem of its own"),
    ],
)
def test_whatever_fails_nothing_is_half_published(
    hub: Hub, publication: Publication, method: str, path: str, status: int | None, message: str
) -> None:
    target = look(REPO)
    hub.fail(method, path, status)
    with pytest.raises(UserError, match=message) as caught:
        push(publication, target)
    assert "\n" not in str(caught.value) and caught.value.fix and TOKEN not in str(caught.value)
    assert ("models", REPO) not in hub.repos or titles(hub) == ["initial commit"]
    # The remedy holds: once the Hub is well again, the same thing works.
    hub.failures.clear()
    push(publication, look(REPO))
    assert titles(hub) == ["peptides: lab/esm, full, seed 1", "initial commit"]


def test_a_short_failure_of_an_upload_is_retried(hub: Hub, publication: Publication) -> None:
    hub.fail("PUT", "/lfs/", None, times=2)
    push(publication, look(REPO))
    assert len(titles(hub)) == 2


@pytest.fixture
def answers_lost(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commits are made, and the connection breaks before the answer."""
    original = hub.write

    def commit_and_drop(*args, **kwargs):
        original(*args, **kwargs)
        raise ConnectionResetError

    monkeypatch.setattr(hub, "write", commit_and_drop)


def test_a_commit_whose_answer_was_lost_is_recognised(hub: Hub, publication: Publication, request) -> None:
    hub.add_model(REPO, {".gitattributes": ""})
    target = look(REPO)
    request.getfixturevalue("answers_lost")
    done = push(publication, target)
    assert done.changed and done.commit == hub.model(REPO).branches["main"] and len(titles(hub)) == 2
    assert not push(publication, look(REPO)).changed and len(titles(hub)) == 2


def test_a_pull_request_whose_answer_was_lost_is_not_opened_twice(hub: Hub, publication: Publication, request) -> None:
    hub.add_model(REPO, {".gitattributes": ""})
    target = look(REPO, pull_request=True)
    request.getfixturevalue("answers_lost")
    done = push(publication, target)
    assert done.url.endswith("/discussions/1") and list(hub.model(REPO).pulls) == ["refs/pr/1"]


def test_an_open_pull_request_of_the_run_is_continued(hub: Hub, publication: Publication) -> None:
    hub.add_model(REPO, {".gitattributes": ""})
    first = push(publication, look(REPO, pull_request=True))
    again = push(publication, look(REPO, pull_request=True))
    assert (again.url, again.commit, again.changed) == (first.url, first.commit, False)
    hub.commit(
        hub.model(REPO), {"README.md": "# edited in the pull request"}, "refs/pr/1", title=titles(hub, "refs/pr/1")[0]
    )
    hub.model(REPO).find("refs/pr/1").message = hub.model(REPO).commits[first.commit].message  # type: ignore[union-attr]
    third = push(publication, look(REPO, pull_request=True))
    assert third.changed and third.url == first.url and list(hub.model(REPO).pulls) == ["refs/pr/1"]
    assert hub.read(REPO, "README.md", "refs/pr/1").decode() == CARD
    hub.model(REPO).closed.add("refs/pr/1")
    assert push(publication, look(REPO, pull_request=True)).url.endswith("/discussions/2")


def test_a_card_that_the_hub_refuses_is_quoted(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def local_base(run: OpenRun, *_: object) -> str:
        write_small_card(run)
        (run.card / "README.md").write_text(CARD.replace("lab/esm", "/home/me/esm"))
        return ""

    monkeypatch.setattr("hubtools.publishing.contents._write_card", local_base)
    publication = plan_publication(make_run(tmp_path / "run"), REPO)
    with pytest.raises(UserError, match='"base_model" with value "/home/me/esm" is not valid') as caught:
        push(publication, look(REPO))
    assert "\n" not in str(caught.value) and titles(hub) == ["initial commit"]
    assert not [path for method, path in hub.log if method == "PUT"]


def test_what_the_hub_stored_is_compared_with_what_was_sent(
    hub: Hub, publication: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, store = look(REPO), hub.store
    monkeypatch.setattr(
        hub, "store", lambda path, content, lfs=None: store(path, content[:-1] if lfs else content, lfs)
    )
    with pytest.raises(UserError, match="is not what was sent"):
        push(publication, target)


# Who may


def test_a_token_that_is_not_accepted_is_noticed_first(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrongTokenWrongToken")
    with pytest.raises(UserError, match="does not accept your token") as caught:
        look(REPO)
    assert "hf_wrong" not in str(caught.value)


def test_no_token_is_noticed_first(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(UserError, match="this needs a token and there is none"):
        look(REPO)


def test_a_token_that_may_only_read_is_noticed_first(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "huggingface_hub.HfApi.whoami", lambda self: {"name": "me", "auth": {"accessToken": {"role": "read"}}}
    )
    with pytest.raises(UserError, match="may only read"):
        look(REPO)


def test_a_repository_of_somebody_else_is_noticed_first(hub: Hub) -> None:
    with pytest.raises(UserError, match="cannot create a repository of lab"):
        look("lab/peptides")


def test_looking_changes_nothing(hub: Hub) -> None:
    hub.add_model(REPO, {"README.md": "# there"})
    target = look(REPO)
    assert target.exists and target.head == hub.model(REPO).branches["main"] and target.files == ("README.md",)
    assert not look("my-org/new").exists and not hub.writes


def test_a_trusted_publisher_needs_no_stored_token(
    hub: Hub, publication: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setenv("HF_OIDC_RESOURCE", REPO)
    monkeypatch.setattr("huggingface_hub.utils._auth._OIDC_TOKEN_CACHE", None)
    hub.add_model(REPO, {"README.md": "# old"})
    with pytest.raises(UserError, match=r"no token from this job's identity .*id-token: write"):
        look(REPO)
    monkeypatch.setenv("HF_OIDC_ID_TOKEN", ID_TOKEN)
    with pytest.raises(UserError, match="403"):
        look(REPO)
    hub.trusting.add(REPO)
    push(publication, look(REPO))
    assert titles(hub)[0] == "peptides: lab/esm, full, seed 1"
    # Its token is a repository's: nobody is asked who it is.
    assert not [path for _, path in hub.log if "whoami" in path]
