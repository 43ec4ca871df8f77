"""The store of embeddings: what determines a number finds it, whatever happens to processes, files and disks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from hubtools.common.errors import UserError
from hubtools.specs.record import CheckpointIdentity
from hubtools.training.frozen import embedding_store
from hubtools.training.frozen.embedding_store import (
    EmbeddingSource,
    EmbeddingStore,
    KeptEmbeddings,
    Space,
    human,
    size_limit,
    write_shard,
)

SPACE = Space("esm", "c0ffee", "pretrained", "residues", 2, "float32", "cpu", "torch 1")
KEYS = [bytes([i]) * 32 for i in range(6)]


def entries(keys: list[bytes] = KEYS, seed: int = 0, width: int = 8) -> dict[bytes, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {key: rng.normal(size=(i + 1, width)).astype(np.float32) for i, key in enumerate(keys)}


def same(found: dict[bytes, np.ndarray], expected: dict[bytes, np.ndarray]) -> bool:
    return found.keys() == expected.keys() and all(np.array_equal(found[key], expected[key]) for key in expected)


def shards(root: Path) -> list[Path]:
    return sorted(root.glob("*/*.safetensors"))


def test_what_was_added_is_found_by_another_process_bit_for_bit(tmp_path: Path) -> None:
    EmbeddingStore(tmp_path).add(SPACE, entries())
    again = EmbeddingStore(tmp_path)
    assert same(again.find(SPACE, [*KEYS, b"x" * 32]), entries())
    assert same(again.find(SPACE, KEYS[:2]), {key: entries()[key] for key in KEYS[:2]})
    found = again.find(SPACE, KEYS)[KEYS[0]]
    assert isinstance(found, np.memmap), "mapped, not read into memory"


def test_a_shard_is_a_file_that_safetensors_reads(tmp_path: Path) -> None:
    path = write_shard(tmp_path, SPACE, entries())
    tensors = load_file(path)
    np.testing.assert_array_equal(tensors["rows"], np.concatenate([*entries().values()]))
    assert tensors["bounds"].tolist() == [0, 1, 3, 6, 10, 15, 21]
    assert [row.tobytes() for row in tensors["keys"]] == KEYS


@pytest.mark.parametrize(
    "changed",
    [
        {"content": "other"},
        {"weights": "random, seed 1"},
        {"kind": "mean"},
        {"layer": 1},
        {"precision": "bf16"},
        {"device": "cuda"},
        {"code": "torch 2"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_another_space_never_answers(tmp_path: Path, changed: dict[str, str]) -> None:
    store = EmbeddingStore(tmp_path)
    store.add(SPACE, entries())
    assert store.find(replace(SPACE, **changed), KEYS) == {}
    assert same(store.find(replace(SPACE, checkpoint="the same under another name"), KEYS), entries())


def test_sources_differ_by_commit_content_seed_and_precision() -> None:
    def name(weights: str = "pretrained", seed: int = 1, precision: str = "float32", **checkpoint: str) -> str:
        values = {"name": "a/b", "source": "hub", "commit": "1" * 40, **checkpoint}
        return EmbeddingSource.of(CheckpointIdentity(**values), weights, seed, precision, "cpu").space("mean", 1).name

    base = name()
    assert name(seed=2) == base, "pretrained weights have no seed"
    others = [
        name(commit="2" * 40),
        name("random"),
        name("random", seed=2),
        name(precision="bf16"),
        name(source="local", sha256="3" * 64),
        name(source="local", sha256="4" * 64),
    ]
    assert len({base, *others}) == 7
    folder = {"source": "local", "sha256": "3" * 64}
    assert name(**folder) == name(**folder, name="elsewhere"), "a folder is what is in it"


# Damage


@pytest.mark.parametrize(
    "damage", ["empty", "short header", "cut rows", "longer", "flipped row", "flipped key", "text"]
)
def test_a_damaged_shard_is_not_used_and_goes(tmp_path: Path, damage: str) -> None:
    path = write_shard(tmp_path, SPACE, entries())
    other = {b"k" * 32: np.ones((2, 8), np.float32)}
    write_shard(tmp_path, SPACE, other)
    content = bytearray(path.read_bytes())
    rows = bytes(np.concatenate([*entries().values()]).tobytes())
    if damage == "flipped row":
        content[content.index(rows) + 100] ^= 1
    elif damage == "flipped key":
        content[content.index(KEYS[3]) + 5] ^= 1
    cut = {"empty": b"", "short header": content[:40], "cut rows": content[:-50], "longer": content + b"x"}
    path.write_bytes(b"{}\n" * 500 if damage == "text" else cut.get(damage, content))
    store = EmbeddingStore(tmp_path)
    assert same(store.find(SPACE, [*KEYS, *other]), other)
    assert not path.exists()
    store.add(SPACE, entries())
    assert same(EmbeddingStore(tmp_path).find(SPACE, KEYS), entries())


def test_a_shard_of_another_space_in_the_folder_is_not_used(tmp_path: Path) -> None:
    path = write_shard(tmp_path, SPACE, entries())
    other = replace(SPACE, layer=1)
    (tmp_path / other.name).mkdir()
    path.rename(tmp_path / other.name / path.name)
    assert EmbeddingStore(tmp_path).find(other, KEYS) == {}


def test_half_a_shard_has_no_name_that_anybody_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("safetensors.numpy.save_file", killed)
    with pytest.raises(KeyboardInterrupt):
        EmbeddingStore(tmp_path).add(SPACE, entries())
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


# Several processes


@pytest.mark.slow
def test_two_processes_write_the_same_space_at_once(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np; from pathlib import Path\n"
        "from hubtools.training.frozen.embedding_store import EmbeddingStore, Space\n"
        "space = Space('esm', 'c0ffee', 'pretrained', 'residues', 2, 'float32', 'cpu', 'torch 1')\n"
        "store = EmbeddingStore(Path(sys.argv[1]))\n"
        "for i in range(60):\n"
        "    key, rows = bytes([i]) * 32, np.full((50, 8), i, np.float32)\n"
        "    store.add(space, {key: rows})\n"
        "    found = EmbeddingStore(Path(sys.argv[1])).find(space, [bytes([k]) * 32 for k in range(60)])\n"
        "    assert all((rows == key[0]).all() and len(rows) == 50 for key, rows in found.items())\n"
        "    assert key in found\n"
        "print('done')"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in running:
        out, err = process.communicate()
        assert (out, err, process.returncode) == ("done\n", "", 0)
    assert len(shards(tmp_path)) == 60, "the same content under the same name"
    assert len(EmbeddingStore(tmp_path).find(SPACE, [bytes([i]) * 32 for i in range(60)])) == 60


def test_what_is_removed_meanwhile_is_read_to_the_end(tmp_path: Path) -> None:
    EmbeddingStore(tmp_path).add(SPACE, entries())
    reader = EmbeddingStore(tmp_path)
    found = reader.find(SPACE, KEYS)
    assert EmbeddingStore(tmp_path).remove(shards(tmp_path))[1] > 0
    assert same(found, entries())
    assert EmbeddingStore(tmp_path).find(SPACE, KEYS) == {}
    assert list(tmp_path.iterdir()) == []


# The limit


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    spaces = [replace(SPACE, layer=layer) for layer in range(4)]
    for age, space in enumerate(spaces):
        path = write_shard(tmp_path, space, entries())
        os.utime(path, (time.time() - 1000 + age,) * 2)
    size = path.stat().st_size
    EmbeddingStore(tmp_path).find(spaces[0], KEYS)  # The oldest is read: now it is the newest.
    EmbeddingStore(tmp_path, limit=4 * size + 200).add(replace(SPACE, layer=9), entries())
    there = {path.parent.name for path in shards(tmp_path)}
    left = [space.layer for space in [*spaces, replace(SPACE, layer=9)] if space.name in there]
    assert left == [0, 2, 3, 9]
    assert sum(path.stat().st_size for path in shards(tmp_path)) <= 4 * size + 200


def test_a_run_larger_than_the_limit_keeps_what_fits_and_says_so_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = EmbeddingStore(tmp_path, limit=5000)
    for i in range(10):
        store.add(SPACE, {bytes([i]) * 32: np.full((30, 8), i, np.float32)})
    assert 0 < len(shards(tmp_path)) < 10
    assert sum(path.stat().st_size for path in shards(tmp_path)) <= 5000
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith(
        "warning: embeddings are no longer kept for later runs (the limit of 5.0 kB is reached; BENCH"
    )
    assert set(store.find(SPACE, [bytes([0]) * 32])) == {bytes([0]) * 32}


def test_no_limit_means_nothing_is_kept_and_nothing_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    EmbeddingStore(tmp_path, limit=0).add(SPACE, entries())
    assert not shards(tmp_path) and capsys.readouterr().err == ""


def test_room_is_left_on_the_disk_for_the_run_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = write_shard(tmp_path, replace(SPACE, layer=1), entries())
    free = embedding_store.SPARED + 1000

    def usage(path: Path) -> shutil._ntuple_diskusage:
        return shutil._ntuple_diskusage(10**12, 0, free if old.exists() else free + 2000)

    monkeypatch.setattr(embedding_store.shutil, "disk_usage", usage)
    store = EmbeddingStore(tmp_path)
    store.add(SPACE, {KEYS[0]: np.ones((10, 8), np.float32)})
    assert old.exists() and len(shards(tmp_path)) == 2
    store.add(SPACE, {KEYS[1]: np.ones((50, 8), np.float32)})
    assert not old.exists() and len(shards(tmp_path)) == 2, "what is old gives way first"
    store.add(SPACE, {KEYS[2]: np.ones((500, 8), np.float32)})
    assert len(shards(tmp_path)) == 2
    assert "(less than 2.0 GB would be left on the disk): " in capsys.readouterr().err


@pytest.mark.parametrize("how", ["full", "not a folder"])
def test_a_disk_that_cannot_be_written_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    root = tmp_path / "store"
    if how == "full":

        def full(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("safetensors.numpy.save_file", full)
    else:
        root.write_text("a file")
    store = EmbeddingStore(root)
    for _ in range(3):
        store.add(SPACE, entries())
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and err.startswith("warning: embeddings are no longer kept")
    assert ("No space left on device" in err) == (how == "full")
    assert store.find(SPACE, KEYS) == {}


def test_safetensors_own_error_is_a_warning_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors import numpy as library

    save = library.save_file
    # Into a folder that is not there.
    monkeypatch.setattr(
        library, "save_file", lambda tensors, _, metadata: save(tensors, tmp_path / "a" / "b", metadata)
    )
    EmbeddingStore(tmp_path / "store").add(SPACE, entries())
    assert capsys.readouterr().err.startswith("warning: embeddings are no longer kept")


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, 20 * 10**9), ("", 20 * 10**9), ("5", 5 * 10**9), ("500 MB", 5 * 10**8), ("1.5tb", 1_500 * 10**9), ("0", 0)],
)
def test_limits_are_read_as_people_write_them(text: str | None, expected: int) -> None:
    assert size_limit(text) == expected


def test_a_limit_that_is_no_size_is_one_line() -> None:
    with pytest.raises(UserError, match=r"BENCH_CACHE_LIMIT: 'much' is not a size\. For example"):
        size_limit("much")
    assert [human(999), human(1e3), human(2.5e6), human(20e9)] == ["999 B", "1.0 kB", "2.5 MB", "20.0 GB"]


# Writing as one goes


def test_what_waits_is_written_when_it_is_much_or_old_or_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = EmbeddingSource("esm", "c0ffee", "pretrained", "float32", "cpu", "torch 1")
    kept = KeptEmbeddings(EmbeddingStore(tmp_path), source)
    kept.add("mean", 1, entries(KEYS[:1]))
    kept.add("mean", 2, entries(KEYS[:1]))
    kept.flush(always=False)
    assert not shards(tmp_path)
    monkeypatch.setattr(embedding_store, "SHARD_BYTES", 100)
    kept.add("mean", 1, entries(KEYS[1:3]))
    kept.flush(always=False)
    assert len(shards(tmp_path)) == 2, "one a space"
    monkeypatch.setattr(embedding_store, "SHARD_BYTES", 10**9)
    kept.add("mean", 1, entries(KEYS[3:4]))
    monkeypatch.setattr(embedding_store, "SHARD_SECONDS", 0.0)
    kept.flush(always=False)
    assert len(shards(tmp_path)) == 3
    kept.add("mean", 1, entries(KEYS[4:5]))
    kept.flush()
    assert len(kept.find("mean", 1, KEYS)) == 5 and len(kept.find("mean", 2, KEYS)) == 1


def test_the_list_says_what_is_there(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path)
    store.add(SPACE, entries())
    store.add(replace(SPACE, layer=1), entries(KEYS[:2]))
    abandoned = tmp_path / SPACE.name / ".left-by-a-killed-process"
    abandoned.write_text("x")
    os.utime(abandoned, (0, 0))
    for path in (tmp_path / SPACE.name).glob("*.safetensors"):
        os.utime(path, (time.time() - 5000,) * 2)
    listed = store.spaces()
    assert [(item.space.layer, item.proteins) for item in listed] == [(1, 2), (2, 6)]
    assert [item.bytes for item in listed] == [item.files[0].stat().st_size for item in listed]
    assert json.dumps([item.used for item in listed])
    assert {path for path, *_ in store.files()} == set(shards(tmp_path)), "what was left behind is cleared away"
