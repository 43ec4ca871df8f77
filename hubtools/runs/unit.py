"""One run, from a plan to a record: nothing is chosen after the test split is looked at."""

from __future__ import annotations

import contextlib
import shutil
import time
import traceback
from collections.abc import Callable
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
from hubtools.models.masked_lm import load_masked_lm, mask_token
from hubtools.models.task_model import scale_output
from hubtools.runs.environment import describe
from hubtools.runs.plan import PlannedRun
from hubtools.runs.store import (
    FAILURE,
    MODEL,
    PREDICTIONS,
    TRAINING_LOG,
    claimed,
    read_record,
    run_folder,
    write_record,
)
from hubtools.specs.errors import UserError
from hubtools.specs.files import write_atomic
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
from hubtools.training.batches import effective_window, encode, varying_positions, window_facts
from hubtools.training.device import Execution
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
        # With its paths: two folders may hold the same task file and different data.
        key = (task.model_dump_json(), subset)
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
    """What became of a planned run.

    Attributes:
        run, folder, record: what was asked for, where it is, what came out.
        was_done: there was nothing to do.
        mistake: the user's mistake that made the run fail, if one did.
    """

    run: PlannedRun
    folder: Path
    record: RunRecord
    was_done: bool
    mistake: UserError | None = None


def execute(run: PlannedRun, session: Session, *, force: bool = False) -> Outcome:
    """Do a run, or find it done. A failure is recorded, and returned rather than raised.

    Where bench itself is at fault, the traceback is kept in the run's folder (``failure.txt``).

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
        (folder / FAILURE).unlink(missing_ok=True)
        record, mistake = _opened(run, identity, session), None
        write_record(folder, record)
        started = time.perf_counter()
        try:
            _Unit(run, session, folder, record).do()
            record.status = "complete"
        except KeyboardInterrupt:
            record.status, record.results, record.outputs = "interrupted", {}, []
            raise
        except Exception as error:
            record.status, record.results, record.outputs = "failed", {}, []
            record.failure = _failure(error, session.execution)
            if isinstance(error, UserError):
                mistake = error
            else:
                write_atomic(folder / FAILURE, "".join(traceback.format_exception(error)))
        finally:
            record.finished = datetime.now(UTC)
            _add_cost(record, time.perf_counter() - started, session.execution)
            write_record(folder, record)
    return Outcome(run, folder, record, was_done=False, mistake=mistake)


def _previous(folder: Path) -> RunRecord | None:
    try:
        return read_record(folder)
    except UserError:
        return None


def _failure(error: Exception, execution: Execution) -> Failure:
    """One line for the record and the screen."""
    kind, text = type(error).__name__, " ".join(str(error).split())[:500]
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        budget = execution.token_budget
        text = f"out of memory. Use a smaller --token-budget (it was {budget:,}), or --gradient-checkpointing"
    elif not isinstance(error, UserError):
        text = f"{kind}: {text}" if text else kind
    return Failure(kind=kind, message=text)


def _opened(run: PlannedRun, identity: Identity, session: Session) -> RunRecord:
    trains = run.recipe.adaptation in {"full", "probe"}
    precision = "bf16" if trains and session.execution.bf16(run.recipe.precision) else "float32"
    return RunRecord(
        run_id=identity.run_id,
        status="running",
        identity=identity,
        task=run.task.model_dump(mode="json"),
        recipe=run.recipe.model_dump(mode="json"),
        overrides=run.overrides,
        suite=run.suite,
        command=run.command(identity.checkpoint),
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
