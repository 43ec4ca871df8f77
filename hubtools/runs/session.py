"""What the runs of one command share."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from hubtools.common.errors import UserError
from hubtools.common.hub import closed_to_strangers
from hubtools.data import DataCache, TaskData, load_task_data, source_digest
from hubtools.models import Checkpoint, ResidueTokeniser, resolve_checkpoint
from hubtools.runs.jobs import Alike, planned_alike, shares_heads
from hubtools.runs.plan import PlannedRun
from hubtools.runs.tracking.following import Tracking
from hubtools.runs.warm.kept_models import KeptModels
from hubtools.runs.warm.recent import Recent
from hubtools.specs.record import DataFacts, Identity, RecipeIdentity, TaskIdentity
from hubtools.specs.references import is_address, read_address
from hubtools.specs.task import Task
from hubtools.training.compute import distributed
from hubtools.training.compute.device import Execution
from hubtools.training.frozen.embedding_store import EmbeddingStore
from hubtools.training.frozen.probe import OtherSeeds

# Bytes of the data of tasks that are kept together for the next checkpoint, beside those of the task whose turn it is.
DATA_BYTES = 512 * 2**20


@dataclass
class Session:
    """What the runs of one command share: caches, so that what is large is read once, and heads of probes.

    Attributes:
        root: folder of runs.
        cache, execution, trust_remote_code: as for the command.
        embedding_cache: whether embeddings of frozen encoders are read and kept.
        planned: all its runs, in order; those of one probe that differ in nothing but the seed are trained by the first.
        models: of the checkpoint whose turn it is.
        recent: the tokens of tasks as a checkpoint reads them, with what was proven of them; of the last two.
        tracking: who is told how runs go on.
    """

    root: Path
    cache: DataCache
    execution: Execution
    trust_remote_code: bool = False
    embedding_cache: bool = True
    planned: Sequence[PlannedRun] = ()
    tracking: Tracking = field(default_factory=Tracking)
    _checkpoints: dict[str, Checkpoint] = field(default_factory=dict)
    models: KeptModels = field(default_factory=KeptModels, repr=False)
    recent: Recent[Any] = field(default_factory=lambda: Recent(2), repr=False)
    _data: Recent[TaskData] = field(default_factory=lambda: Recent(DATA_BYTES, _bytes_of), repr=False)
    _tokenisers: Recent[ResidueTokeniser] = field(default_factory=lambda: Recent(1), repr=False)
    _place: tuple[Sequence[PlannedRun], dict[int, int], list[Alike]] | None = None
    _companions: tuple[Any, OtherSeeds] | None = None
    _closed: dict[tuple[str, str], str | None] = field(default_factory=dict)

    def checkpoint(self, name: str) -> Checkpoint:
        """The checkpoint, resolved to a commit or a content hash once."""
        if name not in self._checkpoints:
            self._checkpoints[name] = resolve_checkpoint(name, trust_remote_code=self.trust_remote_code)
        return self._checkpoints[name]

    def closed(self, run: PlannedRun, facts: DataFacts) -> dict[str, str]:
        """Repositories of the Hub that a run reads and a stranger cannot, and why; each is asked for once."""
        checkpoint = self.checkpoint(run.checkpoint).identity if run.checkpoint else None
        read = [("model", checkpoint.name)] if checkpoint and checkpoint.source == "hub" else []
        read += [("dataset", facts.dataset)] if facts.dataset else []
        if run.task_file and is_address(run.task_file):
            read.append(("dataset", read_address(run.task_file, "a task", "name").repo))
        for kind, repo in read:
            if (kind, repo) not in self._closed:
                self._closed[kind, repo] = closed_to_strangers(repo, kind)
        return {repo: why for kind, repo in read if (why := self._closed[kind, repo]) is not None}

    @cached_property
    def embeddings(self) -> EmbeddingStore | None:
        """The embeddings that earlier runs left beside the data cache; None where none are to be read or kept.

        Raises:
            UserError: the environment's limit is not a size.
        """
        return EmbeddingStore.beside(self.cache.root) if self.embedding_cache else None

    def data(self, task: Task, subset: int | None, fraction: float | None = None, seed: int = 0) -> TaskData:
        """The task's data, of the training split only a share drawn by the seed; the last ones are kept."""
        key = _data_key(task, subset, fraction, seed)
        return self._data.get(
            key, lambda: load_task_data(task, self.cache, subset=subset, fraction=fraction, seed=seed)
        )

    def data_key(self, run: PlannedRun) -> Hashable:
        """What two runs have in common that learn from and are tested on the same rows."""
        return _data_key(run.task, run.subset, run.fraction, run.seed)

    def tokeniser(self, checkpoint: Checkpoint, protocol: str | None = None) -> ResidueTokeniser:
        """The checkpoint's, probed once; ``protocol`` as the recipe names it."""
        key = (checkpoint.identity.model_dump_json(), protocol)
        return self._tokenisers.get(key, lambda: ResidueTokeniser.from_checkpoint(checkpoint, protocol))

    def comes_again(self, run: PlannedRun) -> bool:
        """Whether other runs read with the same checkpoint."""
        return any(other is not run and other.checkpoint == run.checkpoint for other in self.planned)

    def companions(self, run: PlannedRun, data: TaskData) -> OtherSeeds:
        """The runs of the same probe with other seeds that are still to come, and heads that are trained already.

        Only what depends on the seed in the head alone is trained together: random encoder weights do not, nor does
        a share of the training data that the seed draws.
        """
        if not shares_heads(run):
            return OtherSeeds()
        key = (replace(run, seed=0), data.facts.splits["train"].rows_sha256)
        if self._companions is None or self._companions[0] != key:
            self._companions = (key, OtherSeeds())
        found = self._companions[1]
        found.seeds = self.seeds_to_come(run)
        return found

    def seeds_to_come(self, run: PlannedRun) -> list[int]:
        """Of later runs of the same probe, whose heads are trained with this run's."""
        if not shares_heads(run):
            return []
        if self._place is None or self._place[0] is not self.planned:
            places = {id(planned): place for place, planned in enumerate(self.planned)}
            self._place = (self.planned, places, planned_alike(self.planned))
        _, places, alike = self._place
        if (here := places.get(id(run))) is None:
            # Another object may be the same run.
            here = next((place for place, planned in enumerate(self.planned) if planned == run), None)
        if here is None:
            return []
        return [self.planned[n].seed for n in range(here + 1, len(alike)) if alike[n] == alike[here]]

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
            fraction=run.fraction,
            recipe=RecipeIdentity(name=run.recipe.name, hash=run.recipe.hash),
            seed=run.seed,
            precision=self._precision(run),
            batches=self._batches(run),
        )

    def _batches(self, run: PlannedRun) -> str | None:
        """How batches are cut, where the encoder drops out by itself: its masks depend on it, and with them the result.

        Raises:
            UserError: the budget would be found by measuring.
        """
        if not run.recipe.encoder_dropout:
            return None
        how = self.execution
        if how.auto_budget:
            raise UserError(
                "with encoder_dropout the token budget is part of a run's identity, and auto would measure it",
                where=run.title,
                fix=f"Give a number: --token-budget {how.token_budget}.",
            )
        layout = "packed where it can be" if how.packing else "padded"
        return f"{how.token_budget} tokens, {layout}, processes: {distributed.size()}, {how.device.type}"

    def _precision(self, run: PlannedRun) -> Literal["float32", "bf16"] | None:
        """In which the model will compute: what the recipe leaves to the device is settled before a run has its name."""
        if run.checkpoint is None:
            return None
        # Log probabilities of variants are close to each other: they are never rounded.
        rounds = run.recipe.adaptation != "zero-shot" and self.execution.bf16(run.recipe.precision)
        return "bf16" if rounds else "float32"


def _data_key(task: Task, subset: int | None, fraction: float | None, seed: int) -> Hashable:
    # With its paths: two folders may hold the same task file and different data.
    return (task.model_dump_json(), subset, fraction, None if fraction is None else seed)


def _bytes_of(data: TaskData) -> float:
    return float(sum(split.data.nbytes for split in data.splits.values()))
