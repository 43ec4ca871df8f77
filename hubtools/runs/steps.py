"""The steps of one run: nothing is chosen after the test split is looked at."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from hubtools.data import TaskData
from hubtools.evaluation import choose_thresholds, score_split, write_predictions
from hubtools.evaluation.predictions import Predictions
from hubtools.models import ResidueTokeniser, build_model, save_model
from hubtools.models.encoder import checkpoint_facts
from hubtools.models.masked_lm import load_masked_lm, mask_token
from hubtools.models.task_model import scale_output
from hubtools.runs.plan import PlannedRun
from hubtools.runs.session import Session
from hubtools.runs.store import (
    MODEL,
    PREDICTIONS,
    TRAINING_LOG,
)
from hubtools.specs.errors import UserError
from hubtools.specs.hashing import file_sha256
from hubtools.specs.record import (
    Cost,
    OutputFile,
    RunRecord,
    TrainingFacts,
)
from hubtools.training.baselines import fit_baseline, read_plain
from hubtools.training.calibration import settle_budget
from hubtools.training.encoding import effective_window, encode, varying_positions, window_facts
from hubtools.training.fit import fit
from hubtools.training.job import Fitted, Job
from hubtools.training.loss import Loss, loss_for
from hubtools.training.predict import predict
from hubtools.training.probe import fit_probe
from hubtools.training.progress import bar
from hubtools.training.variants import (
    blosum62,
    log_probabilities,
    marginals,
    mutated_positions,
    tokens_to_read,
    window_facts_of,
)

WORK = ".work"
# From the name of a split to its predictions.
Predictor = Callable[[str], Predictions]


class Steps:
    """The steps of one run."""

    def __init__(self, run: PlannedRun, session: Session, folder: Path, record: RunRecord) -> None:
        self.run, self.session, self.folder, self.record = run, session, folder, record
        self.task, self.recipe, self.execution = run.task, run.recipe, session.execution
        self.work, self.log = folder / WORK, folder / TRAINING_LOG

    def do(self) -> None:
        """Data, model, training, choices on validation, and then, once, the test splits."""
        if self.execution.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.execution.device)
        data = self.session.data(self.task, self.run.subset)
        self.record.data = data.facts
        self.work.mkdir(exist_ok=True)
        if self.task.problem.zero_shot:
            predictor, predictions, thresholds = self._zero_shot(data), {}, None
        else:
            predictor = self._with_checkpoint(data) if self.recipe.needs_checkpoint else self._baseline(data)
            predictions = {"validation": predictor("validation")}
            thresholds = choose_thresholds(self.task, predictions["validation"])
            assert self.record.training is not None
            if thresholds is not None:
                self.record.training.choices["thresholds"] = thresholds
        # Nothing is chosen from here on: this is the one time that the test splits are predicted.
        predictions |= {name: predictor(name) for name in self.task.data.test_splits}
        for name, split in predictions.items():
            self.record.results[name] = score_split(self.task, split, thresholds)
        write_predictions(self.folder / PREDICTIONS, predictions, self.task.label_names)
        shutil.rmtree(self.work, ignore_errors=True)
        self.record.outputs = _outputs(self.folder)

    def _with_checkpoint(self, data: TaskData) -> Predictor:
        assert self.run.checkpoint is not None
        checkpoint = self.session.checkpoint(self.run.checkpoint)
        tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
        if tokeniser.aligned or self.task.problem.per_residue:
            self.record.alignment = tokeniser.prove([s for split in data.splits for s in data.sequences(split)])
        window = effective_window(self.recipe.window, checkpoint.config, tokeniser.n_special)
        pool = self._pool(data, tokeniser)
        splits = {name: encode(split, self.task, tokeniser, window, pool) for name, split in data.splits.items()}
        scored = [split for name, split in splits.items() if name != "train"]
        self.record.windows = window_facts(scored, window)
        model = build_model(checkpoint, self.task, self.recipe, tokeniser, self.run.seed, pool)
        self.record.checkpoint = checkpoint_facts(checkpoint, model.encoder, self.recipe.weights)
        self.record.environment.attention = getattr(model.encoder.config, "_attn_implementation", None)
        model.to(self.execution.device)
        if self.execution.auto_budget:
            self.execution = settle_budget(model, self.recipe, self.execution, self.session.cache.root)
            self.record.environment.token_budget = self.execution.token_budget
        loss = loss_for(splits["train"], self.task.n_outputs, self.recipe.class_weights)
        fitter: Any = fit_probe if self.recipe.adaptation == "probe" else fit
        fitted = fitter(model, splits["train"], splits["validation"], self._job(loss))
        trained = model.head if self.recipe.adaptation == "probe" else model
        if pool is not None:
            # Measured on the training sequences; residues as people count them.
            fitted.choices["pool_positions"] = [position + 1 for position in pool]
        self._note(fitted, loss.weights, sum(parameter.numel() for parameter in trained.parameters()))
        if loss.kind == "regression":
            scale_output(model, loss.mean, loss.std)
            loss = loss.folded
        save_model(model, tokeniser, self.task, self.folder / MODEL)
        bf16 = self.execution.bf16(self.recipe.precision)

        def predictor(name: str) -> Predictions:
            if name == "validation" and fitted.validation is not None:
                return fitted.validation
            progress = bar(f"predicting {name}", int(splits[name].lengths.sum()), unit=" tokens", scale=True)
            with contextlib.closing(progress):
                return predict(
                    model,
                    splits[name],
                    loss,
                    token_budget=self.execution.token_budget,
                    device=self.execution.device,
                    bf16=bf16,
                    progress=progress.update,
                )

        return predictor

    def _pool(self, data: TaskData, tokeniser: ResidueTokeniser) -> list[int] | None:
        """The residues that the recipe pools over; None for all."""
        if self.recipe.head.pooling == "mean":
            return None
        if not tokeniser.aligned:
            raise UserError(
                f"head.pooling: mutations needs one token per residue ({tokeniser.why_not})",
                fix="Use head.pooling=mean, or another checkpoint.",
            )
        return varying_positions({name: split["sequence"][:] for name, split in data.splits.items()}, self.task.name)

    def _zero_shot(self, data: TaskData) -> Predictor:
        """Variant effects: no training, no validation, nothing to choose and nothing to save."""
        self.record.training = TrainingFacts(
            parameters_trained=0,
            epochs_run=0,
            best_epoch=None,
            steps=0,
            selected_by="nothing: nothing was trained or chosen",
        )
        if not self.recipe.needs_checkpoint:
            return lambda name: blosum62(data.splits[name])
        assert self.run.checkpoint is not None
        checkpoint = self.session.checkpoint(self.run.checkpoint)
        tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
        positions = mutated_positions(list(data.splits.values()))
        self.record.alignment = tokeniser.prove(list(positions))
        mask = mask_token(tokeniser, checkpoint.name) if self.recipe.scoring == "masked-marginals" else None
        window = effective_window(self.recipe.window, checkpoint.config, tokeniser.n_special)
        self.record.windows = window_facts_of(list(positions), window)
        model: Any = load_masked_lm(checkpoint, weights=self.recipe.weights, seed=self.run.seed)
        self.record.checkpoint = checkpoint_facts(checkpoint, model, self.recipe.weights)
        self.record.environment.attention = getattr(model.config, "_attn_implementation", None)
        model.to(self.execution.device)
        tokens = tokens_to_read(positions, window, tokeniser.n_special, mask is not None)
        progress = bar("scoring", tokens, unit=" tokens", scale=True)
        with contextlib.closing(progress):
            tables = log_probabilities(
                model,
                tokeniser,
                positions,
                window,
                mask=mask,
                token_budget=self.execution.token_budget,
                device=self.execution.device,
                progress=progress.update,
            )
        return lambda name: marginals(data.splits[name], tables)

    def _baseline(self, data: TaskData) -> Predictor:
        splits = {name: read_plain(split, self.task) for name, split in data.splits.items()}
        loss = loss_for(splits["train"], self.task.n_outputs, self.recipe.class_weights)
        fitted, predictor = fit_baseline(splits["train"], splits["validation"], self._job(loss))
        self._note(fitted, None, 0)
        return lambda name: predictor(splits[name])

    def _job(self, loss: Loss) -> Job:
        return Job(self.task, self.recipe, loss, self.run.seed, self.execution, self.work, self.log)

    def _note(self, fitted: Fitted, weights: tuple[float, ...] | None, parameters: int) -> None:
        self.record.training = TrainingFacts(
            parameters_trained=parameters,
            epochs_run=fitted.epochs_run,
            best_epoch=fitted.best_epoch,
            steps=fitted.steps,
            tokens=fitted.tokens,
            selected_by=f"{self.task.metrics.primary} on validation",
            choices=fitted.choices,
            class_weights=None if weights is None else [round(w, 6) for w in weights],
        )
        self.record.cost = Cost(wall_seconds=0, train_seconds=round(fitted.seconds, 3))


def _outputs(folder: Path) -> list[OutputFile]:
    """Every file of the run but the record itself, with its checksum."""
    paths = [folder / PREDICTIONS, folder / TRAINING_LOG, *sorted((folder / MODEL).rglob("*"))]
    return [
        OutputFile(path=path.relative_to(folder).as_posix(), bytes=path.stat().st_size, sha256=file_sha256(path))
        for path in paths
        if path.is_file()
    ]
