"""Runs that are there: found by name, filtered, as a table of numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

from hubtools.api.asked import Names, Say, names_of, silent
from hubtools.common.errors import UserError
from hubtools.common.notebook import SHOWN, line_html, lines_html, table_html

if TYPE_CHECKING:
    import pandas

    from hubtools.findings.naming.named_runs import Named
    from hubtools.runs.store import OpenRun

COLUMNS = (
    "task", "version", "checkpoint", "recipe", "seed", "fraction", "subset", "split", "metric", "primary",
    "value", "low", "high", "higher_is_better", "seconds", "status", "run", "folder",
)  # fmt: skip


@dataclass(frozen=True)
class RunResults(Sequence["OpenRun"]):
    """Runs, each a folder and its record (:class:`hubtools.specs.record.RunRecord`), in the order of what was named.

    Attributes:
        runs: folders and records, whatever became of the runs.
        notes: what addresses were resolved to, and which records could not be read.
        metric, split: to which tables are restricted; None for all metrics, and for all test splits.
    """

    runs: tuple[OpenRun, ...]
    notes: tuple[str, ...] = ()
    metric: str | None = field(default=None, kw_only=True)
    split: str | None = field(default=None, kw_only=True)

    @overload
    def __getitem__(self, place: int) -> OpenRun: ...

    @overload
    def __getitem__(self, place: slice) -> RunResults: ...

    def __getitem__(self, place: int | slice) -> OpenRun | RunResults:
        """One run, or some."""
        if isinstance(place, slice):
            return RunResults(self.runs[place], self.notes, metric=self.metric, split=self.split)
        return self.runs[place]

    def __len__(self) -> int:
        return len(self.runs)

    def __iter__(self) -> Iterator[OpenRun]:
        return iter(self.runs)

    @property
    def unfinished(self) -> list[OpenRun]:
        """Runs that failed, were stopped, or are still running."""
        return [found for found in self.runs if found[1].status != "complete"]

    def rows(self) -> list[dict[str, Any]]:
        """One row a complete run, split and metric: what :meth:`to_pandas` makes its table of.

        Raises:
            UserError: a file of replicates or of predictions that an older record needs cannot be read.
        """
        return [row for found in self.runs if found[1].status == "complete" for row in self._rows(found)]

    def _rows(self, found: OpenRun) -> Iterator[dict[str, Any]]:
        from hubtools.findings.arms import Arm

        folder, record = found
        identity = record.identity
        splits = [self.split] if self.split else record.test_splits
        columns = [
            (split, metric)
            for split in splits
            if split in record.results
            for metric in _primary_first(record.results[split].scores, record.primary_metric)
            if self.metric in {None, metric}
        ]
        # As every other table has them; the interval of an old record was made otherwise.
        scores = Arm((found,)).scores(columns)
        for split, metric in columns:
            score = scores[split, metric]
            yield {
                "task": identity.task.name,
                "version": identity.task.version,
                "checkpoint": identity.checkpoint.name if identity.checkpoint else None,
                "recipe": identity.recipe.name,
                "seed": identity.seed,
                "fraction": identity.fraction,
                "subset": identity.subset,
                "split": split,
                "metric": metric,
                "primary": metric == record.primary_metric,
                "value": score.value,
                "low": score.low,
                "high": score.high,
                "higher_is_better": score.higher_is_better,
                "seconds": record.cost.wall_seconds if record.cost else None,
                "status": record.status,
                "run": record.run_id,
                "folder": str(folder),
            }

    def to_pandas(self) -> pandas.DataFrame:
        """One row a complete run, split and metric.

        Columns: task, version, checkpoint (None of a baseline), recipe, seed, fraction, subset, split, metric, primary, value, low, high,
        higher_is_better, seconds, status, run, folder. ``low`` and ``high`` are the 95 % interval of these weights.

        Raises:
            UserError: as :meth:`rows`.
        """
        import pandas as pd

        return pd.DataFrame(self.rows(), columns=list(COLUMNS))

    def __repr__(self) -> str:
        from hubtools.findings.wording import plural

        said = plural(len(self.runs), "run")
        return f"{said}, {len(self.unfinished)} not finished" if self.unfinished else said

    def _repr_html_(self) -> str:
        from hubtools.findings.arms import Arm
        from hubtools.findings.wording import SHORT_INTERVAL_MEANING, duration, metric_title, with_interval

        rows = []
        for found in self.runs[:SHOWN]:
            record = found[1]
            of_weights = record.status == "complete" and Arm((found,)).of_weights
            shown = [row for row in self._rows(found) if self.metric or row["primary"]] if record.results else []
            blank = {"metric": "", "split": "", "value": None, "low": None, "high": None}
            for row in shown or [blank]:
                score = with_interval(row["value"], row["low"], row["high"], of_weights)
                rows.append(
                    [
                        record.identity.task.name,
                        record.identity.checkpoint.name if record.identity.checkpoint else "baseline",
                        record.procedure,
                        record.identity.seed,
                        row["split"],
                        metric_title(row["metric"], arrow=True) if row["metric"] else "",
                        score if shown else record.status,
                        duration(record.cost.wall_seconds if record.cost else None),
                    ]
                )
        columns = ("task", "what", "recipe", "seed", "split", "metric", "score (95 %)", "time")
        table = table_html(columns, rows, numbers=["seed"])
        if len(self.runs) > SHOWN:
            table += line_html(f"… and {len(self.runs) - SHOWN:,} more runs")
        meaning = line_html(SHORT_INTERVAL_MEANING) if rows else ""
        return line_html(repr(self), strong=True) + table + meaning + lines_html("Notes", self.notes)


def _primary_first(names: Iterable[str], primary: str) -> list[str]:
    return sorted(names, key=lambda name: name != primary)


def results(
    names: Names = "runs",
    *,
    task: Names | None = None,
    checkpoint: Names | None = None,
    recipe: Names | None = None,
    metric: str | None = None,
    split: str | None = None,
    on_note: Say = silent,
) -> RunResults:
    """Runs that are there.

    Args:
        names: folders of runs, single runs, frozen baselines or ``hub://user/repo[@revision][/folder]``; behind each a selector may
            stand, ``runs:recipe=lora,checkpoint=*8M*``, whose keys are task, checkpoint, recipe, seed, fraction, subset,
            precision, protocol, run and fields of the recipe.
        task, checkpoint, recipe: only runs whose name fits this pattern (``*`` and ``?``), or one of several.
        metric, split: what tables are restricted to; by default all metrics of the test splits.
        on_note: told a line for each address that was resolved and for each record that cannot be read, as they are met.

    Returns:
        A sequence of (folder, record), with ``to_pandas()``; empty where folders are empty.

    Raises:
        UserError: nothing is there by that name, or no run fits what was asked for.

    >>> import hubtools
    >>> found = hubtools.results("benchmarks/baselines/golden", task="golden-value", metric="rmse")
    >>> found
    3 runs
    >>> found.to_pandas()[["recipe", "split", "metric"]].iloc[0].tolist()
    ['golden-full', 'test', 'rmse']
    """
    from hubtools.findings.naming.named_runs import runs_named
    from hubtools.findings.naming.selectors import Selector

    named = runs_named(names_of(names))
    notes = said_of([named], on_note)
    where = ", ".join(names_of(names))
    wanted = Selector.of(task=names_of(task), checkpoint=names_of(checkpoint), recipe=names_of(recipe))
    runs = [found for found in named.found if wanted.fits(found[1])]
    if named.found and not runs:
        asked = ", ".join(f"{key}={pattern}" for key, pattern in wanted.patterns.items())
        raise UserError(f"no run fits {asked}", where=where, fix=_known(named.found))
    _refuse_unknown(runs, metric, split, where)
    return RunResults(tuple(runs), notes, metric=metric, split=split)


def _refuse_unknown(runs: Sequence[OpenRun], metric: str | None, split: str | None, where: str) -> None:
    """What no run was scored by, or on: said, not shown as an empty table."""
    if metric is None and split is None:
        return
    complete = [record for _, record in runs if record.status == "complete"]
    splits = {name for record in complete for name in record.results}
    metrics = {name for record in complete for result in record.results.values() for name in result.scores}
    for asked, known, noun in ((split, splits, "split"), (metric, metrics, "metric")):
        if asked is not None and complete and asked not in known:
            raise UserError(
                f"no run has the {noun} {asked}", where=where, fix=f"There are: {', '.join(sorted(known))}."
            )


def _known(found: Sequence[OpenRun]) -> str:
    from hubtools.findings.naming.named_runs import title

    more = f" and {len(found) - 8} more" if len(found) > 8 else ""
    return f"There are: {'; '.join(map(title, found[:8]))}{more}."


def said_of(named: Iterable[Named], say: Say) -> tuple[str, ...]:
    """Say once what was resolved, what else there is to know, and which records could not be read; the lines."""
    found = list(named)
    lines = [f"note: {line}" for line in dict.fromkeys(line for one in found for line in one.notes)]
    lines += [f"left out: {line}" for line in dict.fromkeys(line for one in found for line in one.left_out)]
    for line in lines:
        say(line)
    return tuple(lines)
