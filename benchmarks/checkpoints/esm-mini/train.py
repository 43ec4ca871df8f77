#!/usr/bin/env python3
"""Pre-train the embedded checkpoint: a small ESM-2-architecture masked language model.

usage: python benchmarks/checkpoints/esm-mini/train.py OUT [--minutes 60] [--threads 1]

Data: the DeepLoc 2.0 Swiss-Prot sequences (UniProt, CC BY 4.0) that the task `localisation` pins,
without any label. Homology partitions 0 to 3 are trained on; partition 4 (no sequence over 30 %
identity to the others, Thumuluri et al. 2022) is held out and gives the perplexity on the card.

Objective: BERT's masked language modelling as ESM-2 uses it (Devlin et al. 2019; Lin et al. 2023):
15 % of residues chosen, 80 % of these masked, 10 % replaced, 10 % kept. Each example is a random
crop of a random length, so that peptides are as much in distribution as whole domains.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from transformers import EsmConfig, EsmForMaskedLM, EsmTokenizer

from hubtools.data.sources.file_cache import DataCache
from hubtools.specs.lookup.spec_files import load_task

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
VOCABULARY = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO", ".", "-", "<null_1>", "<mask>"]
HELD_OUT = "partition4"


def sequences() -> tuple[list[str], list[str]]:
    """Training and held-out sequences of the DeepLoc 2.0 files, by homology partition."""
    cache, task = DataCache.default(), load_task("localisation")
    train, held_out = [], []
    for file in task.data.files:
        if not file.name.startswith("partition"):
            continue
        with cache.fetch(file).open() as handle:
            into = held_out if file.name == HELD_OUT else train
            into += [row["sequence"] for row in csv.DictReader(handle)]
    return train, held_out


def crop_batch(flat, offsets, rng, budget):
    """One batch of about `budget` tokens: equally long random crops of random sequences."""
    length = int(rng.choice([24, 32, 48, 64, 96, 128, 192, 256], p=[0.1, 0.1, 0.1, 0.15, 0.15, 0.2, 0.1, 0.1]))
    rows = max(1, budget // (length + 2))
    long_enough = np.flatnonzero(np.diff(offsets) >= length)
    weights = np.diff(offsets)[long_enough].astype(float)
    chosen = rng.choice(long_enough, rows, p=weights / weights.sum())
    starts = offsets[chosen] + (rng.random(rows) * (np.diff(offsets)[chosen] - length + 1)).astype(int)
    return flat[starts[:, None] + np.arange(length)]


def mask(tokens, rng, residue_ids, mask_id):
    """BERT masking; labels are -100 where nothing is to be predicted."""
    labels = np.full_like(tokens, -100)
    chosen = (rng.random(tokens.shape) < 0.15) & np.isin(tokens, residue_ids)
    labels[chosen] = tokens[chosen]
    kind = rng.random(tokens.shape)
    corrupted = np.where(chosen & (kind < 0.8), mask_id, tokens)
    random = residue_ids[rng.integers(len(residue_ids), size=tokens.shape)]
    return np.where(chosen & (kind >= 0.8) & (kind < 0.9), random, corrupted), labels


def with_specials(array, first, last):
    return np.pad(np.pad(array, ((0, 0), (1, 0)), constant_values=first), ((0, 0), (0, 1)), constant_values=last)


def evaluate(model, flat, offsets, ids, mask_id, batches=150):
    """Held-out masked perplexity: exp of the mean negative log likelihood of masked residues."""
    rng, total, count = np.random.default_rng(1234), 0.0, 0
    model.eval()
    with torch.no_grad():
        for _ in range(batches):
            length = 128
            long_enough = np.flatnonzero(np.diff(offsets) >= length)
            chosen = rng.choice(long_enough, 16)
            starts = offsets[chosen] + (rng.random(16) * (np.diff(offsets)[chosen] - length + 1)).astype(int)
            tokens = flat[starts[:, None] + np.arange(length)]
            hide = (rng.random(tokens.shape) < 0.15) & np.isin(tokens, ids)
            inputs = with_specials(np.where(hide, mask_id, tokens), 0, 2)
            logits = model(torch.from_numpy(inputs)).logits[:, 1:-1].float()
            nll = torch.nn.functional.cross_entropy(logits[torch.from_numpy(hide)], torch.from_numpy(tokens[hide]))
            total, count = total + float(nll) * int(hide.sum()), count + int(hide.sum())
    model.train()
    return math.exp(total / count), count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens-per-step", type=int, default=4096)
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    tokenizer = EsmTokenizer(str(args.out / "vocab.txt"))
    index = {token: i for i, token in enumerate(VOCABULARY)}
    table = np.full(256, index["<unk>"], dtype=np.int64)
    for letter in RESIDUES + "XBUZO":
        table[ord(letter)] = index[letter]
    residue_ids = np.array([index[letter] for letter in RESIDUES])

    def pack(items):
        offsets = np.concatenate([[0], np.cumsum([len(s) for s in items])])
        return table[np.frombuffer("".join(items).encode(), dtype=np.uint8)], offsets

    train, held_out = sequences()
    (flat, offsets), (held_flat, held_offsets) = pack(train), pack(held_out)
    frequency = Counter(flat[np.isin(flat, residue_ids)].tolist())
    log_p = {i: math.log(n / sum(frequency.values())) for i, n in frequency.items()}
    held_residues = Counter(held_flat[np.isin(held_flat, residue_ids)].tolist())
    background = math.exp(-sum(n * log_p[i] for i, n in held_residues.items()) / sum(held_residues.values()))
    config = EsmConfig(
        vocab_size=len(VOCABULARY), mask_token_id=index["<mask>"], pad_token_id=index["<pad>"], hidden_size=128,
        num_hidden_layers=6, num_attention_heads=8, intermediate_size=512, max_position_embeddings=1026,
        position_embedding_type="rotary", token_dropout=True, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, emb_layer_norm_before=False, layer_norm_eps=1e-5,
    )  # fmt: skip
    model = EsmForMaskedLM(config)
    decay = [p for p in model.parameters() if p.ndim > 1]
    other = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.01}, {"params": other, "weight_decay": 0.0}],
        lr=args.learning_rate, betas=(0.9, 0.98), fused=True,
    )  # fmt: skip
    print(
        f"{model.num_parameters():,} parameters; {len(train):,} sequences, {len(flat):,} residues; "
        f"held out {len(held_out):,}; residue-frequency perplexity {background:.2f}",
        flush=True,
    )
    started, limit, step, seen, running = time.time(), args.minutes * 60, 0, 0, []
    while (elapsed := time.time() - started) < limit:
        # The schedule follows the clock, since the budget is time: warm-up 2 %, then cosine to 5 %.
        done = elapsed / limit
        scale = (
            min(1.0, done / 0.02) if done < 0.02 else 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * (done - 0.02) / 0.98))
        )
        for group in optimiser.param_groups:
            group["lr"] = args.learning_rate * max(scale, 0.01)
        batches = [
            mask(crop_batch(flat, offsets, rng, 2048), rng, residue_ids, index["<mask>"])
            for _ in range(args.tokens_per_step // 2048)
        ]
        total = sum(int((labels >= 0).sum()) for _, labels in batches)
        for tokens, labels in batches:
            inputs = torch.from_numpy(with_specials(tokens, index["<cls>"], index["<eos>"]))
            target = torch.from_numpy(with_specials(labels, -100, -100))
            logits = model(inputs).logits
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="sum") / total
            loss.backward()
            running.append(float(loss.detach()) * total / max(1, int((target >= 0).sum())))
            seen += inputs.numel()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        step += 1
        if step % 50 == 0:
            print(
                f"{elapsed / 60:6.1f} min  step {step}  {seen / 1e6:.1f} M tokens  "
                f"train perplexity {math.exp(np.mean(running)):.2f}",
                flush=True,
            )
            running = []
        if step % 500 == 0:
            print(
                "held-out perplexity",
                evaluate(model, held_flat, held_offsets, residue_ids, index["<mask>"], 40)[0],
                flush=True,
            )
            model.save_pretrained(args.out)
    perplexity, count = evaluate(model, held_flat, held_offsets, residue_ids, index["<mask>"])
    model.save_pretrained(args.out)
    tokenizer.save_pretrained(args.out)
    report = {
        "held_out_perplexity": round(perplexity, 3), "held_out_residues_scored": count,
        "residue_frequency_perplexity": round(background, 3), "steps": step, "tokens": seen,
        "minutes": round((time.time() - started) / 60, 1), "parameters": model.num_parameters(), "seed": args.seed,
        "threads": args.threads, "torch": torch.__version__, "cpu_count": os.cpu_count(),
    }  # fmt: skip
    (args.out / "training.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
