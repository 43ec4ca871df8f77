"""How far the runs of a folder are: what was asked for (kept plans), what is recorded, and whose claims are held.

Of a record only the beginning is read, where its state and its identity stand: of a hundred thousand records that takes seconds.
Plans know their runs by names alone; a run is found by what its record says of checkpoint, task, recipe, seed and shares of the data.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from hubtools.common.bounds import json_values
from hubtools.common.errors import UserError
from hubtools.common.files import is_there
from hubtools.common.readers import reads
from hubtools.common.texts import visible
from hubtools.models.checkpoint import recorded_name
from hubtools.runs.claims import Held, clock, held
from hubtools.runs.kept_plan import PLANS, KeptPlan, read_plans
from hubtools.runs.plan import PlannedRun
from hubtools.runs.store import RECORD, TRAINING_LOG, folder_of, open_run
from hubtools.runs.sweeps.choices import chosen_recipe
from hubtools.specs.recipe import Recipe
from hubtools.specs.record import Identity, RunRecord, procedure
from hubtools.specs.record.identities import PROTOCOL_VERSION
from hubtools.specs.task import Task

# Complete; held by a process; left by one that was killed or stopped; failed; not begun.
State = Literal["done", "running", "stopped", "failed", "waiting"]
STATES: tuple[State, ...] = ("done", "running", "stopped", "failed", "waiting")
# What a record begins with, as bench writes it.
_BEGINNING = re.compile(
    r'\{\s*"schema_version":\s*[0-9]{1,9},\s*"run_id":\s*"[0-9a-f]{12}",\s*"status":\s*"([a-z]{1,20})",\s*"identity":\s*(?=\{)'
)
# Bytes in which state and identity stand, and those of the end of a log in which its last line does.
_HEAD, _TAIL = 4096, 8192
# The engines that do the runs of a plan say how their jobs are.
_ENGINES = "hubtools.runs.engines"


@dataclass(frozen=True)
class RunState:
    """How far a run is.

    Attributes:
        task, checkpoint, procedure, seed: of the run; the checkpoint as records call it, None for a baseline without one.
        state: see there.
        folder: of the run, where it has one.
        who: the process that is at it, or that left it.
        epoch, epochs: the last epoch that was trained, and of how many, where that is known.
        why: it failed, or stopped, in one line.
    """

    task: str
    checkpoint: str | None
    procedure: str
    seed: int
    state: State
    folder: Path | None = None
    who: Held | None = None
    epoch: int | None = None
    epochs: int | None = None
    why: str | None = None

    @property
    def title(self) -> str:
        """As of a planned run."""
        return f"{self.task} · {self.checkpoint or 'baseline'} · {self.procedure} · seed {self.seed}"

    @property
    def place(self) -> str:
        """Where a run is, since when, and how far, in words."""
        words = [str(self.who.holder) if self.who and self.who.holder else "a process that cannot be named"]
        if self.epoch is not None:
            words.append(f"epoch {self.epoch}" + (f" of {self.epochs}" if self.epochs else ""))
        if self.who and self.who.silent > 30:
            words.append(f"no heartbeat for {self.who.silent:.0f} s")
        return ", ".join(words)


@dataclass(frozen=True)
class FolderStates:
    """How far the runs of a folder are.

    Attributes:
        root: the folder.
        runs: in the order of the plans; what no plan names comes last.
        plans: that were kept, the earliest first.
        jobs: state of the engine's jobs, by the id of a plan: state -> how many.
        problems: a line for each plan, record or engine that could not be read or asked.
    """

    root: Path
    runs: tuple[RunState, ...]
    plans: tuple[KeptPlan, ...] = ()
    jobs: dict[str, dict[str, int]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[State, int]:
        """How many runs are in each state."""
        counted = Counter(run.state for run in self.runs)
        return {state: counted[state] for state in STATES}

    def of(self, state: State) -> list[RunState]:
        """The runs in a state."""
        return [run for run in self.runs if run.state == state]


@dataclass(frozen=True)
class _Recorded:
    """What the beginning of a record says."""

    folder: Path
    status: str
    identity: Identity

    @property
    def key(self) -> tuple[Any, ...]:
        named = self.identity.checkpoint.name if self.identity.checkpoint else None
        shares = (self.identity.subset, self.identity.fraction)
        return (named, self.identity.task.hash, self.identity.recipe.hash, self.identity.seed, *shares)


class FolderReader:
    """Reads the states of a folder again and again; what was complete is not read twice.

    Args:
        root: folder of runs.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._complete: dict[str, _Recorded] = {}
        self._plans: tuple[Any, list[KeptPlan], list[str]] | None = None

    def read(self) -> FolderStates:
        """How far everything is now.

        Raises:
            UserError: there is no such folder.
        """
        plans, problems = self._kept_plans()
        asked = (run for plan in plans for run in plan.planned())
        states, others, unread = self._states(asked)
        jobs, unknown = _jobs(plans)
        return FolderStates(self.root, (*states, *others), tuple(plans), jobs, (*problems, *unread, *unknown))

    def of(self, planned: Sequence[PlannedRun]) -> list[RunState]:
        """How far runs are that somebody is about to ask for, each once.

        Raises:
            UserError: there is no such folder.
        """
        return self._states(planned)[0]

    def _states(self, asked: Iterable[PlannedRun]) -> tuple[list[RunState], list[RunState], list[str]]:
        """The states of runs that are asked for, of all others that are recorded, and a line for each record that cannot be read."""
        if not is_there(self.root):
            raise UserError(
                f"there is no folder {self.root}", fix="Run something first, or name another: bench status --runs DIR."
            )
        recorded, bare, problems = self._recorded()
        now = clock(self.root)
        found = defaultdict[tuple[Any, ...], list[_Recorded]](list)
        for one in recorded:
            if one.identity.protocol == PROTOCOL_VERSION:
                found[one.key].append(one)
        states, seen, known = list[RunState](), set[Path](), set[tuple[Any, ...]]()
        # A tuned run may be the untuned one, where the recipe's own values are best: it was asked for as both.
        for key, commit, run in _keys(asked, self.root):
            if (key, commit, run.tuning is None) in known:
                continue
            known.add((key, commit, run.tuning is None))
            matching = [one for one in found.get(key, []) if _is_of(one, commit)]
            seen.update(one.folder for one in matching)
            # The same names and another content: what was recorded last is what was meant.
            latest = max(matching, key=lambda one: _changed(one.folder)) if len(matching) > 1 else (*matching, None)[0]
            states.append(_state(run, latest, now) if latest else _waiting(key[0], run))
        others = [_state(None, one, now) for one in recorded if one.folder not in seen]
        return _with_begun(states, bare, now), others, problems

    def _kept_plans(self) -> tuple[list[KeptPlan], list[str]]:
        """The plans, read again where one changed."""
        folder = self.root / PLANS
        try:
            written = sorted((path.name, path.stat().st_mtime_ns) for path in folder.iterdir())
        except OSError:
            written = []
        if self._plans is None or self._plans[0] != written:
            self._plans = (written, *read_plans(self.root))
        return self._plans[1], list(self._plans[2])

    def _recorded(self) -> tuple[list[_Recorded], list[Path], list[str]]:
        """What is recorded; folders without a record; a line for each record that cannot be read."""
        found, bare, problems = [], list[Path](), []
        complete: dict[str, _Recorded] = {}
        with os.scandir(self.root) as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
        for name in names:
            if (one := self._complete.get(name)) is None:
                try:
                    one = beginning_of(self.root / name)
                except FileNotFoundError:
                    bare.append(self.root / name)
                    continue
                except NotADirectoryError:
                    continue
                except UserError as error:
                    problems.append(str(error))
                    continue
            if one.status == "complete":
                complete[name] = one
            found.append(one)
        self._complete = complete
        return found, bare, problems


def unknown(planned: Iterable[PlannedRun]) -> list[RunState]:
    """Runs of which nothing is recorded anywhere."""
    return [_waiting(key[0], run) for key, _, run in _keys(planned, None)]


def expected_seconds(runs: Sequence[RunState]) -> list[float | None]:
    """How long each run will take on one process: as long as complete ones of the same kind took.

    A kind is a checkpoint, a task and a procedure; None of one that no complete run is like.
    """
    done = defaultdict[tuple[str, str | None, str], list[Path]](list)
    for run in runs:
        if run.state == "done" and run.folder is not None:
            done[run.task, run.checkpoint, run.procedure].append(run.folder)
    means: dict[tuple[str, str | None, str], float] = {}
    for kind, folders in done.items():
        taken = []
        for folder in folders[:_SAMPLE]:
            with contextlib.suppress(UserError):
                if (cost := open_run(folder).record.cost) is not None:
                    taken.append(cost.wall_seconds)
        if taken:
            means[kind] = sum(taken) / len(taken)
    return [means.get((run.task, run.checkpoint, run.procedure)) for run in runs]


# Complete runs of a kind whose time is looked up.
_SAMPLE = 3


@reads("beginning of a record", refuses=("UserError", "OSError"))
def beginning_of(folder: Path) -> _Recorded:
    """State and identity of a run.

    Raises:
        OSError: it has no record, or is no folder.
        UserError: what is there is none.
    """
    with (folder / RECORD).open("rb") as stream:
        head = stream.read(_HEAD).decode(errors="replace")
    if (match := _BEGINNING.match(head)) is not None:
        # What is cut short, or otherwise than bench writes it, is read as a whole.
        with contextlib.suppress(ValueError, ValidationError, RecursionError):
            values, _ = json.JSONDecoder().raw_decode(head, match.end())
            return _Recorded(folder, match[1], Identity.model_validate(values))
    record = open_run(folder).record
    return _Recorded(folder, record.status, record.identity)


def _keys(runs: Iterable[PlannedRun], root: Path | None) -> Iterator[tuple[tuple[Any, ...], str | None, PlannedRun]]:
    """Of each run what its record will say of it, and the commit where one is written out.

    Of a run that is to be tuned the recipe is what was chosen in the folder ``root``; before that nothing is recorded of it.
    """
    names = functools.cache(recorded_name)
    # Thousands of runs are of a few tasks and recipes, which are hashed once.
    hashes: dict[int, tuple[Task | Recipe, str]] = {}

    def hash_of(spec: Task | Recipe) -> str:
        if id(spec) not in hashes:
            hashes[id(spec)] = (spec, spec.hash)
        return hashes[id(spec)][1]

    for run in runs:
        given = run.checkpoint
        commit = given[-40:] if given and _PINNED.fullmatch(given) else None
        named = names(given) if given else None
        recipe = hash_of(run.recipe)
        if run.tuning is not None:
            recipe = (chosen_recipe(root, run) if root else None) or f"{recipe} tuned {run.tuning.trials}"
        yield (named, hash_of(run.task), recipe, run.seed, run.subset, run.fraction), commit, run


_PINNED = re.compile(r".*@[0-9a-f]{40}")


def _is_of(one: _Recorded, commit: str | None) -> bool:
    return commit is None or (one.identity.checkpoint is not None and one.identity.checkpoint.commit == commit)


def _changed(folder: Path) -> float:
    try:
        return (folder / RECORD).stat().st_mtime
    except OSError:
        return 0.0


def _waiting(named: str | None, run: PlannedRun) -> RunState:
    return RunState(run.task.name, named, run.procedure, run.seed, "waiting")


def _state(run: PlannedRun | None, one: _Recorded, now: float) -> RunState:
    """Of a run that has a record."""
    identity, folder = one.identity, one.folder
    named = identity.checkpoint.name if identity.checkpoint else None
    done = run.procedure if run else procedure(identity.recipe.name, identity.fraction)
    shared: dict[str, Any] = {"folder": folder}
    if one.status == "complete":
        return RunState(identity.task.name, named, done, identity.seed, "done", **shared)
    who = held(folder, now)
    state: State = "failed" if one.status == "failed" else "stopped"
    if who is not None and not who.lost:
        state = "running"
        shared |= {"who": who, "epoch": last_epoch(folder), "epochs": run.recipe.epochs if run else None}
    else:
        shared |= {"who": who, "why": _why(folder, one.status, who)}
    return RunState(identity.task.name, named, done, identity.seed, state, **shared)


def _why(folder: Path, status: str, who: Held | None) -> str:
    """Why a run is neither done nor under way."""
    with contextlib.suppress(UserError, OSError):
        record = open_run(folder).record
        if record.status == "complete":
            return "it is complete by now"
        if record.failure is not None:
            return record.failure.message
        if status == "interrupted":
            return f"stopped by its user, {_when(record)}"
        where = f" ({who.holder})" if who and who.holder else ""
        return f"its process was killed{where}" if who is None or who.gone else f"its process is silent{where}"
    return "its record cannot be read"


def _when(record: RunRecord) -> str:
    ended: datetime = record.finished or record.started
    return f"{ended.astimezone():%Y-%m-%d %H:%M}"


def _with_begun(states: Sequence[RunState], bare: Sequence[Path], now: float) -> list[RunState]:
    """Runs that wait, of which a process holds the folder already and has written no record yet."""
    claimed = [(folder, who) for folder in bare if (who := held(folder, now)) is not None and not who.lost]
    if not claimed:
        return list(states)
    waiting = {_begins(run): place for place, run in enumerate(states) if run.state == "waiting"}
    changed = list(states)
    for folder, who in claimed:
        if (place := waiting.get(folder.name[:-12])) is not None:
            changed[place] = replace(states[place], state="running", folder=folder, who=who)
    return changed


def _begins(run: RunState) -> str:
    """The name of a run's folder up to its id."""
    recipe = run.procedure.partition(" ")[0]
    return folder_of(run.checkpoint or "baseline", run.task, recipe, f"s{run.seed}", "0" * 12)[:-12]


@reads("end of a training log", refuses=())
def last_epoch(folder: Path) -> int | None:
    """The epoch of the last whole line of a run's log; None where there is none."""
    try:
        with (folder / TRAINING_LOG).open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - _TAIL))
            lines = stream.read(_TAIL).splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        with contextlib.suppress(ValueError, RecursionError, AttributeError):
            epoch = json_values(line).get("epoch")
            if isinstance(epoch, int) and 0 <= epoch < 10**9:
                return epoch
    return None


def _jobs(plans: Sequence[KeptPlan]) -> tuple[dict[str, dict[str, int]], list[str]]:
    """What the engines say of their jobs, and a line for each that cannot be asked."""
    found, problems = {}, []
    for plan in plans:
        if not plan.jobs:
            continue
        try:
            states: dict[str, str] = importlib.import_module(_ENGINES).states(plan)
            found[plan.id] = dict(Counter(visible(str(state)) for state in states.values()))
        except (ImportError, AttributeError):
            continue
        except Exception as error:
            problems.append(f"{plan.engine}: {' '.join(str(error).split()) or type(error).__name__}")
    return found, problems
