"""Who can be told how runs go on: trackers by their names, and what any callback is told."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hubtools.common.errors import UserError
from hubtools.common.registry import Registry, named
from hubtools.specs.record import RunRecord

# Of a tracker that groups runs into projects, where the user names none.
PROJECT = "bench"


@dataclass(frozen=True)
class TrackEvent:
    """Something to tell of one run. No folder of this machine and no secret is in it.

    Attributes:
        kind: ``begins``, before anything is computed; ``learns``, while it is trained; ``ends``, whatever the end was.
        run: the run's id, twelve hex digits; of a trial of a sweep that of the run that it would be.
        key: names this run in a tracker: that of an interrupted run goes on, a forced one has a new one.
        title: task, checkpoint, recipe and seed in words.
        group: the same without the seed; of trials the sweep.
        values: of ``begins`` what determines the result, where it is computed, and links; of ``learns`` and ``ends`` numbers and texts
            by their names, such as ``train_loss``, ``validation/mcc`` and ``record/test/mcc``.
        step: optimiser steps so far; of ``learns``.
        record: at the end, as others may see it.
    """

    kind: Literal["begins", "learns", "ends"]
    run: str
    key: str
    title: str
    group: str
    values: Mapping[str, Any] = field(default_factory=dict)
    step: int | None = None
    record: RunRecord | None = None


Callback = Callable[[TrackEvent], None]
# A callback, or the name of a tracker: trackio, wandb:my-project.
Track = str | Callback


@dataclass(frozen=True)
class TrackerKind:
    """A tracker that a user can name.

    Attributes:
        name: how.
        follow: a function, or ``module:function``, that takes a project's name and returns a callback; empty where ``module`` has the
            functions init, log and finish that :func:`by_calls` uses.
        module: that must be installed.
        install: what installs it.
        environment: variables that are set where the user has not set them.
    """

    name: str
    follow: str | Callable[[str], Callback] = ""
    module: str = ""
    install: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    def callback(self, project: str) -> Callback:
        """What is told of each run.

        Raises:
            UserError: it is not installed.
        """
        if self.module and self.module not in sys.modules and importlib.util.find_spec(self.module) is None:
            raise UserError(f"the tracker {self.name} needs the package {self.module}", fix=self.install)
        for name, value in self.environment.items():
            os.environ.setdefault(name, value)
        if not self.follow:
            return by_calls(self.module, project)
        follow = named(self.follow) if isinstance(self.follow, str) else self.follow
        found: Callback = follow(project)
        return found


TRACKERS = Registry(
    "tracker",
    TrackerKind,
    "bench.trackers",
    [
        TrackerKind("trackio", module="trackio", install="pip install 'plm-hubtools[track]'"),
        TrackerKind(
            "wandb",
            module="wandb",
            install="pip install 'plm-hubtools[wandb]'",
            # Its banner is not ours to print, and what a command prints is not copied to it.
            environment={"WANDB_SILENT": "true", "WANDB_CONSOLE": "off"},
        ),
    ],
)


def callback_of(track: Track) -> Callback:
    """What is told of each run.

    Args:
        track: a callback, or a tracker's name, with a project behind a colon or without.

    Raises:
        UserError: there is no such tracker, or it is not installed.
    """
    if not isinstance(track, str):
        return track
    name, _, project = track.partition(":")
    return TRACKERS[name].callback(project or PROJECT)


def by_calls(module: str, project: str) -> Callback:
    """A callback that calls a module's ``init``, ``log`` and ``finish``, as trackio and wandb have them.

    Args:
        module: its name; it is imported when the first run begins.
        project: of all runs.
    """

    def follow(event: TrackEvent) -> None:
        calls = importlib.import_module(module)
        if event.kind == "begins":
            known = inspect.signature(calls.init).parameters
            # One finds a run again by its id, the other by its name; neither shows itself in a notebook.
            own = {"id": event.key, "embed": False}
            calls.init(
                project=project,
                name=f"{event.title} · {event.key}",
                group=event.group,
                config=dict(event.values),
                resume="allow",
                **{name: value for name, value in own.items() if name in known},
            )
            return
        if event.values:
            calls.log(dict(event.values), **({} if event.step is None else {"step": event.step}))
        if event.kind == "ends":
            calls.finish()

    return follow
