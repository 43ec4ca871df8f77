"""The steps of one run: nothing is chosen after the test split is looked at."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from hubtools.data import TaskData
from hubtools.evaluation import choose_thresholds, score_and_resample, score_split, write_predictions
from hubtools.evaluation.predictions import Predictions
from hubtools.evaluation.resampled import write_replicates
from hubtools.models import ResidueTokeniser, build_model, save_model
from hubtools.models.adapters import merge_adapter, require_four_bits
from hubtools.models.encoder import checkpoint_facts
from hubtools.models.masked_lm import load_masked_lm, mask_token
from hubtools.models.modeling_protein_task import ProteinTaskModel
from hubtools.models.saved import save_adapter
from hubtools.models.task_model import scale_output
from hubtools.runs.closer import strata_of
from hubtools.runs.plan import PlannedRun
from hubtools.runs.session import Session
from hubtools.runs.store import (
    ADAPTER,
    MODEL,
    PREDICTIONS,
    REPLICATES,
    TRAINING_LOG,
)
from hubtools.specs.errors import UserError
from hubtools.specs.hashing import file_sha256
from hubtools.specs.record import (
    CheckpointIdentity,
    Cost,
    EmbeddingFacts,
    OutputFile,
    RunRecord,
    TrainingFacts,
)
from hubtools.training import distributed
from hubtools.training.baselines import fit_baseline, read_plain
from hubtools.training.calibration import settle_budget
from hubtools.training.embedding_store import KeptEmbeddings, Source
from hubtools.training.encoding import Encoded, effective_window, encode, varying_positions, window_facts
from hubtools.training.engine import engine
from hubtools.training.fit import fit
from hubtools.training.job import Fitted, Job
from hubtools.training.loss import Loss, loss_for
from hubtools.training.predict import predict
from hubtools.training.probe import fit_probe, predict_probe
from hubtools.training.temperature import fit_temperature, label_logits_of, logits_of
from hubtools.training.variants import (
    blosum62,
    log_probabilities,
    marginals,
    mutated_positions,
    window_facts_of,
)

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

    checkpoint: CheckpointIdentity
    model: Any
    tokeniser: ResidueTokeniser
    splits: dict[str, Encoded]
    bf16: bool
    rounding: str = "float32"


class Steps:
    """The steps of one run.

    Args:
        run, session, folder, record: what to do, with what, where, and what is told about it.
        test: whether to go on to the test splits when everything is chosen. Without, they are taken away before the
            first step, and the record ends with validation: a trial of a sweep.
    """

    def __init__(
        self, run: PlannedRun, session: Session, folder: Path, record: RunRecord, *, test: bool = True
    ) -> None:
        self.run, self.session, self.folder, self.record = run, session, folder, record
        self.task, self.recipe, self.execution = run.task, run.recipe, session.execution
        self.work, self.log, self.test = folder / WORK, folder / TRAINING_LOG, test
        self.probes = run.recipe.adaptation == "probe"
        self.embeddings: KeptEmbeddings | None = None

    def do(self) -> None:
        """Data, model, training, choices on validation, and then, once, the test splits."""
        if self.execution.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.execution.device)
        data = distributed.main_first(
            lambda: self.session.data(self.task, self.run.subset, self.run.fraction, self.run.seed)
        )
        data = data if self.test else data.without_test()
        self.record.data = data.facts
        self.work.mkdir(exist_ok=True)
        with contextlib.ExitStack() as self.attached:
            self._predict_once(data)
        if distributed.is_main():
            shutil.rmtree(self.work, ignore_errors=True)
            self.record.outputs = _outputs(self.folder)

    def _predict_once(self, data: TaskData) -> None:
        if self.task.problem.zero_shot:
            predictor, predictions, thresholds = self._zero_shot(data), {}, None
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
        # Nothing is chosen from here on: this is the one time that the test splits are predicted.
        predictions |= {name: predictor(name) for name in self.task.data.test_splits}
        if self.embeddings is not None and self.record.training is not None:
            seen = self.embeddings
            self.record.training.embeddings = EmbeddingFacts(computed=seen.computed, cached=seen.read)
        if not distributed.is_main():
            return
        drawn, units = {}, {}
        for name, split in predictions.items():
            result, drawn[name], units[name] = score_and_resample(self.task, split, thresholds)
            if name in data.traits:
                result.strata = strata_of(self.task, split, thresholds, data.traits[name])
            self.record.results[name] = result
        write_replicates(self.folder / REPLICATES, drawn, units)
        write_predictions(self.folder / PREDICTIONS, predictions, self.task.label_names)

    def _with_checkpoint(self, data: TaskData) -> Predictor:
        ready = self._prepare(data)
        self._make_faster(ready)
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
        assert self.run.checkpoint is not None
        checkpoint = self.session.checkpoint(self.run.checkpoint)
        tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
        if tokeniser.aligned or self.task.problem.per_residue:
            self.record.alignment = tokeniser.prove([s for split in data.splits for s in data.sequences(split)])
        window = effective_window(self.recipe.window, checkpoint.config, tokeniser.n_special)
        pool = residues_to_pool(self.run, data, tokeniser)
        splits = {name: encode(split, self.task, tokeniser, window, pool) for name, split in data.splits.items()}
        self.record.tokens = tokeniser.count_unknown(ids for split in splits.values() for ids in split.tokens)
        self.record.windows = window_facts([split for name, split in splits.items() if name != "train"], window)
        if self.recipe.adapter is not None and self.recipe.adapter.kind == "qlora":
            require_four_bits(self.execution.device)
        model: Any = build_model(checkpoint, self.task, self.recipe, tokeniser, self.run.seed, pool)
        self.record.checkpoint = checkpoint_facts(checkpoint, model.encoder, self.recipe.weights)
        model.to(self.execution.device)
        return Prepared(checkpoint.identity, model, tokeniser, splits, self.execution.bf16(self.recipe.precision))

    def _make_faster(self, ready: Prepared) -> None:
        """Attach the engine until the test splits are predicted; find the token budget where that is asked for."""
        made = self.attached.enter_context(
            engine(ready.model, ready.tokeniser, self.execution, bf16=ready.bf16, trains=not self.probes)
        )
        environment, ready.rounding = self.record.environment, made.rounding(ready.bf16)
        environment.attention, environment.compiled = made.attention, made.compiled
        if made.packed:
            environment.layout = "packed"
            ready.splits = {name: replace(split, packed=True) for name, split in ready.splits.items()}
        if self.execution.auto_budget:
            self.execution = settle_budget(ready.model, self.recipe, self.execution, self.session.cache.root)
            environment.token_budget = self.execution.token_budget

    def _fit(self, ready: Prepared, loss: Loss, data: TaskData) -> Fitted:
        """Train on train, choose on validation, and note what was done."""
        train, validation = ready.splits["train"], ready.splits["validation"]
        trained: torch.nn.Module = ready.model
        if self.probes:
            assert isinstance(ready.model, ProteinTaskModel)
            precision, device = ready.rounding, self.execution.device.type
            source = Source.of(ready.checkpoint, self.recipe.weights, self.run.seed, precision, device)
            self.embeddings = KeptEmbeddings(self.session.embeddings, source)
            companions = self.session.companions(self.run, data)
            fitted = fit_probe(ready.model, train, validation, self._job(loss), companions)
            trained = ready.model.head
        else:
            fitted = fit(ready.model, train, validation, self._job(loss))
        if fitted.token_budget is not None:
            # What did not fit in training shall not be tried again.
            self.execution = replace(self.execution, token_budget=fitted.token_budget)
            self.record.environment.token_budget = fitted.token_budget
        if train.pool is not None:
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
        """Merge an adapter, and write what is published: of it every prediction of the record is."""
        keeps = self.test and distributed.is_main()
        if self.recipe.adapter is not None:
            if keeps and self.recipe.weights == "pretrained":
                save_adapter(ready.model, ready.tokeniser, self.folder / ADAPTER, ready.checkpoint)
            merge_adapter(ready.model)
        if keeps:
            save_model(ready.model, ready.tokeniser, self.task, self.folder / MODEL)

    def _predictor(self, ready: Prepared, loss: Loss, fitted: Fitted) -> Predictor:
        """What predicts a split by its name, with the model as it is saved."""

        def predictor(name: str) -> Predictions:
            split = ready.splits[name]
            if name == "validation" and fitted.validation is not None:
                return fitted.validation
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
        self.record.tokens = tokeniser.count_unknown(tokeniser.encode_all(list(positions)))
        mask = mask_token(tokeniser, checkpoint.name) if self.recipe.scoring == "masked-marginals" else None
        window = effective_window(self.recipe.window, checkpoint.config, tokeniser.n_special)
        self.record.windows = window_facts_of(list(positions), window)
        model: Any = load_masked_lm(checkpoint, weights=self.recipe.weights, seed=self.run.seed)
        self.record.checkpoint = checkpoint_facts(checkpoint, model, self.recipe.weights)
        model.to(self.execution.device)
        # Not packed: ESM scales a row's embeddings by the share of masks in it, and a packed row is several.
        padded, body = replace(self.execution, packing=False), SimpleNamespace(encoder=model.base_model)
        made = self.attached.enter_context(engine(body, tokeniser, padded, bf16=False, trains=False))
        self.record.environment.attention, self.record.environment.compiled = made.attention, made.compiled
        tables = log_probabilities(
            model,
            tokeniser,
            positions,
            window,
            mask=mask,
            token_budget=self.execution.token_budget,
            device=self.execution.device,
            shown=True,
        )
        return lambda name: marginals(data.splits[name], tables)

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
        return Job(self.task, self.recipe, loss, self.run.seed, self.execution, self.work, self.log, self.embeddings)

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


def residues_to_pool(run: PlannedRun, data: TaskData, tokeniser: ResidueTokeniser) -> list[int] | None:
    """The residues that the recipe pools over; None for all.

    Raises:
        UserError: the checkpoint, or the task, has none that could be told apart.
    """
    if run.recipe.head.pooling != "mutations":
        return None
    if not tokeniser.aligned:
        raise UserError(
            f"head.pooling: mutations needs one token per residue ({tokeniser.why_not})",
            fix="Use head.pooling=mean, or another checkpoint.",
        )
    return varying_positions({name: split["sequence"][:] for name, split in data.splits.items()}, run.task.name)


def _outputs(folder: Path) -> list[OutputFile]:
    """Every file of the run but the record itself, with its checksum."""
    paths = [folder / PREDICTIONS, folder / REPLICATES, folder / TRAINING_LOG]
    paths += [path for part in (MODEL, ADAPTER) for path in sorted((folder / part).rglob("*"))]
    return [
        OutputFile(path=path.relative_to(folder).as_posix(), bytes=path.stat().st_size, sha256=file_sha256(path))
        for path in paths
        if path.is_file()
    ]
