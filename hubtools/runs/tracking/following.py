"""A tracker is told of runs; what goes wrong with it is one line, and never the run's failure."""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hubtools.common import telling
from hubtools.common.errors import one_line
from hubtools.common.hashing import digest
from hubtools.common.secrets import scrub, scrubbed
from hubtools.runs.public_record import public_record
from hubtools.runs.tracking.trackers import Callback, Track, TrackEvent, callback_of
from hubtools.specs.record import RunRecord
from hubtools.training.compute import distributed

# Of an epoch's line in training.jsonl, what says where in training it is rather than how it goes.
_PLACE = {"step", "validation"}


class Tracking:
    """The tracker of a command's runs.

    Args:
        track: a callback, or a tracker's name; None for no tracker.

    Raises:
        UserError: there is no such tracker, or it is not installed.
    """

    def __init__(self, track: Track | None = None) -> None:
        self.callback = None if track is None else callback_of(track)
        # A callback of the user's may print what it likes.
        self.own = not isinstance(track, str)
        self.name = track if isinstance(track, str) else "the tracker"
        self._said: set[str] = set()

    def begins(self, record: RunRecord, trial: str = "") -> Followed:
        """Follow a run, or a trial of a sweep, from its opened record; nobody does beside the main process.

        Args:
            record: as it is before the run.
            trial: which of which sweep, in words.
        """
        followed = Followed(self, record, trial)
        if not followed.tell("begins", lambda: _begun(record)):
            # It will not begin for the next run either, and may have waited long for a server.
            self.callback = None
        return followed

    def warn(self, what: str) -> None:
        """A line for the user, each once."""
        if what not in self._said:
            self._said.add(what)
            telling.warn(what)


class Followed:
    """One run that a tracker is told of."""

    def __init__(self, tracking: Tracking, record: RunRecord, trial: str) -> None:
        self.tracking = tracking
        self.callback: Callback | None = tracking.callback if distributed.is_main() else None
        identity = record.identity
        group = [
            identity.task.name,
            identity.checkpoint.name if identity.checkpoint else "baseline",
            identity.recipe.name,
        ]
        if identity.fraction is not None:
            group.append(f"{100 * identity.fraction:g} % of train")
        first = record.cost.attempts[0].started if record.cost and record.cost.attempts else record.started
        self.run, self.key = record.run_id, f"{record.run_id}-{digest([first.isoformat()])[:4]}"
        self.group = f"sweep of {' · '.join(group)}" if trial else " · ".join(group)
        self.title = " · ".join([*group, f"seed {identity.seed}", *([trial] if trial else [])])

    @property
    def epoch(self) -> Any:
        """Told each line of ``training.jsonl`` as it is written, and losses between; None where nobody listens."""
        return None if self.callback is None else self._epoch

    def _epoch(self, line: Mapping[str, Any]) -> None:
        values = {name: value for name, value in line.items() if name not in _PLACE}
        values |= {f"validation/{name}": value for name, value in line.get("validation", {}).items()}
        self.tell("learns", lambda: _finite(values), step=line["step"])

    def ends(self, record: RunRecord) -> None:
        """The run has ended, whatever the end was."""
        self.tell("ends", lambda: _ended(record), record=record)

    def tell(
        self,
        kind: Any,
        values: Callable[[], Mapping[str, Any]],
        step: int | None = None,
        record: RunRecord | None = None,
    ) -> bool:
        """Tell it; where that fails the run is not followed further.

        Returns:
            whether nothing failed.
        """
        if self.callback is None:
            return True
        warned: list[str] = []
        try:
            shown = None if record is None else public_record(record)
            event = TrackEvent(kind, self.run, self.key, self.title, self.group, scrubbed(dict(values())), step, shown)
            with contextlib.nullcontext() if self.tracking.own else _hushed(warned):
                self.callback(event)
        except (Exception, SystemExit) as error:
            self.callback = None
            said = one_line(scrub(" ".join(str(error).split()))) or type(error).__name__
            self.tracking.warn(f"{self.tracking.name} does not follow {self.title}: {said}"[:300])
            return False
        for text in warned:
            self.tracking.warn(f"{self.tracking.name}: {text}"[:300])
        return True


@contextlib.contextmanager
def _hushed(warned: list[str]) -> Iterator[None]:
    """Nothing that a tracker prints reaches the output of a command; its warnings are added, a line each."""
    with (
        warnings.catch_warnings(record=True) as caught,
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("always")
        yield
    warned += [one_line(scrub(" ".join(str(one.message).split()))) for one in caught if one.category is UserWarning]


def _begun(record: RunRecord) -> dict[str, Any]:
    """What determines a run's result, and where it is computed."""
    public = public_record(record)
    identity = public.identity
    return {
        "run": public.run_id,
        "task": f"{identity.task.name} {identity.task.version}",
        "checkpoint": _checkpoint(public),
        "recipe": public.recipe,
        "seed": identity.seed,
        "identity": identity.model_dump(mode="json"),
        "environment": public.environment.model_dump(mode="json"),
        "command": public.command,
        **_links(public),
    }


def _ended(record: RunRecord) -> dict[str, Any]:
    """A record's scores, identity and links, by names without levels."""
    public = public_record(record)
    values: dict[str, Any] = {
        "status": public.status,
        "run": public.run_id,
        "checkpoint": _checkpoint(public),
        "task": f"{public.identity.task.name} {public.identity.task.version}",
        "data": public.identity.data,
        "seed": public.identity.seed,
    }
    if public.failure:
        values["failure"] = public.failure.message
    if public.training:
        values |= {"epochs": public.training.epochs_run, "best_epoch": public.training.best_epoch}
    if public.cost and public.cost.wall_seconds:
        values |= {"seconds": public.cost.wall_seconds, "peak_memory_bytes": public.cost.peak_memory_bytes}
    for split, result in public.results.items():
        for metric, score in result.scores.items():
            parts = {"": score.value, "_low": score.low, "_high": score.high}
            values |= {f"{split}/{metric}{end}": value for end, value in parts.items()}
    values |= _links(public)
    return {f"record/{name}": value for name, value in _finite(values).items()}


def _checkpoint(record: RunRecord) -> str | None:
    found = record.identity.checkpoint
    if found is None:
        return None
    return f"{found.name}@{found.commit}" if found.commit else f"{found.name}, sha256 {found.sha256}"


def _links(record: RunRecord) -> dict[str, str]:
    """Where the checkpoint and the data are on the Hub, and the home of the task's data."""
    found, checkpoint, data = {}, record.identity.checkpoint, record.data
    if checkpoint and checkpoint.source == "hub":
        found["link_checkpoint"] = f"https://huggingface.co/{checkpoint.name}/tree/{checkpoint.commit}"
    if data and data.dataset:
        found["link_data"] = f"https://huggingface.co/datasets/{data.dataset}/tree/{data.revision or 'main'}"
    if home := record.task_spec.homepage:
        found["link_task"] = home
    return found


def _finite(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is not there or not a number: no tracker can draw it."""
    return {
        name: value
        for name, value in values.items()
        if value is not None and not (isinstance(value, float) and not math.isfinite(value))
    }
