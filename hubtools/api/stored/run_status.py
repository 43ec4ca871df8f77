"""How far the runs of a folder are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubtools.common.files import is_folder
from hubtools.common.notebook import line_html, table_html
from hubtools.data.sources.file_cache import DataCache
from hubtools.reporting.run_matrix import counted, matrix_of, plan_lines
from hubtools.runs.jobs import Sizes, jobs
from hubtools.runs.many.run_states import STATES, FolderReader, FolderStates, expected_seconds, unknown
from hubtools.runs.store import DEFAULT_ROOT

if TYPE_CHECKING:
    import pandas

    from hubtools.runs.plan import PlannedRun


@dataclass(frozen=True, repr=False)
class RunsStatus(FolderStates):
    """How far the runs of a folder are: ``runs`` one by one, ``counts``, ``plans``, ``problems``."""

    def __repr__(self) -> str:
        return counted(self.runs)

    def rows(self) -> list[dict[str, Any]]:
        """One a run, for programs."""
        return [
            {
                "task": run.task,
                "checkpoint": run.checkpoint,
                "procedure": run.procedure,
                "seed": run.seed,
                "state": run.state,
                "folder": None if run.folder is None else str(run.folder),
                "where": run.place if run.state == "running" else None,
                "epoch": run.epoch,
                "why": run.why,
            }
            for run in self.runs
        ]

    def to_pandas(self) -> pandas.DataFrame:
        """One row a run."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    def _repr_html_(self) -> str:
        rows = [
            [*key, task, *(sum(run.state == state for run in runs) for state in STATES)]
            for key, tasks in matrix_of(self.runs).items()
            for task, runs in tasks.items()
        ]
        head = line_html(counted(self.runs), strong=True)
        return head + table_html(("checkpoint", "procedure", "task", *STATES), rows, numbers=STATES)


def status(runs: str | os.PathLike[str] = DEFAULT_ROOT) -> RunsStatus:
    """How far the runs of a folder are: what was asked for, what is recorded, and which process is at what.

    Nothing is computed, and no claim is touched.

    Args:
        runs: folder of runs.

    Raises:
        UserError: it is not there.
    """
    return of_folder(FolderReader(Path(runs)))


def of_folder(reader: FolderReader) -> RunsStatus:
    """The same of a reader, which knows by then what was complete before.

    Raises:
        UserError: the folder is not there.
    """
    found = reader.read()
    return RunsStatus(found.root, found.runs, found.plans, found.jobs, found.problems)


def plan_matrix(planned: Sequence[PlannedRun], root: Path, width: int) -> list[str]:
    """Lines that say what is about to be done, what of it is done already, and how long the rest takes, by what is recorded and by sizes."""
    reader = FolderReader(root)
    runs = reader.of(planned) if is_folder(root) else unknown(planned)
    seconds = expected_seconds(runs)
    states = zip(planned, runs, seconds, strict=True)
    others = [run for run, found, taken in states if found.state != "done" and taken is None]
    rough = sum(job.cost for job in jobs(others, sizes=Sizes(DataCache.default())))
    return plan_lines(runs, seconds, width, rough)
