"""Fine-tuning: one optimiser step an effective batch, our loss, and the choice of the epoch on validation.

The loop never waits for the device within an epoch: losses stay there, batches are made ahead in another thread, and what
is counted is counted on the CPU. How memory or processes cut an effective batch changes nothing but rounding.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from hubtools.common.errors import UserError
from hubtools.common.files import append_whole, write_atomic
from hubtools.common.telling import bar
from hubtools.evaluation import primary_score
from hubtools.specs.metric_names import METRICS
from hubtools.training.batches import Batch, BucketedBatches, micro_batches
from hubtools.training.collation import collation_of
from hubtools.training.compute import distributed
from hubtools.training.compute.memory import LEAST, out_of_memory, release, warn
from hubtools.training.compute.sharding import Unsharded, optimiser_state, restore_optimiser
from hubtools.training.encoding import Encoded
from hubtools.training.finetune.dropout import Counters, Dropouts
from hubtools.training.finetune.parameters import freeze_layers, parameter_groups
from hubtools.training.finetune.prefetch import ahead, pinned
from hubtools.training.finetune.resume import (
    Progress,
    check_checkpoint,
    checkpoint_folder,
    last_whole_checkpoint,
    load_weights,
    read_optimiser,
    read_progress,
    write_checkpoint,
)
from hubtools.training.job import Fitted, Job
from hubtools.training.prediction import autocast, predict
from hubtools.training.schedule import factor

# Seconds between losses that are told within an epoch: for each the device is waited for.
TELL_EVERY = 20.0


def fit(model: Any, train: Encoded, validation: Encoded, job: Job) -> Fitted:
    """Train what the recipe trains; on return the model holds the weights of the epoch that is best on validation.

    Args:
        model: encoder with head, changed in place.
        train, validation: encoded splits. The test split is not even passed here.
        job: what to do. An interrupted fit goes on from the last whole epoch in its folder.

    Raises:
        UserError: nothing was learnt, the loss of the first epoch is not a number.
    """
    freeze_layers(model, job.recipe.freeze_layers)
    if job.execution.gradient_checkpointing:
        checkpoint_activations(model)
    trainer = FairTrainer(model, train, validation, job)
    trainer.train()
    done = trainer.progress
    assert done.best_step is not None
    return Fitted(
        epochs_run=done.epoch,
        best_epoch=done.best_step // len(trainer.sampler),
        steps=done.step,
        tokens=done.tokens,
        seconds=done.seconds,
        token_budget=min(distributed.gather(trainer.budget)),
    )


def checkpoint_activations(model: Any) -> None:
    """From here on activations are recomputed instead of kept."""
    network = getattr(model, "model", model)
    # Renamed in transformers 5.2x; the old name goes in version 6.
    enable = getattr(network, "activation_checkpointing_enable", None) or network.gradient_checkpointing_enable
    enable()


@dataclass(frozen=True)
class EffectiveBatch:
    """The effective batch of one optimiser step, as this process computes it.

    Attributes:
        rows: of the split, those of other processes included.
        batches: padded pieces that fit the token budget.
        places: per residue: for each piece, where the labelled residues are among its tokens; found here, because a
            GPU would have to be waited for to count them.
        counters: for each piece, what its dropout is drawn by.
        denominator: weight of the labels of all rows.
        budget: token budget that it was cut by.
    """

    rows: list[int]
    batches: list[Batch]
    places: list[torch.Tensor | None]
    counters: list[Counters | None]
    denominator: float
    budget: int


class FairTrainer:
    """One optimiser step per effective batch, whatever pieces it is computed in.

    The summed losses of the pieces are divided by the weight of the labels in all of them, those of other processes
    included; gradients are added up over pieces and processes.
    """

    def __init__(self, model: nn.Module, train: Encoded, validation: Encoded, job: Job) -> None:
        self.model, self.split, self.validation, self.job = model, train, validation, job
        self.task, self.recipe, self.loss, self.device = job.task, job.recipe, job.loss, job.execution.device
        self.bf16 = job.execution.bf16(job.recipe.precision)
        self.sampler = BucketedBatches(train.row_lengths, job.recipe.batch_size, job.recipe.bucket, job.seed)
        self.progress = Progress()
        self.total = self.recipe.epochs * len(self.sampler)
        # Every process decides as the main one does, which alone writes.
        resume = distributed.by_main(lambda: last_whole_checkpoint(job.work, self._check))
        if resume is not None:
            load_weights(model, resume)
            self.progress = read_progress(resume)
        self.budget = min(job.execution.token_budget, self.progress.token_budget or job.execution.token_budget)
        distributed.equalise(model.parameters())
        self.whole = Unsharded(model, self.device, job.execution.shard)
        self.working = self.whole.working
        self.trained = [parameter for parameter in self.working.parameters() if parameter.requires_grad]
        self.optimizer = self.create_optimizer(self.working)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        if resume is not None:
            restore_optimiser(self.optimizer, read_optimiser(resume))
        prefix = len(train.tokeniser.prefix)
        self.dropouts = Dropouts(self.working, job.seed, prefix, encoder=job.recipe.encoder_dropout)
        self.dropouts.attach()
        self._set_rates()
        self.seconds_before, self.started = self.progress.seconds, time.perf_counter()
        # When a loss was told last, and how many of this epoch's steps it covered.
        self._told = self.started, 0

    def _check(self, folder: Path) -> None:
        """Raise where a checkpoint is not one that this fit can go on from."""
        trained = [parameter for group in parameter_groups(self.model, self.recipe) for parameter in group["params"]]
        check_checkpoint(folder, self.model, trained, len(self.sampler))

    def train(self) -> None:
        """Epoch by epoch, until the last or until validation no longer improves; then take the best one."""
        _keep_lines(self.job.log, self.progress.epoch)
        shown = bar("training", self.total, unit="step")
        shown.update(self.progress.step)
        with contextlib.closing(shown), contextlib.closing(self.dropouts):
            while self.progress.epoch < self.recipe.epochs and not self._patience_ended():
                loss = self.train_epoch(shown)
                score = None if loss is None else self.evaluate()
                self.progress.seconds = self.seconds_before + time.perf_counter() - self.started
                if score is None:
                    # Weights that are not numbers stay so: no later epoch can be better.
                    self._log(None, None)
                    break
                self._judge(score)
                self._log(loss, score)
                shown.set_postfix_str(f"validation {self.task.metrics.primary} {score:.3f}")
                self.save()
        if self.progress.best_step is None:
            raise UserError(
                "training diverged: the loss of the first epoch is not a number",
                fix=f"A smaller rate: --set learning_rate={self.recipe.learning_rate / 10:g}.",
            )
        self.whole.close()
        load_weights(self.model, checkpoint_folder(self.job.work, self.progress.best_step))

    def train_epoch(self, shown: Any) -> float | None:
        """Every row once.

        Returns:
            the mean loss over the labels; None where it is not a number.
        """
        self.sampler.set_epoch(self.progress.epoch)
        self.dropouts.train()
        losses: list[torch.Tensor] = []
        weights: list[float] = []
        with contextlib.closing(ahead(self.cut, self.sampler)) as steps:
            for step in steps:
                losses.append(self.training_step(step))
                weights.append(step.denominator)
                self.update()
                shown.update()
                self._tell_loss(losses)
        self.progress.epoch += 1
        # The one time that the device is waited for; Apple's has no float64.
        mean = sum(distributed.gather(float(torch.stack(losses).cpu().double() @ torch.tensor(weights).double())))
        mean /= sum(weights)
        self.progress.tokens += sum(distributed.gather(self._tokens))
        self._tokens = 0
        return mean if math.isfinite(mean) else None

    _tokens = 0

    def cut(self, rows: list[int], budget: int | None = None) -> EffectiveBatch:
        """This process's part of an effective batch, in pieces that fit the token budget."""
        budget = budget or self.budget
        rng = np.random.default_rng([self.job.seed, self.sampler.epoch, *rows[:4]])
        batches = list(
            micro_batches(
                self.split,
                rows,
                budget,
                train_windows=self.recipe.window.train_windows,
                rng=rng,
                share=(distributed.rank(), distributed.size()) if distributed.size() > 1 else None,
            )
        )
        collation = collation_of(self.split.problem)
        labels = torch.from_numpy(collation.stacked([self.split.labels[row] for row in rows]))
        places = [collation.places(batch.inputs["residue_mask"]) for batch in batches]
        counters = [self.dropouts.counted(batch) for batch in batches]
        if self.device.type == "cuda":
            batches = [pinned(batch) for batch in batches]
            places = [None if place is None else place.pin_memory() for place in places]
            counters = [None if counter is None else counter.pinned() for counter in counters]
        return EffectiveBatch(rows, batches, places, counters, max(self.loss.denominator(labels), 1e-12), budget)

    def training_step(self, step: EffectiveBatch) -> torch.Tensor:
        """Gradients of the mean loss over the effective batch; where memory does not suffice, anew in smaller pieces.

        Returns:
            this process's part of the loss, on the device.
        """
        if step.budget > self.budget:
            step = self.cut(step.rows)
        while True:
            try:
                total = self.gradients(step)
                break
            except (RuntimeError, MemoryError) as error:
                # Where weights are divided the others are in the middle of this step, too, and cannot start it anew.
                if not out_of_memory(error) or self.whole.sharded:
                    raise
                smaller = self._smaller(step)
                # What the encoder drops by itself would be something else in smaller pieces.
                if smaller is None or self.recipe.encoder_dropout:
                    raise
            # Gradients may be half added up: nothing of the attempt may stay.
            self.optimizer.zero_grad(set_to_none=True)
            release(self.device)
            warn("training", step.budget, smaller.budget)
            step, self.budget, self.progress.token_budget = smaller, smaller.budget, smaller.budget
        self._tokens += sum(batch.tokens for batch in step.batches)
        return total

    def _smaller(self, step: EffectiveBatch) -> EffectiveBatch | None:
        """The same in more pieces; None where each is as small as can be."""
        budget = step.budget
        while (budget := budget // 2) >= LEAST:
            smaller = self.cut(step.rows, budget)
            if len(smaller.batches) > len(step.batches):
                return smaller
        return None

    def gradients(self, step: EffectiveBatch) -> torch.Tensor:
        """Add up the gradients of this process's pieces."""
        pieces = [
            (batch, place, counters, 1.0)
            for batch, place, counters in zip(step.batches, step.places, step.counters, strict=True)
        ]
        if self.whole.sharded:
            pieces += self._filling(len(pieces))
        total = torch.zeros((), device=self.device)
        if self.recipe.encoder_dropout:
            # What the encoder itself drops is drawn anew in each step: nothing has to be kept for a resumed fit.
            torch.manual_seed(self.job.seed + 1_000_003 * (self.progress.step + 1) + 7_919 * distributed.rank())
        for number, (batch, place, counters, weight) in enumerate(pieces, 1):
            self.whole.exchange(number == len(pieces))
            self.dropouts.begin(counters, self.progress.step, self.device)
            moved = batch.to(self.device)
            with autocast(self.device, self.bf16):
                logits = self.working(**moved.inputs).logits
            if place is not None:
                logits = logits.flatten(0, 1).index_select(0, place.to(self.device, non_blocking=True))
            part = self.loss.total(logits.float(), moved.labels) * (weight / step.denominator)
            part.backward()
            total += part.detach()
        return total

    def _filling(self, n: int) -> list[tuple[Batch, torch.Tensor | None, Counters | None, float]]:
        """Pieces without weight, for as many as another process has more: divided weights are gathered by all at once."""
        missing = max(distributed.gather(n)) - n
        if not missing:
            return []
        row = int(np.argmin(self.split.row_lengths))
        rng = np.random.default_rng(0)
        (batch, *_) = micro_batches(self.split, [row], 1, train_windows=1, rng=rng)
        place = collation_of(self.split.problem).places(batch.inputs["residue_mask"])
        return [(batch, place, self.dropouts.counted(batch), 0.0)] * missing

    def update(self) -> None:
        """One optimiser step with the gradients of all processes."""
        self.whole.add_up(self.trained)
        torch.nn.utils.clip_grad_norm_(self.trained, self.recipe.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.progress.step += 1
        self._set_rates()

    def _set_rates(self) -> None:
        """Learning rates of the next step, as the schedule wants them."""
        now = factor(self.recipe, self.progress.step, self.total)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * now

    def create_optimizer(self, model: Any) -> torch.optim.Optimizer:
        """AdamW on what is trained."""
        return torch.optim.AdamW(parameter_groups(model, self.recipe), fused=self.device.type in {"cpu", "cuda"})

    def evaluate(self) -> float:
        """The primary metric on validation."""
        self.whole.collect()
        predictions = predict(
            self.model,
            self.validation,
            self.loss,
            token_budget=self.budget,
            device=self.device,
            bf16=self.bf16,
        )
        self.whole.aside()
        score = distributed.broadcast(primary_score(self.task, predictions))
        # An undefined score (constant predictions, say) must lose against any defined one.
        worst = -math.inf if METRICS[self.task.metrics.primary].higher_is_better else math.inf
        return worst if score is None or math.isnan(score) else score

    def _judge(self, score: float) -> None:
        """Whether this epoch is the best so far."""
        best, higher = self.progress.best_score, METRICS[self.task.metrics.primary].higher_is_better
        if best is None or (score > best if higher else score < best):
            self.progress.best_score, self.progress.best_step, self.progress.waited = score, self.progress.step, 0
        else:
            self.progress.waited += 1

    def _patience_ended(self) -> bool:
        return self.recipe.patience is not None and self.progress.waited >= self.recipe.patience

    def save(self) -> None:
        """Keep what an interrupted fit goes on from."""
        optimiser = optimiser_state(self.optimizer)
        if distributed.is_main():
            write_checkpoint(self.job.work, self.progress, self.model, optimiser)
        distributed.barrier()

    def _tell_loss(self, losses: list[torch.Tensor]) -> None:
        """The mean loss of the steps since the last one was told, now and then; of one process, as another's is not known here."""
        tell, now = self.job.told, time.perf_counter()
        if tell is None or distributed.size() > 1 or now - self._told[0] < TELL_EVERY:
            return
        new = losses[self._told[1] :] if self._told[1] < len(losses) else losses
        mean = float(torch.stack(new).mean())
        tell({"step": self.progress.step, "train_loss": mean, "learning_rate": self.optimizer.param_groups[0]["lr"]})
        self._told = time.perf_counter(), len(losses)

    def _log(self, loss: float | None, score: float | None) -> None:
        """The epoch's line in ``training.jsonl``."""
        if not distributed.is_main():
            return
        done = self.progress
        line = {
            "epoch": done.epoch,
            "step": done.step,
            "train_loss": loss,
            "validation": {self.task.metrics.primary: score if score is not None and math.isfinite(score) else None},
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "tokens": done.tokens,
            "seconds": round(done.seconds, 3),
        }
        if loss is None:
            line["diverged"] = True
        if self.budget < self.job.execution.token_budget:
            line["token_budget"] = self.budget
        append_whole(self.job.log, json.dumps(line) + "\n")
        if self.job.told is not None:
            self.job.told(line)
        self._told = time.perf_counter(), 0


def _keep_lines(log: Path, epochs: int) -> None:
    """Keep the lines of the epochs that a resumed run has behind it."""
    if distributed.is_main():
        lines = log.read_text(errors="replace").splitlines()[:epochs] if epochs and log.is_file() else []
        write_atomic(log, "".join(line + "\n" for line in lines))
