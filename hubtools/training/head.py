"""Training one small module on fixed features: the probe's head, and the one-hot window baseline."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from hubtools.evaluation import primary_score
from hubtools.evaluation.predictions import Predictions
from hubtools.specs.metric_names import METRICS
from hubtools.specs.recipe import Recipe
from hubtools.training.job import Fitted, Job
from hubtools.training.progress import bar


def fit_head(
    module: nn.Module,
    features: Any,
    labels: np.ndarray,
    owners: np.ndarray,
    validate: Callable[[nn.Module], Predictions],
    job: Job,
) -> Fitted:
    """Train a module on the rows of a feature table; on return it holds the weights best on validation.

    Batches are whole proteins, as in full fine-tuning: ``recipe.batch_size`` proteins per step.

    Args:
        module: features (n, …) -> logits (n, outputs), changed in place.
        features, labels, owners: one row a label; ``owners`` is the protein (or pair), ascending. ``features`` is an
            array, or gives one for an array or slice of rows.
        validate: predictions of a module on validation.
        job: what to do.
    """
    task, recipe, loss, device = job.task, job.recipe, job.loss, job.execution.device
    started = time.perf_counter()
    metric = METRICS[task.metrics.primary]
    sign = 1 if metric.higher_is_better else -1
    starts = np.flatnonzero(np.r_[True, owners[1:] != owners[:-1]])
    bounds = np.r_[starts, len(owners)]
    n_proteins, rng = len(starts), np.random.default_rng([job.seed, 1])
    per_epoch = -(-n_proteins // recipe.batch_size)
    module.to(device)
    optimiser = torch.optim.AdamW(
        module.parameters(),
        lr=recipe.head_learning_rate or recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        fused=device.type in {"cpu", "cuda"},
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _schedule(recipe, per_epoch * recipe.epochs))
    targets = torch.from_numpy(labels)
    best, best_score, best_epoch, steps, lines = None, -math.inf, None, 0, []
    torch.manual_seed(job.seed)
    progress = bar("training the head", recipe.epochs, unit="epoch")
    for epoch in range(1, recipe.epochs + 1):
        module.train()
        order, total, weight = rng.permutation(n_proteins), 0.0, 0.0
        for start in range(0, n_proteins, recipe.batch_size):
            chosen = order[start : start + recipe.batch_size]
            rows = np.concatenate([np.arange(bounds[i], bounds[i + 1]) for i in chosen])
            batch = torch.from_numpy(features[rows]).to(device)
            target = targets[torch.from_numpy(rows)].to(device)
            denominator = max(loss.denominator(target), 1e-12)
            value = loss.total(module(batch).float(), target) / denominator
            optimiser.zero_grad()
            value.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), recipe.max_grad_norm)
            optimiser.step()
            schedule.step()
            steps += 1
            total, weight = total + float(value.detach()) * denominator, weight + denominator
        score = primary_score(task, validate(module))
        lines.append(
            {
                "epoch": epoch,
                "step": steps,
                "train_loss": total / weight,
                "validation": {task.metrics.primary: score if score is not None and math.isfinite(score) else None},
                "learning_rate": schedule.get_last_lr()[0],
            }
        )
        progress.update()
        if score is not None and math.isfinite(score) and sign * score > best_score:
            best, best_score, best_epoch = copy.deepcopy(module.state_dict()), sign * score, epoch
        elif recipe.patience is not None and epoch - (best_epoch or 0) >= recipe.patience:
            break
    progress.close()
    if best is not None:
        module.load_state_dict(best)
    job.log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Fitted(len(lines), best_epoch, steps, 0, time.perf_counter() - started)


def _schedule(recipe: Recipe, steps: int) -> Callable[[int], float]:
    warm = max(1, math.ceil(recipe.warmup * steps))

    def scale(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        done = (step - warm) / max(1, steps - warm)
        if recipe.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * done))
        return 1.0 if recipe.schedule == "constant" else 1 - done

    return scale


@torch.no_grad()
def apply(module: nn.Module, features: Any, device: torch.device, rows: int = 65536) -> np.ndarray:
    """Logits of a feature table: (n, outputs), in blocks."""
    module.eval()
    parts: list[Any] = [
        module(torch.from_numpy(np.ascontiguousarray(features[i : i + rows])).to(device)).float().cpu().numpy()
        for i in range(0, len(features), rows)
    ]
    return np.concatenate(parts)
