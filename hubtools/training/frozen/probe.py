"""The frozen probe: embeddings once, then heads on them; layer, learning rate or penalty chosen on validation."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from hubtools.common.errors import UserError
from hubtools.common.files import clear, write_atomic
from hubtools.evaluation import primary_score
from hubtools.evaluation.predictions import Predictions
from hubtools.models.modeling_protein_task import ProteinTaskModel
from hubtools.models.task_model import fresh_head
from hubtools.specs.level import RESIDUE_PAIR
from hubtools.specs.metric_names import METRICS
from hubtools.specs.recipe import Probe
from hubtools.training.contacts.pair_odds import of_split
from hubtools.training.encoding import LAST, Encoded
from hubtools.training.frozen.embedding import Features, FrozenEncoder, chosen_layers, embed
from hubtools.training.frozen.examples import Examples, Scale
from hubtools.training.frozen.heads import Group, Trained, ValidationCheck, diverged, train_heads
from hubtools.training.frozen.ridge import solve
from hubtools.training.frozen.stack import Stack
from hubtools.training.job import Fitted, Job
from hubtools.training.loss import Loss
from hubtools.training.prediction import of_rows


@dataclass
class OtherSeeds:
    """Runs of the same probe with other seeds: the first of them trains all, the others find their heads here.

    Attributes:
        seeds: whose turn comes later.
        heads: by seed, as far as they are trained.
    """

    seeds: list[int] = field(default_factory=list)
    heads: dict[int, ProbeHead | UserError] = field(default_factory=dict)


@dataclass(frozen=True)
class ProbeHead:
    """A head that reads plain embeddings of one layer, and what is to be said about it.

    Attributes:
        head, layer: the module, and what it reads.
        fitted, lines: what training did, and its log.
        pool: the residues that are pooled over, where that was chosen, too: :data:`LAST`, or None for all.
    """

    head: nn.Module
    layer: int
    fitted: Fitted
    lines: list[dict[str, Any]]
    pool: tuple[int, ...] | None = None


def fit_probe(
    model: ProteinTaskModel,
    train: Encoded,
    validation: Encoded,
    job: Job,
    companions: OtherSeeds | None = None,
    *,
    follows: bool = True,
) -> Fitted:
    """Give a model whose encoder stays as it is a trained head; arguments as in :func:`hubtools.training.finetune.fit.fit`.

    With companions, the heads of their seeds are trained beside, where this seed's has not been already. ``follows`` says
    whether a residue sees what follows it: where not, ``head.pooling: auto`` also tries the last residue alone.

    Raises:
        UserError: training diverged, with every learning rate.
    """
    companions = companions or OtherSeeds()
    before = job.seed in companions.heads
    if not before:
        seeds = [job.seed, *companions.seeds]
        made = _fit(model, train, validation, job, seeds)
        if job.recipe.head.pooling == "auto" and not follows:
            last = _fit(model, train.pooled_over(LAST), validation.pooled_over(LAST), job, seeds)
            made = {seed: _better(made[seed], last[seed], job) for seed in seeds}
        companions.heads |= made
    found = companions.heads.pop(job.seed)
    if isinstance(found, UserError):
        raise found
    model.head = found.head
    if found.pool is not None:
        model.config.pool_positions = list(found.pool)
    model.config.layer = None if found.layer == model.encoder.config.num_hidden_layers else found.layer
    if found.lines:
        write_atomic(job.log, "".join(json.dumps(line) + "\n" for line in found.lines))
    if before and job.told is not None:
        # Else each epoch was told when it was trained.
        for line in found.lines:
            job.told(line)
    return found.fitted


def _fit(
    model: ProteinTaskModel, train: Encoded, validation: Encoded, job: Job, seeds: Sequence[int]
) -> dict[int, ProbeHead | UserError]:
    """Embed both splits once, and train the heads of all seeds on them."""
    started = time.perf_counter()
    wanted = chosen_layers(job.recipe.probe.layers, model.encoder.config.num_hidden_layers)
    fitting, checking = (
        _embedded(model, split, job, name, wanted) for name, split in (("train", train), ("validation", validation))
    )
    made = fit_heads(model, validation, fitting, checking, job, seeds)
    for one in made.values():
        if isinstance(one, ProbeHead):
            one.fitted.seconds = (time.perf_counter() - started) / len(seeds)
    for file in job.work.glob("*.npy"):
        clear(file)
    return made


def _better(mean: ProbeHead | UserError, last: ProbeHead | UserError, job: Job) -> ProbeHead | UserError:
    """Of a head on the mean and one on the last residue the one of the better validation score; of equal ones the first."""
    sign = 1 if METRICS[job.task.metrics.primary].higher_is_better else -1
    found = {"mean": mean, "last": last}
    sound = {name: one for name, one in found.items() if isinstance(one, ProbeHead)}
    if not sound:
        return mean
    scores = {name: _score(one, job) for name, one in sound.items()}
    name = max(sound, key=lambda name: -math.inf if (score := scores[name]) is None else sign * score)
    best, other = sound[name], found["last" if name == "mean" else "mean"]
    best.fitted.choices |= {"pooling": name, "pooling_validation": scores}
    if isinstance(other, ProbeHead):
        # Both took what they took.
        best.fitted.seconds += other.fitted.seconds
        best.fitted.tokens += other.fitted.tokens
    return replace(best, pool=LAST if name == "last" else None)


def _score(found: ProbeHead, job: Job) -> float | None:
    """The primary metric on validation; None where it is not defined."""
    assert found.fitted.validation is not None
    score = primary_score(job.task, found.fitted.validation)
    return score if math.isfinite(score) else None


def fit_heads(
    model: ProteinTaskModel,
    validation: Encoded,
    fitting: Features,
    checking: Features,
    job: Job,
    seeds: Sequence[int],
) -> dict[int, ProbeHead | UserError]:
    """Train heads on embeddings, and choose the best one of each seed on validation.

    Args:
        model: the template of the heads; its own has the job's seed.
        validation: the split whose embeddings are ``checking``.
        fitting, checking: embeddings of training and validation, of the layers to choose between.
        job: what to do.
        seeds: of the heads.
    """
    wanted = list(fitting.tables)
    scales = {layer: Scale(fitting.tables[layer]) for layer in wanted}
    device, pooled = job.execution.device, model.reads_residues
    examples, unseen = (
        Examples(part.tables, part.labels, part.owners, device, scales, pooled) for part in (fitting, checking)
    )
    check = ValidationCheck(unseen, _predictions_of(validation, checking, pooled), job.loss)
    heads = {seed: model.head if seed == job.seed else fresh_head(model, seed) for seed in seeds}
    if job.recipe.head.solver == "ridge":
        # Nothing in it is random.
        found: dict[int, _Chosen | UserError] = dict.fromkeys(seeds, _ridge(model.head, wanted, examples, check, job))
    else:
        groups = {Group(seed, layer): heads[seed] for seed in seeds for layer in wanted}
        recipe = job.recipe
        rates = recipe.probe.learning_rates or [recipe.head_learning_rate or recipe.learning_rate]
        trained = train_heads(groups, rates, examples, check, job)
        found = {seed: _choose([head for head in trained if head.group.seed == seed], job) for seed in seeds}
    stack = Stack(copy.deepcopy(model.head).to(device))
    made: dict[int, ProbeHead | UserError] = {}
    for seed, chosen in found.items():
        if isinstance(chosen, UserError):
            made[seed] = chosen
            continue
        head = copy.deepcopy(heads[seed]).cpu()
        head.load_state_dict(head.state_dict() | chosen.state)
        # The encoder has read validation once; it need not again.
        logits = check.logits(stack, stack.table([head]).to(device), chosen.layer)[0]
        fitted = Fitted(len(chosen.lines), chosen.best_epoch, chosen.steps, fitting.tokens, 0, chosen.choices)
        fitted.validation, fitted.together = check.predictions(logits), len(seeds)
        fitted.logits = logits.numpy()
        fitted.token_budget = min(fitting.token_budget, checking.token_budget)
        scales[chosen.layer].fold_into(head)
        made[seed] = ProbeHead(head.to(device), chosen.layer, fitted, chosen.lines)
    return made


def predict_probe(model: ProteinTaskModel, split: Encoded, loss: Loss, job: Job, name: str) -> Predictions:
    """Predictions of a split by a fitted probe: as :func:`hubtools.training.prediction.predict` from embeddings.

    Args:
        model: with the fitted head, the standardisation folded into it.
        split: encoded split.
        loss: turns logits into probabilities or values.
        job: as in fitting.
        name: of the split, for the progress bar.
    """
    layer = model.encoder.config.num_hidden_layers if model.config.layer is None else model.config.layer
    if split.pool is None and model.config.pool_positions is not None:
        split = split.pooled_over(model.config.pool_positions)
    # Another seed may choose another layer: where embeddings are kept, one pass keeps what any of them will read.
    keeps = job.embeddings is not None and job.embeddings.store is not None
    last = model.encoder.config.num_hidden_layers
    wanted = chosen_layers(job.recipe.probe.layers, last) if keeps else [layer]
    embedded = _embedded(model, split, job, name, wanted)
    device, pooled = job.execution.device, model.reads_residues
    examples = Examples(embedded.tables, embedded.labels, embedded.owners, device, pooled=pooled)
    check = ValidationCheck(examples, _predictions_of(split, embedded, pooled), loss)
    stack = Stack(copy.deepcopy(model.head))
    return check.predictions(check.logits(stack, stack.table([model.head]).to(device), layer)[0])


def _embedded(model: ProteinTaskModel, split: Encoded, job: Job, name: str, wanted: list[int]) -> Features:
    bf16 = job.execution.bf16(job.recipe.precision)
    file = job.work / f"{name}.npy"
    encoder = FrozenEncoder(model, job.execution, bf16, wanted)
    return embed(encoder, split, file, name, pooled=model.reads_residues, kept=job.embeddings)


def _predictions_of(split: Encoded, features: Features, pooled: bool) -> Callable[[np.ndarray], Predictions]:
    """Predictions from the scores of a split's rows, or of its items; what does not change is made once."""
    if split.problem.level is RESIDUE_PAIR:
        return lambda scores: of_split(split, scores[:, 0])
    owners = np.arange(len(split)) if pooled else features.owners
    positions = None if pooled else features.positions
    made: list[Predictions] = []

    def predictions(scores: np.ndarray) -> Predictions:
        if made:
            return replace(made[0], scores=scores)
        made.append(of_rows(split, owners, positions, features.labels, scores))
        return made[0]

    return predictions


@dataclass(frozen=True)
class _Chosen:
    """What was best on validation for one seed: parameters on standardised features, and what led to them."""

    layer: int
    state: dict[str, torch.Tensor]
    best_epoch: int | None
    steps: int
    lines: list[dict[str, Any]]
    choices: dict[str, Any]


def _choose(trained: Sequence[Trained], job: Job) -> _Chosen | UserError:
    """The head of the best validation score; the first of equal ones."""
    sign = 1 if METRICS[job.task.metrics.primary].higher_is_better else -1
    sound = [head for head in trained if not head.diverged]
    if not sound:
        return diverged()
    scored = [head for head in sound if head.score is not None]
    best = max(scored, key=lambda head: sign * (head.score or 0.0)) if scored else sound[0]
    choices: dict[str, Any] = {}
    if job.recipe.probe != Probe():
        candidates = [
            {
                "layer": head.group.layer,
                "learning_rate": head.learning_rate,
                "best_epoch": head.best_epoch,
                "validation": head.score,
            }
            for head in trained
        ]
        choices = {"layer": best.group.layer, "learning_rate": best.learning_rate, "candidates": candidates}
    steps = best.lines[-1]["step"]
    return _Chosen(best.group.layer, best.state, best.best_epoch, steps, best.lines, choices)


def _ridge(head: nn.Module, wanted: Sequence[int], train: Examples, check: ValidationCheck, job: Job) -> _Chosen:
    """The penalty, and layer, of the best validation score; the larger penalty of equal ones."""
    sign = 1 if METRICS[job.task.metrics.primary].higher_is_better else -1
    stack = Stack(head)
    best: tuple[float | None, int, float, torch.Tensor] | None = None
    candidates: list[dict[str, Any]] = []
    for layer in wanted:
        found = solve(train, layer)
        table = torch.from_numpy(np.c_[found.weights, found.intercepts].astype(np.float32)).to(job.execution.device)
        # A head's outputs are standardised values.
        table[:, -1] -= job.loss.mean
        logits = check.logits(stack, table.div_(job.loss.std), layer)
        for index in reversed(range(len(table))):
            score = primary_score(job.task, check.predictions(logits[index]))
            value = score if math.isfinite(score) else None
            penalty = float(found.penalties[index])
            candidates.append({"layer": layer, "penalty": penalty, "validation": value})
            if best is None or (value is not None and (best[0] is None or sign * value > sign * best[0])):
                best = (value, layer, penalty, table[index])
    assert best is not None
    _, layer, penalty, row = best
    choices = {"layer": layer, "penalty": penalty, "candidates": candidates}
    return _Chosen(layer, stack.state(row.cpu()), None, 0, [], choices)
