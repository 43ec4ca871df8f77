"""A repository over time: what is not ours stays, each run keeps its tag, and a suite becomes a collection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hub_server import Hub
from small_run import CARD, make_run, write_small_card

from hubtools.common.errors import UserError
from hubtools.publishing.commit import look
from hubtools.publishing.contents import plan_publication
from hubtools.publishing.earlier import look_back, merged_card, stale
from hubtools.publishing.push import PreparedPush, PushRequest, looked_at, planned, release
from hubtools.publishing.reload import ReloadedPredictions
from hubtools.publishing.suites import models_of, repository_names
from hubtools.reporting.card.card_edits import sign
from hubtools.runs.store import find_records, read_record, write_record

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
REPO = "me/peptides"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubtools.publishing.contents._write_card", write_small_card)
    monkeypatch.setattr(
        "hubtools.publishing.reload.reproduce_in_fresh_process",
        lambda *_, **__: ReloadedPredictions(rows=3, splits=("test",), difference=0.0, tolerance=1e-4),
    )


def prepared(order: PushRequest) -> PreparedPush:
    """Planned, and its repository looked at."""
    return looked_at(planned(order), order)


def published(folder: Path, **options: object) -> str:
    """Commit of a run that was published."""
    return release(prepared(PushRequest(folder, REPO, **options))).commit  # type: ignore[arg-type]


def test_each_run_has_a_tag_for_ever(hub: Hub, tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name, seed=seed) for seed, name in enumerate(("first", "second"), start=1)]
    commits = [published(run) for run in runs]
    assert hub.model(REPO).tags == {
        f"run-{read_record(run).run_id}": commit for run, commit in zip(runs, commits, strict=True)
    }
    # Again, it is the same commit and the same tag.
    assert published(runs[1]) == commits[1] and len(hub.model(REPO).tags) == 2


def test_what_is_not_ours_stays_and_what_was_ours_goes(hub: Hub, tmp_path: Path) -> None:
    published(make_run(tmp_path / "first"))
    hub.commit(hub.model(REPO), {"notes/talk.pdf": b"%PDF", "LICENSE": "terms", "figures/old.png": b"png"})
    target = look(REPO)
    earlier = look_back(target)
    assert earlier.run == read_record(tmp_path / "first").run_id
    publication = plan_publication(make_run(tmp_path / "second", seed=2), REPO)
    lacking = replace(publication, files=tuple(file for file in publication.files if file.path != "training.jsonl"))
    assert set(stale(lacking, target, earlier)) == {"training.jsonl", "figures/old.png"}
    published(tmp_path / "second")
    assert {"notes/talk.pdf", "LICENSE"} <= set(hub.model(REPO).history()[0].files)


def test_what_people_wrote_on_the_hub_stays(hub: Hub, tmp_path: Path) -> None:
    place = "<!-- bench:edit uses -->\n{}\n<!-- /bench:edit -->\n"
    new = sign(CARD.split("<!-- bench:wrote")[0] + "\n" + place.format("Say what it is for."))
    old = new.replace("Say what it is for.", "For our screens of frogs.").replace(
        "license: mit\n", "license: mit\nextra_gated_prompt: Tell us who you are.\nlibrary_name_of_mine: x\n"
    )
    merged = merged_card(new, old, ours=True)
    assert "For our screens of frogs." in merged and "Say what it is for." not in merged
    assert "extra_gated_prompt: Tell us who you are." in merged
    # Of somebody else's card the settings of the repository are kept, and nothing of its text.
    theirs = "---\nlicense: gpl-3.0\nthumbnail: https://example.org/a.png\nmetrics: [bleu]\n---\n# Theirs\n"
    merged = merged_card(new, theirs, ours=False)
    assert "thumbnail: https://example.org/a.png" in merged
    assert "gpl-3.0" not in merged and "bleu" not in merged and "# Theirs" not in merged


def test_a_model_of_somebody_else_is_not_replaced_in_passing(hub: Hub, tmp_path: Path) -> None:
    hub.add_model(REPO, {"pytorch_model.bin": b"theirs", "README.md": "# Theirs"})
    run = make_run(tmp_path / "run")
    failed = prepared(PushRequest(run, REPO)).publication.failed
    assert len(failed) == 1 and "--replace" in str(failed[0].error)
    published(run, replace=True)
    assert "pytorch_model.bin" not in hub.model(REPO).history()[0].files


# A suite

Bench = Callable[..., tuple[int, str, str]]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two checkpoints with two seeds each, all of one suite."""
    root = tmp_path / "runs"
    for checkpoint in ("lab/esm", "lab/bert"):
        for seed in (2, 1):
            folder = make_run(root / f"{checkpoint.split('/')[1]}-{seed}", seed=seed, checkpoint=checkpoint)
            record = read_record(folder)
            record.suite = "core"
            write_record(folder, record)
    return root


def test_one_seed_of_each_is_published_and_no_score_says_which(runs: Path) -> None:
    chosen = models_of(find_records([runs])[0], "core")
    assert [(record.subject, record.identity.seed) for _, record in chosen] == [("lab/bert", 1), ("lab/esm", 1)]
    assert [record.identity.seed for _, record in models_of(find_records([runs])[0], "core", seed=2)] == [2, 2]
    with pytest.raises(UserError, match=r"no run in .* is of the suite 'cor'.*There are runs of: core"):
        models_of(find_records([runs])[0], "cor")


def test_names_of_repositories(runs: Path) -> None:
    records = [record for _, record in models_of(find_records([runs])[0], "core")]
    assert repository_names(records, "me") == ["me/bert-peptides", "me/esm-peptides"]
    assert repository_names(records, "me", "{recipe}-{checkpoint}-s{seed}") == ["me/full-bert-s1", "me/full-esm-s1"]
    with pytest.raises(UserError, match="would be the repository of several runs"):
        repository_names(records, "me", "{task}")
    with pytest.raises(UserError, match="cannot be filled"):
        repository_names(records, "me", "{model}")


def test_a_suite_becomes_a_collection(hub: Hub, bench: Bench, runs: Path) -> None:
    command = ["publish", "--all", "--suite", "core", "--owner", "me", "--runs", runs]
    code, out, _ = bench(*command, "--licence", "mit", "--private")
    assert code == 0 and "2 models can be published. Nothing was sent." in out and not hub.writes
    assert out.rstrip().endswith(f"--suite core --owner me --runs {runs} --private --licence mit --push")
    code, out, err = bench(*command, "--push")
    assert code == 0, err
    assert {name for kind, name in hub.repos if kind == "models"} == {"me/bert-peptides", "me/esm-peptides"}
    (collection,) = hub.collections.values()
    assert {item["id"] for item in collection["items"]} == {"me/bert-peptides", "me/esm-peptides"}
    # Again, nothing is left to do.
    before = {name: repo.branches["main"] for name, repo in hub.repos.items()}
    code, out, _ = bench(*command, "--push")
    assert code == 0 and out.count("is published already") == 2
    assert {name: repo.branches["main"] for name, repo in hub.repos.items()} == before


def test_a_suite_goes_on_where_it_stopped(hub: Hub, bench: Bench, runs: Path) -> None:
    command = ["publish", "--all", "--suite", "core", "--owner", "me", "--runs", runs, "--push"]
    hub.fail("POST", "/api/models/me/esm-peptides/commit/", 403)
    code, out, err = bench(*command)
    assert code == 2 and "1 of 2 models are published; not yet: me/esm-peptides" in err and "go on with" in err
    hub.failures.clear()
    code, out, err = bench(*command)
    assert code == 0, err
    assert "me/bert-peptides: is published already" in out and "published me/esm-peptides" in out


def test_nothing_of_a_suite_goes_where_one_is_not_publishable(hub: Hub, bench: Bench, runs: Path) -> None:
    (runs / "esm-1" / "model" / "evil.pkl").write_bytes(b"")
    code, _, err = bench("publish", "--all", "--suite", "core", "--owner", "me", "--runs", runs, "--push")
    assert code == 2 and "1 of 2 models are not publishable: me/esm-peptides" in err and not hub.writes


@pytest.mark.parametrize(
    "arguments", [["--all"], ["--all", "--suite", "core"], ["somewhere", "--all", "--suite", "a", "--owner", "b"], []]
)
def test_half_an_order_is_refused(bench: Bench, arguments: list[str]) -> None:
    code, _, err = bench("publish", *arguments)
    assert code == 2 and err.count("\n") == 1 and "Write: bench publish" in err
