"""What two arms differ in beside their scores: the reader of a verdict wants its cause."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hubtools.findings.arms import Arm
from hubtools.specs.record import CheckpointIdentity, RunRecord

NOTHING = "–"
# Fields of a recipe that change no number.
_PROSE = {"title", "summary"}


@dataclass(frozen=True)
class Change:
    """One thing that is not the same on both sides.

    Attributes:
        what: its name.
        before, after: as people write it; ``–`` where it is not there.
    """

    what: str
    before: str
    after: str


def changes(baseline: Arm, candidate: Arm) -> list[Change]:
    """What differs between two arms: weights, recipe, seeds, protocol, code, packages and machine, in this order."""
    before, after = _facts(baseline), _facts(candidate)
    names = [*before, *(name for name in after if name not in before)]
    pairs = [(name, before.get(name, NOTHING), after.get(name, NOTHING)) for name in names]
    return [Change(*pair) for pair in pairs if pair[1] != pair[2]]


def _facts(arm: Arm) -> dict[str, str]:
    record = arm.record
    identity, made = record.identity, record.environment
    facts: dict[str, Any] = {"checkpoint": _checkpoint(identity.checkpoint)}
    # A record from before a field was there had its default.
    recipe = record.recipe_spec.model_dump(mode="json")
    facts |= {f"recipe: {key}": value for key, value in _flat(recipe).items() if key not in _PROSE}
    facts |= {
        "seeds": ", ".join(map(str, arm.seeds)),
        "protocol": identity.protocol,
        "bench": made.bench,
        "git commit": _commit(record),
        "python": made.python,
    }
    facts |= {f"package: {name}": version for name, version in made.packages.items()}
    facts |= {
        "platform": made.platform,
        "device": f"{made.device_name} ({made.device})",
        "cores": made.cpu_count,
        "threads": made.threads,
        "processes": made.processes,
        "precision": made.precision,
        "attention": made.attention,
        "layout": made.layout,
        "compiled": made.compiled,
        "token budget": made.token_budget,
        "gradient checkpointing": made.gradient_checkpointing,
        "sharded": made.sharded,
    }
    return {name: _written(value) for name, value in facts.items()}


def _checkpoint(identity: CheckpointIdentity | None) -> str | None:
    if identity is None:
        return None
    which = identity.commit[:12] if identity.commit else f"sha256:{(identity.sha256 or '')[:12]}"
    return f"{identity.name}@{which}"


def _commit(record: RunRecord) -> str | None:
    made = record.environment
    return made.git_commit and made.git_commit[:12] + (" with changes" if made.git_dirty else "")


def _flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested keys as one writes them for ``--set``: head.dropout."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{above}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat


def _written(value: Any) -> str:
    if value is None:
        return NOTHING
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
