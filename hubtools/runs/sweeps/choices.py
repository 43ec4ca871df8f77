"""What was chosen for runs that are to be tuned: a line beside the trials, by what a plan knows before anything is loaded.

Whoever looks at a plan finds such runs by it, without doing a search.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from hubtools.common.bounds import LARGEST_JSON, read_bounded
from hubtools.common.errors import UserError
from hubtools.common.files import clear, make_folder, write_atomic
from hubtools.common.hashing import digest
from hubtools.common.inside import inside
from hubtools.common.readers import reads
from hubtools.models.checkpoint import recorded_name
from hubtools.runs.plan import PlannedRun
from hubtools.specs.recipe import Recipe
from hubtools.specs.record import Identity

SWEEPS, CHOSEN = "sweeps", ".chosen"


class KeptChoice(BaseModel):
    """What a search ended with, as it is kept: the hash of the recipe that was chosen."""

    model_config = ConfigDict(extra="forbid")

    recipe_hash: str


def keep_choice(root: Path, run: PlannedRun, recipe: Recipe) -> None:
    """Keep what was chosen for a run that was to be tuned.

    Raises:
        UserError, OSError: it cannot be written.
    """
    if chosen_recipe(root, run) == recipe.hash:
        return
    place = _place(root, run)
    make_folder(place.parent)
    if place.is_dir():
        clear(place)
    write_atomic(place, KeptChoice(recipe_hash=recipe.hash).model_dump_json() + "\n")


@reads("choice of a tuned recipe", refuses=())
def chosen_recipe(root: Path, run: PlannedRun) -> str | None:
    """The hash of the recipe that was chosen for a run; None where nothing was chosen yet, or the line cannot be read.

    Args:
        root: folder of runs.
        run: that is to be tuned.
    """
    try:
        return KeptChoice.model_validate_json(read_bounded(_place(root, run), LARGEST_JSON)).recipe_hash
    except (OSError, UserError, ValidationError, ValueError):
        return None


def chosen_identity(root: Path, run: PlannedRun, identity: Identity) -> Identity | None:
    """What a run's record says of itself: of one that is to be tuned with the recipe that was chosen; None where nothing was yet."""
    if run.tuning is None:
        return identity
    if (chosen := chosen_recipe(root, run)) is None:
        return None
    return identity.model_copy(update={"recipe": identity.recipe.model_copy(update={"hash": chosen})})


def _place(root: Path, run: PlannedRun) -> Path:
    """Of the line: named by what the plan says, but for the seed."""
    named = recorded_name(run.checkpoint) if run.checkpoint else None
    tuning = run.tuning.model_dump(mode="json") if run.tuning else None
    key = digest([named, run.task.hash, run.recipe.hash, run.subset, run.fraction, tuning])[:16]
    return inside(root / SWEEPS / CHOSEN, f"{key}.json")
