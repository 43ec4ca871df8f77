"""What the runs of one command share."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from hubtools.data import DataCache, TaskData, load_task_data, source_digest
from hubtools.models import Checkpoint, resolve_checkpoint
from hubtools.runs.plan import PlannedRun
from hubtools.specs.record import Identity, RecipeIdentity, TaskIdentity
from hubtools.specs.task import Task
from hubtools.training.device import Execution
from hubtools.training.embedding_store import EmbeddingStore


@dataclass
class Session:
    """What the runs of one command share: caches, so that data, checkpoints and embeddings are read once."""

    root: Path
    cache: DataCache
    execution: Execution
    trust_remote_code: bool = False
    embedding_cache: bool = True
    _checkpoints: dict[str, Checkpoint] = field(default_factory=dict)
    _data: dict[tuple[str, int | None], TaskData] = field(default_factory=dict)

    def checkpoint(self, name: str) -> Checkpoint:
        """The checkpoint, resolved to a commit or a content hash once."""
        if name not in self._checkpoints:
            self._checkpoints[name] = resolve_checkpoint(name, trust_remote_code=self.trust_remote_code)
        return self._checkpoints[name]

    @cached_property
    def embeddings(self) -> EmbeddingStore | None:
        """The embeddings that earlier runs left beside the data cache; None where none are to be read or kept.

        Raises:
            UserError: the environment's limit is not a size.
        """
        return EmbeddingStore.beside(self.cache.root) if self.embedding_cache else None

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
