"""``bench cache`` on what runs left, and what a second run makes of it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_checkpoints import write_checkpoint
from tiny_project import write_project

from hubtools.api.stored.embeddings_kept import ago
from hubtools.cli.main import main
from hubtools.runs.store import find_records
from hubtools.training.frozen import embedding
from hubtools.training.frozen.embedding_store import EmbeddingStore, Space, human

Said = tuple[int, str, str]
SPACE = Space("ann/esm", "c0ffee", "pretrained", "mean", 6, "float32", "cpu", "torch 1")
TASK = "tiny-sequence-classification"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def call(*arguments: object) -> Said:
        monkeypatch.setattr("sys.argv", ["bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as exited:
            main()
        out, err = capsys.readouterr()
        return int(exited.value.code or 0), out, err

    return call


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EmbeddingStore:
    """Three spaces, last used just now, two hours and forty days ago."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.delenv("BENCH_CACHE_LIMIT", raising=False)
    store = EmbeddingStore.beside(tmp_path)
    others = [replace(SPACE, kind="residues", layer=3, weights="random, seed 2"), replace(SPACE, checkpoint="bob/bert")]
    for space, age in zip([SPACE, others[0], replace(others[1], content="bee")], (0, 7300, 40 * 86_400), strict=True):
        store.add(
            space, {i.to_bytes(32, "little"): np.ones((1, 1000), np.float32) for i in range(1234 if not age else 3)}
        )
        for path in (store.root / space.name).iterdir():
            os.utime(path, (time.time() - age,) * 2)
    return store


def small(store: EmbeddingStore) -> int:
    """Bytes of the smallest shard: of three proteins."""
    return min(path.stat().st_size for path in store.root.rglob("*.safetensors"))


def rows(out: str) -> list[list[str]]:
    return [[cell for cell in line.split("  ") if cell.strip()] for line in out.splitlines()]


def test_the_table_says_what_is_kept_and_how_much_room_there_is(
    bench: Callable[..., Said], store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE_LIMIT", "50GB")
    code, out, err = bench("cache", "ls")
    assert (code, err) == (0, "")
    table = [[cell.strip() for cell in line] for line in rows(out)]
    assert table[0] == ["checkpoint", "weights", "kind", "layer", "precision", "proteins", "size", "last used"]
    assert table[1] == ["ann/esm", "pretrained", "mean", "6", "float32", "1,234", "5.0 MB", "just now"]
    assert table[2] == [
        "ann/esm",
        "random, seed 2",
        "residues",
        "3",
        "float32",
        "3",
        human(small(store)),
        "2 hours ago",
    ]
    assert table[3][0] == "bob/bert" and table[3][-1] == "40 days ago"
    total = sum(path.stat().st_size for path in store.root.rglob("*.safetensors"))
    assert out.splitlines()[-1] == f"{total / 1e6:.1f} MB of at most 50.0 GB in {store.root}"
    listed = json.loads(bench("cache", "ls", "--json")[1])
    assert sum(item["bytes"] for item in listed) == total
    assert [item["proteins"] for item in listed] == [1234, 3, 3]


def test_removed_is_what_was_named(bench: Callable[..., Said], store: EmbeddingStore) -> None:
    size = human(small(store))
    assert bench("cache", "rm", "--older-than", "60d")[1] == "removed 0 files, 0 B freed\n"
    assert bench("cache", "rm", "ann/esm", "--older-than", "1h")[1] == f"removed 1 file, {size} freed\n"
    assert [item.space.checkpoint for item in store.spaces()] == ["ann/esm", "bob/bert"]
    assert bench("cache", "rm", "bert")[1] == f"removed 1 file, {size} freed\n"
    assert bench("cache", "rm", "--all")[1] == "removed 1 file, 5.0 MB freed\n"
    assert list(store.root.iterdir()) == []
    assert bench("cache", "ls")[1] == f"0 B of at most 20.0 GB in {store.root}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "error: bench cache rm: nothing is named. Name checkpoints, give --older-than 30d, or --all."),
        (["--all", "x"], "error: bench cache rm: --all goes with nothing else. Name"),
        (["nobody"], "nothing is kept of 'nobody'. See: bench cache ls."),
        (["--older-than", "long"], "error: --older-than: 'long' is not an age. For example 12h, 30d or 8w."),
    ],
)
def test_mistakes_are_one_line_and_remove_nothing(
    bench: Callable[..., Said], store: EmbeddingStore, arguments: list[str], message: str
) -> None:
    code, out, err = bench("cache", "rm", *arguments)
    assert (code, out) == (2, "") and message in err and err.count("\n") == 1
    assert len(store.spaces()) == 3


def test_times_are_told_in_the_largest_unit() -> None:
    found = [ago(seconds) for seconds in (5, 60, 3599, 3600, 86_400, 1e7)]
    assert found == ["just now", "1 minute ago", "59 minutes ago", "1 hour ago", "1 day ago", "115 days ago"]


@pytest.mark.slow
def test_a_second_seed_never_runs_the_encoder_and_the_record_says_so(
    bench: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_project(tmp_path / "project", "sequence-classification")
    write_checkpoint(folder / "esm", "esm")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(folder)
    calls: list[int] = []
    means = embedding._means
    monkeypatch.setattr(embedding, "_means", lambda *given: calls.append(1) or means(*given))

    def run(seed: int, *more: str) -> Said:
        calls.clear()
        given = ["--checkpoint", "./esm", "--task", TASK, "--recipe", "probe", "--set", "epochs=2", *more]
        return bench("run", *given, "--seed", seed)

    code, _, err = run(1)
    assert code == 0 and calls and "cached" not in err
    code, _, err = run(2)
    assert code == 0 and not calls and "; 120 of 120 embeddings cached; " in err
    code, _, err = run(2, "--runs", "fresh", "--no-embedding-cache")
    assert code == 0 and calls and "cached" not in err
    records = {
        (root, record.identity.seed): record
        for root in ("runs", "fresh")
        for _, record in find_records([folder / root])[0]
    }
    facts = {key: record.training.embeddings for key, record in records.items() if record.training}
    assert {key: (fact.computed, fact.cached) for key, fact in facts.items() if fact} == {
        ("runs", 1): (120, 0),
        ("runs", 2): (0, 120),
        ("fresh", 2): (120, 0),
    }
    cached, fresh = records["runs", 2], records["fresh", 2]
    assert cached.results == fresh.results
    digests = [{o.path: o.sha256 for o in record.outputs if o.path != "training.jsonl"} for record in (cached, fresh)]
    assert digests[0] == digests[1], "model and predictions, to the byte"
    assert cached.cost and fresh.cost and cached.training
    assert cached.cost.tokens_per_second is None and fresh.cost.tokens_per_second
    assert cached.training.tokens == 0
