"""Small modules trained on fixed features, all at once: the heads of a probe, and the one-hot window baseline.

What one of them becomes does not depend on the others: each has the order of batches, the dropout, the best epoch and
the patience of its own seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from hubtools.common.errors import UserError
from hubtools.common.telling import bar
from hubtools.evaluation import primary_score
from hubtools.evaluation.predictions import Predictions
from hubtools.specs.metric_names import METRICS
from hubtools.training.encoding import IGNORED
from hubtools.training.frozen.embedding import PairTable
from hubtools.training.frozen.examples import Examples
from hubtools.training.frozen.stack import Inputs, Stack
from hubtools.training.job import Job
from hubtools.training.loss import Loss
from hubtools.training.schedule import factor

# Bytes of features that are multiplied at once: more do not fit in a CPU's cache, fewer do not fill a GPU.
AT_ONCE = {"cpu": 4 * 1024**2, "cuda": 1024**3}
# Bytes for the parameters of the heads that train together, their moments, gradients and best values.
PARAMETERS = 2 * 1024**3
BETAS, EPSILON = (0.9, 0.999), 1e-8


@dataclass(frozen=True)
class Group:
    """Heads that read the same batches: of one seed, on one layer."""

    seed: int
    layer: int


@dataclass
class Trained:
    """One head.

    Attributes:
        group, learning_rate: what it was trained with.
        state: its parameters, those best on validation; of the last epoch where no epoch had a score.
        score: the primary metric on validation in the best epoch, or None where it never was defined.
        best_epoch: counted from 1.
        diverged: its outputs became infinite, and it was stopped.
        lines: what each epoch did.
    """

    group: Group
    learning_rate: float
    state: dict[str, torch.Tensor] = field(default_factory=dict)
    score: float | None = None
    best_epoch: int | None = None
    diverged: bool = False
    lines: list[dict[str, Any]] = field(default_factory=list)


class ValidationCheck:
    """Validation: its features, and how its predictions are made from logits.

    Args:
        examples: rows of validation.
        make: predictions from scores in the order of the rows.
        loss: turns logits into scores.
        rows: read at once.
    """

    def __init__(
        self, examples: Examples, make: Callable[[np.ndarray], Predictions], loss: Loss, rows: int = 65536
    ) -> None:
        self.examples, self.make, self.loss, self.rows = examples, make, loss, rows

    @torch.no_grad()
    def logits(self, stack: Stack, table: torch.Tensor, layer: int) -> torch.Tensor:
        """Logits of heads on one layer, for all of validation: (heads, rows, outputs) float32 in memory."""
        parameters, parts = stack.views(table), []
        # Features of pairs are three times as wide, and there are many pairs of residues.
        made = isinstance(self.examples.tables[layer], PairTable)
        for x in _blocks(self.examples, layer, min(self.rows, 8192) if made else self.rows):
            parts.append(stack.logits(parameters, x).float().cpu())
        return torch.cat(parts, 1)

    def predictions(self, logits: torch.Tensor) -> Predictions:
        """Predictions of one head from its logits.

        Raises:
            UserError: they are not finite.
        """
        return self.make(self.loss.to_scores(logits))


def diverged() -> UserError:
    """What to tell a user whose training went to infinity."""
    return UserError(
        "the model's output is not a number",
        fix="Training diverged: try a lower learning_rate, or precision: float32.",
    )


def _blocks(examples: Examples, layer: int, rows: int) -> Iterator[Inputs]:
    """All rows of a split, in blocks; whole items where these are read together."""
    if not examples.pooled:
        for start in range(0, examples.rows, rows):
            x = examples.read(layer, slice(start, start + rows))
            yield Inputs(x[None], [len(x)])
        return
    first = 0
    while first < len(examples):
        last = int(np.searchsorted(examples.bounds, examples.bounds[first] + rows, side="right")) - 1
        items = np.arange(first, max(last, first + 1))
        yield _pooled_inputs(examples, layer, items)
        first = items[-1] + 1


def _pooled_inputs(examples: Examples, layer: int, items: np.ndarray) -> Inputs:
    x = examples.read(layer, examples.rows_of(items))
    owners = torch.from_numpy(np.repeat(np.arange(len(items)), examples.counts[items])).to(x.device)
    return Inputs(x[None], [len(x)], owners, len(items))


def train_heads(
    heads: Mapping[Group, nn.Module], learning_rates: Sequence[float], train: Examples, check: ValidationCheck, job: Job
) -> list[Trained]:
    """Train a head for each group and learning rate. Batches are whole items, ``recipe.batch_size`` of them.

    Where the parameters of all do not fit in memory, they are trained in fleets.

    Args:
        heads: one with fresh weights for each group, not changed.
        learning_rates: each head is trained with each.
        train: what they learn from.
        check: validation.
        job: loss, recipe, device.

    Returns:
        Group by group, in the order given, rate by rate.
    """
    stack = Stack(next(iter(heads.values())))
    stack.template.to(job.execution.device)
    # Neighbours share what is read of a layer; the order in which heads are returned is the caller's.
    groups = sorted(heads, key=lambda group: group.layer)
    fleet = max(1, PARAMETERS // (stack.size * 4 * 6 * len(learning_rates)))
    found: dict[Group, list[Trained]] = {}
    for start in range(0, len(groups), fleet):
        part = groups[start : start + fleet]
        trained = _Fleet(stack, {group: heads[group] for group in part}, learning_rates, train, check, job).train()
        for index, group in enumerate(part):
            found[group] = trained[index * len(learning_rates) : (index + 1) * len(learning_rates)]
    return [head for group in heads for head in found[group]]


class _Fleet:
    """Heads in training. Rows of the tables are the heads of the groups that are left, rate by rate in each."""

    def __init__(
        self,
        stack: Stack,
        heads: Mapping[Group, nn.Module],
        learning_rates: Sequence[float],
        train: Examples,
        check: ValidationCheck,
        job: Job,
    ) -> None:
        self.stack, self.examples, self.check, self.job, self.loss = stack, train, check, job, job.loss
        self.recipe, self.device = job.recipe, job.execution.device
        self.metric, self.shared = job.task.metrics.primary, len(learning_rates)
        self.groups = list(heads)
        self.trained = [Trained(group, rate) for group in heads for rate in learning_rates]
        self.left = list(range(len(self.trained)))
        table = stack.table(list(heads.values())).to(self.device)
        self.table = table.repeat_interleave(self.shared, 0)
        self.best = self.table.clone()
        self.first, self.second = torch.zeros_like(self.table), torch.zeros_like(self.table)
        self.rates = torch.tensor([head.learning_rate for head in self.trained], device=self.device).unsqueeze(1)
        self.labels = torch.from_numpy(train.labels).to(self.device)
        self.weights = job.loss.weights_of(torch.from_numpy(train.labels)).numpy()
        self.orders = {group.seed: np.random.default_rng([group.seed, 1]) for group in heads}
        self.noise = {group: torch.Generator(self.device).manual_seed(group.seed) for group in heads}

    def train(self) -> list[Trained]:
        """All epochs, or as many as patience allows."""
        recipe, n = self.recipe, len(self.examples)
        per_epoch = -(-n // recipe.batch_size)
        steps = per_epoch * recipe.epochs
        done: set[int] = set()
        progress = bar("training the head" if len(self.left) == 1 else "training heads", recipe.epochs, unit="epoch")
        for epoch in range(1, recipe.epochs + 1):
            seeds = dict.fromkeys(group.seed for group in self.groups)
            orders = {seed: self.orders[seed].permutation(n) for seed in seeds}
            total, weight = torch.zeros(len(self.left), device=self.device), dict.fromkeys(orders, 0.0)
            for index, start in enumerate(range(0, n, recipe.batch_size)):
                step = (epoch - 1) * per_epoch + index
                chosen = {seed: order[start : start + recipe.batch_size] for seed, order in orders.items()}
                losses, denominators = self._step(chosen, step + 1, factor(recipe, step, steps))
                total += losses
                for seed, value in denominators.items():
                    weight[seed] += value
            next_scale = factor(recipe, epoch * per_epoch, steps)
            self._validate(epoch, epoch * per_epoch, total.tolist(), weight, next_scale, done)
            progress.update()
            self._tell(epoch)
            if len(done) == len(self.trained):
                break
            self._drop(done)
        progress.close()
        for head, row in zip(self.trained, self.best, strict=True):
            head.state = self.stack.state(row.cpu())
        return self.trained

    def _step(self, chosen: Mapping[int, np.ndarray], step: int, scale: float) -> tuple[torch.Tensor, dict[int, float]]:
        """One optimiser step of all heads: the summed loss of each head's batch, and the weight of each seed's."""
        where = {seed: self.examples.label_rows(items) for seed, items in chosen.items()}
        denominators = {seed: max(float(self.weights[rows].sum()), 1e-12) for seed, rows in where.items()}
        losses, gradients = [], []
        for part in self._parts(chosen):
            groups = self.groups[part]
            views = self.stack.views(self.table[part.start * self.shared : part.stop * self.shared])
            for view in views.values():
                view.requires_grad_()
            noise = [self.noise[group] for group in groups]
            logits = self.stack.logits(views, self._inputs(groups, chosen), noise).float()
            target = self._targets([where[group.seed] for group in groups])
            each = self.loss.each(logits.flatten(0, 1), target.flatten(0, 1)).view(logits.shape[:2]).sum(1)
            heavy = torch.tensor([denominators[group.seed] for group in groups], device=self.device)
            value = (each / heavy.repeat_interleave(self.shared)).sum()
            found = torch.autograd.grad(value, list(views.values()))
            gradients.append(torch.cat([gradient.flatten(1) for gradient in found], 1))
            losses.append(each.detach())
        self._adam(gradients[0] if len(gradients) == 1 else torch.cat(gradients), step, scale)
        return losses[0] if len(losses) == 1 else torch.cat(losses), denominators

    def _parts(self, chosen: Mapping[int, np.ndarray]) -> Iterator[slice]:
        """The groups that are left, as many at a time as is good for memory."""
        if self.examples.pooled:
            size = 1
        else:
            rows = max(int(self.examples.counts[items].sum()) for items in chosen.values())
            width = math.prod(self.examples.tables[self.groups[0].layer].shape[1:])
            size = max(1, AT_ONCE.get(self.device.type, AT_ONCE["cpu"]) // (rows * width * 4))
        for start in range(0, len(self.groups), size):
            yield slice(start, min(start + size, len(self.groups)))

    def _inputs(self, groups: Sequence[Group], chosen: Mapping[int, np.ndarray]) -> Inputs:
        """The batch of each group, padded to the longest; each layer's table is read once."""
        if self.examples.pooled:
            return _pooled_inputs(self.examples, groups[0].layer, chosen[groups[0].seed])
        rows = {group.seed: self.examples.rows_of(chosen[group.seed]) for group in groups}
        lengths = [len(rows[group.seed]) for group in groups]
        longest = max(lengths)
        padded = {
            seed: np.pad(own, (0, longest - len(own))) if len(own) < longest else own for seed, own in rows.items()
        }
        parts = []
        for layer in dict.fromkeys(group.layer for group in groups):
            wanted = [padded[group.seed] for group in groups if group.layer == layer]
            x = self.examples.read(layer, wanted[0] if len(wanted) == 1 else np.concatenate(wanted))
            parts.append(x.unflatten(0, (len(wanted), longest)))
        return Inputs(parts[0] if len(parts) == 1 else torch.cat(parts), lengths)

    def _targets(self, rows: Sequence[np.ndarray]) -> torch.Tensor:
        """Labels of each head's batch, none that count where it is padded: (heads, n, …)."""
        longest = max(map(len, rows))
        found = []
        for own in rows:
            label = self.labels[torch.from_numpy(own).to(self.device)]
            if len(own) < longest:
                nothing = math.nan if label.is_floating_point() else IGNORED
                fill = label.new_full((longest - len(own), *label.shape[1:]), nothing)
                label = torch.cat([label, fill])
            found.append(label)
        if len(found) == 1 and self.shared == 1:
            return found[0].unsqueeze(0)
        return torch.stack(found).repeat_interleave(self.shared, 0)

    @torch.no_grad()
    def _adam(self, gradient: torch.Tensor, step: int, scale: float) -> None:
        """AdamW (Loshchilov and Hutter, 2019) of every row with its own rate, each gradient's norm clipped first."""
        norm = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
        gradient.mul_((self.recipe.max_grad_norm / (norm + 1e-6)).clamp_max_(1.0))
        rates = self.rates * scale
        self.first.lerp_(gradient, 1 - BETAS[0])
        self.second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        spread = (self.second.sqrt() / math.sqrt(1 - BETAS[1] ** step)).add_(EPSILON)
        self.table.mul_(1 - rates * self.recipe.weight_decay)
        self.table.sub_((self.first / spread).mul_(rates / (1 - BETAS[0] ** step)))

    def _validate(
        self, epoch: int, steps: int, totals: list[float], weight: Mapping[int, float], scale: float, done: set[int]
    ) -> None:
        """Score every head that still learns; keep what is best; see who stops."""
        task, patience = self.job.task, self.recipe.patience
        sign = 1 if METRICS[self.metric].higher_is_better else -1
        for layer in dict.fromkeys(group.layer for group in self.groups):
            here = [i for i, n in enumerate(self.left) if self.trained[n].group.layer == layer and n not in done]
            if not here:
                continue
            logits = self.check.logits(self.stack, self.table[here], layer)
            finite = torch.isfinite(logits).flatten(1).all(1).tolist()
            for row, index in enumerate(here):
                number = self.left[index]
                head = self.trained[number]
                score = math.nan
                if finite[row]:
                    score = primary_score(task, self.check.predictions(logits[row]))
                else:
                    head.diverged = True
                    done.add(number)
                defined = math.isfinite(score)
                head.lines.append(
                    {
                        "epoch": epoch,
                        "step": steps,
                        "train_loss": totals[index] / weight[head.group.seed],
                        "validation": {self.metric: score if defined else None},
                        "learning_rate": head.learning_rate * scale,
                    }
                )
                if defined and (head.score is None or sign * score > sign * head.score):
                    head.score, head.best_epoch = score, epoch
                    self.best[number] = self.table[index]
                elif head.best_epoch is None:
                    self.best[number] = self.table[index]
                if head.best_epoch != epoch and patience is not None and epoch - (head.best_epoch or 0) >= patience:
                    done.add(number)
        done |= {n for n in self.left if epoch == self.recipe.epochs}

    def _tell(self, epoch: int) -> None:
        """The epoch of the run's own head; of several that are tried the one that leads among those that still learn."""
        own = [h for h in self.trained if h.group.seed == self.job.seed and h.lines and h.lines[-1]["epoch"] == epoch]
        if self.job.told is None or not own:
            return
        sign = 1 if METRICS[self.metric].higher_is_better else -1
        leads = max(own, key=lambda head: -math.inf if head.score is None else sign * head.score)
        tried = len({head.group.layer for head in self.trained})
        self.job.told(leads.lines[-1] | ({"layer": leads.group.layer} if tried > 1 else {}))

    def _drop(self, done: set[int]) -> None:
        """Compute no more for groups of which all heads have stopped."""
        size = self.shared
        keep = [g for g in range(len(self.groups)) if not done.issuperset(self.left[g * size : (g + 1) * size])]
        if len(keep) == len(self.groups):
            return
        rows = [g * size + i for g in keep for i in range(size)]
        self.groups, self.left = [self.groups[g] for g in keep], [self.left[i] for i in rows]
        self.table, self.first, self.second = self.table[rows], self.first[rows], self.second[rows]
        self.rates = self.rates[rows]
