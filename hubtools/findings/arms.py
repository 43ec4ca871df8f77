"""Runs put together: what two runs must share to be compared, and arms, whose runs differ in their seed alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hubtools.common.errors import UserError
from hubtools.evaluation.predictions import Predictions
from hubtools.evaluation.statistics.arm_interval import ArmScore, arm_score
from hubtools.evaluation.statistics.resampled import (
    KEPT_REPLICATES,
    ArmPredictions,
    Resampled,
    Units,
    resample,
)
from hubtools.evaluation.statistics.resampled import REPLICATES as DRAWN
from hubtools.runs.store import PREDICTIONS, RECORD, REPLICATES, FolderAndRecord, OpenRun
from hubtools.specs.record import RunRecord
from hubtools.specs.record.plausible import metrics_unknown
from hubtools.specs.task import Task

# From this protocol on the interval in a record is that of an arm of one run; before, it was one of percentiles.
INTERVALS_SINCE = 4
# Predictions of at most this many bytes are resampled where a run kept no replicates.
SMALL = 32 * 2**20


@dataclass(frozen=True)
class ComparisonGroup:
    """What two runs must share to stand in one table. The title of the task file is not part of it."""

    task: str
    version: int
    task_hash: str
    data: str
    rows: str
    subset: int | None
    fraction: float | None
    protocol: int

    @classmethod
    def of(cls, record: RunRecord, split: str) -> ComparisonGroup:
        """The question a run answered on a split."""
        identity = record.identity
        facts = record.data.splits.get(split) if record.data else None
        return cls(
            task=identity.task.name,
            version=identity.task.version,
            task_hash=identity.task.hash,
            data=identity.data,
            rows=facts.rows_sha256 if facts else "",
            subset=identity.subset,
            fraction=identity.fraction,
            protocol=identity.protocol,
        )


@dataclass(frozen=True)
class Arm:
    """Complete runs of one checkpoint, or baseline, under one recipe on one task, that differ in their seed alone.

    Attributes:
        runs: folders and records, by seed.
        precision: in which they computed, where an arm beside them differs in that alone; else empty.
    """

    runs: tuple[OpenRun, ...]
    precision: str = ""

    @property
    def record(self) -> RunRecord:
        """The record of the first seed: what the seeds share is read from it."""
        return self.runs[0][1]

    @property
    def seeds(self) -> list[int]:
        """Seeds, ascending."""
        return [record.identity.seed for _, record in self.runs]

    @property
    def name(self) -> str:
        """Checkpoint and recipe, for tables; settings of the recipe that were changed, and the precision where it tells arms apart."""
        fields = [f"{key}={value}" for key, value in sorted(self.record.overrides.items())]
        recipe = ", ".join([self.record.identity.recipe.name, *fields, *filter(None, [self.precision])])
        return f"{self.record.subject} · {recipe}" if self.record.identity.checkpoint else recipe

    @property
    def nothing_random(self) -> bool:
        """Whether another seed gives the same run: then one is all there is."""
        recipe = self.record.recipe_spec
        if self.record.identity.fraction is not None or recipe.weights == "random":
            return False
        if recipe.scoring == "folding":
            # What draws its structures says how many of each protein.
            return self.record.training is not None and "samples" not in self.record.training.choices
        return recipe.adaptation in {"zero-shot", "baseline"} or recipe.head.solver == "ridge"

    @property
    def of_weights(self) -> bool:
        """Whether its interval is of these very weights: of one seed, where another seed would give others."""
        return len(self.runs) == 1 and not self.nothing_random

    @property
    def task(self) -> Task:
        """The task file as used."""
        return self.record.task_spec

    def question(self, split: str = "test") -> ComparisonGroup:
        """What the runs answered."""
        return ComparisonGroup.of(self.record, split)

    def predictions(self, split: str = "test") -> list[Predictions]:
        """Of each run, by seed.

        Raises:
            UserError: a run has no predictions of the split, or they cannot be read.
        """
        return [run.predictions_of(split) for run in self.runs]

    def thresholds(self) -> list[list[float] | None]:
        """Of each run, as it chose them on validation."""
        return [record.training.choices.get("thresholds") if record.training else None for _, record in self.runs]

    def predicted(self, split: str = "test") -> ArmPredictions:
        """What evaluation reads of the runs.

        Raises:
            UserError: as :meth:`predictions`.
        """
        return ArmPredictions(self.predictions(split), self.thresholds(), self.seeds)

    def resampled(self, split: str = "test", metric: str | None = None, replicates: int = DRAWN) -> Resampled:
        """A metric of the runs under the same resamplings, from their predictions.

        Raises:
            UserError: predictions cannot be read.
        """
        return resample(self.task, self.predicted(split), metric=metric, replicates=replicates)

    def kept(self, split: str = "test", metric: str | None = None) -> Resampled | None:
        """The same from what the runs kept (1,000 replicates), without reading predictions; None where one kept none."""
        return self._kept([(split, metric or self.record.primary_metric)])[0]

    def _kept(self, columns: Sequence[tuple[str, str]]) -> list[Resampled | None]:
        """:meth:`kept` of several (split, metric), each run's file opened once."""
        files = [run.replicates(columns) for run in self.runs]
        return [self._together(column, [file.get(column) for file in files]) for column in columns]

    def _together(self, column: tuple[str, str], found: Sequence[tuple[np.ndarray, Units] | None]) -> Resampled | None:
        scores = [record.score(*column) for _, record in self.runs]
        values = [score.value for score in scores if score is not None and score.value is not None]
        kept = [one for one in found if one is not None]
        if len(kept) < len(self.runs) or len(values) < len(self.runs):
            return None
        if len({(units.digest, len(drawn)) for drawn, units in kept}) > 1:
            return None
        drawn = np.stack([drawn for drawn, _ in kept])
        return Resampled(column[1], tuple(self.seeds), np.array(values, dtype=np.float64), drawn, kept[0][1])

    def scores(self, columns: Sequence[tuple[str, str]]) -> dict[tuple[str, str], ArmScore]:
        """Each (split, metric) with its 95 % interval: what every table, card and figure shows of these runs.

        From the replicates that the runs kept; where they kept none (a frozen baseline keeps predictions) from their
        predictions, where these are there and small; else from their records alone. Without those that no run has.

        Raises:
            UserError: a file of replicates or of predictions cannot be read.
        """
        found: dict[tuple[str, str], ArmScore] = {}
        asked = []
        for column in columns:
            present = [(r.identity.seed, score) for _, r in self.runs if (score := r.score(*column)) is not None]
            if len(present) == len(self.runs) == 1 and self.record.identity.protocol >= INTERVALS_SINCE:
                # The interval of a run's own record is this very one.
                found[column] = arm_score(present, None, column[1])
            elif len(present) == len(self.runs):
                asked.append((column, present))
            elif present:
                by_seed = tuple((seed, score.value) for seed, score in present)
                found[column] = ArmScore(None, None, None, present[0][1].higher_is_better, by_seed)
        drawn = self._kept([column for column, _ in asked]) if asked else []
        for (column, present), resampled in zip(asked, drawn, strict=True):
            found[column] = arm_score(present, resampled or self._from_predictions(*column), column[1])
        return found

    def score(self, split: str = "test", metric: str | None = None) -> ArmScore:
        """One of :meth:`scores`.

        Raises:
            UserError: as there.
            KeyError: no run has it.
        """
        column = (split, metric or self.record.primary_metric)
        return self.scores([column])[column]

    def _from_predictions(self, split: str, metric: str) -> Resampled | None:
        sizes = [path.stat().st_size for folder, _ in self.runs if (path := folder / PREDICTIONS).is_file()]
        if len(sizes) < len(self.runs) or sum(sizes) > SMALL:
            return None
        return self.resampled(split, metric, KEPT_REPLICATES)


def arm_key(record: RunRecord) -> tuple[Any, ...]:
    """What runs of one row share beside the question: the weights; last, the recipe and in which precision it computed."""
    checkpoint, procedure = record.identity.checkpoint, (record.identity.recipe.hash, record.precision)
    if checkpoint is None:
        return None, procedure
    # A folder is what is in it; a Hub checkpoint is its name at a commit.
    which = checkpoint.sha256 if checkpoint.source == "local" else (checkpoint.name, checkpoint.commit)
    return which, checkpoint.trust_remote_code, procedure


def precision_apart(keys: Collection[tuple[Any, ...]]) -> dict[tuple[Any, ...], str]:
    """For each key that ends as :func:`arm_key` does: the precision, where another differs from it in that alone."""
    alike = Counter((*key[:-1], key[-1][0]) for key in keys)
    return {key: key[-1][1] or "" if alike[*key[:-1], key[-1][0]] > 1 else "" for key in keys}


def arms_of(found: Sequence[OpenRun], split: str = "test") -> list[Arm]:
    """Complete runs that were scored on a split, put into arms, in the order of task, subject and recipe."""
    groups: dict[Any, list[OpenRun]] = defaultdict(list)
    for run in without_copies(found)[0]:
        _, record = run
        if record.status == "complete" and split in record.results:
            groups[ComparisonGroup.of(record, split), *arm_key(record)].append(run)
    apart = precision_apart(groups)
    arms = [
        Arm(tuple(sorted(runs, key=lambda pair: pair[1].identity.seed)), apart[key]) for key, runs in groups.items()
    ]
    return sorted(arms, key=lambda arm: (arm.record.identity.task.name, arm.name, arm.record.run_id))


def sound_runs(found: Sequence[FolderAndRecord]) -> tuple[list[OpenRun], list[str]]:
    """Runs that can stand in a table, and a line for each that cannot: one of them does not stop the others.

    Left out is a run whose files are not what it wrote, and one whose metric nothing here knows. Of predictions, which a
    table does not read, the sizes are looked at, and all of them while they are few and small.
    """
    kept, notes = [], []
    predictions = sum(output.bytes for _, record in found for output in record.outputs if output.path == PREDICTIONS)
    for pair in found:
        run = pair if isinstance(pair, OpenRun) else OpenRun(*pair)
        try:
            if run.record.status == "complete":
                require_known_metrics(run)
                for name in (REPLICATES, PREDICTIONS):
                    if run.record.outputs and (run.folder / name).is_file():
                        run.file(name, size_alone=name == PREDICTIONS and predictions > SMALL)
        except UserError as error:
            notes.append(f"left out: {error}")
            continue
        kept.append(run)
    return kept, notes


def require_known_metrics(run: OpenRun) -> None:
    """Make sure that bench, or a package that is installed here, has the metrics of a run.

    Raises:
        UserError: it has not.
    """
    if unknown := metrics_unknown(run.record):
        raise UserError(
            f"its task {run.record.identity.task.name} is scored by {unknown[0]!r}, a metric that nothing here brings",
            where=str(run.folder / RECORD),
            fix="Install the package that does.",
        )


def without_copies(found: Sequence[OpenRun]) -> tuple[list[OpenRun], list[str]]:
    """One record per identity: folders get copied, and results merge by copying. Complete and later ones win."""
    by_id: dict[str, list[OpenRun]] = defaultdict(list)
    for run in found:
        by_id[run[1].run_id].append(run)
    kept, notes = [], []
    for run_id, copies in by_id.items():
        copies.sort(key=lambda pair: (pair[1].status == "complete", pair[1].finished or pair[1].started))
        kept.append(copies[-1])
        if len(copies) > 1:
            notes.append(f"run {run_id} is there {len(copies)} times; shown is {copies[-1][0]}.")
    return kept, notes


def mismatches(first: Arm, second: Arm, split: str = "test") -> list[str]:
    """Why two arms cannot be compared on a split: one line for each thing that must be equal and is not.

    The procedure may differ, for that is what is compared: checkpoint, recipe, share of the training data, code.
    """
    one, other = first.question(split), second.question(split)
    shown = {
        "task": "task",
        "version": "task version",
        "task_hash": "task file",
        "data": "data",
        "subset": "subset",
        "rows": f"rows of {split}",
    }
    return [
        f"{noun}: {_short(getattr(one, name))} and {_short(getattr(other, name))}"
        for name, noun in shown.items()
        if getattr(one, name) != getattr(other, name)
    ]


def _short(value: object) -> str:
    text = "all" if value is None else str(value)
    return text[:12] if len(text) == 64 else text
