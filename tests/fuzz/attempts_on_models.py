"""Files of models and checkpoints that anybody may have made."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import samples
from attempts import FEWER, USUAL, attempt, put, tensors
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from mutations import Schema, as_json, encoded, mutated_bytes, mutated_values, texts_as_bytes


@attempt("models.foreign.read_json", "models.checkpoint.read_licence")
def _() -> Any:
    values = mutated_values([samples.CONFIG], Schema()).map(as_json).map(encoded)
    return (
        st.one_of(values, texts_as_bytes([as_json(samples.CONFIG), *samples.CARDS])),
        lambda read, folder, content: (
            read(put(folder, "config.json", content), "x")
            if read.__name__ == "read_json"
            else read(put(folder, "README.md", content))
        ),
    )


@attempt("models.foreign.check_config")
def _() -> Any:
    values = mutated_values(
        [samples.CONFIG, samples.CONFIG | {"attn_implementation": {"": "sdpa"}}], Schema(), finite=False
    )
    return values, lambda read, folder, value: read(value if isinstance(value, dict) else {"x": value}, "x")


@attempt("models.foreign.check_index", "models.checkpoint.check_weights")
def _() -> Any:
    weights = tensors({"a.weight": np.zeros(2, dtype=np.float32)}, {"format": "pt"})
    values = mutated_values([samples.INDEX], Schema()).map(as_json).map(encoded)
    names = st.sampled_from(["model.safetensors.index.json", "model.safetensors", "pytorch_model.bin.index.json"])

    def call(read: Any, folder: Path, given: Any) -> Any:
        name, content = given
        for one in samples.INDEX["weight_map"].values():
            put(folder, one, weights)
        return (
            read(put(folder, name, content), "x")
            if read.__name__ == "check_index"
            else read(put(folder, name, content))
        )

    lfs = st.just(b"version https://git-lfs.github.com/spec/v1\noid x\n")
    return st.tuples(
        names, st.one_of(values, texts_as_bytes([as_json(samples.INDEX)]), mutated_bytes([weights]), lfs)
    ), call


@attempt("models.saved._refuse_other_adapter")
def _() -> Any:
    about = {
        "peft_type": "LORA",
        "r": 8,
        "target_modules": r"encoder\.(?:query|key)",
        "revision": "c" * 40,
        "auto_mapping": None,
    }
    values = mutated_values(
        [about | {"base_model_name_or_path": "lab/esm", "rank_pattern": {}}], Schema(), finite=False
    )
    return values, lambda read, folder, value: read(value if isinstance(value, dict) else {"x": value}, folder)


@cache
def checkpoint() -> dict[str, bytes]:
    """The files of a tiny one."""
    from tempfile import TemporaryDirectory

    from tiny_checkpoints import write_checkpoint

    with TemporaryDirectory() as folder:
        made = write_checkpoint(Path(folder) / "esm", "esm", width=4)
        return {path.name: path.read_bytes() for path in made.iterdir()}


def damaged(files: dict[str, bytes], *names: str) -> SearchStrategy[dict[str, bytes]]:
    """A folder with one of its files changed, as values where it is JSON, or gone."""

    def of(name: str) -> SearchStrategy[dict[str, bytes]]:
        content = files[name]
        changes = [mutated_bytes([content])]
        if name.endswith(".json"):
            changes += [mutated_values([json.loads(content)], Schema(), finite=False).map(as_json).map(encoded)] * 3
        else:
            changes += [texts_as_bytes([content.decode()])] if name.endswith(".txt") else []
        return st.one_of(*changes).map(lambda changed: files | {name: changed})

    there = [name for name in (names or tuple(files)) if name in files]
    gone = st.sampled_from(sorted(there)).map(lambda name: {one: files[one] for one in files if one != name})
    return st.one_of(*[of(name) for name in sorted(there)] * 3, gone)


@attempt("models.checkpoint.resolve_checkpoint", examples=USUAL)
def _() -> Any:
    def call(read: Any, folder: Path, files: dict[str, bytes]) -> Any:
        for name, content in files.items():
            put(folder / "esm", name, content)
        return read(str(folder / "esm"))

    return damaged(checkpoint()), call


@attempt(
    "models.tokenisation.ResidueTokeniser.from_checkpoint",
    "models.encoder.load_encoder",
    "models.masked_lm.load_masked_lm",
    "models.masked_lm.load_contact_model",
    examples=FEWER,
)
def _() -> Any:
    def call(read: Any, folder: Path, files: dict[str, bytes]) -> Any:
        from hubtools.models.checkpoint import resolve_checkpoint
        from hubtools.models.tokenisation import ResidueTokeniser

        for name, content in files.items():
            put(folder / "esm", name, content)
        found = resolve_checkpoint(str(folder / "esm"))
        return ResidueTokeniser.from_checkpoint(found) if read.__name__ == "from_checkpoint" else read(found)

    return damaged(checkpoint()), call


@cache
def decoder() -> dict[str, bytes]:
    """The files of a tiny decoder."""
    from tempfile import TemporaryDirectory

    from tiny_decoders import write_decoder

    with TemporaryDirectory() as folder:
        return {path.name: path.read_bytes() for path in write_decoder(Path(folder) / "gpt2").iterdir()}


@attempt("models.decoders.causal_lm.load_causal_lm", examples=FEWER)
def _() -> Any:
    def call(read: Any, folder: Path, files: dict[str, bytes]) -> Any:
        from hubtools.models.checkpoint import resolve_checkpoint

        for name, content in files.items():
            put(folder / "gpt2", name, content)
        return read(resolve_checkpoint(str(folder / "gpt2")))

    return damaged(decoder()), call


@cache
def saved_model(small: bool = False) -> dict[str, bytes]:
    """The files of a tiny model that bench saved; of a small one without its encoder."""
    from tempfile import TemporaryDirectory

    from hubtools.models.checkpoint import resolve_checkpoint
    from hubtools.models.encoder import load_encoder
    from hubtools.models.encoder_note import note_of
    from hubtools.models.saved import save_model
    from hubtools.models.task_model import bench_model
    from hubtools.models.tokenisation import ResidueTokeniser
    from hubtools.specs.lookup.spec_files import load_recipe

    with TemporaryDirectory() as folder:
        for name, content in checkpoint().items():
            put(Path(folder) / "esm", name, content)
        source = resolve_checkpoint(str(Path(folder) / "esm"))
        task, tokeniser = samples.tiny_task("sequence-classification"), ResidueTokeniser.from_checkpoint(source)
        model = bench_model(load_encoder(source), task, load_recipe("full"), tokeniser, 1)
        note = note_of(source.identity, load_recipe("probe"), 1, model.encoder) if small else None
        save_model(model, tokeniser, task, Path(folder) / "model", note)
        return {path.name: path.read_bytes() for path in (Path(folder) / "model").iterdir() if path.is_file()}


@attempt("models.saved.load_model", examples=FEWER)
def _() -> Any:
    task = samples.tiny_task("sequence-classification")

    def call(read: Any, folder: Path, files: dict[str, bytes]) -> Any:
        for name, content in files.items():
            put(folder / "model", name, content)
        return read(folder / "model", task, shipped_code=False)

    return damaged(
        saved_model(), "config.json", "tokenizer_config.json", "model.safetensors", "tokenizer.json", "vocab.txt"
    ), call


@attempt("models.encoder_note.read_note")
def _() -> Any:
    def call(read: Any, folder: Path, files: dict[str, bytes]) -> Any:
        for name, content in files.items():
            put(folder, name, content)
        return read(folder)

    return damaged(saved_model(small=True), "encoder.json"), call


@attempt("inference.folding.folds_folder.read_fold_note")
def _() -> Any:
    row = {"id": "sp|P1", "file": "sp_P1.pdb", "length": 3, "chains": 1, "mean_plddt": 70.5, "ptm": 0.5, "iptm": None}
    row |= {"seconds": 1.5, "seed": 0, "residues": "a" * 64, "sha256": "b" * 64}
    note = {"settings": {"format": "pdb", "samples": 8}, "about": {"torch": "2.9", "chunk size": None}, "folded": [row]}
    values = mutated_values([note], Schema()).map(as_json).map(encoded)
    contents = st.one_of(values, texts_as_bytes([as_json(note)]))
    return contents, lambda read, folder, content: read(put(folder, "fold.json", content))


@attempt("models.assembling.put_together", examples=FEWER)
def _() -> Any:
    from hubtools.models.checkpoint import resolve_checkpoint
    from hubtools.specs.lookup.spec_files import load_recipe

    task, recipe = samples.tiny_task("sequence-classification"), load_recipe("probe")

    def call(read: Any, folder: Path, files: dict[str, bytes]) -> Any:
        for name, content in checkpoint().items():
            put(folder / "esm", name, content)
        for name, content in files.items():
            put(folder / "model", name, content)
        return read(folder / "model", task, recipe, resolve_checkpoint(str(folder / "esm")), folder / "adapter")

    return damaged(saved_model(small=True), "config.json", "encoder.json", "head.safetensors", "vocab.txt"), call
