#!/usr/bin/env python3
"""A linear probe of every layer and five seeds: embeddings once, against the encoder in every epoch.

usage: python benchmarks/speed/probe.py [--checkpoint NAME] [--proteins 128] [--rounds 3]

The reference is what notebooks do: in each epoch the frozen encoder reads every protein again, in random order, eight at
a time, padded to the longest, and a linear head takes a step on their means; one run for each seed and layer. An epoch
costs the same each time, so --reference-epochs of one run are measured and multiplied; the table says by how much. bench
embeds once (--precision as in a recipe), writes what it computed to the embedding cache, and fits the heads on it,
scoring each epoch. Read from the cache is the same with another process's embeddings there: a second recipe, say.

Both see the same proteins (lengths log-normal around 345 residues, cut at 1,022) with random labels; that both compute
the same embeddings is checked. Without --checkpoint the encoder has the shape of ESM-2 8M and random weights.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from measuring import SHAPES, interleaved, options, proteins, report
from torch import nn
from transformers import AutoConfig

from hubtools.models import ResidueTokeniser, resolve_checkpoint
from hubtools.models.encoder import load_encoder
from hubtools.models.modeling_protein_task import ProteinTaskModel, build_encoder
from hubtools.models.task_model import bench_model, fresh_head
from hubtools.models.windows import pieces
from hubtools.specs.lookup.spec_files import load_recipe, load_task
from hubtools.specs.record import CheckpointIdentity
from hubtools.training.compute.device import Execution
from hubtools.training.compute.engine import engine
from hubtools.training.encoding import Encoded
from hubtools.training.frozen.embedding import Features, FrozenEncoder, chosen_layers, embed
from hubtools.training.frozen.embedding_store import EmbeddingSource, EmbeddingStore, KeptEmbeddings
from hubtools.training.frozen.examples import Examples, Scale
from hubtools.training.frozen.heads import Group, ValidationCheck, train_heads
from hubtools.training.job import Job
from hubtools.training.loss import loss_for
from hubtools.training.prediction import of_rows

EPOCHS, SEEDS, NOTEBOOK_BATCH = 10, 5, 8


@dataclass
class Setting:
    """One encoder, one split of proteins, and where to work."""

    model: ProteinTaskModel
    split: Encoded
    source: EmbeddingSource
    recipe: Any
    task: Any
    execution: Execution
    folder: Path

    @property
    def layers(self) -> list[int]:
        return chosen_layers("all", self.model.encoder.config.num_hidden_layers)

    def first(self, n: int) -> Setting:
        """The same with some proteins only."""
        split = self.split
        few = {name: getattr(split, name)[:n] for name in ("ids", "tokens", "labels", "windows")}
        return replace(self, split=replace(split, **few))

    def embedded(self, layers: list[int], store: str | None = None, empty: bool = False) -> Features:
        """Embeddings; a store that is not to be empty is what an earlier call has left."""
        if store is not None and empty:
            shutil.rmtree(self.folder / store, ignore_errors=True)
        kept = KeptEmbeddings(EmbeddingStore(self.folder / store), self.source) if store else None
        bf16, tokeniser = self.execution.bf16(self.recipe.precision), self.split.tokeniser
        with engine(self.model, tokeniser, self.execution, bf16=bf16, trains=False) as made:
            split, file = replace(self.split, packed=made.packed), self.folder / "t.npy"
            encoder = FrozenEncoder(self.model, self.execution, bf16, layers)
            return embed(encoder, split, file, "all", kept=kept)

    def fit_heads(self, features: Features, layers: list[int], seeds: int) -> None:
        """A linear head for each seed and layer, all at once."""
        loss = loss_for(self.split, self.task.n_outputs, "none")
        heads = {Group(seed, layer): fresh_head(self.model, seed) for seed in range(seeds) for layer in layers}
        tables = {layer: features.tables[layer] for layer in layers}
        scales = {layer: Scale(table) for layer, table in tables.items()}
        examples = Examples(tables, features.labels, features.owners, self.execution.device, scales)

        def predictions(scores: np.ndarray) -> Any:
            return of_rows(self.split, features.owners, None, features.labels, scores)

        job = Job(self.task, self.recipe, loss, 0, self.execution, self.folder, self.folder / "log.jsonl")
        train_heads(heads, [self.recipe.learning_rate], examples, ValidationCheck(examples, predictions, loss), job)

    def notebook(self, epochs: int) -> np.ndarray:
        """The frozen encoder in every epoch; the means of the last epoch, to compare: (proteins, width)."""
        torch.manual_seed(0)
        rng, encoder = np.random.default_rng(0), self.model.encoder.eval()
        width, device = encoder.config.hidden_size, self.execution.device
        head = nn.Linear(width, self.task.n_outputs).to(device)
        optimiser = torch.optim.AdamW(head.parameters(), lr=1e-3)
        tokeniser, before = self.split.tokeniser, len(self.split.tokeniser.prefix)
        rows = [torch.from_numpy(tokeniser.with_special(tokens)) for tokens in self.split.tokens]
        means = np.empty((len(rows), width), dtype=np.float32)
        for _ in range(epochs):
            order = rng.permutation(len(rows))
            for start in range(0, len(order), NOTEBOOK_BATCH):
                chosen = order[start : start + NOTEBOOK_BATCH]
                batch = [rows[i] for i in chosen]
                ids = nn.utils.rnn.pad_sequence(batch, batch_first=True, padding_value=tokeniser.pad_id).to(device)
                lengths = torch.tensor([len(row) for row in batch], device=device)
                place = torch.arange(ids.shape[1], device=device)
                residues = (place >= before) & (place < (lengths - len(tokeniser.suffix)).unsqueeze(1))
                with torch.no_grad():
                    mask = (place < lengths.unsqueeze(1)).long()
                    hidden = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
                    mean = (hidden * residues.unsqueeze(-1)).sum(1) / residues.sum(1, keepdim=True)
                labels = torch.tensor([int(self.split.labels[i]) for i in chosen], device=device)
                nn.functional.cross_entropy(head(mean), labels).backward()
                optimiser.step()
                optimiser.zero_grad()
                means[chosen] = mean.cpu().numpy()
        return means


def prepare(given: argparse.Namespace, folder: Path) -> Setting:
    """The encoder that the options name, and proteins as it reads them."""
    checkpoint = resolve_checkpoint(given.checkpoint or "embedded")
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
    if given.checkpoint:
        encoder, identity = load_encoder(checkpoint), checkpoint.identity
    else:
        layers, width, inner, heads = SHAPES[given.shape]
        config = AutoConfig.from_pretrained(checkpoint.files())
        config.update({"num_hidden_layers": layers, "hidden_size": width, "intermediate_size": inner})
        config.update({"num_attention_heads": heads, "max_position_embeddings": 1026})
        torch.manual_seed(0)
        encoder = build_encoder(config).float()
        identity = CheckpointIdentity(name=f"ESM-2 {given.shape} shape", source="local", sha256="random")
    task = load_task("localisation-single")
    recipe = load_recipe("probe", {"epochs": EPOCHS, "patience": None, "precision": given.precision})
    model = bench_model(encoder, task, recipe, tokeniser, 0)
    execution = Execution.choose("cpu", given.token_budget)
    tokens = [tokeniser.encode(sequence) for sequence in proteins(given.proteins)]
    rng = np.random.default_rng(0)
    split = Encoded(
        problem=task.problem,
        ids=[f"p{i}" for i in range(len(tokens))],
        clusters=None,
        tokens=tokens,
        labels=[np.int64(label) for label in rng.integers(0, task.n_outputs, len(tokens))],
        windows=[pieces(len(ids), 1022, 256) for ids in tokens],
        tokeniser=tokeniser,
    )
    precision = "bf16" if execution.bf16(recipe.precision) else "float32"
    source = EmbeddingSource.of(identity, "pretrained", 0, precision, "cpu")
    return Setting(model, split, source, recipe, task, execution, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", help="Hub id, folder or embedded (default: the shape with random weights)")
    parser.add_argument("--shape", choices=list(SHAPES), default="8M", help="of ESM-2 (default 8M)")
    parser.add_argument("--proteins", type=int, default=128, help="(default 128)")
    parser.add_argument("--reference-epochs", type=int, default=1, help="epochs that are measured (default 1)")
    parser.add_argument("--token-budget", type=int, help="tokens of a batch of bench (default: the device's)")
    parser.add_argument("--precision", choices=["float32", "bf16", "fastest"], default="float32")
    options(parser)
    parser.set_defaults(rounds=3)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        measure(prepare(given, Path(folder)), given)


def measure(setting: Setting, given: argparse.Namespace) -> None:
    """Rounds in which the parts take turns; what a whole procedure takes is added up within its round."""
    last, every = setting.layers[-1:], setting.layers
    few = setting.first(NOTEBOOK_BATCH)  # So that nothing is measured that happens only once in a process.
    few.notebook(1)
    few.fit_heads(few.embedded(every), last, 1)
    results: dict[str, Any] = {}

    def heads(layers: list[int], seeds: int) -> None:
        setting.fit_heads(results["embed all"], layers, seeds)

    computed: dict[str, Callable[[], Any]] = {
        "notebook": lambda: setting.notebook(given.reference_epochs),
        "embed last": lambda: setting.embedded(last, "last", empty=True),
        "embed all": lambda: setting.embedded(every, "all", empty=True),
        "read all": lambda: setting.embedded(every, "all"),
        "heads 1": lambda: heads(last, 1),
        "heads 5": lambda: heads(last, SEEDS),
        "heads all": lambda: heads(every, SEEDS),
    }
    parts = {name: lambda n=name, f=run: results.__setitem__(n, f()) for name, run in computed.items()}
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(given.rounds):
        for name, timing in interleaved(parts, 1, "notebook").items():
            seconds[name].append(timing.median)
    difference = float(np.abs(results["notebook"] - results["embed all"].tables[last[0]]).max())
    if difference > (1e-4 if setting.source.precision == "float32" else 0.1):
        raise SystemExit(f"the two do not compute the same embeddings: they differ by {difference:.1e}")
    layers = f"all {len(every)} layers"
    # What, parts of bench, runs of the notebook.
    procedures = [
        ("one seed, last layer", ("embed last", "heads 1"), 1),
        (f"{SEEDS} seeds, last layer", ("embed last", "heads 5"), SEEDS),
        (f"{SEEDS} seeds, {layers}", ("embed all", "heads all"), SEEDS * len(every)),
        (f"{SEEDS} seeds, {layers}, read from the cache", ("read all", "heads all"), SEEDS * len(every)),
    ]
    rows, figures = [], []
    for what, ours, runs in procedures:
        reference = [value / given.reference_epochs * EPOCHS * runs for value in seconds["notebook"]]
        taken = [sum(values) for values in zip(*(seconds[part] for part in ours), strict=True)]
        ratios = [a / b for a, b in zip(reference, taken, strict=True)]
        between = f"{min(ratios):,.0f}–{max(ratios):,.0f}"
        rows.append([what, f"{median(reference):,.0f}", f"{median(taken):.1f}", f"{median(ratios):,.0f} ×", between])
        figures.append({"what": what, "notebook": median(reference), "bench": median(taken), "ratios": ratios})
    tokens = sum(map(len, setting.split.tokens)) + given.proteins * setting.split.tokeniser.n_special
    report(
        f"Probe of {EPOCHS} epochs: {setting.source.checkpoint}, {given.proteins} proteins, {tokens:,} tokens, "
        f"{given.precision}; reference: {given.reference_epochs} epoch measured of one run, multiplied by "
        f"{EPOCHS / given.reference_epochs:g} and by seeds × layers; the embeddings differ by {difference:.0e} at most",
        ["what", "notebook s", "bench s", "ratio", "of rounds"],
        rows,
        given,
        {"procedures": figures, "seconds": seconds},
    )
    print("\nseconds of the parts: " + ", ".join(f"{name} {median(values):.2f}" for name, values in seconds.items()))


if __name__ == "__main__":
    main()
