"""Data sets on the Hub, through datasets and huggingface_hub, from a Hub on loopback."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hub_server import Hub

from hubtools.common.errors import UserError
from hubtools.data import DataCache, load_task_data, source_digest
from hubtools.specs.task import Task


@pytest.fixture
def datasets_hub(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The loopback Hub, also for ``datasets``."""
    import datasets
    from huggingface_hub import HfFileSystem

    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", hub.endpoint)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    HfFileSystem.clear_instance_cache()
    yield hub
    HfFileSystem.clear_instance_cache()


def parquet(letter: str, n: int = 4) -> bytes:
    buffer = io.BytesIO()
    frame = {"seq": [letter * (i + 2) for i in range(n)], "sites": [[i % 2] * (i + 2) for i in range(n)]}
    pd.DataFrame(frame).to_parquet(buffer)
    return buffer.getvalue()


FILES: dict[str, bytes | str] = {
    f"data/{name}-0.parquet": parquet(letter)
    for name, letter in zip(("train", "validation", "test"), "ACD", strict=True)
}


ALL: dict[str, object] = {"train": {}, "test": {}}


def hub_task(revision: str | None, dataset: str = "me/sites", **data: object) -> Task:
    return Task.model_validate(
        {
            "name": "t",
            "version": 1,
            "title": "T",
            "problem": "residue-classification",
            "summary": "s",
            "data": {
                "source": "hub",
                "dataset": dataset,
                "revision": revision,
                "files": [{"split": name} for name in ("train", "validation", "test")],
                "columns": {"sequence": "seq", "label": "sites"},
                "splits": {name: {"files": [name]} for name in ("train", "validation", "test")},
                **data,
            },
            "labels": {"0": "no", "1": "yes"},
            "metrics": {"primary": "mcc"},
            "licence": "CC0-1.0",
            "citation": "none",
        }
    )


def test_rows_come_from_the_pinned_commit(datasets_hub: Hub, tmp_path: Path) -> None:
    commit = datasets_hub.add_dataset("me/sites", FILES)
    repo = datasets_hub.repos["datasets", "me/sites"]
    datasets_hub.commit(repo, {"data/test-0.parquet": parquet("W")}, title="the data moved on")
    task, cache = hub_task(commit), DataCache(tmp_path / "cache")
    data = load_task_data(task, cache)
    assert data.splits["test"].to_dict() == {
        "id": [f"test:{i}" for i in (1, 2, 3, 4)],
        "sequence": ["DD", "DDD", "DDDD", "DDDDD"],
        "label": [[0, 0], [1, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1, 1]],
    }
    assert (data.facts.dataset, data.facts.revision) == ("me/sites", commit)
    later = repo.branches["main"]
    assert later != commit
    assert source_digest(task, cache) != source_digest(hub_task(later), cache)


def test_a_folder_of_the_data_sets_name_is_not_read_for_it(
    datasets_hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``datasets`` takes a folder of the current one before it asks the Hub; the record would name the Hub's commit."""
    commit = datasets_hub.add_dataset("me/sites", FILES)
    (tmp_path / "me" / "sites").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^me/sites: the current folder has a folder of that name"):
        load_task_data(hub_task(commit), DataCache(tmp_path / "cache"))


def test_what_the_hub_refuses_is_one_line(datasets_hub: Hub, tmp_path: Path) -> None:
    commit = datasets_hub.add_dataset("me/sites", FILES)
    gated = datasets_hub.add_dataset("lab/gated", FILES, gated=True)
    cases = {
        "me/absent at .*: the Hub has no such data set.*hf auth login": hub_task(commit, "me/absent"),
        "lab/gated at .*: the data set is gated.*Ask for access": hub_task(gated, "lab/gated"),
        r"no such revision\. Correct data\.revision": hub_task("0" * 40),
        r"Unknown split .nowhere.*'train', 'validation', 'test'": hub_task(
            commit, files=[{"split": "nowhere"}], splits=ALL
        ),
        r"'other' not found\. Available: \['default'\]": hub_task(commit, config="other"),
    }
    for message, task in cases.items():
        with pytest.raises(UserError, match=message) as error:
            load_task_data(task, DataCache(tmp_path / "cache"))
        assert "\n" not in str(error.value)


def test_a_hub_that_is_down_is_one_line(datasets_hub: Hub, tmp_path: Path) -> None:
    commit = datasets_hub.add_dataset("me/sites", FILES)
    datasets_hub.fail("GET", "/", 403)
    datasets_hub.fail("HEAD", "/", 403)
    with pytest.raises(UserError, match=r"me/sites at .*the Hub cannot be read"):
        load_task_data(hub_task(commit), DataCache(tmp_path / "cache"))


def test_another_revision_in_the_cache_is_not_taken_for_the_pinned_one(datasets_hub: Hub, tmp_path: Path) -> None:
    commit = datasets_hub.add_dataset("me/sites", FILES)
    load_task_data(hub_task(commit), DataCache(tmp_path / "cache"))
    datasets_hub.fail("GET", "/", 403)
    datasets_hub.fail("HEAD", "/", 403)
    load_task_data(hub_task(commit), DataCache(tmp_path / "cache"))
    with pytest.raises(UserError, match=f"another revision is in the cache .{commit[:8]}"):
        load_task_data(hub_task("0" * 40), DataCache(tmp_path / "cache"))


def test_a_data_set_without_revision_is_at_its_latest_commit_until_it_is_pinned(
    datasets_hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    from hubtools.cli.main import cli
    from hubtools.specs.lookup.spec_files import load_task

    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    first = datasets_hub.add_dataset("me/sites", FILES)
    task, cache = hub_task(None), DataCache(tmp_path / "cache")
    data = load_task_data(task, cache)
    assert data.facts.revision == first
    assert f"not pinned: me/sites was at commit {first}" in data.facts.findings
    datasets_hub.commit(datasets_hub.repos["datasets", "me/sites"], {"data/test-0.parquet": parquet("W")}, title="on")
    later = datasets_hub.repos["datasets", "me/sites"].branches["main"]
    # One command sees one commit; the next one sees what there is then.
    assert source_digest(task, cache) == source_digest(hub_task(first), cache)
    assert source_digest(task, DataCache(tmp_path / "cache")) == source_digest(hub_task(later), cache)
    path = tmp_path / "t.yaml"
    written = yaml.safe_dump(task.model_dump(mode="json", exclude_defaults=True) | {"data": {
        "source": "hub", "dataset": "me/sites", "files": [{"split": "train"}, {"split": "test"}],
        "columns": {"sequence": "seq", "label": "sites"},
        "splits": {"train": {"files": ["train"]}, "test": {"files": ["test"]}},
    }}, sort_keys=False)  # fmt: skip
    path.write_text(written)
    done = CliRunner().invoke(cli, ["data", "freeze", str(path)], catch_exceptions=False)
    assert f"revision: {later}" in done.output
    assert load_task(str(path)).data.revision == later  # type: ignore[union-attr]
    assert path.read_text().replace(f"  revision: {later}\n", "") == written
    datasets_hub.commit(datasets_hub.repos["datasets", "me/sites"], {"data/test-0.parquet": parquet("Y")}, title="more")
    last, pinned = datasets_hub.repos["datasets", "me/sites"].branches["main"], path.read_text()
    done = CliRunner().invoke(cli, ["data", "freeze", "--refresh", str(path)], catch_exceptions=False)
    assert f"me/sites: commit {later}; the Hub has {last} now\n" in done.output
    assert path.read_text() == pinned.replace(later, last)


@pytest.mark.parametrize(
    ("status", "said"), [(404, "there is no such repository"), (401, "log in"), (None, "could not be reached")]
)
def test_what_keeps_a_data_set_from_being_resolved_is_one_line(
    datasets_hub: Hub, tmp_path: Path, status: int | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if status is None:
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # Nobody listens there.
    elif status != 404:
        datasets_hub.fail("GET", "/", status)
    with pytest.raises(UserError, match=f"(?i){said}") as error:
        source_digest(hub_task(None), DataCache(tmp_path / "cache"))
    assert "\n" not in str(error.value) and "me/sites" in str(error.value)
