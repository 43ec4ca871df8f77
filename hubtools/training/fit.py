"""Full fine-tuning: transformers' Trainer with our batches, our loss and our choice on validation."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_utils import get_last_checkpoint

from hubtools.specs.metric_names import METRICS
from hubtools.training.batches import BucketedBatches, micro_batches
from hubtools.training.encoding import Encoded
from hubtools.training.job import Fitted, Job
from hubtools.training.parameters import freeze_layers, load_trained, parameter_groups, save_trained
from hubtools.training.predict import predict
from hubtools.training.progress import bar

WEIGHTS = "weights.safetensors"


def fit(model: Any, train: Encoded, validation: Encoded, job: Job) -> Fitted:
    """Train what the recipe trains; on return the model holds the weights of the epoch that is best on validation.

    Args:
        model: encoder with head, changed in place.
        train, validation: encoded splits. The test split is not even passed here.
        job: what to do. An interrupted fit goes on from the last whole epoch in its folder.
    """
    task, recipe, execution = job.task, job.recipe, job.execution
    freeze_layers(model, recipe.freeze_layers)
    resume = last_whole_checkpoint(job.work)
    metric = METRICS[task.metrics.primary]
    arguments = TrainingArguments(
        output_dir=str(job.work),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=1,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.schedule if recipe.schedule != "constant" else "constant_with_warmup",
        warmup_steps=math.ceil(recipe.warmup * recipe.epochs * -(-len(train) // recipe.batch_size)),
        max_grad_norm=recipe.max_grad_norm,
        bf16=execution.bf16(recipe.precision),
        use_cpu=execution.device.type == "cpu",
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model="score",
        greater_is_better=metric.higher_is_better,
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=job.seed,
        data_seed=job.seed,
        dataloader_pin_memory=execution.device.type == "cuda",
        remove_unused_columns=False,
    )
    # One process, one GPU: the Trainer would else split each batch over all it sees, and the loss with it.
    _ = arguments.device
    arguments._n_gpu = min(arguments.n_gpu, 1)
    if execution.gradient_checkpointing:
        network = getattr(model, "model", model)
        # Renamed in transformers 5.2x; the old name goes in version 6.
        enable = getattr(network, "activation_checkpointing_enable", None) or network.gradient_checkpointing_enable
        enable()
    trainer = FairTrainer(model, arguments, train, validation, job)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(EpochLog(trainer, job.log, resumed=resume is not None))
    if recipe.patience is not None:
        trainer.add_callback(EarlyStoppingCallback(early_stopping_patience=recipe.patience))
    trainer.train(resume_from_checkpoint=resume)
    # Mixed precision patched the model's forward; from here on the caller decides the precision.
    trainer.accelerator.unwrap_model(trainer.model_wrapped, keep_fp32_wrapper=False)
    best = trainer.state.best_global_step
    per_epoch = len(trainer.sampler)
    return Fitted(
        epochs_run=round(trainer.state.epoch or 0),
        best_epoch=None if best is None else round(best / per_epoch),
        steps=trainer.state.global_step,
        tokens=trainer.tokens,
        seconds=trainer.seconds,
    )


def last_whole_checkpoint(work: Path) -> str | None:
    """The newest checkpoint that was completely written; broken ones are removed."""
    while work.is_dir() and (found := get_last_checkpoint(str(work))) is not None:
        # The Trainer writes its state last.
        try:
            json.loads((Path(found) / "trainer_state.json").read_text())
            return found
        except (OSError, json.JSONDecodeError):
            shutil.rmtree(found, ignore_errors=True)
    return None


class FairTrainer(Trainer):
    """The Trainer with one optimiser step per effective batch, whatever pieces it is computed in.

    A batch of the data loader is the effective batch: a list of padded micro-batches. Their summed losses are
    divided by the number of labels that count in all of them.
    """

    def __init__(
        self, model: nn.Module, arguments: TrainingArguments, train: Encoded, validation: Encoded, job: Job
    ) -> None:
        self.split, self.validation, self.job = train, validation, job
        self.task, self.recipe, self.loss = job.task, job.recipe, job.loss
        self.sampler = BucketedBatches(train.row_lengths, job.recipe.batch_size, job.recipe.bucket, job.seed)
        self.tokens, self.epoch_loss = 0, [0.0, 0.0]
        self.started, self.seconds_before = time.perf_counter(), 0.0
        self.on_step: Callable[[], None] = lambda: None
        super().__init__(model=model, args=arguments, train_dataset=_Indices(len(train)), eval_dataset=_Indices(0))

    @property
    def seconds(self) -> float:
        """Time spent on this fit, an interrupted part before included."""
        return self.seconds_before + time.perf_counter() - self.started

    def get_train_dataloader(self) -> DataLoader:
        """Effective batches of the sampler, cut to the token budget."""
        return DataLoader(_Indices(len(self.split)), batch_sampler=self.sampler, collate_fn=self._cut, num_workers=0)

    def _cut(self, rows: list[int]) -> dict[str, Any]:
        rng = np.random.default_rng([self.job.seed, self.sampler.epoch, *rows[:4]])
        windows = self.recipe.window.train_windows
        batches = micro_batches(self.split, rows, self.job.execution.token_budget, train_windows=windows, rng=rng)
        return {"micro": list(batches)}

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """Gradients of the mean loss over the effective batch."""
        model.train()
        batches = inputs["micro"]
        denominator = max(sum(self.loss.denominator(batch.labels) for batch in batches), 1e-12)
        total = torch.zeros((), device=self.args.device)
        for batch in batches:
            moved = batch.to(self.args.device)
            with self.compute_loss_context_manager():
                logits = model(**moved.inputs).logits
            if "protein" not in moved.inputs:
                logits = logits[moved.inputs["residue_mask"]]
            part = self.loss.total(logits.float(), moved.labels) / denominator
            self.accelerator.backward(part)
            total += part.detach()
            self.tokens += batch.tokens
        self.epoch_loss[0] += float(total) * denominator
        self.epoch_loss[1] += denominator
        self.on_step()
        return total

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW on what is trained."""
        if self.optimizer is None:
            groups = parameter_groups(self.network, self.recipe)
            self.optimizer = torch.optim.AdamW(groups, fused=self.args.device.type in {"cpu", "cuda"})
        return self.optimizer

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """The primary metric on validation."""
        from hubtools.evaluation import primary_score

        predictions = predict(
            self.model,
            self.validation,
            self.loss,
            token_budget=self.job.execution.token_budget,
            device=self.args.device,
            bf16=self.args.bf16,
        )
        score = primary_score(self.task, predictions)
        # An undefined score (constant predictions, say) must lose against any defined one.
        worst = -math.inf if METRICS[self.task.metrics.primary].higher_is_better else math.inf
        metrics = {"eval_score": worst if score is None or math.isnan(score) else score}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    @property
    def network(self) -> Any:
        """The model."""
        return self.model

    # Weights are kept as they are in memory (save_pretrained renames some), and only those that training changes.
    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        folder = Path(output_dir or self.args.output_dir or ".")
        folder.mkdir(parents=True, exist_ok=True)
        save_trained(self.network, folder / WEIGHTS)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        load_trained(self.network, Path(resume_from_checkpoint) / WEIGHTS)

    def _load_best_model(self) -> None:
        if self.state.best_model_checkpoint:
            load_trained(self.network, Path(self.state.best_model_checkpoint) / WEIGHTS)


class _Indices(Dataset):
    """The numbers 0 … n-1; the sampler and the collation do the rest."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> int:
        return index


class EpochLog(TrainerCallback):
    """A line of ``training.jsonl`` an epoch, and the progress bar."""

    def __init__(self, trainer: FairTrainer, log: Path, resumed: bool) -> None:
        self.trainer, self.log, self.resumed = trainer, log, resumed
        self.progress: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Keep the lines of the epochs that a resumed run has behind it."""
        done = round(state.epoch or 0) if self.resumed else 0
        lines = self.log.read_text().splitlines()[:done] if done and self.log.is_file() else []
        self.log.write_text("".join(line + "\n" for line in lines))
        last = json.loads(lines[-1]) if lines else {}
        self.trainer.tokens, self.trainer.seconds_before = last.get("tokens", 0), last.get("seconds", 0.0)
        steps = args.num_train_epochs * len(self.trainer.sampler)
        self.progress = bar("training", int(steps), unit="step")
        self.progress.update(state.global_step)
        self.trainer.on_step = self.progress.update

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The order of this epoch."""
        self.trainer.sampler.set_epoch(state.global_step // len(self.trainer.sampler))
        self.trainer.epoch_loss = [0.0, 0.0]

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        """Write the epoch's line."""
        total, weight = self.trainer.epoch_loss
        score = metrics["eval_score"]
        line = {
            "epoch": round(state.epoch),
            "step": state.global_step,
            "train_loss": total / weight if weight else None,
            "validation": {self.trainer.task.metrics.primary: score if math.isfinite(score) else None},
            "learning_rate": kwargs["optimizer"].param_groups[0]["lr"],
            "tokens": self.trainer.tokens,
            "seconds": round(self.trainer.seconds, 3),
        }
        with self.log.open("a") as handle:
            handle.write(json.dumps(line) + "\n")
        if self.progress is not None:
            self.progress.set_postfix_str(f"validation {self.trainer.task.metrics.primary} {score:.3f}")

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Remove the bar."""
        if self.progress is not None:
            self.progress.close()
