"""What the runs of one command share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hubtools.data import DataCache, TaskData, load_task_data, source_digest
from hubtools.models import Checkpoint, resolve_checkpoint
from hubtools.runs.plan import PlannedRun
from hubtools.specs.record import Identity, RecipeIdentity, TaskIdentity
from hubtools.specs.task import Task
from hubtools.training.device import Execution


@dataclass
class Session:
    """What the runs of one command share: caches, so that data and checkpoints are read once."""

    root: Path
    cache: DataCache
    execution: Execution
    trust_remote_code: bool = False
    _checkpoints: dict[str, Checkpoint] = field(default_factory=dict)
    _data: dict[tuple[Any, ...], TaskData] = field(default_factory=dict)

    def checkpoint(self, name: str) -> Checkpoint:
        """The checkpoint, resolved to a commit or a content hash once."""
        if name not in self._checkpoints:
            self._checkpoints[name] = resolve_checkpoint(name, trust_remote_code=self.trust_remote_code)
        return self._checkpoints[name]

    def data(self, task: Task, subset: int | None, fraction: float | None = None, seed: int = 0) -> TaskData:
        """The task's data, of the training split only a share drawn by the seed; the last ones are kept."""
        # With its paths: two folders may hold the same task file and different data.
        key = (task.model_dump_json(), subset, fraction, None if fraction is None else seed)
        if key not in self._data:
            self._data = {key: load_task_data(task, self.cache, subset=subset, fraction=fraction, seed=seed)}
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
            fraction=run.fraction,
            recipe=RecipeIdentity(name=run.recipe.name, hash=run.recipe.hash),
            seed=run.seed,
        )
