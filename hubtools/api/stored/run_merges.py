"""One folder of runs made of several."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hubtools.api.asked import Names, names_of
from hubtools.common.notebook import line_html, lines_html
from hubtools.runs.many.merging import MERGES, Merge, MergedRun, merged

if TYPE_CHECKING:
    import pandas

# What is said of runs, by what became of them.
_WORDS: dict[Merge, str] = {
    "copied": "copied",
    "same": "there already",
    "conflict": "in conflict",
    "unreadable": "not readable",
    "unfinished": "not complete",
}


@dataclass(frozen=True)
class MergedRuns:
    """What became of the runs of several folders.

    Attributes:
        into: where they are now.
        runs: each of each source, in order.
    """

    into: Path
    runs: tuple[MergedRun, ...]

    def of(self, what: Merge) -> list[MergedRun]:
        """Those of which one thing became."""
        return [run for run in self.runs if run.what == what]

    @property
    def problems(self) -> list[str]:
        """A line for each run that is not in the folder now and should be: in conflict, or not readable."""
        return [run.why or str(run.source) for run in self.runs if run.what in {"conflict", "unreadable"}]

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(found):,} {_WORDS[what]}" for what in MERGES if (found := self.of(what)))
        return f"{len(self.runs):,} run{'s' if len(self.runs) != 1 else ''}: {counts or 'none'}"

    def to_pandas(self) -> pandas.DataFrame:
        """One row a run: source, what became of it, target, why."""
        import pandas as pd

        cells = [
            (str(run.source), run.what, None if run.target is None else str(run.target), run.why) for run in self.runs
        ]
        return pd.DataFrame(cells, columns=["source", "what", "target", "why"])

    def _repr_html_(self) -> str:
        return line_html(repr(self), strong=True) + lines_html("Not merged", self.problems)


def _unseen(run: MergedRun) -> None:
    """Nobody watches."""


def merge(sources: Names, into: str | os.PathLike[str], *, on_run: Callable[[MergedRun], None] = _unseen) -> MergedRuns:
    """Copy the complete runs of several folders into one; the sources stay as they are.

    Each file is held against its run's record. A run that is there already counts once; one that is there with other predictions
    stays as it is, and is a line of ``problems``, as is what cannot be read. The same call again copies what is missing.

    Args:
        sources: folders of runs, or single runs.
        into: folder of runs; it is made where it is not there.
        on_run: called after each run.

    Raises:
        UserError: a source is not there, or is the target; the target cannot be written.
    """
    folders: Sequence[str] = names_of(sources)
    found = []
    for run in merged([Path(name) for name in folders], Path(into)):
        found.append(run)
        on_run(run)
    return MergedRuns(Path(into), tuple(found))
