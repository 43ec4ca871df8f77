"""What folding checkpoints give, held against what transformers itself gives of them, read by biotite; and what memory they take."""

from __future__ import annotations

import io
import json
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from optional_packages import needs_biotite
from tiny_checkpoints import write_checkpoint
from tiny_folding import KINDS, esmfold2_config, esmfold_config, write_folding_checkpoint
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hubtools.common.errors import UserError
from hubtools.common.files import human
from hubtools.models.checkpoint import resolve_checkpoint
from hubtools.models.folding.fold_memory import esmfold2_memory, esmfold_memory
from hubtools.models.folding.folding_models import ESMFold, ESMFold2, FoldingModel, folding_model

pytestmark = [needs_biotite, pytest.mark.slow]
CPU = torch.device("cpu")
PROTEIN = "MKTAYIAKQRWGC"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, FoldingModel]:
    folder = tmp_path_factory.mktemp("folding")
    found = {kind: resolve_checkpoint(str(write_folding_checkpoint(folder / kind, kind))) for kind in KINDS}
    return {kind: folding_model(checkpoint, CPU, None, None) for kind, checkpoint in found.items()}


def read_pdb(text: str) -> Any:
    from biotite.structure.io.pdb import PDBFile

    return PDBFile.read(io.StringIO(text)).get_structure(model=1, extra_fields=["b_factor"])


@pytest.mark.parametrize("kind", KINDS)
def test_geometry_is_that_of_a_protein(models: dict[str, FoldingModel], kind: str) -> None:
    import biotite.structure as structure

    folded = models[kind].fold([PROTEIN], 1)
    atoms = folded.atoms
    codes, names = structure.get_residues(atoms)
    assert codes.tolist() == list(range(1, len(PROTEIN) + 1)) and set(atoms.chain_id) == {"A"}
    three = [structure.info.one_letter_code(name) for name in names]
    assert "".join(map(str, three)) == PROTEIN
    for name in ("N", "CA", "C", "O"):
        assert (atoms.atom_name == name).sum() == len(PROTEIN)
    # Every heavy atom of each residue, but for the oxygen of the end.
    for residue in structure.residue_iter(atoms):
        whole = structure.info.residue(residue.res_name[0])
        assert set(residue.atom_name) == set(whole.atom_name[whole.element != "H"]) - {"OXT"}
    alphas = atoms.coord[atoms.atom_name == "CA"]
    steps = np.linalg.norm(np.diff(alphas, axis=0), axis=1)
    assert np.isfinite(steps).all() and (steps > 0).all()
    # Of the frames that ESMFold moves, the distances inside a residue are those of a protein, whatever its weights.
    if kind == "esmfold":
        bonds = np.linalg.norm(alphas - atoms.coord[atoms.atom_name == "N"], axis=1)
        assert np.allclose(bonds, 1.46, atol=0.02)
    assert 0 <= atoms.b_factor.min() < atoms.b_factor.max() <= 100
    assert folded.pae is not None and folded.pae.shape == (len(PROTEIN),) * 2
    assert 0 <= folded.pae.min() < folded.pae.max() <= 32 and 0 < folded.ptm <= 1 and folded.iptm is None


def test_esmfold_is_what_transformers_says(models: dict[str, FoldingModel]) -> None:
    from transformers import EsmForProteinFolding

    own: Any = EsmForProteinFolding.from_pretrained(models["esmfold"].checkpoint.path).eval()
    output = own.infer(PROTEIN)
    expected, folded = read_pdb(own.output_to_pdb(output)[0]), models["esmfold"].fold([PROTEIN], 1)
    np.testing.assert_allclose(folded.atoms.coord, expected.coord, atol=1e-3)
    # Transformers writes the pLDDT from 0 to 1, in two digits.
    np.testing.assert_allclose(folded.atoms.b_factor / 100, expected.b_factor, atol=0.0051)
    assert folded.ptm == pytest.approx(float(output["ptm"]))
    np.testing.assert_allclose(folded.pae, output["predicted_aligned_error"][0], atol=1e-5)


def test_esmfold2_is_what_transformers_says(models: dict[str, FoldingModel]) -> None:
    from transformers import EsmFold2Model

    own: Any = EsmFold2Model.from_pretrained(models["esmfold2"].checkpoint.path).eval()
    torch.manual_seed(3)
    expected, folded = read_pdb(own.infer_protein_as_pdb(PROTEIN)), models["esmfold2"].fold([PROTEIN], 3)
    np.testing.assert_allclose(folded.atoms.coord, expected.coord, atol=1e-3)
    np.testing.assert_allclose(folded.atoms.b_factor / 100, expected.b_factor, atol=0.0051)


def test_a_seed_decides_what_is_drawn_and_nothing_else(models: dict[str, FoldingModel]) -> None:
    places = {kind: [models[kind].fold([PROTEIN], seed).atoms.coord for seed in (1, 1, 2)] for kind in KINDS}
    for first, again, other in places.values():
        np.testing.assert_array_equal(first, again)
        assert np.array_equal(first, other) == (first is places["esmfold"][0])
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    models["esmfold2"].fold([PROTEIN], 1)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("kind", KINDS)
def test_chains_are_apart(models: dict[str, FoldingModel], kind: str) -> None:
    import biotite.structure as structure

    chains = ["MKTAYI", "GGWC", "MKTAYI"]
    folded = models[kind].fold(chains, 1)
    for name, chain in zip("ABC", chains, strict=True):
        numbers, names = structure.get_residues(folded.atoms[folded.atoms.chain_id == name])
        assert numbers.tolist() == list(range(1, len(chain) + 1))
        assert "".join(map(str, map(structure.info.one_letter_code, names))) == chain
    assert folded.pae is not None and folded.pae.shape == (16, 16)
    assert (folded.iptm is None) == (kind == "esmfold")


def test_the_linker_is_as_esm_has_it(models: dict[str, FoldingModel]) -> None:
    # 25 glycines, and 512 in the numbering, at each end of a chain: by transformers itself, with nothing of ours.
    model: Any = models["esmfold"].model
    numbers = torch.cat([torch.arange(31), torch.arange(31, 35) + 512])
    atoms = read_pdb(model.infer_pdb("MKTAYI" + 25 * "G" + "GGWC", position_ids=numbers))
    expected = atoms[(atoms.res_id <= 6) | (atoms.res_id > 512)]
    np.testing.assert_allclose(models["esmfold"].fold(["MKTAYI", "GGWC"], 1).atoms.coord, expected.coord, atol=1e-3)
    assert models["esmfold"].read_length(["MKTAYI", "GGWC"]) == 35
    assert models["esmfold2"].read_length(["MKTAYI", "GGWC"]) == 10


def test_letters_that_a_model_does_not_know(models: dict[str, FoldingModel]) -> None:
    # ESMFold knows no atoms of X; ESMFold2 gives it a backbone.
    assert set(models["esmfold"].fold(["MKXGU"], 1).atoms.res_id) == {1, 2, 4}
    assert set(models["esmfold2"].fold(["MKXGU"], 1).atoms.res_id) == {1, 2, 3, 4, 5}


def test_chunks_change_memory_and_not_the_structure(models: dict[str, FoldingModel]) -> None:
    for kind in KINDS:
        checkpoint = models[kind].checkpoint
        chunked = folding_model(checkpoint, CPU, 4, None).fold([PROTEIN], 1).atoms.coord
        np.testing.assert_allclose(chunked, models[kind].fold([PROTEIN], 1).atoms.coord, atol=1e-3)


def test_the_most_confident_sample_stays(models: dict[str, FoldingModel]) -> None:
    one, four = (folding_model(models["esmfold2"].checkpoint, CPU, None, samples) for samples in (1, 4))
    assert four.fold([PROTEIN], 1).ptm >= one.fold([PROTEIN], 1).ptm
    with pytest.raises(UserError, match="one structure a protein"):
        folding_model(models["esmfold"].checkpoint, CPU, None, 2)


def test_what_does_not_fold_is_refused(models: dict[str, FoldingModel], tmp_path: Path, monkeypatch: Any) -> None:
    encoder = resolve_checkpoint(str(write_checkpoint(tmp_path / "esm", "esm")))
    with pytest.raises(UserError, match="predicts no structures"):
        folding_model(encoder, CPU, None, None)
    import transformers

    monkeypatch.setattr(transformers, "EsmFold2Model", None)
    with pytest.raises(UserError, match=r"has no EsmFold2Model\. Upgrade it"):
        folding_model(models["esmfold2"].checkpoint, CPU, None, None)


def test_weights_that_are_missing_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = write_folding_checkpoint(tmp_path / "cut", "esmfold")
    weights = load_file(folder / "model.safetensors")
    weights.pop("trunk.blocks.0.tri_mul_out.linear_z.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="1 weights of EsmForProteinFolding are not in it"):
        folding_model(resolve_checkpoint(str(folder)), CPU, None, None).fold(["MKV"], 1)


@pytest.mark.parametrize("kind", KINDS)
def test_coordinates_that_are_no_numbers_are_refused(tmp_path: Path, kind: str) -> None:
    model = folding_model(resolve_checkpoint(str(write_folding_checkpoint(tmp_path / kind, kind))), CPU, None, None)
    for weight in (model.model.trunk if kind == "esmfold" else model.model.folding_trunk).parameters():
        torch.nn.init.constant_(weight, float("inf"))
    with pytest.raises(UserError, match="coordinates that are no numbers"):
        model.fold(["MKV"], 1)


class LiveTensors(TorchDispatchMode):
    """The bytes of all tensors that are alive at the same time, at most."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.peak, self.seen = 0, 0, set[int]()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = function(*args, **(kwargs or {}))
        for tensor in (one for one in tree_leaves(given) if isinstance(one, torch.Tensor)):
            storage = tensor.untyped_storage()
            key, size = storage._cdata, storage.nbytes()
            if key not in self.seen:
                self.seen.add(key)
                self.now += size
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._gone, key, size)
        return given

    def _gone(self, key: int, size: int) -> None:
        self.seen.discard(key)
        self.now -= size


def live_bytes(model: Any, infer: str, residues: int) -> int:
    with torch.no_grad(), LiveTensors() as tensors:
        getattr(model, infer)("A" * residues)
    return tensors.peak


@pytest.mark.parametrize("chunk", [16, None])
def test_memory_of_esmfold_is_what_its_tensors_take(chunk: int | None) -> None:
    from transformers import EsmForProteinFolding

    config = esmfold_config(pair=64, recycles=1)
    model: Any = EsmForProteinFolding(config).eval()
    model.trunk.set_chunk_size(chunk)
    assert 0.7 < live_bytes(model, "infer", 96) / esmfold_memory(config, 0, 96, chunk, 4).total < 1.1


@pytest.mark.parametrize("samples", [1, 3])
def test_memory_of_esmfold2_is_what_its_tensors_take(samples: int) -> None:
    from transformers import EsmFold2Config, EsmFold2Model

    config = esmfold2_config(EsmFold2Config, pair=64, samples=samples)
    model = EsmFold2Model(config).eval()
    # Beside a narrow pair representation, the bins of its heads take a share that they do not have at the released width.
    assert 0.7 < live_bytes(model, "infer_protein", 96) / esmfold2_memory(config, 0, 96, samples, 4).total < 1.3


class _Named:
    """A checkpoint of which only the configuration is there."""

    name = "released"

    def __init__(self, config: dict[str, Any]) -> None:
        self.config: dict[str, Any] = json.loads(json.dumps(config))


# Configurations as released: ESM-2 3B, and the defaults of transformers' classes, which are ESMFold's and ESMFold2's.
RELEASED: dict[Any, dict[str, Any]] = {
    ESMFold: {
        "model_type": "esm",
        "is_folding_model": True,
        "vocab_size": 33,
        "hidden_size": 2560,
        "num_hidden_layers": 36,
        "num_attention_heads": 40,
        "intermediate_size": 10240,
        "position_embedding_type": "rotary",
        "vocab_list": esmfold_config().vocab_list,
        "esmfold_config": {},
    },
    ESMFold2: {"model_type": "esmfold2", "esmc_config": {"model_type": "esmc", "num_hidden_layers": 80}},
}


LENGTHS = (100, 200, 400, 700, 1000)


def estimates(row: str) -> list[str]:
    """A row of the table of docs/folding.md."""
    text = (Path(__file__).parents[2] / "docs" / "folding.md").read_text()
    line = next(line for line in text.splitlines() if line.startswith(f"| {row} |"))
    return line.strip("| ").split(" | ")[1:]


def gigabytes(model: FoldingModel, residues: int) -> str:
    return human(model.memory(residues).total)


def test_memory_of_what_was_released() -> None:
    checkpoint: Any = _Named(RELEASED[ESMFold])
    esmfold = ESMFold(checkpoint, torch.device("cuda"))
    # 2.8 thousand million parameters of ESM-2, 690 million of the rest (Lin et al. 2023); 16 to 24 GB of a GPU.
    assert 2.8e9 < esmfold.parameters["language"] < 2.9e9 and 6.8e8 < esmfold.parameters["rest"] < 7e8
    assert 16e9 < esmfold.memory(1000).total < 24e9
    checkpoint = _Named(RELEASED[ESMFold2])
    esmfold2 = ESMFold2(checkpoint, torch.device("cuda"), samples=1)
    assert estimates("ESMFold, GPU") == [gigabytes(esmfold, n) for n in LENGTHS]
    assert estimates("ESMFold, processor") == [gigabytes(ESMFold(_Named(RELEASED[ESMFold]), CPU), n) for n in LENGTHS]
    assert estimates("ESMFold2, 1 sample, GPU") == [gigabytes(esmfold2, n) for n in LENGTHS]
    eight = ESMFold2(checkpoint, torch.device("cuda"))
    assert estimates("ESMFold2, 8 samples, GPU") == [gigabytes(eight, n) for n in LENGTHS]
    # What a user of it measured: 14 GiB loaded, 25 GiB at 800 residues.
    assert esmfold2.memory(0).total == pytest.approx(14 * 2**30, rel=0.15)
    assert esmfold2.memory(800).total == pytest.approx(25 * 2**30, rel=0.1)
