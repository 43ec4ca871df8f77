"""What became of each step, kept after each."""

from __future__ import annotations

import json
import platform
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import hubtools
from hubtools.common.errors import UserError
from hubtools.common.files import write_atomic
from hubtools.common.secrets import scrub, scrubbed

State = Literal["passed", "cannot tell", "failed", "not run"]


@dataclass(frozen=True)
class Outcome:
    """What a step found: one line, and what a program may want to know."""

    line: str
    state: State = "passed"
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """A step that was done."""

    step: str
    state: State
    line: str
    seconds: float
    when: str
    facts: Mapping[str, Any]


class Journal:
    """What became of each step, written after each; and which repositories are ours to delete.

    Args:
        folder: where it is kept; what is there is gone on with.
        where: the servers that are asked: a journal of others is refused.
    """

    def __init__(self, folder: Path, where: Mapping[str, str]) -> None:
        self.path = folder / "network.json"
        self.about: dict[str, Any] = {"bench": hubtools.__version__, **where, "machine": platform.platform()}
        self.steps: dict[str, Step] = {}
        self.made: list[tuple[str, str]] = []
        if self.path.is_file():
            self._read()

    def _read(self) -> None:
        try:
            kept = json.loads(self.path.read_text(encoding="utf-8"))
            self.steps = {one["step"]: Step(**one) for one in kept["steps"]}
            self.made = [(kind, repo) for kind, repo in kept["made"]]
        except (ValueError, KeyError, TypeError):
            raise UserError("it is damaged", where=str(self.path), fix="Remove it, or name another --folder.") from None
        for key, value in self.about.items():
            if key != "machine" and kept["about"].get(key) != value:
                what = f"it was made with {key} {kept['about'].get(key)}, and here is {value}"
                raise UserError(what, where=str(self.path), fix="Name another --folder.")

    def write(self) -> None:
        """Everything, to the disk."""
        values = {
            "about": self.about,
            "made": self.made,
            "counted": self.counted,
            "steps": [asdict(one) for one in self.steps.values()],
        }
        write_atomic(self.path, json.dumps(scrubbed(json.loads(json.dumps(values))), indent=1) + "\n")

    @property
    def counted(self) -> dict[str, int]:
        """How many steps ended in which state."""
        states = [one.state for one in self.steps.values()]
        return {state: states.count(state) for state in dict.fromkeys(states)}

    @property
    def exit_code(self) -> int:
        """1 where something failed, 3 where something cannot be told, else 0."""
        return 1 if self.counted.get("failed") else 3 if self.counted.get("cannot tell") else 0

    def kept(self, name: str) -> bool:
        """Whether a step need not be done again."""
        return name in self.steps and self.steps[name].state in {"passed", "cannot tell"}

    def do(self, name: str, work: Callable[[], Outcome], *, again: bool = False) -> bool:
        """Do a step, unless it passed before; whether it passed. Whatever is wrong with it is its line."""
        if self.kept(name) and not again:
            return True
        print(f"{name} …", file=sys.stderr, flush=True)
        begun = time.perf_counter()
        try:
            outcome = work()
        except UserError as error:
            outcome = Outcome(str(error), "failed")
        except Exception as error:  # A mistake of bench's own: which one, and where.
            at = traceback.extract_tb(error.__traceback__)[-1]
            first = (str(error).strip() or "no words").splitlines()[0]
            outcome = Outcome(f"{type(error).__name__}: {first} ({Path(at.filename).name}:{at.lineno})", "failed")
        took = round(time.perf_counter() - begun, 1)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.steps[name] = Step(name, outcome.state, scrub(outcome.line), took, now, outcome.facts)
        self.write()
        print(f"  {outcome.state} in {took:g} s: {scrub(outcome.line)}", file=sys.stderr, flush=True)
        return outcome.state == "passed"
