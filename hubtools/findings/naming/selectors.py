"""Some of the runs of a folder, as people write them: ``runs:recipe=lora,checkpoint=*8M*``.

A selector stands behind the last thing that names a place and has patterns as a shell has them (``*``, ``?``, ``[12]``),
several with ``|`` between them, in any case of letters. A colon that no ``key=`` follows belongs to the path. Options such
as ``--task`` are selectors too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from hubtools.common.errors import UserError
from hubtools.common.files import is_there
from hubtools.common.readers import reads
from hubtools.models.checkpoint import EMBEDDED, EMBEDDED_NAME
from hubtools.specs.record import RunRecord

_SELECTOR = re.compile(r":(?=[A-Za-z_.]+=)")
# What is said of a run; beside these, any field of its recipe.
KEYS = ("task", "checkpoint", "recipe", "seed", "fraction", "subset", "precision", "protocol", "run")


@dataclass(frozen=True)
class Selector:
    """Patterns that a run must all fit.

    Attributes:
        patterns: key -> pattern, or several of which one must fit, with ``|`` between them.
    """

    patterns: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, **names: Sequence[str]) -> Selector:
        """From the values of options that may be repeated; without any, an option says nothing."""
        return cls({key: "|".join(values) for key, values in names.items() if values})

    def fits(self, record: RunRecord) -> bool:
        """Whether a run is meant."""
        return all(
            any(_is(value, pattern) for value in said(record, key) for pattern in self.alternatives(key))
            for key in self.patterns
        )

    def alternatives(self, key: str) -> list[str]:
        """The patterns of a key."""
        return [part.strip() for part in self.patterns.get(key, "").split("|") if part.strip()]

    def unmet(self, key: str, records: Iterable[RunRecord]) -> list[str]:
        """The patterns of a key that none of these runs fits."""
        values = {value for record in records for value in said(record, key)}
        return [one for one in self.alternatives(key) if not any(_is(value, one) for value in values)]

    def check(self, records: Sequence[RunRecord], where: str) -> None:
        """Refuse a key that means nothing for any of these runs.

        Raises:
            UserError: a key is neither of KEYS nor a field of a recipe.
        """
        for key in self.patterns:
            if key not in KEYS and not any(said(record, key) for record in records):
                raise UserError(
                    f"nothing is called {key} in a selector",
                    where=where,
                    fix=f"There are {', '.join(KEYS)}, and the fields of a recipe, such as learning_rate.",
                )


EVERYTHING = Selector()


@reads("selector of runs")
def parse(where: str) -> tuple[str, Selector]:
    """What a user names -> the place, and which of its runs.

    Args:
        where: ``PLACE`` or ``PLACE:key=pattern,key=pattern``.

    Raises:
        UserError: a part of the selector is no ``key=pattern``, or a key is there twice.
    """
    split = None if is_there(where) else _SELECTOR.search(where)
    if split is None:
        return where, EVERYTHING
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
                f"{key} is there twice", where=where, fix=f"Write {key}=FIRST|SECOND, or one pattern, such as {key}=*."
            )
        patterns[key] = pattern
    return place, Selector(patterns)


def said(record: RunRecord, key: str) -> list[str]:
    """What a run says of a key, in each way that a user may write it; nothing where it says nothing."""
    identity = record.identity
    checkpoint = identity.checkpoint
    if key == "checkpoint":
        names = [] if checkpoint is None else [checkpoint.name, checkpoint.name.rpartition("/")[2]]
        # As it is called where runs are asked for.
        names += [EMBEDDED] if EMBEDDED_NAME in names else []
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


def suggested(place: str, record: RunRecord, among: Sequence[RunRecord], *, by_seed: bool = False) -> str:
    """What to write for one of the runs of a place: the shortest selector that no other of them fits.

    Args:
        place: what the user named.
        record: the run; of an arm the first.
        among: the runs of the place; of arms the first of each.
        by_seed: whether seeds tell them apart, as they do not tell arms.
    """
    base, already = parse(place)
    changed = {key for one in among for key in one.overrides}
    keys = ["recipe", "checkpoint", "task", "fraction", "subset", *(["seed"] if by_seed else [])]
    patterns: dict[str, str] = dict(already.patterns)
    others = [other for other in among if other is not record]
    for key in [*keys, *sorted(changed), "precision", "protocol"]:
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


def _is(value: str, pattern: str) -> bool:
    """Whether a value fits a pattern, or is it: names may hold what means something in a pattern."""
    return value == pattern or fnmatchcase(value.lower(), pattern.lower())


def _written(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
