"""A plan as jobs: one checkpoint with its runs each, cut where one would be too long. No torch, and no data are read.

What decides the order of jobs, and where one is cut, is a cheap estimate: parameters by the checkpoint's name or files, residues
by the size of the data's files. It says which of two jobs is longer, not when one ends: that is what ``bench estimate`` measures.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeVar

from hubtools.common.files import is_folder
from hubtools.data.sources.file_cache import DataCache
from hubtools.runs.plan import PlannedRun
from hubtools.specs.data_sources import LocalFile
from hubtools.specs.files.table_file import TableFile
from hubtools.specs.lookup.content import shipped_root

# Operations of a core in a second, bytes of weights and of data that it reads in a second, and what a run and a job take beside.
CORE, WEIGHTS, ROWS, RUN, START = 5e10, 5e8, 5e6, 0.3, 5.0
# Where nothing says how large something is: a small model, and a few thousand proteins.
PARAMETERS, RESIDUES = 1e8, 3e6
# Of the bytes of a table, those that are residues: labels, names and separators are the others. What is packed holds more.
SHARE_OF_RESIDUES, PACKED = 0.5, 3.0
# Residues of a protein, and splits, where only the number of proteins of a split is known.
LENGTH, SPLITS = 350, 3
# Of the epochs that a recipe allows, what early stopping leaves.
EPOCHS_RUN = 0.6
# Jobs are cut until the last ends at most this much later than if all could be divided without loss...
LATE = 0.1
# ... but not into pieces that are shorter than this share of what one worker has to do.
SMALLEST = 1 / 16

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
_SIZE = re.compile(r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?)([MB])(?![A-Za-z0-9])", re.IGNORECASE)


@dataclass(frozen=True)
class PlanJob:
    """What one process does with one checkpoint loaded.

    Attributes:
        checkpoint: as it was named; None for baselines, which need none.
        numbers: of its runs in the plan, from 0, in the order in which they are done.
        cost: estimated, in seconds of one core of a processor: to be compared with that of other jobs, not a promise.
    """

    checkpoint: str | None
    numbers: tuple[int, ...]
    cost: float


def jobs(planned: Sequence[PlannedRun], *, workers: int = 1, sizes: Sizes | None = None) -> list[PlanJob]:
    """Every run of a plan in one job, the longest job first.

    A job is all that one checkpoint has to do, task by task. Where the longest would decide when everything ends, it is cut
    between tasks, or between runs of a task; probes that differ in the seed alone stay together, since they are trained at once.
    Baselines without a checkpoint are jobs of their own.

    Args:
        planned: the plan.
        workers: how many jobs are done at a time; of one, no checkpoint is cut.
        sizes: what is known of checkpoints and data.
    """
    sizes = sizes or Sizes()
    parts = [_Stretch(atoms) for atoms in _by_checkpoint(_atoms(planned, sizes)).values()]
    while workers > 1:
        total = sum(part.cost for part in parts)
        if _end([part.cost for part in parts], workers) <= (1 + LATE) * total / workers:
            break
        large = [part for part in parts if len(part.atoms) > 1 and part.cost > SMALLEST * total / workers]
        if not large:
            break
        longest = max(large, key=lambda part: part.cost)
        parts.remove(longest)
        parts += longest.halves()
    parts.sort(key=lambda part: (-part.cost, part.atoms[0].numbers[0]))
    return [PlanJob(part.atoms[0].checkpoint, _numbers(part.atoms), part.cost) for part in parts]


def in_order(planned: Sequence[PlannedRun]) -> list[int]:
    """The numbers of a plan as one process goes through them: baselines first, then checkpoint by checkpoint, each task by task."""
    atoms = _by_checkpoint(_atoms(planned, Sizes()))
    baselines = atoms.pop(None, [])
    return [*_numbers(baselines), *(number for some in atoms.values() for number in _numbers(some))]


def _numbers(atoms: Iterable[_Atom]) -> tuple[int, ...]:
    return tuple(number for atom in atoms for number in atom.numbers)


class Alike(NamedTuple):
    """What runs have in common that differ in the seed alone; numbers stand for equal tasks and recipes of one plan.

    Attributes:
        task, recipe: numbers.
        rest: the other fields of the plan.
    """

    task: int
    recipe: int
    rest: str


def planned_alike(planned: Iterable[PlannedRun]) -> list[Alike]:
    """Of each run of a plan what it shares with those that differ from it in the seed alone.

    Comparing runs in pairs would compare each task file with each other, thousands of times.
    """
    known: dict[int, int] = {}
    numbers: dict[str, int] = {}
    found, kept = [], []
    for run in planned:
        for spec in (run.task, run.recipe):
            if id(spec) not in known:
                # With its paths: two folders may hold the same task file and different data.
                text = f"{type(spec).__name__} {spec.model_dump_json()}"
                known[id(spec)] = numbers.setdefault(text, len(numbers))
                kept.append(spec)
        rest = repr([getattr(run, f.name) for f in fields(run) if f.name not in {"task", "recipe", "seed"}])
        found.append(Alike(known[id(run.task)], known[id(run.recipe)], rest))
    return found


def shares_heads(run: PlannedRun) -> bool:
    """Whether runs with other seeds differ from a probe in the head alone, so that their heads are trained at once.

    Those of a task with folds are not: each fold has heads of its own, and the embeddings are kept from fold to fold.
    """
    one_fit = run.fraction is None and run.task.data.folds is None
    reads = run.recipe.adaptation == "probe" and run.recipe.head.kind != "attention-regression"
    return reads and run.recipe.weights == "pretrained" and one_fit


@dataclass(frozen=True)
class Sizes:
    """How large checkpoints and data are, as far as that can be had at once.

    Attributes:
        cache: where the files of tasks may be; None to look at local files alone.
    """

    cache: DataCache | None = None
    _parameters: dict[str, float] = field(default_factory=dict, repr=False)
    _residues: dict[int, tuple[object, float]] = field(default_factory=dict, repr=False)

    def parameters(self, checkpoint: str) -> float:
        """By the files of a folder, else by the number in the name (``8M``, ``3B``)."""
        if checkpoint not in self._parameters:
            self._parameters[checkpoint] = _parameters(checkpoint)
        return self._parameters[checkpoint]

    def residues(self, run: PlannedRun) -> float:
        """Of all splits of a run's task, by the bytes of its files, or by the number of proteins that is asked for."""
        task = run.task
        # With the task, so that no other one gets its number in memory.
        if id(task) not in self._residues:
            found = [self._of_file(file) for file in task.data.files if not file.joins]
            known = [residues for residues in found if residues is not None]
            self._residues[id(task)] = (task, sum(known) or RESIDUES)
        whole = self._residues[id(task)][1]
        return whole if run.subset is None else min(whole, SPLITS * LENGTH * run.subset)

    def _of_file(self, file: TableFile) -> float | None:
        sha256, size = getattr(file, "sha256", None), None
        if isinstance(file, LocalFile):
            size = file.path.stat().st_size if file.path.is_file() else None
        elif self.cache is not None and isinstance(sha256, str):
            size = self.cache.size_of(sha256)
        if size is None:
            return None
        packed = file.location.endswith((".gz", ".zip", ".parquet"))
        return size * SHARE_OF_RESIDUES * (PACKED if packed else 1.0)


def _parameters(checkpoint: str) -> float:
    folder = (
        shipped_root() / "benchmarks" / "checkpoints" / "esm-mini" if checkpoint == "embedded" else Path(checkpoint)
    )
    if is_folder(folder):
        for suffix in (".safetensors", ".bin"):
            if size := sum(path.stat().st_size for path in folder.glob(f"*{suffix}")):
                return size / 4
    if found := _SIZE.findall(checkpoint.replace("_", " ")):
        number, unit = found[-1]
        return float(number) * (1e6 if unit in "mM" else 1e9)
    return PARAMETERS


@dataclass(frozen=True)
class _Atom:
    """Runs that are never divided.

    Attributes:
        numbers: of them in the plan.
        checkpoint: theirs.
        own: seconds that they share with no others.
        shared: seconds of what they need and others may have done before, by what that is.
    """

    numbers: tuple[int, ...]
    checkpoint: str | None
    own: float
    shared: dict[Hashable, float]


def _kept_together(run: PlannedRun) -> bool:
    """Whether one process does all seeds of a run: their heads are trained at once, or their trials are the same."""
    return shares_heads(run) or run.tuning is not None


def _atoms(planned: Sequence[PlannedRun], sizes: Sizes) -> list[_Atom]:
    """The plan's runs, those of one task after another, and those whose heads are trained together as one.

    Of a task the probes come first that read all layers: what they keep is all that others of the same encoder ask for, so that it
    reads each protein once.
    """
    alike = planned_alike(planned)
    by_task = _grouped(range(len(planned)), lambda n: (alike[n].task, planned[n].subset))
    groups = [
        numbers
        for some in by_task.values()
        # A run by itself has a number that no other has.
        for numbers in sorted(
            _grouped(some, lambda n: alike[n] if _kept_together(planned[n]) else n).values(),
            # Those that are tuned come last: what they are beside stands early.
            key=lambda n: (planned[n[0]].tuning is not None, planned[n[0]].recipe.probe.layers != "all"),
        )
    ]
    return [_atom(numbers, planned[numbers[0]], alike[numbers[0]], sizes) for numbers in groups]


def _atom(numbers: list[int], run: PlannedRun, alike: Alike, sizes: Sizes) -> _Atom:
    """Runs that are like one of them, but for the seed."""
    residues, recipe = sizes.residues(run), run.recipe
    share = 1.0 if run.fraction is None else run.fraction
    data = ("data", alike.task, run.subset)
    shared: dict[Hashable, float] = {data: residues / ROWS}
    if run.checkpoint is None:
        return _Atom(tuple(numbers), None, len(numbers) * (RUN + share * residues / ROWS), shared)
    parameters = sizes.parameters(run.checkpoint)
    encoder = ("encoder", recipe.weights, run.seed if recipe.weights == "random" else None)
    # Two operations a weight and token read, and twice as many for its gradients.
    reading, epochs = 2 * parameters * residues / CORE, EPOCHS_RUN * recipe.epochs
    own = len(numbers) * RUN
    # Each trial is as a run.
    times = len(numbers) + (run.tuning.trials if run.tuning else 0)
    shared[encoder] = 4 * parameters / WEIGHTS
    if recipe.adaptation == "probe":
        # Each protein is read once, whatever the recipe; heads learn from what was read.
        shared[encoder, data] = reading
        own += (1 + (times - len(numbers))) * epochs * share * residues / ROWS
    elif recipe.adaptation == "zero-shot":
        own += len(numbers) * reading
    else:
        own += times * reading * (1 + 3 * epochs * share)
    return _Atom(tuple(numbers), run.checkpoint, own, shared)


@dataclass(frozen=True)
class _Stretch:
    """What may become a job."""

    atoms: list[_Atom]

    @cached_property
    def cost(self) -> float:
        """Seconds."""
        return START + _running(self.atoms)[-1]

    def halves(self) -> list[_Stretch]:
        """Two parts, of which the longer is as short as can be."""
        before, after = _running(self.atoms), _running(self.atoms[::-1])
        n = len(self.atoms)
        place = min(range(1, n), key=lambda cut: max(before[cut - 1], after[n - cut - 1]))
        return [_Stretch(self.atoms[:place]), _Stretch(self.atoms[place:])]


def _running(atoms: Iterable[_Atom]) -> list[float]:
    """Seconds until each is done, one after the other; what several need is done once."""
    done: set[Hashable] = set()
    seconds, found = 0.0, []
    for atom in atoms:
        seconds += atom.own + sum(cost for need, cost in atom.shared.items() if need not in done)
        done |= atom.shared.keys()
        found.append(seconds)
    return found


def _end(costs: Iterable[float], workers: int) -> float:
    """When all is done, if whoever is free takes the longest that is left."""
    free = [0.0] * workers
    for cost in sorted(costs, reverse=True):
        heapq.heapreplace(free, free[0] + cost)
    return max(free)


def _by_checkpoint(atoms: Iterable[_Atom]) -> dict[str | None, list[_Atom]]:
    return _grouped(atoms, lambda atom: atom.checkpoint)


def _grouped(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """Items by their key, in the order in which keys come first."""
    found: dict[K, list[T]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found
