"""Tiny random folding checkpoints: transformers' own classes, their real code, made small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

KINDS = ("esmfold", "esmfold2")


def write_folding_checkpoint(folder: Path, kind: str, seed: int = 0) -> Path:
    """A folder with config.json and weights; folding models need no tokenizer."""
    from transformers import EsmFold2Config, EsmFold2Model, EsmForProteinFolding

    torch.manual_seed(seed)
    model: Any = (
        EsmForProteinFolding(esmfold_config()) if kind == "esmfold" else EsmFold2Model(esmfold2_config(EsmFold2Config))
    )
    with torch.no_grad():
        # What starts at zero, so that confidence is the same everywhere.
        for name, weight in model.named_parameters():
            if name.startswith(("lddt_head", "ptm_head", "confidence_head.pae_head", "confidence_head.plddt_weight")):
                weight.normal_(std=0.5)
    model.eval().save_pretrained(folder)
    return folder


def esmfold_config(pair: int = 8, blocks: int = 1, recycles: int = 2) -> Any:
    """Of ESMFold with a pair representation of this width."""
    from transformers import EsmConfig

    structure = {"sequence_dim": 16, "ipa_dim": 4, "resnet_dim": 8, "num_heads_ipa": 2, "num_blocks": 1}
    structure |= {"pairwise_dim": pair, "num_qk_points": 2, "num_v_points": 2, "num_resnet_blocks": 1}
    trunk = {"num_blocks": blocks, "max_recycles": recycles, "chunk_size": 16, "structure_module": structure}
    trunk |= {"sequence_state_dim": 16, "sequence_head_width": 8}
    trunk |= {"pairwise_state_dim": pair, "pairwise_head_width": pair // 4}
    return EsmConfig(
        vocab_size=33,
        mask_token_id=32,
        pad_token_id=1,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=1026,
        position_embedding_type="rotary",
        token_dropout=True,
        is_folding_model=True,
        # With the vocabulary written out, transformers does not warn that it takes ESM-2's.
        vocab_list=["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO.-", "<null_1>", "<mask>"],
        esmfold_config={"fp16_esm": False, "lddt_head_hid_dim": 8, "trunk": trunk},
    )


def esmfold2_config(config_class: Any, pair: int = 8, samples: int = 2) -> Any:
    """Of ESMFold2 with a pair representation of this width."""
    atoms = {"hidden_size": 32, "output_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 1} | {
        "intermediate_size": 16
    }
    diffusion = {"hidden_size": 16, "fourier_dim": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    diffusion |= {"intermediate_size": 16, "pair_intermediate_size": pair, "atom_encoder": atoms}
    head = {"num_diffusion_samples": samples, "inference_num_steps": 3, "num_distogram_bins": 8}
    return config_class(
        hidden_size=16,
        pairwise_hidden_size=pair,
        single_inputs_size=16 + 67,
        pair_transition_intermediate_size=4 * pair,
        num_loops=1,
        folding_trunk_num_hidden_layers=1,
        parcae_num_coda_layers=1,
        atom_encoder=atoms,
        structure_head=head | {"diffusion_module": diffusion},
        confidence_head={"num_hidden_layers": 1},
        msa_encoder={"hidden_size": 8, "outer_hidden_size": 4, "num_hidden_layers": 1} | {"intermediate_size": 8},
        lm_encoder={"num_hidden_layers": 1},
        esmc_config={
            "model_type": "esmc",
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 16,
        },
    )
