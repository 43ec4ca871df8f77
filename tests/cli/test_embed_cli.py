"""``bench embed``: what transformers itself says of each protein alone, in every format, and nothing that is not whole."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from optional_packages import needs_h5py
from safetensors.numpy import load_file
from tiny_checkpoints import write_checkpoint
from transformers import AutoTokenizer, EsmModel

import hubtools
from hubtools.common.errors import UserError
from hubtools.inference.checkpoints import embedder

CPU = hubtools.ExecutionOptions(device="cpu", embedding_cache=False)
PROTEINS = {
    name: "".join(np.random.default_rng(length).choice(list("ACDEFGHIKLMNPQRSTVWY"), length))
    for name, length in (("sp|P1|A_HUMAN", 5), ("two/B", 24), ("three", 11), ("four.1", 24))
}
Bench = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("embed") / "esm", "esm")


@pytest.fixture(scope="module")
def states(checkpoint: Path) -> dict[str, list[np.ndarray]]:
    """Of each protein alone, the states after each layer, special tokens at both ends."""
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model: Any = EsmModel.from_pretrained(checkpoint, add_pooling_layer=False).eval()
    with torch.no_grad():
        return {
            name: [
                hidden[0].numpy()
                for hidden in model(**tokenizer(sequence, return_tensors="pt"), output_hidden_states=True).hidden_states
            ]
            for name, sequence in PROTEINS.items()
        }


@pytest.fixture
def fasta(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "proteins.fasta"
    path.write_text("".join(f">{name} of {len(s)}\n{s}\n" for name, s in PROTEINS.items()))
    return path


POOLED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": lambda hidden: hidden[1:-1].mean(axis=0),
    "max": lambda hidden: hidden[1:-1].max(axis=0),
    "last": lambda hidden: hidden[-2],
    "cls": lambda hidden: hidden[0],
}


@pytest.mark.parametrize("layer", [-1, 1])
@pytest.mark.parametrize("pooling", POOLED)
def test_a_protein_is_what_it_is_alone(
    checkpoint: Path, states: dict[str, list[np.ndarray]], pooling: Any, layer: int
) -> None:
    found = hubtools.embed(PROTEINS, checkpoint, pooling=pooling, layer=layer, execution=CPU)
    expected = np.stack([POOLED[pooling](states[name][layer]) for name in PROTEINS])
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
    assert found.ids == list(PROTEINS) and found.to_pandas().shape == expected.shape


def test_windows_lose_no_residue(
    checkpoint: Path, states: dict[str, list[np.ndarray]], monkeypatch: pytest.MonkeyPatch
) -> None:
    short = embedder.Window(residues=16, overlap=8)
    monkeypatch.setattr(embedder, "Window", lambda: short)
    monkeypatch.setattr(embedder, "PART_RESIDUES", 20)
    residues = hubtools.embed(PROTEINS, checkpoint, per="residue", execution=CPU)
    means = hubtools.embed(PROTEINS, checkpoint, execution=CPU)
    assert [one.values.shape[0] for one in residues] == [len(s) for s in PROTEINS.values()]
    assert [one.windows for one in residues] == [1, 2, 1, 2] and residues.run.cut == 2
    np.testing.assert_allclose(residues["three"].values, states["three"][-1][1:-1], atol=1e-5)
    for one, mean in zip(residues, means, strict=True):
        np.testing.assert_allclose(one.values.mean(axis=0), mean.values, atol=1e-5)


@pytest.mark.parametrize("form", ["parquet", "safetensors", "npz", pytest.param("h5", marks=needs_h5py)])
@pytest.mark.parametrize("per", ["protein", "residue"])
def test_every_format_holds_the_same(
    bench: Bench, checkpoint: Path, states: dict[str, list[np.ndarray]], fasta: Path, form: str, per: str
) -> None:
    out = fasta.with_name(f"out.{form}")
    code, said, told = bench("embed", fasta, "--checkpoint", checkpoint, "-o", out, "--per", per, "--device", "cpu")
    assert code == 0 and not said and "64 of 64 residues aligned" in told and f"wrote {out}" in told, told
    assert fasta.with_name(f"out.{form}.json").is_file() and not list(fasta.parent.glob("*.partial"))
    for name in PROTEINS:
        rows = states[name][-1][1:-1]
        np.testing.assert_allclose(
            read(out, name), rows if per == "residue" else rows.mean(axis=0), atol=1e-5, err_msg=name
        )
    # The same again is read from the cache; two of the four are one sequence.
    _, _, told = bench("embed", fasta, "--checkpoint", checkpoint, "-o", out, "--per", per, "--device", "cpu")
    assert "3 distinct proteins found in the cache, 0 computed" in told, told


def read(path: Path, name: str) -> np.ndarray:
    """A protein's array, as the format's own reader gives it."""
    if path.suffix == ".parquet":
        table = pd.read_parquet(path)
        rows = table[table["id"] == name]
        if "position" in rows:
            assert "".join(rows["residue"]) == PROTEINS[name] and rows["position"].tolist()[0] == 1
        values = np.stack(rows["embedding"].tolist())
        return values if "position" in rows else values[0]
    key = name.replace("/", "_")
    if path.suffix == ".h5":
        import h5py

        with h5py.File(path) as file:
            assert file[key].attrs["original_id"] == name
            return np.array(file[key])
    return load_file(path)[key] if path.suffix == ".safetensors" else np.load(path)[key]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-o", "e.pt"), ".pt is no format"),
        (("-o", "e.npz", "--layer", "7"), "there is no layer 7; it has 0 \\(the embedding\\) to 2"),
        (("-o", "e.npz", "--per", "residue", "--pooling", "cls"), "nothing is pooled"),
    ],
)
def test_mistakes_are_said_before_anything_is_computed(
    bench: Bench, checkpoint: Path, fasta: Path, options: tuple[str, ...], message: str
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(fasta.parent)
        code, _, told = bench("embed", fasta, "--checkpoint", checkpoint, *options)
    assert code == 2 and re.search(message, told), told
    assert not list(fasta.parent.glob("e.*"))


def test_ids_that_occur_twice(checkpoint: Path, tmp_path: Path) -> None:
    twice = tmp_path / "twice.fasta"
    twice.write_text(">a\nMKV\n>a\nMKL\n")
    with pytest.raises(UserError, match="occurs twice"):
        hubtools.embed(twice, checkpoint, out=tmp_path / "e.npz", execution=CPU)
    done = hubtools.embed(twice, checkpoint, out=tmp_path / "e.parquet", execution=CPU)
    assert len(pd.read_parquet(tmp_path / "e.parquet")) == 2 and "1 ids occur again" in done.notes[0]


def test_hdf5_says_what_it_needs(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="h5py, which is not installed"):
        hubtools.embed("MKV", checkpoint, out=tmp_path / "e.h5", execution=CPU)
