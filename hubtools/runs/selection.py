"""The runs that a user names for a comparison: a folder of runs, one run, a frozen baseline, a repository on the Hub."""

from __future__ import annotations

from hubtools.runs.arms import Arm, arms_of
from hubtools.runs.fetched import runs_folder
from hubtools.runs.store import find_records
from hubtools.specs.errors import UserError


def arms_at(where: str, split: str = "test") -> tuple[list[Arm], list[str]]:
    """The arms that a user names, and a line for each record that could not be read and each address that was resolved.

    Args:
        where: a folder of runs, a run's folder or its ``run.json``, a baseline's folder, or
            ``hub://user/repo[@revision][/folder]``.
        split: the test split that they must have been scored on.

    Raises:
        UserError: nothing is there, or no complete run that was scored on the split; a baseline was altered; the Hub
            does not give it.
    """
    folder, notes = runs_folder(where)
    found, problems = find_records([folder])
    arms = arms_of(found, split)
    if not arms:
        raise UserError(f"there is no complete run with results on {split}", where=where, fix="Name a folder of runs.")
    return arms, notes + problems
