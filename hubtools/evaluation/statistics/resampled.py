"""One metric of several runs under the same resamplings of the test split: what every comparison is made of.

The bootstrap's draws depend on the units and the seed of the draws alone. Runs scored on the same rows are therefore
resampled alike, replicate by replicate, and the difference of two runs in a replicate is a paired one. A run keeps its
first thousand replicates beside its predictions (``replicates.safetensors``), so that a board of thousands of runs
compares them without reading a single prediction.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hubtools.common.bounds import json_values
from hubtools.common.errors import UserError
from hubtools.common.files import replacing
from hubtools.common.readers import reads
from hubtools.evaluation.metrics.assays import assay_statistic, assay_units
from hubtools.evaluation.metrics.contact_precision import mean_over_proteins
from hubtools.evaluation.metrics.hierarchy import as_read
from hubtools.evaluation.metrics.ranking import Statistic
from hubtools.evaluation.metrics.thresholds import decide
from hubtools.evaluation.metrics.weighing import statistic
from hubtools.evaluation.predictions import Predictions
from hubtools.evaluation.statistics.resampling import bootstrap_units, bootstrap_weights, encode
from hubtools.specs.metric_names import METRICS
from hubtools.specs.task import Task

# What a run keeps, and what a comparison draws.
KEPT_REPLICATES = 1_000
REPLICATES = 10_000
_ABOUT = "bench.replicates"


@dataclass(frozen=True, eq=False)
class Units:
    """What the bootstrap draws on a split.

    Attributes:
        n_units: number of units.
        strata: (n_units,) group within which each is drawn, or None.
        described: in words, such as ``364 homology clusters``.
        digest: sha256 of which row belongs to which unit: equal digests are resampled alike.
        effective: how many units of equal size they are worth; 0 where it is not known (:func:`worth`).
    """

    n_units: int
    strata: np.ndarray | None
    described: str
    digest: str
    effective: float = 0.0

    @property
    def degrees(self) -> float:
        """Degrees of freedom of a variance over the units: a few large families know less than many of equal size."""
        return max(1.0, (self.effective or self.n_units) - 1)


def worth(sizes: np.ndarray) -> float:
    """How many units of equal size units of these sizes are worth, where a variance over them is asked for.

    With n rows in a unit, (Σ n)² / Σ n² where rows of a unit have little to do with each other (Kish, "Survey Sampling",
    1965), and (Σ n²)² / Σ n⁴ where they are right or wrong together: the first is of the mean, the second of the squares
    whose mean its variance is (Satterthwaite, Biometrics Bulletin 2, 1946). The truth lies between, and so does this. By
    simulation (``docs/statistics.md``) the first alone gives intervals that are too narrow, the second too wide ones.
    """
    squares = sizes.astype(np.float64) ** 2
    if not squares.sum():
        return 0.0
    return float((sizes.sum() ** 2 / squares.sum() + squares.sum() ** 2 / (squares**2).sum()) / 2)


@dataclass(frozen=True, eq=False)
class ArmPredictions:
    """What the runs of one arm (they differ in their seed alone) say of one split.

    Attributes:
        predictions: of each run, the same rows in the same order.
        thresholds: of each run, as it chose them on validation; None where none is needed.
        seeds: of each run.
    """

    predictions: Sequence[Predictions]
    thresholds: Sequence[list[float] | None]
    seeds: Sequence[int]


@dataclass(frozen=True, eq=False)
class Resampled:
    """One metric of the runs of one arm (they differ in their seed alone), and the same under R resamplings.

    Attributes:
        metric: its name.
        seeds: of the k runs.
        values: (k,) float64, the metric on the whole split.
        drawn: (k, R) float64, in replicate r the same units for every run and every arm; NaN where undefined.
        units: what was drawn.
    """

    metric: str
    seeds: tuple[int, ...]
    values: np.ndarray
    drawn: np.ndarray
    units: Units

    @property
    def higher_is_better(self) -> bool:
        """Direction of the metric."""
        return METRICS[self.metric].higher_is_better


def prepare(
    task: Task, predictions: Predictions, thresholds: list[float] | None, metrics: Sequence[str]
) -> tuple[list[Statistic], Units]:
    """Metrics as functions of the multiplicities of the units, (R, n_units) -> (R,), and what the units are.

    Args:
        task: the task.
        predictions: of one split.
        thresholds: chosen on validation; None where none is needed.
        metrics: names of METRICS that fit the task.
    """
    return _PREPARED[task.problem.level.within](task, predictions, thresholds, metrics)


def _over_rows(
    task: Task, predictions: Predictions, thresholds: list[float] | None, metrics: Sequence[str]
) -> tuple[list[Statistic], Units]:
    """Metrics of all rows at once; whole proteins or clusters are drawn, of pairs those of both proteins."""
    decision = decide(task, predictions, thresholds)
    rows, n_units, described = bootstrap_units(predictions)
    of_terms = [name for name in metrics if METRICS[name].reads_scores]
    terms = as_read(of_terms[0], task, predictions) if of_terms else predictions
    about = task.positive_index, task.cleaved_indices
    prepared = [
        statistic(name, terms if name in of_terms else predictions, decision, rows, n_units, *about) for name in metrics
    ]
    return prepared, Units(n_units, None, described, _digest(rows), worth(np.bincount(rows.ravel(), minlength=n_units)))


def _within_assays(
    task: Task, predictions: Predictions, thresholds: list[float] | None, metrics: Sequence[str]
) -> tuple[list[Statistic], Units]:
    """Metrics of each assay, averaged."""
    assay = assay_units(predictions)
    assert predictions.assays is not None
    codes = [encode(names)[0] for names in (predictions.assays.group, predictions.assays.protein)]
    found = Units(assay.n_units, assay.strata, assay.described, _digest(*codes))
    return [assay_statistic(name, task, predictions, assay) for name in metrics], found


def _within_proteins(
    task: Task, predictions: Predictions, thresholds: list[float] | None, metrics: Sequence[str]
) -> tuple[list[Statistic], Units]:
    """Metrics of each protein, averaged; proteins, or clusters of them, are drawn."""
    rows, n_units, described = bootstrap_units(predictions)
    codes, n_proteins = encode(predictions.ids)
    owner = np.zeros(n_proteins, dtype=np.int64)
    owner[codes] = rows
    prepared = [mean_over_proteins(name, predictions, owner) for name in metrics]
    return prepared, Units(n_units, None, described, _digest(rows), worth(np.bincount(owner, minlength=n_units)))


# By what metrics are computed within (:class:`hubtools.specs.level.Level`).
_PREPARED = {None: _over_rows, "assay": _within_assays, "protein": _within_proteins}


def draw(prepared: Sequence[Statistic], units: Units, replicates: int, seed: int = 0) -> np.ndarray:
    """Every metric in every replicate: (metrics, replicates) float64, NaN where undefined; rounded as runs keep them."""
    drawn = np.full((len(prepared), replicates), np.nan)
    done = 0
    for weights in bootstrap_weights(units.n_units, replicates, seed, units.strata):
        for row, of in zip(drawn, prepared, strict=True):
            row[done : done + len(weights)] = of(weights)
        done += len(weights)
    # An interval shall be the same to the last bit, whether its replicates were kept or drawn again.
    return drawn.astype(np.float32).astype(np.float64)


def resample(
    task: Task,
    arm: ArmPredictions,
    *,
    metric: str | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Resampled:
    """A metric of some runs under the same resamplings.

    Args:
        task: the task.
        arm: the runs.
        metric: by default the task's primary one.
        replicates: how many resamplings.
        seed: of the draws; the same for all that are to be compared.

    Raises:
        ValueError: the runs do not have the same rows in the same order.
    """
    name = metric or task.metrics.primary
    return resample_metrics(task, arm, [name], replicates=replicates, seed=seed)[0]


def resample_metrics(
    task: Task,
    arm: ArmPredictions,
    metrics: Sequence[str],
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> list[Resampled]:
    """Several metrics of some runs under the same resamplings, one :class:`Resampled` a metric.

    Arguments and what is raised as in :func:`resample`; ``metrics`` are names of METRICS that fit the task.
    """
    runs = zip(arm.predictions, arm.thresholds, strict=True)
    prepared, found = zip(*(prepare(task, p, t, metrics) for p, t in runs), strict=True)
    if len({units.digest for units in found}) > 1:
        raise ValueError("the runs were scored on different rows")
    units = found[0]
    # By metric, and by run within each.
    statistics = [of for single in zip(*prepared, strict=True) for of in single]
    values = np.array([float(of(np.ones((1, units.n_units)))[0]) for of in statistics])
    drawn = draw(statistics, units, replicates if units.n_units > 1 else 0, seed)
    k = len(arm.predictions)
    return [
        Resampled(name, tuple(arm.seeds), values[i * k : (i + 1) * k], drawn[i * k : (i + 1) * k], units)
        for i, name in enumerate(metrics)
    ]


def write_replicates(path: Path, drawn: Mapping[str, Mapping[str, np.ndarray]], units: Mapping[str, Units]) -> None:
    """Keep the replicates of a run.

    Args:
        path: where to.
        drawn: split -> metric -> (R,) values, kept as float32.
        units: of each split.

    Raises:
        UserError: the file cannot be written.
    """
    from safetensors.numpy import save

    tensors = {
        f"{split}/{metric}": np.ascontiguousarray(values, dtype=np.float32)
        for split, metrics in drawn.items()
        for metric, values in metrics.items()
    }
    about = {
        split: {"units": found.digest, "n_units": found.n_units, "drawn": found.described, "effective": found.effective}
        for split, found in units.items()
    }
    # One entry, because the library writes several in an order of its own: equal runs give equal files.
    metadata = {_ABOUT: json.dumps(about, sort_keys=True, ensure_ascii=False)}
    with replacing(path) as temporary:
        temporary.write_bytes(save(tensors, metadata=metadata))


@reads("replicates")
def read_replicates(path: Path, columns: Sequence[tuple[str, str]]) -> dict[tuple[str, str], tuple[np.ndarray, Units]]:
    """(R,) float64 replicates that a run kept, and their units, by (split, metric); without those that it did not keep.

    Args:
        path: of the file, which need not be there.
        columns: (split, metric) that are asked for.

    Raises:
        UserError: the file is not one of bench's.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return {}
    found = {}
    try:
        with safe_open(path, framework="numpy") as kept:
            about, names = json_values((kept.metadata() or {})[_ABOUT]), set(kept.keys())
            for split, metric in columns:
                if (name := f"{split}/{metric}") not in names:
                    continue
                of = about[split]
                units = Units(int(of["n_units"]), None, of["drawn"], of["units"], float(of["effective"]))
                found[split, metric] = kept.get_tensor(name).astype(np.float64), units
    except (SafetensorError, KeyError, ValueError, TypeError, OverflowError, OSError):
        raise UserError("not a file of replicates", where=str(path), fix="Remove it; it is made again.") from None
    return found


def _digest(*codes: np.ndarray) -> str:
    hashed = hashlib.sha256()
    for array in codes:
        hashed.update(str(array.shape).encode())
        hashed.update(np.ascontiguousarray(array, dtype=np.int64).tobytes())
    return hashed.hexdigest()
