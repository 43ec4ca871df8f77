"""The runs that a user names: a folder of runs, one run, a frozen baseline, a repository on the Hub, or some runs of these.

Every command that reads runs asks here, so a name means the same in all of them.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from hubtools.common.errors import UserError
from hubtools.common.files import is_file
from hubtools.findings.arms import Arm, arms_of, without_copies
from hubtools.findings.naming.selectors import parse, suggested
from hubtools.runs.store import RECORD, OpenRun, find_records
from hubtools.specs.baseline_file import BASELINE_FILE
from hubtools.specs.references import RESULT_RECORDS, is_address, read_address

# More arms or runs than this are counted, not listed.
_LISTED = 8


class Needs(IntEnum):
    """What a command reads of a run; each includes those before it."""

    RECORD = 0
    PREDICTIONS = 1
    FOLDER = 2


@dataclass(frozen=True)
class Named:
    """What was found under names.

    Attributes:
        found: folders and records.
        notes: a line for each address that was resolved, and whatever else is to be said.
        left_out: a line for each record that could not be read.
    """

    found: list[OpenRun] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def runs_named(names: Sequence[str | Path], needs: Needs = Needs.RECORD) -> Named:
    """The runs that a user names, each once; nothing where folders are empty.

    Args:
        names: each a folder of runs, a run's folder or its ``run.json``, a baseline's folder, or
            ``hub://user/repo[@revision][/folder]``; behind any of them ``:key=pattern,...`` (:mod:`hubtools.findings.naming.selectors`).
        needs: what is read of them: results on the Hub have records alone, and nothing is written into what is on the Hub.

    Raises:
        UserError: nothing is there; no run fits a selector; a baseline was altered; the Hub does not give it.
    """
    everything = Named()
    seen: set[Path] = set()
    for name in map(str, names):
        here, chosen = _looked_up(name, needs)
        if here.found and not chosen:
            raise UserError("no run fits it", where=name, fix=f"There are: {_shown(map(title, here.found))}.")
        everything.found.extend(pair for pair in chosen if pair[0] not in seen)
        seen.update(folder for folder, _ in chosen)
        everything.notes.extend(here.notes)
        everything.left_out.extend(here.left_out)
    return everything


def run_named(name: str | Path, needs: Needs = Needs.RECORD) -> tuple[OpenRun, Named]:
    """The one run that a user names, whatever became of it.

    Args:
        name, needs: as for :func:`runs_named`.

    Raises:
        UserError: as there; or no run is named, or several: the message says what names one of them.
    """
    named = runs_named([name], needs)
    found = without_copies(named.found)[0]
    if len(found) == 1:
        return found[0], named
    if not found:
        raise no_run([name], named)
    records = [record for _, record in found]
    # A run that did not finish is hardly meant.
    meant = next((record for record in records if record.status == "complete"), records[0])
    one = shlex.quote(suggested(str(name), meant, records, by_seed=True))
    raise UserError(
        f"{len(found)} runs are named, and one is wanted: {_shown(map(title, found), 3)}",
        where=str(name),
        fix=f"Name one, for example {one}.",
    )


def no_run(names: Sequence[str | Path], named: Named) -> UserError:
    """What is wrong where names lead to no run: that the first record cannot be read, or that there is none."""
    if named.left_out:
        return UserError(named.left_out[0])
    where = ", ".join(parse(str(name))[0] for name in names)
    return UserError("there is no run record", where=where, fix="Name a folder that bench run made.")


def arms_at(where: str, split: str = "test") -> tuple[list[Arm], Named]:
    """The arms that a user names for a comparison, and what there is to say about them.

    Args:
        where: as for :func:`runs_named`.
        split: the test split that they must have been scored on.

    Raises:
        UserError: as for :func:`runs_named`; or there is no complete run that was scored on the split.
    """
    here, chosen = _looked_up(where, Needs.PREDICTIONS)
    arms = arms_of(chosen, split)
    if not arms:
        raise _nothing(here.found, where, split)
    # A seed that failed must not be missed without a word.
    unfinished = [f"{run.name} is {record.status}" for run, record in chosen if record.status != "complete"]
    return arms, Named(chosen, here.notes + unfinished, here.left_out)


def listed(arms: Sequence[Arm]) -> str:
    """What is there, for people: the name of each arm, after its task where there are several."""
    tasks = {arm.record.identity.task.name for arm in arms}
    return _shown(_called(arm) if len(tasks) > 1 else f"{arm.name}{_share(arm)}" for arm in arms)


def title(found: OpenRun) -> str:
    """What a run is called among others."""
    return f"{_called(Arm((found,)))}, seed {found[1].identity.seed}"


def _called(arm: Arm) -> str:
    return f"{arm.record.identity.task.name}: {arm.name}{_share(arm)}"


def _share(arm: Arm) -> str:
    """Of the training data, where it is not all."""
    fraction = arm.record.identity.fraction
    return "" if fraction is None else f", {100 * fraction:g} % of train"


def _looked_up(name: str, needs: Needs) -> tuple[Named, list[OpenRun]]:
    """What is at the place that a name begins with, and what of it the selector behind it fits."""
    place, selector = parse(name)
    here = _hub(place, needs) if is_address(place) else _local(Path(place), needs)
    selector.check([record for _, record in here.found], name)
    return here, [pair for pair in here.found if selector.fits(pair[1])]


def _local(path: Path, needs: Needs) -> Named:
    """The runs of this machine."""
    folder = path.parent if path.name in {RECORD, BASELINE_FILE} and is_file(path) else path
    if is_file(folder / BASELINE_FILE):
        from hubtools.findings.frozen_baseline import open_baseline

        open_baseline(folder).verify()
    if is_file(folder / RESULT_RECORDS):
        return _results(folder, str(folder), needs)
    found, problems = find_records([folder])
    return Named(found, [], problems)


def _hub(address: str, needs: Needs) -> Named:
    """The runs of a repository."""
    from hubtools.findings.naming.hub_runs import fetch_runs

    if needs is Needs.FOLDER:
        asked = read_address(address, "runs", "folder")
        raise UserError(
            "it is on the Hub, and a folder of this machine is wanted",
            where=address,
            fix=f"Download it first: hf download {asked.repo} --local-dir DIR",
        )
    fetched = fetch_runs(address)
    notes = [f"{address} is {fetched.reference}"] if address != fetched.reference else []
    here = _results(fetched.folder, address, needs) if fetched.holds == "results" else _local(fetched.folder, needs)
    return Named(here.found, notes, here.left_out)


def _results(folder: Path, name: str, needs: Needs) -> Named:
    """The runs of a results repository, or of a folder that was written as one.

    Raises:
        UserError: more than records is wanted.
    """
    from hubtools.findings.naming.hub_runs import read_results

    if needs > Needs.RECORD:
        raise UserError(
            "it has results alone, and predictions are wanted",
            where=name,
            fix="Name a published model, a frozen baseline or a folder of runs.",
        )
    found, problems = read_results(folder, name)
    return Named(found, [], problems)


def _shown(names: Iterable[str], limit: int = _LISTED) -> str:
    every = list(names)
    more = f" and {len(every) - limit} more" if len(every) > limit else ""
    return "; ".join(every[:limit]) + more


def _nothing(found: Sequence[OpenRun], where: str, split: str) -> UserError:
    """Why no arm is left, and what there is."""
    complete = [pair for pair in found if pair[1].status == "complete"]
    there = arms_of(complete, split)
    if there:
        return UserError(
            f"no complete run with results on {split} fits it", where=where, fix=f"There are: {listed(there)}."
        )
    if complete:
        splits = sorted({name for _, record in complete for name in record.test_splits})
        return UserError(
            f"no run has results on a split {split}", where=where, fix=f"There are results on {', '.join(splits)}."
        )
    unfinished = f" ({len(found):,} did not finish)" if found else ""
    return UserError(f"there is no complete run{unfinished}", where=where, fix="Name a folder of runs, such as runs.")
