"""What planned runs will take: proteins, tokens, operations, time, memory and disk, before hours are spent."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from torch import nn

from hubtools.common.errors import UserError
from hubtools.common.files import human
from hubtools.evaluation.statistics.power import Power, power_of_split
from hubtools.models.execution.packing import Packing
from hubtools.runs.costs.contact_costs import jacobian_bytes, jacobian_passes, regression_bytes
from hubtools.runs.costs.room import embedding_rows, free_disk, saved_bytes, table_bytes
from hubtools.runs.jobs import shares_heads
from hubtools.runs.plan import PlannedRun
from hubtools.runs.preparation import (
    ATTENTION,
    Computing,
    Reading,
    answering,
    ask,
    build,
    computing,
    kept_embeddings,
    language_model,
    read,
)
from hubtools.runs.session import Session
from hubtools.runs.store import read_record, run_folder
from hubtools.runs.sweeps.choices import chosen_identity, chosen_recipe
from hubtools.runs.workload import RunEstimate, StatedDevice, Workload, advice_for, fine_tuning, probing, scoring
from hubtools.training.compute.engine import Engine
from hubtools.training.compute.memory import forget_peak, peak_resident
from hubtools.training.compute.operations import (
    FLOAT32,
    Activations,
    Flops,
    Memory,
    activations_of,
    count_flops,
)
from hubtools.training.compute.process_memory import held
from hubtools.training.compute.speed import (
    USABLE,
    Span,
    Speed,
    free_memory,
    heads_seconds,
    longest_rows,
    rates,
    reading_speed,
    sample,
    training_speed,
)
from hubtools.training.contacts.contact_scores import SUBSTITUTIONS
from hubtools.training.encoding import Encoded
from hubtools.training.finetune.fit import checkpoint_activations
from hubtools.training.finetune.parameters import freeze_layers
from hubtools.training.finetune.resume import learnt
from hubtools.training.frozen.embedding import IN_MEMORY, FrozenEncoder, chosen_layers, embed, entry_keys, kind_of
from hubtools.training.frozen.embedding_store import Kind, Space
from hubtools.training.job import Job
from hubtools.training.loss import loss_for
from hubtools.training.prediction import predict
from hubtools.training.trivial_baselines import labelled_rows

# Checkpoints of a fit that are there at once: the best, the last, and the one that is being written.
CHECKPOINTS = 3


@dataclass(frozen=True)
class Calibrated:
    """What is known of a checkpoint under a recipe, and serves all its runs on a task.

    Attributes:
        how: the run will compute.
        flops, activations, speed: of the model.
        heads: seconds of an epoch of a probe's heads, for each row of the training split.
        memory: without a batch.
        free: bytes on the device before anything was measured.
        layers, width, kind: of the embeddings that a probe reads.
        saved: bytes of the model that is saved.
        state: bytes of what an interrupted fit goes on from.
        setup: seconds until training begins.
    """

    how: Computing
    flops: Flops
    activations: Activations
    speed: Speed
    heads: Span
    memory: Memory
    free: int | None
    layers: list[int]
    width: int
    kind: Kind
    saved: int
    state: int
    setup: float


class Estimator:
    """Estimates the runs of a session one after another, in the order in which they would be run.

    Args:
        session: as for the runs themselves.
        device: one that is not here; None to measure on this one.
        say: called with what is being measured, and what was found.
        force: estimate also what is done already.
    """

    def __init__(
        self, session: Session, device: StatedDevice | None, say: Callable[[str], None], *, force: bool = False
    ) -> None:
        self.session, self.device, self.say, self.force = session, device, say, force
        self._calibrated: dict[str, Calibrated] = {}
        self._estimated: dict[str, RunEstimate] = {}
        # Embeddings that earlier runs of the session will have kept, and probes whose heads they will have trained.
        self._coming: dict[Space, set[bytes]] = {}
        self._trained: list[PlannedRun] = []
        # Recipes whose trials are counted already.
        self._tuned: list[PlannedRun] = []
        self._power: dict[str, Power | None] = {}
        self._news = False

    def estimate(self, run: PlannedRun) -> RunEstimate:
        """The estimate of a run; a line says what was found where something was measured for it.

        Raises:
            UserError: checkpoint or data are not to be had.
        """
        self._news = False
        found = self._estimate(run)
        if found.memory is not None and run.task.data.folds is not None:
            found = self._over_folds(run, found)
        if found.workload is not None and run.tuning is not None and (alike := replace(run, seed=0)) not in self._tuned:
            self._tuned.append(alike)
            found = found if chosen_recipe(self.session.root, run) else found.with_trials(run.tuning.trials, run.recipe)
        if self._news and found.memory is not None:
            low, high = found.seconds
            least, most = map(human, found.memory.span)
            self.say(f"  {low:,.0f} to {high:,.0f} s, {least} to {most} of memory")
        return found

    def _over_folds(self, run: PlannedRun, one: RunEstimate) -> RunEstimate:
        """The estimate of all fits from that of one: a probe's later ones may find all embeddings kept."""
        fits = len(self.session.data(run.task, run.subset).folds)
        low, high = one.seconds
        least = low if run.recipe.adaptation == "probe" else fits * low
        note = f"{fits} folds" + (f", {one.note}" if one.note else "")
        return replace(one, seconds=(least, fits * high), note=note)

    def _estimate(self, run: PlannedRun) -> RunEstimate:
        if not self.force and self._is_done(run):
            return RunEstimate(run.title, "done already")
        if run.checkpoint is None:
            return RunEstimate(run.title, "baseline without a checkpoint: small, not estimated")
        key = f"{run.task.hash} {run.checkpoint} {run.recipe.hash} {run.subset}"
        if run.recipe.scoring == "folding":
            return RunEstimate(run.title, "folding is not estimated: bench fold says what memory it takes")
        if not run.recipe.learns:
            if key not in self._estimated:
                self._tell(run)
                self._estimated[key] = self._zero_shot(run)
            return replace(self._estimated[key], title=run.title)
        share = "" if run.fraction is None else f" {run.fraction} {run.seed}"
        if run.recipe.adaptation == "probe":
            return self._probe(run, key)
        if key + share not in self._estimated:
            splits, known = self._prepared(run, key)
            work = fine_tuning(splits, run.recipe, known.flops, known.how.execution.token_budget)
            # The model is saved while the checkpoints are still there, but no longer a third one.
            running = max(CHECKPOINTS * known.state, (CHECKPOINTS - 1) * known.state + known.saved)
            self._estimated[key + share] = self._finished(
                run, known, work, work.seconds(known.speed), 0, (known.saved, running)
            )
        return replace(self._estimated[key + share], title=run.title)

    def _tell(self, run: PlannedRun) -> None:
        self.say(f"{'reading' if self.device else 'calibrating'} {run.title}")
        self._news = True

    def _is_done(self, run: PlannedRun) -> bool:
        with contextlib.suppress(UserError):
            if (identity := chosen_identity(self.session.root, run, self.session.identify(run))) is None:
                return False
            return read_record(run_folder(self.session.root, identity)).status == "complete"
        return False

    # Fine-tuning and probes

    def _prepared(self, run: PlannedRun, key: str) -> tuple[dict[str, Encoded], Calibrated]:
        """The run's splits, and what is measured once for all runs that differ in seed or share of the data alone."""
        started = time.perf_counter()
        assert run.checkpoint is not None
        if key not in self._calibrated:
            self._tell(run)
            forget_peak()
        data = self.session.data(run.task, run.subset, run.fraction, run.seed)
        # Of a task with folds one fit is looked at; the others are as long.
        reading = read(run, self.session, data.fold(next(iter(data.folds))) if data.folds else data)
        if key not in self._calibrated:
            model = build(run, reading, None if self.device else self.session.execution.device)
            self._calibrated[key] = self._measured(run, model, reading, started)
        known = self._calibrated[key]
        return known.how.laid_out(reading.splits), known

    def _measured(self, run: PlannedRun, model: Any, reading: Reading, started: float) -> Calibrated:
        recipe, here = run.recipe, self.device is None
        probe = recipe.adaptation == "probe"
        with self._computing(run, model, reading) as how:
            splits = how.laid_out(reading.splits)
            if probe:
                model.encoder.requires_grad_(False)
            freeze_layers(model, recipe.freeze_layers)
            flops = count_flops(model)
            model.train(not probe)
            checkpointing = how.execution.gradient_checkpointing
            activations = activations_of(model, trains=not probe, bf16=how.bf16, checkpointing=checkpointing)
            memory = Memory.of(model, 0, trains=not probe)
            free = free_memory(how.execution.device) if self.device is None else self.device.memory
            layers, kind = [], kind_of(splits["train"], probe and model.reads_residues)
            if probe:
                layers = chosen_layers(recipe.probe.layers, model.encoder.config.num_hidden_layers)
                tables = table_bytes(model, splits, run, layers, kind, 1 + len(self.session.seeds_to_come(run)))
                if recipe.head.kind == ATTENTION:
                    tables = regression_bytes(model.encoder.config, splits["train"], recipe, run.seed)
                memory = replace(memory, tables=tables)
            setup = time.perf_counter() - started
            speed, heads = self.device.speed if self.device else Speed((1.0, 1.0), (1.0, 1.0)), (0.0, 0.0)
            if here:
                largest = self._largest(run, splits, flops, how.execution.token_budget)
                needed = activations.bytes(*largest)
                room = free is None or memory.total + needed <= USABLE * free
                speed, heads, peak = self._speeds(run, model, splits, how, flops, layers, room)
                scored: Kind = "residues" if run.task.problem.level.by_residue else "mean"
                rows = max(embedding_rows(split, scored) for split in splits.values())
                memory = held(memory, how.execution.device, rows, (peak, needed) if room else None)
        head = sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in model.encoder.parameters())
        state = sum(tensor.nbytes for tensor in learnt(model).values())
        return Calibrated(
            how,
            flops,
            activations,
            speed,
            heads,
            memory,
            free,
            layers,
            model.encoder.config.hidden_size,
            kind,
            saved_bytes(reading.checkpoint.identity, recipe, model, head),
            0 if probe else state + memory.optimiser,
            setup,
        )

    def _largest(self, run: PlannedRun, splits: dict[str, Encoded], flops: Flops, budget: int) -> tuple[int, int]:
        """Tokens of the largest batch, and of its longest row, where nothing is kept."""
        if run.recipe.adaptation != "probe":
            return fine_tuning(splits, run.recipe, flops, budget).largest_batch
        every = {name: range(len(split if split.pairs is None else split.alone)) for name, split in splits.items()}
        return probing(splits, every, run.recipe, flops, budget).largest_batch

    @contextlib.contextmanager
    def _computing(self, run: PlannedRun, model: Any, reading: Reading) -> Iterator[Computing]:
        """How the run's model computes here; of a device that is not here what may be expected."""
        if self.device is None:
            with computing(run, self.session, model, reading) as how:
                yield how
            return
        execution = self.session.execution
        packs = execution.packing and Packing.why_not(model.encoder) is None
        made = Engine(None, "packed" if packs else "padded")
        yield Computing(execution, execution.bf16(run.recipe.precision), made)

    def _speeds(
        self,
        run: PlannedRun,
        model: Any,
        splits: dict[str, Encoded],
        how: Computing,
        flops: Flops,
        layers: list[int],
        largest: bool,
    ) -> tuple[Speed, Span, int]:
        """Of the encoder and of heads, and the peak of this process; with ``largest`` the largest batch is computed, too."""
        recipe, train, execution, bf16 = run.recipe, splits["train"], how.execution, how.bf16
        loss = loss_for(train, run.task.n_outputs, recipe.class_weights)
        with tempfile.TemporaryDirectory(prefix="bench-estimate-") as folder:
            work = Path(folder)
            job = Job(run.task, recipe, loss, run.seed, execution, work, work / "training.jsonl")

            def read(part: Encoded) -> object:
                if recipe.adaptation == "probe":
                    pooled = model.reads_residues
                    encoder = FrozenEncoder(model, execution, bf16, layers)
                    return embed(encoder, part, work / "x.npy", "", pooled=pooled)
                budget = execution.token_budget
                return predict(model, part, loss, token_budget=budget, device=execution.device, bf16=bf16)

            if recipe.adaptation == "probe":
                self.say("  reading proteins, then the heads")
                reading = reading_speed(read, train, recipe, execution, flops)
                if largest:
                    read(sample(train, longest_rows(train, execution.token_budget)))
                # Heads are timed on tables that are made up.
                peak = peak_resident()
                if recipe.head.kind == ATTENTION:
                    return Speed(None, reading), (0.0, 0.0), peak
                seeds = [run.seed, *self.session.seeds_to_come(run)]
                low, high = heads_seconds(model, train, splits["validation"], job, layers, seeds)
                return Speed(None, reading), (low / len(train), high / len(train)), peak
            if execution.gradient_checkpointing:
                checkpoint_activations(model)
            self.say("  training steps, then reading")
            training = training_speed(model, train, job, flops, largest=largest)
            speed = Speed(training, reading_speed(read, train, recipe, execution, flops))
            return speed, (0.0, 0.0), peak_resident()

    def _finished(
        self, run: PlannedRun, known: Calibrated, work: Workload, seconds: Span, kept: int, disk: tuple[int, int]
    ) -> RunEstimate:
        memory = replace(known.memory, activations=known.activations.bytes(*work.largest_batch))
        # The process is there already.
        enough = None if known.free is None else memory.span[1] - memory.process <= USABLE * known.free
        disk = (disk[0] + kept, disk[1] + kept)
        free = free_disk(self.session.root)
        advice = []
        if enough is False:
            advice += advice_for(run, known.how.execution)
        if disk[1] > free:
            advice.append("more room on the disk, or another --runs")
        return RunEstimate(
            run.title,
            "",
            work,
            (seconds[0] + known.setup, seconds[1] + known.setup),
            memory,
            known.free,
            False if advice else enough,
            disk,
            free,
            known.how.execution.token_budget,
            advice=", ".join(advice),
            power=self._power_of(run),
        )

    def _power_of(self, run: PlannedRun) -> Power | None:
        """Of the test set with the planned seeds, once for a task."""
        seeds = len({other.seed for other in self.session.planned if replace(other, seed=run.seed) == run})
        key = f"{run.task.hash} {run.subset} {seeds}"
        if key not in self._power:
            split = self.session.data(run.task, run.subset, run.fraction, run.seed).splits["test"]
            self._power[key] = power_of_split(run.task, labelled_rows(split, run.task), max(seeds, 1))
        return self._power[key]

    # Probes

    def _probe(self, run: PlannedRun, key: str) -> RunEstimate:
        splits, known = self._prepared(run, key)
        assert run.checkpoint is not None
        alike = replace(run, seed=0)
        shared = alike in self._trained
        if shares_heads(run):
            self._trained.append(alike)
        # Where another seed has trained the heads, nothing but the test splits is read.
        wanted = {name: split for name, split in splits.items() if not shared or name not in {"train", "validation"}}
        unread, there = self._unread(run, known, wanted)
        unread = {name: unread.get(name, []) for name in splits}
        work = probing(splits, unread, run.recipe, known.flops, known.how.execution.token_budget)
        low, high = work.seconds(known.speed)
        rows = 0 if shared else work.proteins
        epochs = work.epochs if run.recipe.head.solver == "gradient" else (1, 1)
        seconds = (low + known.heads[0] * rows * epochs[0], high + known.heads[1] * rows * epochs[1])
        context = known.how.made.context
        if run.recipe.head.pooling == "auto" and (context is None or not context.follows):
            # A decoder, or what may be one: the last residue is tried beside the mean, of the last window alone.
            seconds = (seconds[0], 2 * seconds[1])
        values = known.width * len(known.layers)
        new = {name: embedding_rows(splits[name], known.kind, proteins) for name, proteins in unread.items()}
        kept = 0 if self.session.embeddings is None else FLOAT32 * values * sum(new.values())
        tables = [FLOAT32 * values * embedding_rows(split, known.kind) for split in splits.values()]
        mapped = sum(table for table in tables if table > IN_MEMORY)
        found = self._finished(run, known, work, seconds, kept, (known.saved, max(known.saved, mapped)))
        note = "trained with the first seed" if shared else "without training the heads" if self.device else ""
        note = "without fitting the regression" if run.recipe.head.kind == ATTENTION else note
        return replace(found, note=note, cached=(there, there + sum(map(len, unread.values()))))

    def _unread(
        self, run: PlannedRun, known: Calibrated, splits: Mapping[str, Encoded]
    ) -> tuple[dict[str, list[int]], int]:
        """The proteins of each split that the encoder will have to read, and how many others there are."""
        assert run.checkpoint is not None
        kept = kept_embeddings(run, self.session, self.session.checkpoint(run.checkpoint), known.how.rounding)
        # Nothing is known of the store of another machine.
        look = self.device is None
        spaces = [kept.source.space(known.kind, layer) for layer in known.layers]
        unread, there = {}, 0
        for name, split in splits.items():
            first: dict[bytes, int] = {}
            for protein, key in enumerate(
                entry_keys(split if split.pairs is None else split.alone, known.kind == "residues")
            ):
                first.setdefault(key, protein)
            held = set(first)
            for space in spaces:
                found = set(kept.find(space.kind, space.layer, list(first))) if look else set()
                held &= self._coming.get(space, set()) | found
            unread[name] = [protein for key, protein in first.items() if key not in held]
            there += len(held)
            if self.session.embeddings is not None:
                for space in spaces:
                    self._coming.setdefault(space, set()).update(first)
        return unread, there

    # Variants, which nothing is trained for

    def _zero_shot(self, run: PlannedRun) -> RunEstimate:
        started = time.perf_counter()
        forget_peak()
        execution = self.session.execution
        questions = ask(run, self.session, self.session.data(run.task, run.subset))
        asked, model = questions.units, language_model(run, questions)
        body: Any = nn.Module()
        body.encoder, body.config = model.base_model, SimpleNamespace(per_residue=False)
        flops, activations = count_flops(body), activations_of(body, trains=False)
        memory = Memory.of(model, 0, trains=False)
        budget = execution.token_budget
        if execution.device.type == "cpu" and self.device is None:
            memory = replace(memory, tables=jacobian_bytes(questions))
        work = scoring(questions.lengths(asked), len(questions.proteins), flops, budget)

        def score(rows: list[int]) -> float:
            chosen = [asked[row] for row in sorted(rows)]
            questions.answers(model, chosen, execution)
            wild_types = len({unit[0] for unit in chosen})
            return scoring(questions.lengths(chosen), wild_types, flops, budget).reading_flops[0]

        setup, speed = time.perf_counter() - started, self.device.speed if self.device else None
        free = free_memory(execution.device) if self.device is None else self.device.memory
        if speed is None:
            model.to(execution.device)
            with answering(model, questions, execution):
                lengths = np.array([len(unit[0]) for unit in asked])
                speed = Speed(None, rates(score, lengths, 128, execution.device, 4.0))
                score(np.argsort(-lengths)[: max(1, budget // int(lengths.max()))].tolist())
            rows = len(asked)
            memory = held(memory, execution.device, rows, (peak_resident(), activations.bytes(*work.largest_batch)))
        how = Computing(execution, False, Engine(None))
        known = Calibrated(how, flops, activations, speed, (0.0, 0.0), memory, free, [], 0, "mean", 0, 0, setup)
        found = self._finished(run, known, work, work.seconds(speed), 0, (0, 0))
        note = "nothing is trained"
        if passes := jacobian_passes(questions):
            kept = jacobian_bytes(questions) / 1e9
            note += f"; {SUBSTITUTIONS} passes a residue, {passes:,} in all, and {kept:.2g} GB beside the model"
        return replace(found, note=note, passes=passes)
