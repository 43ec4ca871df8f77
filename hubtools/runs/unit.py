"""One run, from a plan to a record: nothing is chosen after the test split is looked at."""

from __future__ import annotations

import logging
import shutil
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from hubtools.data import DataCache, TaskData, load_task_data, source_digest
from hubtools.evaluation import choose_thresholds, score_split, write_predictions
from hubtools.evaluation.predictions import Predictions
from hubtools.models import Checkpoint, ResidueTokeniser, build_model, resolve_checkpoint, save_model
from hubtools.models.encoder import checkpoint_facts
from hubtools.models.task_model import scale_output
from hubtools.runs.environment import describe
from hubtools.runs.plan import PlannedRun
from hubtools.runs.store import (
    MODEL,
    PREDICTIONS,
    TRAINING_LOG,
    claimed,
    read_record,
    run_folder,
    write_record,
)
from hubtools.specs.errors import UserError
from hubtools.specs.hashing import file_sha256
from hubtools.specs.record import (
    Cost,
    Failure,
    Identity,
    OutputFile,
    RecipeIdentity,
    RunRecord,
    TaskIdentity,
    TrainingFacts,
)
from hubtools.specs.task import Task
from hubtools.training.baselines import fit_baseline, read_plain
from hubtools.training.batches import effective_window, encode, window_facts
from hubtools.training.device import Execution
from hubtools.training.fit import Fitted, fit
from hubtools.training.loss import loss_for
from hubtools.training.predict import predict
from hubtools.training.probe import fit_probe
from hubtools.training.progress import bar

log = logging.getLogger(__name__)
WORK = ".work"


@dataclass
class Session:
    """What the runs of one command share: caches, so that data and checkpoints are read once."""

    root: Path
    cache: DataCache
    execution: Execution
    trust_remote_code: bool = False
    _checkpoints: dict[str, Checkpoint] = field(default_factory=dict)
    _data: dict[tuple[str, int | None], TaskData] = field(default_factory=dict)

    def checkpoint(self, name: str) -> Checkpoint:
        """The checkpoint, resolved to a commit or a content hash once."""
        if name not in self._checkpoints:
            self._checkpoints[name] = resolve_checkpoint(name, trust_remote_code=self.trust_remote_code)
        return self._checkpoints[name]

    def data(self, task: Task, subset: int | None) -> TaskData:
        """The task's data; the last ones are kept."""
        key = (task.hash, subset)
        if key not in self._data:
            self._data = {key: load_task_data(task, self.cache, subset=subset)}
        return self._data[key]

    def identify(self, run: PlannedRun) -> Identity:
        """What determines the run's result.

        Raises:
            UserError: the checkpoint or the data are not to be had.
        """
        checkpoint = self.checkpoint(run.checkpoint) if run.checkpoint else None
        return Identity(
            checkpoint=checkpoint.identity if checkpoint else None,
            task=TaskIdentity(name=run.task.name, version=run.task.version, hash=run.task.hash),
            data=source_digest(run.task, self.cache),
            subset=run.subset,
            recipe=RecipeIdentity(name=run.recipe.name, hash=run.recipe.hash),
            seed=run.seed,
        )


@dataclass(frozen=True)
class Outcome:
    """What became of a planned run."""

    run: PlannedRun
    folder: Path
    record: RunRecord
    was_done: bool


def execute(run: PlannedRun, session: Session, *, force: bool = False) -> Outcome:
    """Do a run, or find it done. A failure is recorded, and returned rather than raised.

    Raises:
        UserError: the run cannot even be named (no such checkpoint, data not to be had, folder not writable).
        KeyboardInterrupt: stopped by the user; the record says so, and the same command goes on.
    """
    identity = session.identify(run)
    folder = run_folder(session.root, identity)
    with claimed(folder):
        previous = _previous(folder)
        if previous is not None and previous.status == "complete" and not force:
            return Outcome(run, folder, previous, was_done=True)
        if force:
            shutil.rmtree(folder / WORK, ignore_errors=True)
        record = _opened(run, identity, session)
        write_record(folder, record)
        started = time.perf_counter()
        try:
            _Unit(run, session, folder, record).do()
            record.status = "complete"
        except KeyboardInterrupt:
            record.status = "interrupted"
            raise
        except Exception as error:
            record.status, record.results, record.outputs = "failed", {}, []
            record.failure = Failure(kind=type(error).__name__, message=_one_line(error))
            if not isinstance(error, UserError):
                log.debug("run %s failed", record.run_id, exc_info=True)
        finally:
            record.finished = datetime.now(UTC)
            _add_cost(record, time.perf_counter() - started, session.execution)
            write_record(folder, record)
    return Outcome(run, folder, record, was_done=False)


def _previous(folder: Path) -> RunRecord | None:
    try:
        return read_record(folder)
    except UserError:
        return None


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text[:500] or type(error).__name__


def _opened(run: PlannedRun, identity: Identity, session: Session) -> RunRecord:
    pinned = None
    if identity.checkpoint:
        commit = identity.checkpoint.commit
        pinned = f"{identity.checkpoint.name}@{commit}" if commit else run.checkpoint
    precision = "bf16" if run.recipe.needs_checkpoint and session.execution.bf16(run.recipe.precision) else "float32"
    return RunRecord(
        run_id=identity.run_id,
        status="running",
        identity=identity,
        task=run.task.model_dump(mode="json"),
        recipe=run.recipe.model_dump(mode="json"),
        overrides=run.overrides,
        suite=run.suite,
        command=run.command(pinned),
        started=datetime.now(UTC),
        environment=describe(session.execution, precision=precision, attention=None),
    )


def _add_cost(record: RunRecord, wall: float, execution: Execution) -> None:
    trained = record.cost.train_seconds if record.cost else None
    tokens = record.training.tokens if record.training else 0
    record.cost = Cost(
        wall_seconds=round(wall, 3),
        train_seconds=trained,
        tokens_per_second=round(tokens / trained, 1) if tokens and trained else None,
        peak_memory_bytes=execution.peak_memory(),
    )


class _Unit:
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
        predictions = self._with_checkpoint(data) if self.recipe.needs_checkpoint else self._baseline(data)
        thresholds = choose_thresholds(self.task, predictions["validation"])
        assert self.record.training is not None
        if thresholds is not None:
            self.record.training.choices["thresholds"] = [round(float(t), 6) for t in thresholds]
        for name, split in predictions.items():
            self.record.results[name] = score_split(self.task, split, thresholds)
        write_predictions(self.folder / PREDICTIONS, predictions, self.task.label_names)
        shutil.rmtree(self.work, ignore_errors=True)
        self.record.outputs = _outputs(self.folder)

    def _with_checkpoint(self, data: TaskData) -> dict[str, Predictions]:
        assert self.run.checkpoint is not None
        checkpoint = self.session.checkpoint(self.run.checkpoint)
        tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
        if tokeniser.aligned or self.task.problem.per_residue:
            self.record.alignment = tokeniser.prove([s for split in data.splits.values() for s in split["sequence"]])
        window = effective_window(self.recipe.window, checkpoint.config, tokeniser.n_special)
        splits = {name: encode(split, self.task, tokeniser, window) for name, split in data.splits.items()}
        scored = [split for name, split in splits.items() if name != "train"]
        self.record.windows = window_facts(scored, window)
        model = build_model(checkpoint, self.task, self.recipe, tokeniser, self.run.seed)
        self.record.checkpoint = checkpoint_facts(checkpoint, model.encoder, self.recipe.weights)
        self.record.environment.attention = getattr(model.encoder.config, "_attn_implementation", None)
        model.to(self.execution.device)
        loss = loss_for(splits["train"], self.task.n_outputs, self.recipe.class_weights)
        fitter: Any = fit_probe if self.recipe.adaptation == "probe" else fit
        fitted = fitter(
            model,
            splits["train"],
            splits["validation"],
            task=self.task,
            recipe=self.recipe,
            loss=loss,
            seed=self.run.seed,
            execution=self.execution,
            work=self.work,
            log=self.log,
        )
        trained = model.head if self.recipe.adaptation == "probe" else model
        self._note(fitted, loss.weights, sum(parameter.numel() for parameter in trained.parameters()))
        if loss.kind == "regression":
            scale_output(model, loss.mean, loss.std)
            loss = loss.folded
        save_model(model, tokeniser, self.task, self.folder / MODEL)
        bf16 = self.execution.bf16(self.recipe.precision)
        predictions = {}
        for name, split in splits.items():
            if name == "train":
                continue
            progress = bar(f"predicting {name}", int(split.lengths.sum()), unit=" tokens", scale=True)
            predictions[name] = predict(
                model,
                split,
                loss,
                token_budget=self.execution.token_budget,
                device=self.execution.device,
                bf16=bf16,
                progress=progress.update,
            )
            progress.close()
        return predictions

    def _baseline(self, data: TaskData) -> dict[str, Predictions]:
        splits = {name: read_plain(split, self.task) for name, split in data.splits.items()}
        loss = loss_for(splits["train"], self.task.n_outputs, self.recipe.class_weights)
        fitted, predictor = fit_baseline(
            splits["train"],
            splits["validation"],
            task=self.task,
            recipe=self.recipe,
            loss=loss,
            seed=self.run.seed,
            log=self.log,
        )
        self._note(fitted, None, 0)
        return {name: predictor(split) for name, split in splits.items() if name != "train"}

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
