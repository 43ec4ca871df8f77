"""What a job says of its runs or proteins, as lines of JSON between two processes of bench: the one that does it and the one that shows it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from hubtools.common.bounds import json_values
from hubtools.common.errors import UserError

Kind = Literal["begins", "elsewhere", "ended", "not begun", "lost", "again", "refused", "said", "done"]


@dataclass(frozen=True)
class Mistake:
    """A :class:`UserError` in its parts."""

    what: str
    where: str | None = None
    fix: str | None = None

    @classmethod
    def of(cls, error: UserError) -> Mistake:
        """That of an error."""
        return cls(error.what, error.where, error.fix)

    def error(self) -> UserError:
        """The error again."""
        return UserError(self.what, where=self.where, fix=self.fix)


@dataclass(frozen=True)
class JobEvent:
    """Something that happened to a run of a job, or to a protein that it folds, or to the job.

    Attributes:
        kind: ``begins``, ``elsewhere`` (another process is at it), ``ended``, ``not begun`` (it could not be), ``lost`` (the
            process that was at it is gone, and it is not done again), ``again`` (it failed, or its process is gone, and it comes again): of a run;
            ``refused`` (no run can be done at all), ``said`` (a line for the user), ``done`` (no run is left): of a job.
        number: of the run in the plan, or of the protein, from 0; -1 of a job.
        folder: of the run.
        waiting: of one that another process is at: it is waited for now.
        was_done, done_elsewhere: of one that ended, as of an outcome.
        mistake: why it failed or could not be begun, where that is the user's to know.
        problems: lines about what went wrong beside, with its card, say.
        text: of ``said``; of one that ended, why its first try failed, where there were two.
    """

    kind: Kind
    number: int = -1
    folder: str | None = None
    waiting: bool = False
    was_done: bool = False
    done_elsewhere: bool = False
    mistake: Mistake | None = None
    problems: tuple[str, ...] = ()
    text: str = ""

    def line(self) -> str:
        """As JSON, with a line's end."""
        said = {name: value for name, value in asdict(self).items() if value != _USUAL.get(name)}
        return json.dumps(said, ensure_ascii=True) + "\n"


_FIELDS = frozenset(field.name for field in fields(JobEvent))
_USUAL = {field.name: field.default for field in fields(JobEvent)}


def event_of(line: str | bytes) -> JobEvent | None:
    """The event of a line that a process of bench wrote; None of any other line."""
    try:
        said: Any = json_values(line)
        known = {name: value for name, value in said.items() if name in _FIELDS}
        mistake = Mistake(**known["mistake"]) if known.get("mistake") else None
        return JobEvent(**{**known, "mistake": mistake, "problems": tuple(known.get("problems", ()))})
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return None


def spans(numbers: Iterable[int]) -> str:
    """Numbers as an argument: ``0-3,7``, in their order."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)
