"""The steps of one run: nothing is chosen after the test split is looked at."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.numpy import save

from hubtools.common.errors import UserError
from hubtools.common.files import make_folder, write_atomic
from hubtools.common.hashing import file_sha256
from hubtools.data import TaskData
from hubtools.evaluation import choose_thresholds, score_and_resample, score_split, write_predictions
from hubtools.evaluation.metrics.hierarchy import information_of, terms_of
from hubtools.evaluation.metrics.scoring import unseen_labels
from hubtools.evaluation.predictions import Predictions
from hubtools.evaluation.split_strata import strata_of
from hubtools.evaluation.statistics.resampled import write_replicates
from hubtools.models import Checkpoint, ResidueTokeniser, save_model
from hubtools.models.adapters import merge_adapter
from hubtools.models.encoder import checkpoint_facts, pretraining_facts
from hubtools.models.encoder_note import note_of
from hubtools.models.modeling_protein_task import ProteinTaskModel
from hubtools.models.saved import save_adapter
from hubtools.models.task_model import scale_output
from hubtools.runs.folds.fold_work import (
    FoldWork,
    log_lines,
    out_of_fold,
    read_fold,
    together,
    windows_together,
    write_fold,
)
from hubtools.runs.plan import PlannedRun
from hubtools.runs.preparation import ATTENTION, answering, ask, build, computing, kept_embeddings, language_model, read
from hubtools.runs.session import Session
from hubtools.runs.store import (
    ADAPTER,
    LEARNT,
    MODEL,
    PREDICTIONS,
    REPLICATES,
    TRAINING_LOG,
)
from hubtools.specs.metric_names import METRICS
from hubtools.specs.record import (
    Cost,
    EmbeddingFacts,
    FoldResult,
    OutputFile,
    RunRecord,
    TrainingFacts,
)
from hubtools.training.compute import distributed
from hubtools.training.contacts.attention_regression import (
    AttentionRegression,
    MapReader,
    fit_attention_regression,
    predict_by_attention,
)
from hubtools.training.encoding import Encoded, window_facts
from hubtools.training.finetune.fit import fit
from hubtools.training.folding.structure_predictions import folded_places, structure_predictions
from hubtools.training.frozen.embedding_store import KeptEmbeddings
from hubtools.training.frozen.probe import fit_probe, predict_probe
from hubtools.training.job import Fitted, Job, Told
from hubtools.training.loss import Loss, loss_for
from hubtools.training.prediction import predict
from hubtools.training.temperature import fit_temperature, label_logits_of, logits_of
from hubtools.training.trivial_baselines import UNTRAINED, fit_baseline, read_plain
from hubtools.training.variant_scores import window_facts_of

log = logging.getLogger(__name__)

WORK = ".work"
# From the name of a split to its predictions.
Predictor = Callable[[str], Predictions]


@dataclass
class Prepared:
    """A model before training, and what it will read.

    Attributes:
        checkpoint: whose encoder it has.
        model: encoder with head, on the device.
        tokeniser: the checkpoint's.
        splits: encoded, by name.
        bf16: whether the model runs under autocast.
        rounding: what its embeddings are rounded by.
    """

    checkpoint: Checkpoint
    model: Any
    tokeniser: ResidueTokeniser
    splits: dict[str, Encoded]
    bf16: bool
    rounding: str


class Steps:
    """The steps of one run.

    Args:
        run, session, folder, record: what to do, with what, where, and what is told about it.
        test: whether to go on to the test splits when everything is chosen. Without, they are taken away before the
            first step, and the record ends with validation: a trial of a sweep.
        told: told each epoch; None where nobody listens.
    """

    def __init__(
        self,
        run: PlannedRun,
        session: Session,
        folder: Path,
        record: RunRecord,
        *,
        test: bool = True,
        told: Told | None = None,
    ) -> None:
        self.told = told
        self.run, self.session, self.folder, self.record = run, session, folder, record
        self.task, self.recipe, self.execution = run.task, run.recipe, session.execution
        self.work, self.log, self.test = folder / WORK, folder / TRAINING_LOG, test
        self.probes = run.recipe.adaptation == "probe"
        self.embeddings: KeptEmbeddings | None = None
        # Of a task with folds there is a model for each, and none is kept; of contacts what was learnt, and no model.
        self.keeps_model = test and run.task.data.folds is None and run.task.problem.level.trained
        self.regression: AttentionRegression | None = None

    def do(self) -> None:
        """Data, model, training, choices on validation, and then, once, the test splits."""
        if self.execution.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.execution.device)
        data = distributed.main_first(
            lambda: self.session.data(self.task, self.run.subset, self.run.fraction, self.run.seed)
        )
        data = data if self.test else data.without_test()
        self.record.data = data.facts
        if distributed.is_main():
            if self.test:
                self.record.closed = self.session.closed(self.run, data.facts)
            make_folder(self.work)
        distributed.barrier()
        # An ontology that cannot be read is said before training.
        terms_of(self.task)
        with contextlib.ExitStack() as self.attached:
            self._predict_once(data)
        if distributed.is_main():
            shutil.rmtree(self.work, ignore_errors=True)
            self.record.outputs = _outputs(self.folder)

    def _predict_once(self, data: TaskData) -> None:
        folds = list[FoldResult]()
        if data.folds:
            predictions, thresholds = {}, None
            predictions["test"], folds = self._out_of_fold(data)
        elif not self.recipe.learns:
            predictor, predictions, thresholds = self._untrained(data), {}, None
        else:
            predictor = self._with_checkpoint(data) if self.recipe.needs_checkpoint else self._baseline(data)
            predictions = {"validation": predictor("validation")}
            thresholds = choose_thresholds(self.task, predictions["validation"])
            assert self.record.training is not None
            if thresholds is not None:
                self.record.training.choices["thresholds"] = thresholds
        if not self.test:
            validation = score_split(self.task, predictions["validation"], thresholds, replicates=0)
            self.record.results["validation"] = validation
            return
        if not data.folds:
            # Nothing is chosen from here on: this is the one time that the test splits are predicted.
            predictions |= {name: predictor(name) for name in self.task.data.test_splits}
            self._note_embeddings()
        if not distributed.is_main():
            return
        if any(METRICS[name].informed for name in self.task.metrics.names):
            information = information_of(self.task, data.splits["train"])
            predictions = {name: replace(split, information=information) for name, split in predictions.items()}
        learnt = data.facts.splits.get("train")
        trained = {} if learnt is None else learnt.label_counts
        drawn, units = {}, {}
        for name, split in predictions.items():
            result, drawn[name], units[name] = score_and_resample(self.task, split, thresholds)
            result.unseen_labels = unseen_labels(self.task, split, trained)
            if result.unseen_labels is not None and name in self.task.data.test_splits:
                log.warning("%s: %s", name, result.unseen_labels)
            if name in data.traits:
                result.strata = strata_of(self.task, split, thresholds, data.traits[name])
            result.folds = folds
            self.record.results[name] = result
        write_replicates(self.folder / REPLICATES, drawn, units)
        write_predictions(self.folder / PREDICTIONS, predictions, self.task.label_names)

    def _out_of_fold(self, data: TaskData) -> tuple[Predictions, list[FoldResult]]:
        """A fit for each fold on the others, and every row as predicted by the one that never saw its fold.

        What a fold left is kept until the run is complete, so that a run that was stopped goes on with the next one. The last
        fold is always done by the attempt that writes the record, which so tells what it saw of checkpoint and device.
        """
        if distributed.size() > 1:
            raise UserError(
                "the models of a task with folds are trained by one process",
                where=self.run.title,
                fix="Leave torchrun out; folds of one run follow each other, and runs can go to several workers.",
            )
        work, log, last = self.work, self.log, list(data.folds)[-1]
        parts, told = list[Predictions](), list[FoldWork]()
        for number, name in enumerate(data.folds):
            # By number: a fold may be called anything.
            self.work = work / f"fold-{number}"
            self.log = self.work / TRAINING_LOG
            found = read_fold(self.work) if name != last else None
            if found is None:
                make_folder(self.work)
                found = self._one_fold(name, data.fold(name))
                write_fold(self.work, *found)
            parts.append(found[0])
            told.append(found[1])
        self.work, self.log = work, log
        lines = [line for one in told for line in one.lines]
        if lines:
            write_atomic(log, "".join(json.dumps(line) + "\n" for line in lines))
        self._note_folds(told)
        return out_of_fold(parts, list(data.splits["test"]["id"])), [one.result for one in told]

    def _one_fold(self, name: str, data: TaskData) -> tuple[Predictions, FoldWork]:
        """Train on the other folds, choose on a part of them, and predict the fold."""
        self.record.training, self.embeddings = None, None
        before = self.record.cost or Cost(wall_seconds=0)
        self.record.cost = before.model_copy(update={"train_seconds": None})
        # The engine of one fold's model is taken off before the next one's is attached.
        outer = self.attached
        with contextlib.ExitStack() as self.attached:
            predictor = self._with_checkpoint(data) if self.recipe.needs_checkpoint else self._baseline(data)
            predictions = predictor("test")
        self.attached = outer
        self._note_embeddings()
        training = self.record.training
        assert training is not None and self.record.cost is not None
        scores = score_split(self.task, predictions, None, replicates=0).scores
        result = FoldResult(
            name=name,
            rows=len(data.splits["test"]),
            train=len(data.splits["train"]),
            validation=len(data.splits["validation"]),
            epochs_run=training.epochs_run,
            best_epoch=training.best_epoch,
            steps=training.steps,
            choices=training.choices,
            scores={metric: score.value for metric, score in scores.items()},
        )
        work = FoldWork(
            result=result,
            training=training,
            windows=self.record.windows,
            seconds=self.record.cost.train_seconds or 0.0,
            lines=[{"fold": name, **line} for line in log_lines(self.log)],
        )
        return predictions, work

    def _note_folds(self, told: list[FoldWork]) -> None:
        """What training did in all folds together."""
        self.record.training = together(told, f"{self.task.metrics.primary} on validation, in each fold by itself")
        self.record.windows = windows_together(told)
        before = self.record.cost or Cost(wall_seconds=0)
        seconds = round(sum(one.seconds for one in told), 3)
        self.record.cost = before.model_copy(update={"train_seconds": seconds})

    def _note_embeddings(self) -> None:
        if self.embeddings is not None and self.record.training is not None:
            seen = self.embeddings
            self.record.training.embeddings = EmbeddingFacts(computed=seen.computed, cached=seen.read)

    def _with_checkpoint(self, data: TaskData) -> Predictor:
        ready = self._prepare(data)
        loss = loss_for(ready.splits["train"], self.task.n_outputs, self.recipe.class_weights)
        fitted = self._fit(ready, loss, data)
        if loss.kind == "regression":
            scale_output(ready.model, loss.mean, loss.std)
            loss = loss.folded
        if self.recipe.calibration == "temperature":
            self._set_temperature(ready, loss, fitted)
        self._save(ready)
        return self._predictor(ready, loss, fitted)

    def _prepare(self, data: TaskData) -> Prepared:
        """Tokens proven and cut into windows, and the model before training, on the device."""
        reading = read(self.run, self.session, data)
        self.record.alignment, self.record.tokens = reading.alignment, reading.tokens
        self.record.structure = reading.structure
        # Of a fold the rows that it holds out: together they are all.
        unscored = {"train"} if self.task.data.folds is None else {"train", "validation"}
        scored = [split for name, split in reading.splits.items() if name not in unscored]
        self.record.windows = window_facts(scored, reading.window)
        model = build(self.run, reading, self.execution.device, self.session)
        self.record.checkpoint = checkpoint_facts(reading.checkpoint, model.encoder, self.recipe.weights)
        if self.recipe.weights == "pretrained":
            self.record.pretraining = pretraining_facts(reading.checkpoint.identity, data.dates)
        # The engine stays attached until the test splits are predicted.
        how = self.attached.enter_context(computing(self.run, self.session, model, reading))
        self.execution, environment = how.execution, self.record.environment
        environment.attention, environment.compiled = how.made.attention, how.made.compiled
        environment.token_budget = how.execution.token_budget
        environment.layout, self.record.together = how.made.layout, how.made.together
        self.record.context = how.made.context
        splits = how.laid_out(reading.splits)
        return Prepared(reading.checkpoint, model, reading.tokeniser, splits, how.bf16, how.rounding)

    def _fit(self, ready: Prepared, loss: Loss, data: TaskData) -> Fitted:
        """Train on train, choose on validation, and note what was done."""
        train, validation = ready.splits["train"], ready.splits["validation"]
        trained: torch.nn.Module = ready.model
        if self.recipe.head.kind == ATTENTION:
            fitted, self.regression = fit_attention_regression(self._maps(ready), train, self._job(loss))
            self._note(fitted, None, self.regression.weights.size + 1)
            assert self.record.training is not None
            self.record.training.selected_by = "nothing: the strength of the penalty is the recipe's"
            return fitted
        if self.probes:
            assert isinstance(ready.model, ProteinTaskModel)
            self.embeddings = kept_embeddings(self.run, self.session, ready.checkpoint, ready.rounding)
            companions = self.session.companions(self.run, data)
            context = self.record.context
            follows = context is None or context.follows
            fitted = fit_probe(ready.model, train, validation, self._job(loss), companions, follows=follows)
            trained = ready.model.head
        else:
            fitted = fit(ready.model, train, validation, self._job(loss))
        if fitted.token_budget is not None:
            # What did not fit in training shall not be tried again.
            self.execution = replace(self.execution, token_budget=fitted.token_budget)
            self.record.environment.token_budget = fitted.token_budget
        if self.recipe.head.pooling == "mutations" and train.pool is not None:
            # Measured on the training sequences; residues as people count them.
            fitted.choices["pool_positions"] = [int(position) + 1 for position in train.pool]
        n_trained = sum(parameter.numel() for parameter in trained.parameters() if parameter.requires_grad)
        self._note(fitted, loss.weights, n_trained)
        return fitted

    def _set_temperature(self, ready: Prepared, loss: Loss, fitted: Fitted) -> None:
        """Fit a temperature on validation and put it into the last layer; validation then is as the saved model has it."""
        if fitted.validation is not None and fitted.logits is not None:
            raw = replace(fitted.validation, scores=fitted.logits)
        else:
            raw = self._predictor(ready, loss.of_logits, fitted)("validation")
        found = distributed.broadcast(fit_temperature(raw.scores, raw.truth))
        scale_output(ready.model, 0.0, 1 / found.value)
        assert self.record.training is not None
        self.record.training.choices |= found.choices
        # Merging an adapter rounds: of the merged model validation is read again.
        merges = self.recipe.adapter is not None
        fitted.validation = None if merges else replace(raw, scores=loss.to_scores(raw.scores / found.value))

    def _save(self, ready: Prepared) -> None:
        """Merge an adapter, and write the model of which every prediction of the record is, a frozen encoder by its name."""
        if self.test and not self.task.problem.level.trained and distributed.is_main():
            head = {name: part.detach().cpu().numpy() for name, part in ready.model.head.state_dict().items()}
            learnt = head if self.regression is None else self.regression.tensors
            write_atomic(self.folder / LEARNT, save(learnt, {"recipe": self.recipe.name}))
        keeps, made_of = self.keeps_model and distributed.is_main(), ready.checkpoint.identity
        note = note_of(made_of, self.recipe, self.run.seed, ready.model.encoder) if keeps else None
        if self.recipe.adapter is not None:
            if keeps and self.recipe.weights == "pretrained":
                save_adapter(ready.model, ready.tokeniser, self.folder / ADAPTER, made_of)
            merge_adapter(ready.model)
        if keeps:
            save_model(ready.model, ready.tokeniser, self.task, self.folder / MODEL, note)

    def _predictor(self, ready: Prepared, loss: Loss, fitted: Fitted) -> Predictor:
        """What predicts a split by its name, with the model as it is saved."""

        def predictor(name: str) -> Predictions:
            split = ready.splits[name]
            if name == "validation" and fitted.validation is not None:
                return fitted.validation
            if self.regression is not None:
                return predict_by_attention(self._maps(ready), self.regression, split, name)
            if self.probes:
                return predict_probe(ready.model, split, loss, self._job(loss), name)
            return predict(
                ready.model,
                split,
                loss,
                token_budget=self.execution.token_budget,
                device=self.execution.device,
                bf16=ready.bf16,
                shown=name,
            )

        return predictor

    def _maps(self, ready: Prepared) -> MapReader:
        return MapReader(ready.model.encoder, ready.checkpoint.name, self.execution.device)

    def _untrained(self, data: TaskData) -> Predictor:
        """Variant effects, contacts and structures: no training, no validation, nothing to choose and nothing to save."""
        self.record.training = TrainingFacts(
            parameters_trained=0,
            epochs_run=0,
            best_epoch=None,
            steps=0,
            selected_by="nothing: nothing was trained or chosen",
        )
        if not self.recipe.needs_checkpoint:
            score = UNTRAINED[self.recipe.baseline or ""]
            return lambda name: score(data.splits[name])
        if self.recipe.scoring == "folding":
            checkpoint = self.session.checkpoint(self.run.checkpoint or "")
            tests = [data.splits[name] for name in self.task.data.test_splits]
            model, drawn, places = folded_places(checkpoint, tests, self.run.seed, self.execution.device)
            self.record.training.choices |= drawn
            self.record.checkpoint = checkpoint_facts(checkpoint, model, self.recipe.weights)
            return lambda name: structure_predictions(data.splits[name], places)
        questions = ask(self.run, self.session, data)
        self.record.alignment, self.record.tokens = questions.alignment, questions.tokens
        self.record.structure = questions.structure
        self.record.windows = window_facts_of(questions.proteins, questions.window)
        if apart := questions.pairs_apart:
            told = f"{apart:,} pairs of residues are farther apart than a window is long, and score lowest"
            self.record.training.choices["pairs_in_no_window"] = apart
            log.warning("%s", told)
        model = language_model(self.run, questions, self.session)
        self.record.checkpoint = checkpoint_facts(questions.checkpoint, model, self.recipe.weights)
        made = self.attached.enter_context(answering(model, questions, self.execution))
        environment = self.record.environment
        environment.attention, environment.compiled, environment.layout = made.attention, made.compiled, made.layout
        self.record.together = made.together
        if made.context is not None:
            self.record.context = questions.context(made.context)
        predictions = questions.scores(model, self.execution)
        return lambda name: predictions(data.splits[name])

    def _baseline(self, data: TaskData) -> Predictor:
        splits = {name: read_plain(split, self.task) for name, split in data.splits.items()}
        loss = loss_for(splits["train"], self.task.n_outputs, self.recipe.class_weights)
        fitted, predictor = fit_baseline(splits["train"], splits["validation"], self._job(loss))
        self._note(fitted, None, 0)
        if self.recipe.calibration == "none":
            return lambda name: predictor(splits[name])
        to_logits = label_logits_of if loss.kind == "multilabel" else logits_of
        raw = predictor(splits["validation"])
        found = fit_temperature(to_logits(raw.scores), raw.truth)
        assert self.record.training is not None
        self.record.training.choices |= found.choices

        def scaled(name: str) -> Predictions:
            said = raw if name == "validation" else predictor(splits[name])
            return replace(said, scores=loss.to_scores(to_logits(said.scores) / found.value))

        return scaled

    def _job(self, loss: Loss) -> Job:
        return Job(
            self.task,
            self.recipe,
            loss,
            self.run.seed,
            self.execution,
            self.work,
            self.log,
            self.embeddings,
            self.told,
        )

    def _note(self, fitted: Fitted, weights: tuple[float, ...] | None, parameters: int) -> None:
        self.record.training = TrainingFacts(
            parameters_trained=parameters,
            epochs_run=fitted.epochs_run,
            best_epoch=fitted.best_epoch,
            steps=fitted.steps,
            tokens=fitted.tokens,
            selected_by=f"{self.task.metrics.primary} on validation",
            choices=fitted.choices,
            seeds_together=fitted.together,
            class_weights=None if weights is None else [round(w, 6) for w in weights],
        )
        before = self.record.cost or Cost(wall_seconds=0)
        self.record.cost = before.model_copy(update={"train_seconds": round(fitted.seconds, 3)})


def _outputs(folder: Path) -> list[OutputFile]:
    """Every file of the run but the record itself, with its checksum."""
    paths = [folder / PREDICTIONS, folder / REPLICATES, folder / TRAINING_LOG, folder / LEARNT]
    paths += [path for part in (MODEL, ADAPTER) for path in sorted((folder / part).rglob("*"))]
    return [
        OutputFile(path=path.relative_to(folder).as_posix(), bytes=path.stat().st_size, sha256=file_sha256(path))
        for path in paths
        if path.is_file()
    ]
