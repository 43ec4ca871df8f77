"""Frozen baselines: runs put away to be compared with, as small as they get, in a folder that is reviewed like code.

    NAME/baseline.yaml            what is frozen: scores, budgets, checksums; and the owner's margins and tolerances
    NAME/RUN/run.json             the record as others may see it
    NAME/RUN/predictions.parquet  of the test splits

So a baseline is at the same time a folder of runs, and every command that reads one reads it.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hubtools.common.errors import UserError
from hubtools.common.files import is_file, replacing_folder, write_atomic
from hubtools.common.hashing import file_sha256
from hubtools.common.inside import inside, why_not_inside
from hubtools.common.secrets import scrub
from hubtools.evaluation.predictions import read_label_names, read_predictions, write_predictions
from hubtools.evaluation.statistics.cost import typical
from hubtools.evaluation.statistics.difference import Question
from hubtools.evaluation.statistics.power import Power, power_of_runs, power_of_split
from hubtools.evaluation.statistics.resampled import KEPT_REPLICATES
from hubtools.findings.arms import Arm, arms_of
from hubtools.findings.naming.selectors import EVERYTHING, Selector
from hubtools.runs.public_record import public_record
from hubtools.runs.store import PREDICTIONS, RECORD, OpenRun, open_run, run_folder, write_record
from hubtools.specs.baseline_file import (
    BASELINE_FILE,
    BaselineFile,
    Budgets,
    FrozenArm,
    FrozenRun,
    FrozenScore,
    read_baseline_file,
)
from hubtools.specs.names import LONGEST_NAME
from hubtools.specs.record import OutputFile, RunRecord

# Digits of a score that a review looks at; what is compared are the predictions.
DECIMALS = 6
# A repository is cloned by everybody, with everything that was ever in it.
LARGE, TOO_LARGE = 5 * 2**20, 50 * 2**20


@dataclass(frozen=True)
class Baseline:
    """A frozen baseline as it lies in a folder.

    Attributes:
        folder: where it is.
        file: its ``baseline.yaml``.
    """

    folder: Path
    file: BaselineFile

    def found(self, arm: FrozenArm) -> list[OpenRun]:
        """Folders and records of an arm.

        Raises:
            UserError: one of them is not there, or no record.
        """
        return [open_run(inside(self.folder, run.folder)) for run in arm.runs]

    def arm(self, arm: FrozenArm) -> Arm:
        """An arm, to be compared."""
        return Arm(tuple(sorted(self.found(arm), key=lambda pair: pair[1].identity.seed)))

    def altered(self) -> list[str]:
        """What is not as it was frozen: a line each."""
        problems, listed = [], set()
        for arm in self.file.arms:
            for run in arm.runs:
                listed.add(run.folder)
                for name, sha256 in run.files.items():
                    path = inside(inside(self.folder, run.folder), name)
                    if not path.is_file():
                        problems.append(f"{run.folder}/{name} is gone")
                    elif file_sha256(path) != sha256:
                        problems.append(f"{run.folder}/{name} is not what was frozen")
        there = {path.parent.name for path in self.folder.glob(f"*/{RECORD}")}
        return problems + [f"{name}/{RECORD} is not in {BASELINE_FILE}" for name in sorted(there - listed)]

    def verify(self) -> None:
        """Make sure that nothing was altered.

        Raises:
            UserError: something was; the message names the first.
        """
        if problems := self.altered():
            more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
            raise UserError(
                f"{problems[0]}{more}", where=str(self.folder), fix="Put it back (git checkout), or freeze it again."
            )

    @property
    def sha256(self) -> str:
        """Of its ``baseline.yaml``, which has the checksum of every other file."""
        return file_sha256(self.folder / BASELINE_FILE)

    @property
    def bytes(self) -> int:
        """Size of all its files."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def predictions_kept(self) -> tuple[int, int]:
        """How many predictions it holds, and the bytes of their files."""
        rows = stored = 0
        for path in (inside(self.folder, run.folder) / PREDICTIONS for arm in self.file.arms for run in arm.runs):
            # What cannot be read has a checksum that tells.
            with contextlib.suppress(UserError, OSError):
                stored += path.stat().st_size
                rows += sum(len(split) for split in read_predictions(path).values())
        return rows, stored

    def powers(self) -> Iterator[FrozenPower]:
        """What checks against each arm could show; nothing where they look at predictions, and at no margin."""
        if self.file.prediction_tolerance is not None:
            return
        for frozen in self.file.arms:
            arm = self.arm(frozen)
            for split in frozen.scores:
                of_weights = power_of_split(arm.task, arm.predictions(split)[0], len(arm.runs), Question.WEIGHTS)
                found = of_weights
                if self.file.question == "recipe" and not arm.nothing_random:
                    found = power_of_runs(arm.resampled(split, replicates=KEPT_REPLICATES))
                if found is not None:
                    other = None if found is of_weights else of_weights
                    yield FrozenPower(frozen, split, found, self.file.margin(arm.task), other)


@dataclass(frozen=True)
class FrozenPower:
    """What a check against an arm could show.

    Attributes:
        arm, split: of which.
        power: of the question that the baseline asks.
        margin: that counts as a loss.
        of_weights: where seeds count, what these very weights could show.
    """

    arm: FrozenArm
    split: str
    power: Power
    margin: float
    of_weights: Power | None


def is_baseline(folder: Path) -> bool:
    """Whether a folder is a frozen baseline."""
    return is_file(folder / BASELINE_FILE)


def open_baseline(folder: Path) -> Baseline:
    """The baseline in a folder.

    Raises:
        UserError: there is none, or its file is wrong.
    """
    if not is_baseline(folder):
        raise UserError(f"there is no {BASELINE_FILE}", where=str(folder), fix="Make one: bench baseline create NAME.")
    return Baseline(folder, read_baseline_file(folder))


def arms_to_freeze(
    found: Sequence[OpenRun],
    wanted: Selector = EVERYTHING,
    places: Collection[tuple[Any, ...]] | None = None,
    where: str | None = None,
) -> list[Arm]:
    """The arms of runs that are to be frozen.

    Args:
        found: the runs.
        wanted: which of them; each of its tasks must be there.
        places: of a baseline's arms, where only runs that could take their places are meant.
        where: what the user named, for messages.

    Raises:
        UserError: a run is not complete; a task or a name has no run.
    """
    chosen = [run for run in found if wanted.fits(run[1]) and (places is None or place_of(run[1]) in places)]
    if not chosen:
        raise UserError("there is no such run", where=where, fix="bench board shows what is there.")
    if stopped := [run for run in chosen if run[1].status != "complete"]:
        folder, record = stopped[0]
        count = f"{len(stopped)} of {len(chosen)} runs are not complete, the first is {record.status}"
        raise UserError(count, where=str(folder), fix=f"Finish it first: {record.command}")
    if missing := wanted.unmet("task", [record for _, record in chosen]):
        raise UserError(f"there is no run of the task {min(missing)}", where=where, fix="Run it first.")
    splits = dict.fromkeys(split for _, record in chosen for split in record.test_splits)
    arms = {arm.runs[0][1].run_id: arm for split in splits for arm in arms_of(chosen, split)}
    return list(arms.values())


def new_baseline(name: str, question: str, arms: Sequence[Arm], prediction_tolerance: float | None) -> BaselineFile:
    """The file of a baseline that is about to be frozen; checksums come with :func:`freeze`.

    Raises:
        UserError: the name is not one.
    """
    if not re.fullmatch("[a-z0-9][a-z0-9-]*", name) or len(name) > LONGEST_NAME or why_not_inside(name, 1):
        raise UserError(
            f"{name!r} is not a name for a baseline", fix="Use small letters, digits and hyphens, as in esm2-main."
        )
    values = {"name": name, "question": question, "prediction_tolerance": prediction_tolerance}
    described = sorted((describe(arm) for arm in arms), key=lambda arm: (arm.task, arm.version, arm.title))
    return BaselineFile.model_validate(values | {"arms": described})


def describe(arm: Arm) -> FrozenArm:
    """What is reviewed of an arm: scores, budgets, and its runs, files not yet written."""
    record = arm.record
    identity, splits = record.identity, record.test_splits
    return FrozenArm(
        task=identity.task.name,
        version=identity.task.version,
        metric=record.primary_metric,
        checkpoint=checkpoint_of(record),
        recipe=identity.recipe.name,
        settings=dict(sorted(record.overrides.items())),
        subset=identity.subset,
        fraction=identity.fraction,
        scores={split: _summary(arm, split) for split in splits},
        budgets=measured(arm),
        runs=[
            FrozenRun(
                seed=one.identity.seed,
                folder=folder_name(one),
                scores={split: rounded(score.value) if (score := one.score(split)) else None for split in splits},
                files={},
            )
            for _, one in arm.runs
        ],
    )


def place_of(record: RunRecord) -> tuple[Any, ...]:
    """The place of a run in a baseline; see :attr:`FrozenArm.place`."""
    identity = record.identity
    name = identity.checkpoint.name if identity.checkpoint else None
    settings = tuple(sorted((key, repr(value)) for key, value in record.overrides.items()))
    return identity.task.name, name, identity.recipe.name, settings, identity.subset, identity.fraction


def checkpoint_of(record: RunRecord) -> str | None:
    """``name@commit``, or ``name@sha256:…`` of a folder; None of a trivial baseline."""
    checkpoint = record.identity.checkpoint
    if checkpoint is None:
        return None
    return f"{checkpoint.name}@{checkpoint.commit or f'sha256:{checkpoint.sha256}'}"


def measured(arm: Arm) -> Budgets:
    """What the runs of an arm took, to three digits: medians over those that computed what they read."""
    took = typical([record for _, record in arm.runs])
    memory = _rounded_off(took.peak_memory_bytes)
    return Budgets(
        wall_seconds=_rounded_off(took.wall_seconds),
        tokens_per_second=_rounded_off(took.tokens_per_second),
        peak_memory_bytes=None if memory is None else int(memory),
    )


def _rounded_off(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")


def _summary(arm: Arm, split: str) -> FrozenScore:
    """The score as every command shows it."""
    score = arm.score(split)
    return FrozenScore(mean=rounded(score.value), low=rounded(score.low), high=rounded(score.high))


def rounded(value: float | None) -> float | None:
    """A score as a baseline's file has it."""
    return None if value is None or np.isnan(value) else round(value, DECIMALS)


def folder_name(record: RunRecord) -> str:
    """As ``bench run`` calls it, wherever the run lies now."""
    return run_folder(Path(), record.identity).name


def sources(arms: Sequence[Arm]) -> dict[str, OpenRun]:
    """Name of each run's folder in a baseline -> the run."""
    return {folder_name(found[1]): found for arm in arms for found in arm.runs}


def freeze(target: Path, file: BaselineFile, runs: Mapping[str, OpenRun], *, any_size: bool = False) -> Baseline:
    """Write a baseline, in place of what is there.

    Args:
        target: its folder.
        file: what it holds.
        runs: name of each run's folder -> the run. One that lies in a baseline is copied as it is.
        any_size: also one of more than 50 MB.

    Raises:
        UserError: predictions are missing, something looks like a token, it is too large, the folder cannot be written.
    """
    try:
        with replacing_folder(target, BASELINE_FILE) as staging:
            arms = []
            for arm in file.arms:
                written = [
                    run.model_copy(update={"files": _freeze_run(runs[run.folder], inside(staging, run.folder))})
                    for run in arm.runs
                ]
                arms.append(arm.model_copy(update={"runs": written}))
            frozen = file.model_copy(update={"arms": arms})
            write_atomic(staging / BASELINE_FILE, frozen.text())
            _no_secrets(staging)
            size = Baseline(staging, frozen).bytes
            if size > TOO_LARGE and not any_size:
                raise UserError(
                    f"it would have {size / 1e6:.0f} MB, too much for a repository of code",
                    where=str(target),
                    fix="Narrow it with --task; or freeze it with --any-size and keep it on the Hub: hub://user/repo/NAME.",
                )
    except OSError as error:
        raise UserError(
            f"cannot write it ({error.strerror})", where=str(target), fix="Choose a folder that you may write to."
        ) from None
    return Baseline(target, frozen)


def _freeze_run(source: OpenRun, target: Path) -> dict[str, str]:
    """Write one run; the sha256 of each file."""
    folder, record = source
    target.mkdir()
    if is_baseline(folder.parent):
        for name in (RECORD, PREDICTIONS):
            shutil.copyfile(folder / name, target / name)
    else:
        path, splits = target / PREDICTIONS, source.predictions
        kept = [split for split in record.test_splits if split in splits]
        if not kept:
            raise UserError("there are no predictions of a test split", where=str(folder / PREDICTIONS))
        write_predictions(path, {split: splits[split] for split in kept}, read_label_names(folder / PREDICTIONS))
        public = public_record(record)
        # The folder holds nothing else of what the run wrote.
        public.outputs = [OutputFile(path=PREDICTIONS, bytes=path.stat().st_size, sha256=file_sha256(path))]
        write_record(target, public, indent=1)
    return {name: file_sha256(target / name) for name in (PREDICTIONS, RECORD)}


def _no_secrets(folder: Path) -> None:
    for path in [folder / BASELINE_FILE, *sorted(folder.glob(f"*/{RECORD}"))]:
        text = path.read_text(encoding="utf-8")
        if scrub(text) != text:
            raise UserError(
                "it holds what looks like a token",
                where=path.relative_to(folder).as_posix(),
                fix="Remove it, and revoke it.",
            )
