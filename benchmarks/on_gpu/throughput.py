"""How fast: real tokens a second, the share of the card's own peak, memory, and what others' code does with the same proteins."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from training import notebook
from workload import Collator, Work

from hubtools.training.batches import BucketedBatches
from hubtools.training.compute.memory import forget_peak
from hubtools.training.compute.operations import count_flops, squares
from hubtools.training.compute.speed import sample, window_lengths
from hubtools.training.frozen.embedding import FrozenEncoder, embed
from hubtools.training.frozen.probe import fit_probe
from on_gpu.checking import Check, Finding, LeftOut
from on_gpu.making import ESMC, TINY, Fit, Machine, NoBar, encoder, fitting, work

# Seconds that each figure is measured for, after a first part that warms up.
MEASURED = 3.0
# Proteins of the first turn.
FIRST = 32
# Shares of the peak that issue 23 sets, and how many times as fast as the notebook recipe.
GOALS = {("full", "650M"): 0.50, ("embed", "650M"): 0.60}
TIMES_NOTEBOOK = 6.0


class Peak:
    """The largest rate of bfloat16 products that the device reached: a large square one (float32 where that is not tried)."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.rate = machine, 0.0

    def measure(self) -> Finding:
        """The best of some tens of products."""
        side, dtype = (256 if self.machine.smoke else 8192), torch.bfloat16
        left, right = (torch.randn(side, side, device=self.machine.device, dtype=dtype) for _ in range(2))
        for _ in range(8):
            self.machine.wait()
            started = time.perf_counter()
            for _ in range(4):
                left @ right
            self.machine.wait()
            self.rate = max(self.rate, 8 * side**3 / (time.perf_counter() - started))
        return Finding(f"{self.rate / 1e12:,.3g} TFLOP/s in bfloat16", "measured", {"flops": self.rate})


def checks(machine: Machine) -> list[Check]:
    """The peak, then each shape, what the goals are about first."""
    peak = Peak(machine)
    shapes = [TINY] if machine.smoke else ["650M", "8M", "150M", *ESMC, "3B"]
    found: dict[tuple[str, str], float] = {}
    made = [Check("speed", "peak of the matrix product", 20, peak.measure)]
    for shape in shapes:
        slow = 40 if shape == "3B" else 25
        for what in ("embed", "full", "lora", "probe"):
            run = lambda what=what, shape=shape: ours(machine, what, shape, peak, found)  # noqa: E731
            made.append(Check("speed", f"{shape}: {what}", slow, run))
        if shape in (TINY, "650M", "8M"):
            for other in OTHERS:
                run = lambda other=other, shape=shape: theirs(machine, other, shape, peak, found)  # noqa: E731
                made.append(Check("speed", f"{shape}: {other}", slow, run))
    return made


def ours(machine: Machine, what: str, shape: str, peak: Peak, found: dict[tuple[str, str], float]) -> Finding:
    """Bench's own code for one of embed, probe, lora and full."""
    forget(machine)
    how = {"embed": embedding, "probe": probing}.get(what, training)
    read, seconds, flops, said = how(machine, what, shape)
    rate = float(read / seconds)
    found[what, shape] = rate
    share = flops / seconds / peak.rate if peak.rate else 0.0
    goal = GOALS.get((what, shape))
    verdict = "missed" if goal is not None and share < goal else "measured"
    words = f"{rate:,.0f} real tokens/s, {share:.0%} of the peak, {held(machine) / 1e9:.1f} GB{said}"
    if goal is not None:
        words += f" (goal {goal:.0%})"
    return Finding(words, verdict, {"tokens_per_second": rate, "share": share, "bytes": held(machine)})


def long_enough(machine: Machine, most: int, run: Callable[[int], object]) -> tuple[int, float]:
    """Proteins and seconds of the first turn that is long enough to be measured; each turn takes more proteins than the one before."""
    proteins = FIRST
    while True:
        machine.wait()
        started = time.perf_counter()
        run(proteins)
        machine.wait()
        seconds = time.perf_counter() - started
        # The first turn warms up: it is never the one that counts, but where it is all.
        if machine.smoke or proteins >= most or (proteins > FIRST and seconds >= MEASURED / 2):
            return proteins, seconds
        proteins = min(most, max(2 * proteins, int(proteins * MEASURED / max(seconds, 0.1))))


def training(machine: Machine, what: str, shape: str) -> tuple[float, float, float, str]:
    """Steps of a shipped recipe, as an epoch makes them: tokens, seconds, operations, a remark."""
    with fitting(machine, shape, most(machine, 2000), what) as one:
        trainer = one.trainer()

        def epoch(proteins: int) -> None:
            lengths, recipe = one.train.row_lengths[:proteins], one.job.recipe
            trainer.sampler = BucketedBatches(lengths, recipe.batch_size, recipe.bucket, 0)
            trainer.train_epoch(NoBar())

        proteins, seconds = long_enough(machine, len(one.train), epoch)
        trainer.dropouts.close()
        lengths = tokens(one, proteins)
        return lengths.sum(), seconds, count_flops(one.model).training(lengths.sum(), squares(lengths)), remark(one)


def embedding(machine: Machine, what: str, shape: str) -> tuple[float, float, float, str]:
    """The means of proteins, on the processor: tokens, seconds, operations, a remark."""
    with fitting(machine, shape, most(machine, 5000), "probe") as one:
        last = [one.model.encoder.config.num_hidden_layers]
        frozen = FrozenEncoder(one.model, one.job.execution, one.bf16, last)

        def read(proteins: int) -> None:
            embed(frozen, sample(one.train, range(proteins)), one.job.work / "x.npy", "train")

        proteins, seconds = long_enough(machine, len(one.train), read)
        lengths = tokens(one, proteins)
        return lengths.sum(), seconds, count_flops(one.model).reading(lengths.sum(), squares(lengths)), remark(one)


def most(machine: Machine, proteins: int) -> int:
    """Proteins that are made."""
    return FIRST if machine.smoke else proteins


def tokens(one: Fit, proteins: int) -> np.ndarray:
    """Of the first proteins, special ones included."""
    return np.concatenate(window_lengths(one.train)[:proteins]).astype(np.float64)


def remark(one: Fit) -> str:
    """How it was computed."""
    return f"; {one.made.layout}, {one.made.attention}, {'bfloat16' if one.bf16 else 'float32'}"


def probing(machine: Machine, what: str, shape: str) -> tuple[float, float, float, str]:
    """A probe from beginning to end, ten epochs of heads: tokens that the encoder read, seconds, operations, a remark."""
    n = FIRST if machine.smoke else 2048 if shape not in ("3B", "650M") else 512
    with fitting(machine, shape, n, "probe", epochs=10) as one:
        machine.wait()
        started = time.perf_counter()
        fit_probe(one.model, one.train, one.validation, one.job)
        seconds = time.perf_counter() - started
        lengths = tokens(one, n)
        flops = count_flops(one.model).reading(lengths.sum(), squares(lengths))
        return lengths.sum(), seconds, flops, f", heads included{remark(one)}"


def notebook_training(machine: Machine, given: Work) -> float:
    """Seconds of an epoch of the field's notebook recipe: Trainer, batches of 8, float32."""
    return _trainer(machine, given)


def best_training(machine: Machine, given: Work) -> float:
    """The same with all that transformers has to offer: bfloat16, batches by length, its fused attention."""
    by_length: dict[str, Any] = {"bf16": machine.bf16, "train_sampling_strategy": "group_by_length"}
    return _trainer(machine, given, **by_length)


def _trainer(machine: Machine, given: Work, **settings: Any) -> float:
    off: dict[str, Any] = {"eval_strategy": "no", "save_strategy": "no", "logging_strategy": "no"}
    with torch.device(machine.device):
        run = notebook(given, Collator(given), use_cpu=not machine.on_card, **off, **settings)
    machine.wait()
    started = time.perf_counter()
    run()
    machine.wait()
    return time.perf_counter() - started


def best_embedding(machine: Machine, given: Work) -> float:
    """Seconds of reading all proteins with the plain encoder, FlashAttention 2 where that is installed, in bfloat16, sorted by length, 32 at a time, means on the processor."""
    from transformers.utils import is_flash_attn_2_available

    plain = encoder(given.shape, machine.device).eval()
    plain = plain.bfloat16() if machine.bf16 else plain
    if machine.on_card and is_flash_attn_2_available():
        plain.set_attn_implementation("flash_attention_2")
    rows = sorted(given.stock_rows(), key=lambda row: len(row["input_ids"]))
    collate = Collator(given)
    machine.wait()
    started = time.perf_counter()
    with torch.inference_mode():
        for start in range(0, len(rows), 32):
            batch = {k: v.to(machine.device) for k, v in collate(rows[start : start + 32]).items() if k != "labels"}
            states = plain(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1)
            ((states * mask).sum(1) / mask.sum(1)).float().cpu()
    return time.perf_counter() - started


# Name -> what measures it, and what of ours it is held against.
OTHERS: dict[str, tuple[Callable[[Machine, Work], float], str]] = {
    "notebook recipe": (notebook_training, "full"),
    "plain transformers, training": (best_training, "full"),
    "plain transformers, embedding": (best_embedding, "embed"),
}


def theirs(machine: Machine, other: str, shape: str, peak: Peak, found: dict[tuple[str, str], float]) -> Finding:
    """Somebody else's way to do the same, and how many times as fast bench was."""
    run, against = OTHERS[other]
    if (against, shape) not in found:
        raise LeftOut(f"bench's {against} was not measured")
    forget(machine)
    run(machine, work(shape, 8))
    given = work(shape, FIRST // 2 if machine.smoke else 64 if other == "notebook recipe" else 256)
    rate = given.tokens / run(machine, given)
    times = found[against, shape] / rate
    missed = other == "notebook recipe" and shape == "650M" and times < TIMES_NOTEBOOK
    words = f"{rate:,.0f} real tokens/s, {held(machine) / 1e9:.1f} GB; bench {times:.1f} × as fast"
    return Finding(words, "missed" if missed else "measured", {"tokens_per_second": rate, "times": times})


def forget(machine: Machine) -> None:
    """Peak memory is counted from here."""
    if machine.on_card:
        torch.cuda.reset_peak_memory_stats(machine.device)
    else:
        forget_peak()


def held(machine: Machine) -> int:
    """Peak bytes since."""
    return machine.execution().peak_memory()
