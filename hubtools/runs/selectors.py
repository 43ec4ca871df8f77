"""Some of the runs of a folder, as people write them: ``runs:recipe=lora,checkpoint=*8M*``.

A selector stands behind the last thing that names a place and has patterns as a shell has them (``*``, ``?``, ``[12]``),
in any case of letters. A colon that no ``key=`` follows belongs to the path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from hubtools.runs.arms import Arm, Found
from hubtools.specs.errors import UserError
from hubtools.specs.record import RunRecord

_SELECTOR = re.compile(r":(?=[A-Za-z_.]+=)")
# What is said of a run; beside these, any field of its recipe.
KEYS = ("task", "checkpoint", "recipe", "seed", "fraction", "subset", "precision", "protocol", "run")


@dataclass(frozen=True)
class Selector:
    """Patterns that a run must all fit.

    Attributes:
        patterns: key -> pattern.
    """

    patterns: Mapping[str, str]

    def fits(self, record: RunRecord) -> bool:
        """Whether a run is meant."""
        return all(
            any(fnmatchcase(value.lower(), pattern.lower()) for value in said(record, key))
            for key, pattern in self.patterns.items()
        )

    def check(self, found: Sequence[Found], where: str) -> None:
        """Refuse a key that means nothing for any of these runs.

        Raises:
            UserError: a key is neither of KEYS nor a field of a recipe.
        """
        for key in self.patterns:
            if key not in KEYS and not any(said(record, key) for _, record in found):
                raise UserError(
                    f"nothing is called {key} in a selector",
                    where=where,
                    fix=f"There are {', '.join(KEYS)}, and the fields of a recipe, such as learning_rate.",
                )


def parse(where: str) -> tuple[str, Selector]:
    """What a user names -> the place, and which of its runs.

    Args:
        where: ``PLACE`` or ``PLACE:key=pattern,key=pattern``.

    Raises:
        UserError: a part of the selector is no ``key=pattern``, or a key is there twice.
    """
    split = None if Path(where).exists() else _SELECTOR.search(where)
    if split is None:
        return where, Selector({})
    place, written = where[: split.start()], where[split.end() :]
    patterns: dict[str, str] = {}
    for part in written.split(","):
        key, equals, pattern = (piece.strip() for piece in part.partition("="))
        if not (key and equals and pattern):
            raise UserError(
                f"{part!r} is not key=pattern", where=where, fix="Write, for example, runs:recipe=lora,checkpoint=*8M*."
            )
        if key in patterns:
            raise UserError(
                f"{key} is there twice", where=where, fix=f"Write one pattern, for example {key}=*, or {key}=[12]."
            )
        patterns[key] = pattern
    return place, Selector(patterns)


def said(record: RunRecord, key: str) -> list[str]:
    """What a run says of a key, in each way that a user may write it; nothing where it says nothing."""
    identity = record.identity
    checkpoint = identity.checkpoint
    if key == "checkpoint":
        names = [] if checkpoint is None else [checkpoint.name, checkpoint.name.rpartition("/")[2]]
        commit = checkpoint and (checkpoint.commit or checkpoint.sha256)
        return [*names, *(f"{name}@{commit}" for name in names if commit)]
    known = {
        "task": identity.task.name,
        "recipe": identity.recipe.name,
        "seed": str(identity.seed),
        "fraction": _written(identity.fraction or 1.0),
        "subset": "all" if identity.subset is None else str(identity.subset),
        # That was used, not what the recipe leaves to the device.
        "precision": record.precision or "none",
        "protocol": str(identity.protocol),
        "run": record.run_id,
    }
    if key in known:
        return [known[key]]
    if checkpoint is None and key not in {"adaptation", "baseline"}:
        # The recipe of a baseline has the fields of all recipes, and they mean nothing.
        return []
    value: Any = record.recipe
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return []
        value = value[part]
    return [] if isinstance(value, Mapping) else [_written(value)]


def suggested(place: str, arm: Arm, among: Sequence[Arm]) -> str:
    """What to write for one arm of a place: the shortest selector that no other arm of its fits.

    Args:
        place: what the user named.
        arm: the arm.
        among: the arms of the place.
    """
    base, already = parse(place)
    record = arm.record
    changed = {key for one in among for key in one.record.overrides}
    keys = ["recipe", "checkpoint", "task", "fraction", "subset", *sorted(changed), "precision", "protocol"]
    patterns: dict[str, str] = dict(already.patterns)
    others = [other.record for other in among if other is not arm]
    for key in keys:
        if not others:
            break
        values = said(record, key)
        if not values:
            continue
        # The name behind the slash is what people call a checkpoint.
        value = values[1] if key == "checkpoint" else values[0]
        apart = Selector({key: value})
        if any(not apart.fits(other) for other in others):
            patterns[key] = value
            others = [other for other in others if apart.fits(other)]
    if others or not patterns:
        patterns["run"] = record.run_id
    return f"{base}:{','.join(f'{key}={pattern}' for key, pattern in patterns.items())}"


def _written(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
