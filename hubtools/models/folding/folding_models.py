"""Checkpoints that predict structures, asked through transformers' own classes: ESMFold and ESMFold2.

On the processor all of a model is float32. On a GPU the language model of ESMFold is float16, as its authors folded, and ESMFold2 is
bfloat16, as its documentation recommends. Sources: Lin et al. 2023, doi:10.1126/science.ade2574 (ESMFold); the documentation of transformers
(ESMFold2).
"""

from __future__ import annotations

import io
import string
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hubtools.common.errors import UserError
from hubtools.models.encoder import complete_model
from hubtools.models.families import family_of
from hubtools.models.folding.fold_memory import FoldMemory, esmfold2_memory, esmfold_memory
from hubtools.models.foreign import loaded

if TYPE_CHECKING:
    from hubtools.models.checkpoint import Checkpoint

# Between the chains of a complex that a model of one chain folds, and by how much residue numbers jump there: as ESM's own code does it
# (facebookresearch/esm, esm/esmfold/v1/misc.py).
LINKER, NUMBERING_GAP = "G" * 25, 512
# What torch raises where what it is to lay onto each other is no number.
_NOT_SOLVED: type[RuntimeError] = torch.linalg.LinAlgError  # type: ignore[attr-defined]
# What a PDB file calls chains, in their order.
CHAIN_NAMES = string.ascii_uppercase + string.ascii_lowercase + string.digits


@dataclass(frozen=True, eq=False)
class FoldedStructure:
    """The predicted structure of a protein.

    Attributes:
        atoms: biotite's AtomArray: chains A, B …, residues numbered from 1 in each, the pLDDT (0 to 100) as B factor. A letter that the
            model knows no atoms of (X, of ESMFold) has none.
        ptm: predicted TM-score, of the residues of all chains.
        iptm: predicted TM-score across chains; None where the model gives none, and of one chain.
        pae: (L, L) float32, predicted aligned error in Å of residue j where residue i is laid onto the truth; None where there is none.
    """

    atoms: Any
    ptm: float
    iptm: float | None
    pae: np.ndarray | None

    @property
    def mean_plddt(self) -> float:
        """Mean over residues of the pLDDT of their α carbon."""
        return float(self.atoms.b_factor[self.atoms.atom_name == "CA"].mean())


class FoldingModel(ABC):
    """A folding checkpoint whose configuration is known; its weights are loaded when the first protein is folded.

    Args:
        checkpoint: resolved.
        device: where it computes.
        chunk: rows of the pair representation that memory-heavy layers compute at once; None for the model's own.
        samples: structures drawn of each protein, of which the most confident stays; None for the model's own.
        exact: compute all of it in float32 on a GPU, too, as runs that are compared do.

    Attributes:
        kind: name of the class in transformers.
        known: the twenty amino acids and what else it has letters for.
        draws: whether a seed changes the structure.
        linked: residues between two chains, which the model reads.
        lowered: whether what its authors compute in lower precision is computed so here.
    """

    kind: str
    known = "ACDEFGHIKLMNPQRSTVWYX"
    draws = False
    linked = 0

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: torch.device,
        chunk: int | None = None,
        samples: int | None = None,
        exact: bool = False,
    ) -> None:
        self.checkpoint, self.device, self.chunk, self.samples = checkpoint, device, chunk, samples
        self.lowered = device.type == "cuda" and not exact
        self.config = loaded(
            lambda: self.architecture.config_class.from_dict(dict(checkpoint.config)), checkpoint.name, self.kind
        )

    @property
    def architecture(self) -> Any:
        """Transformers' class.

        Raises:
            UserError: this version of transformers has none of this name.
        """
        import transformers

        found = getattr(transformers, self.kind, None)
        if found is None:
            raise UserError(
                f"transformers {transformers.__version__} has no {self.kind}",
                where=self.checkpoint.name,
                fix="Upgrade it: pip install -U transformers.",
            )
        return found

    @property
    @abstractmethod
    def precision(self) -> str:
        """What it computes in, in words."""

    @abstractmethod
    def memory(self, residues: int) -> FoldMemory:
        """What a protein of so many residues takes, linkers included."""

    @cached_property
    def parameters(self) -> dict[str, int]:
        """Parameters of the language model and of the rest, counted without memory."""
        with torch.device("meta"):
            model: Any = loaded(lambda: self.architecture(self.config), self.checkpoint.name, self.kind)
        language = sum(one.numel() for one in self.language_model(model).parameters())
        return {"language": language, "rest": sum(one.numel() for one in model.parameters()) - language}

    @abstractmethod
    def language_model(self, model: Any) -> Any:
        """The part of the model that reads the sequence."""

    @cached_property
    def model(self) -> Any:
        """The model with its weights.

        Raises:
            UserError: the weights are not to be had, incomplete or damaged.
        """
        options: dict[str, Any] = {"config": self.config, "dtype": self.dtype}
        built: Any = complete_model(self.checkpoint, family_of(self.checkpoint.config), self.architecture, options)
        return self.placed(built.eval())

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights as they are loaded."""
        return torch.float32

    def placed(self, model: Any) -> Any:
        """The loaded model, where and how it computes."""
        return model.to(self.device)

    def read_length(self, chains: Sequence[str]) -> int:
        """Residues that the model reads of these chains."""
        return sum(map(len, chains)) + self.linked * (len(chains) - 1)

    def fold(self, chains: Sequence[str], seed: int) -> FoldedStructure:
        """The structure of one protein.

        Args:
            chains: residues of each.
            seed: of what is drawn; the caller's own draws go on as if there had been none here.

        Raises:
            UserError: the model's coordinates are not finite.
        """
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []), torch.no_grad():
            torch.manual_seed(seed)
            try:
                folded = self._fold(chains)
            except (_NOT_SOLVED, IndexError):
                folded = None
        if folded is None or not len(folded.atoms) or not np.isfinite(folded.atoms.coord).all():
            raise UserError(
                "its structure has coordinates that are no numbers",
                where=self.checkpoint.name,
                fix="Check the weights, or fold on the processor: --device cpu.",
            )
        return folded

    @abstractmethod
    def _fold(self, chains: Sequence[str]) -> FoldedStructure: ...


class ESMFold(FoldingModel):
    """ESMFold: deterministic, of one chain; several are linked by glycines, which are left out of what it gives."""

    kind = "EsmForProteinFolding"
    linked = len(LINKER)

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        if self.samples is not None:
            raise UserError("it draws nothing, and has one structure a protein", where="--samples", fix="Leave it out.")

    @property
    def precision(self) -> str:
        """What it computes in, in words."""
        return "float32, its language model float16" if self.lowered else "float32"

    def memory(self, residues: int) -> FoldMemory:
        """What a protein of so many residues takes, linkers included."""
        lm_bytes = 2 if self.lowered else 4
        weights = lm_bytes * self.parameters["language"] + 4 * self.parameters["rest"]
        chunk = self.chunk or self.config.esmfold_config.trunk.chunk_size
        return esmfold_memory(self.config, weights, residues, chunk, lm_bytes)

    def language_model(self, model: Any) -> Any:
        """ESM-2."""
        return model.esm

    def placed(self, model: Any) -> Any:
        """The loaded model, where and how it computes."""
        # Its configuration may ask for half precision on the processor, too.
        model.esm = model.esm.half() if self.lowered else model.esm.float()
        if self.chunk is not None:
            model.trunk.set_chunk_size(self.chunk)
        return model.to(self.device)

    def _fold(self, chains: Sequence[str]) -> FoldedStructure:
        from transformers.models.esm.modeling_esmfold import compute_tm

        # Which chain each residue is of; -1 in a linker.
        owner = np.array([place for part in _linked(chains) for place in part])
        steps = np.repeat(np.arange(len(chains)), [len(chain) + self.linked for chain in chains])[: len(owner)]
        numbers = torch.from_numpy(np.arange(len(owner)) + NUMBERING_GAP * steps)
        output = self.model.infer(LINKER.join(chains), position_ids=numbers)
        needed = ("aatype", "atom37_atom_exists", "residx_atom37_to_atom14")
        written = {name: output[name] for name in needed}
        # The last of the positions, which it refines block by block; percent, and numbers that fit the columns of a PDB file.
        written |= {"positions": output["positions"][-1:].float(), "plddt": 100 * output["plddt"].float()}
        written["residue_index"] = torch.arange(len(owner), device=self.device)[None]
        atoms = _read_pdb(self.model.output_to_pdb(written)[0])
        of_atom = owner[atoms.res_id - 1]
        first = np.array([np.flatnonzero(owner == number)[0] for number in range(len(chains))])
        atoms, of_atom = atoms[of_atom >= 0], of_atom[of_atom >= 0]
        atoms.res_id = atoms.res_id - first[of_atom]
        atoms.chain_id = np.array(list(CHAIN_NAMES))[of_atom]
        kept = torch.from_numpy(np.flatnonzero(owner >= 0)).to(self.device)
        logits = output["ptm_logits"].float()[0][kept][:, kept]
        ptm = compute_tm(logits, max_bin=31, no_bins=self.model.distogram_bins)
        pae = output["predicted_aligned_error"].float()[0][kept][:, kept]
        return FoldedStructure(atoms, float(ptm), None, pae.cpu().numpy())


class ESMFold2(FoldingModel):
    """ESMFold2: draws structures by diffusion, of which the one with the highest pTM stays; chains are its own."""

    kind = "EsmFold2Model"
    known = "ACDEFGHIKLMNPQRSTVWYXBUZO"
    draws = True

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        if self.chunk is not None:
            self.config.chunk_size = self.chunk
        self.samples = self.samples or self.config.structure_head.num_diffusion_samples

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights as they are loaded."""
        return torch.bfloat16 if self.lowered else torch.float32

    @property
    def precision(self) -> str:
        """What it computes in, in words."""
        return "bfloat16" if self.lowered else "float32"

    def memory(self, residues: int) -> FoldMemory:
        """What a protein of so many residues takes."""
        each = 2 if self.lowered else 4
        assert self.samples is not None
        return esmfold2_memory(self.config, each * sum(self.parameters.values()), residues, self.samples, each)

    def language_model(self, model: Any) -> Any:
        """ESM C."""
        return model.esmc

    def _fold(self, chains: Sequence[str]) -> FoldedStructure:
        from transformers.models.esmfold2 import protein_utils

        features = protein_utils.prepare_protein_features("".join(chains), device=self.device)
        # It makes one chain of a sequence: which residue is of which, and which chains are copies of each other.
        owner = np.repeat(np.arange(len(chains)), list(map(len, chains)))
        distinct = list(dict.fromkeys(chains))
        entity = np.array([distinct.index(chain) for chain in chains])
        copy = np.array([list(chains[:place]).count(chain) for place, chain in enumerate(chains)])
        numbers = np.concatenate([np.arange(len(chain)) for chain in chains])
        of_chains = {"asym_id": owner, "entity_id": entity[owner] + 1, "sym_id": copy[owner], "residue_index": numbers}
        features |= {name: torch.from_numpy(values)[None].to(self.device) for name, values in of_chains.items()}
        output = self.model.fold(**features, num_diffusion_samples=self.samples)
        best = int(output["ptm"].float().argmax())
        written = {"sample_atom_coords": output["sample_atom_coords"].float(), "plddt": 100 * output["plddt"].float()}
        atoms = _read_pdb(protein_utils.output_to_pdb(written, features, sample_idx=best))
        iptm = float(output["iptm"][best]) if len(chains) > 1 else None
        return FoldedStructure(atoms, float(output["ptm"][best]), iptm, output["pae"][best].float().cpu().numpy())


def folding_model(
    checkpoint: Checkpoint,
    device: torch.device,
    chunk: int | None = None,
    samples: int | None = None,
    exact: bool = False,
) -> FoldingModel:
    """A checkpoint as what folds; arguments as of :class:`FoldingModel`.

    Raises:
        UserError: it is no folding model, or this version of transformers cannot run it.
    """
    config = checkpoint.config
    if config["model_type"] == "esmfold2":
        return ESMFold2(checkpoint, device, chunk, samples, exact)
    if config["model_type"] == "esm" and config.get("is_folding_model"):
        return ESMFold(checkpoint, device, chunk, samples, exact)
    raise UserError(
        f"it predicts no structures (its model type is {config['model_type']})",
        where=checkpoint.name,
        fix="bench fold asks ESMFold (facebook/esmfold_v1) and ESMFold2 (biohub/ESMFold2).",
    )


def _linked(chains: Sequence[str]) -> Iterator[list[int]]:
    """Number of the chain of each residue, chain by chain, -1 in the linkers between."""
    for number, chain in enumerate(chains):
        if number:
            yield [-1] * len(LINKER)
        yield [number] * len(chain)


def _read_pdb(text: str) -> Any:
    """The atoms of a file that transformers wrote, with the chains, numbers and B factors that it gave them."""
    from biotite.structure.io.pdb import PDBFile

    return PDBFile.read(io.StringIO(text)).get_structure(model=1, extra_fields=["b_factor"])
