"""Choices that were measured on this machine once, and are kept, so that they are the same from run to run."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hubtools.common import telling
from hubtools.common.bounds import json_values
from hubtools.common.cache_folder import cache_folder
from hubtools.common.errors import UserError
from hubtools.common.files import clear, file_lock, write_atomic
from hubtools.common.readers import reads

FILE = "measured-{device}.json"
# What is not this much faster than the safe choice is not chosen: noise must not decide.
MARGIN = 1.15
# It is measured again until the two shortest times of each are this near each other; the least and the most turns.
NEAR, TURNS = 1.05, (4, 24)
_known: dict[tuple[str, str], str] = {}


@dataclass(frozen=True)
class Choice:
    """What was measured.

    Attributes:
        name: of what is used.
        seconds: the two shortest times of each that could be computed.
        steady: whether it is the same by either of the two; else the machine is too busy to tell.
    """

    name: str
    seconds: dict[str, tuple[float, float]]
    steady: bool


def measured(
    device: str,
    question: str,
    candidates: Callable[[], Mapping[str, Callable[[], Any]]],
    names: Collection[str] | None = None,
) -> str:
    """The fastest of several ways to compute the same, as first found on this device with this torch.

    Args:
        device, question: as of :func:`kept`.
        candidates: makes name -> computation, the safe choice first. Called only when there is no answer yet. A
            computation that fails is left out.
        names: that an answer can be; what is kept and none of them is measured anew.

    Returns:
        A name.
    """
    return kept(device, question, lambda: fastest(candidates()), lambda name: names is None or name in names)


def kept(
    device: str, question: str, find: Callable[[], Choice], fits: Callable[[str], bool] = lambda name: True
) -> str:
    """What was found once on this device with this torch.

    Args:
        device: name of the hardware.
        question: what is chosen; with the versions of torch and of Python and the number of processors, the key of the answer.
        find: measures. Called only when there is no answer yet.
        fits: whether an answer can be one; what is kept and is none is measured anew.

    Returns:
        Its name. Where the folder cannot be written, or the machine is too busy to tell, the answer holds for this process.
    """
    import torch

    versions = f"torch {torch.__version__}, Python {platform.python_version()}, {os.cpu_count()} processors"
    key = f"{versions}, {question}"
    if (device, key) in _known:
        return _known[device, key]
    folder = cache_folder()
    file = folder / FILE.format(device="".join(c if c.isalnum() else "-" for c in device.lower()))
    answer: str | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with file_lock(Path(f"{file}.lock")):
            answers = _read(file)
            answer = answers.get(key, {}).get("name")
            if answer is None or not fits(answer):
                found = find()
                answer = found.name
                if found.steady:
                    answers[key] = asdict(found)
                    write_atomic(file, json.dumps(answers, indent=2, sort_keys=True) + "\n")
    except (OSError, UserError):
        # The folder cannot be written, or not any more.
        answer = answer or find().name
    return _known.setdefault((device, key), answer)


@reads("answers that were measured", refuses=())
def _read(file: Path) -> dict[str, dict[str, Any]]:
    """Answers by key; those of another form are measured anew."""
    try:
        answers = json_values(file.read_text())
        if not isinstance(answers, dict):
            raise ValueError
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        telling.warn(f"{file}: damaged; what was measured is measured again")
        clear(file)
        return {}
    return {key: of for key, of in answers.items() if isinstance(of, dict) and isinstance(of.get("name"), str)}


def shortest(run: Callable[[], Any], clock: Callable[[], float]) -> tuple[float, float]:
    """The two shortest times of a computation, repeated until they are near each other, or the most turns are over."""
    times: list[float] = []
    for turn in range(TURNS[1]):
        started = clock()
        run()
        if turn:
            times = sorted([*times, clock() - started])[:2]
        if turn + 1 >= TURNS[0] and times[1] <= NEAR * times[0]:
            break
    return times[0], times[1]


def fastest(candidates: Mapping[str, Callable[[], Any]], clock: Callable[[], float] = time.perf_counter) -> Choice:
    """The fastest, or the first unless another beats it by :data:`MARGIN`.

    They take turns, the first of which warms up, until the two shortest times of each are near each other: what else the
    machine does makes single turns longer, and none shorter. Where the choice is not the same by either of the two, it is
    the first.

    Args:
        candidates: name -> computation, the safe choice first.
        clock: in seconds.
    """
    seconds: dict[str, list[float]] = {}
    running = dict(candidates)
    for turn in range(TURNS[1]):
        for name in list(running):
            started = clock()
            try:
                running[name]()
            except (RuntimeError, NotImplementedError, ValueError):
                seconds.pop(name, None)
                del running[name]
                continue
            if turn:
                seconds[name] = sorted([*seconds.get(name, []), clock() - started])[:2]
        if turn + 1 >= TURNS[0] and all(two[1] <= NEAR * two[0] for two in seconds.values()):
            break
    safe = next(iter(candidates))
    safe = safe if safe in seconds or not seconds else next(iter(seconds))
    if not seconds:
        return Choice(safe, {}, True)
    others = (0, 1)
    found = {
        _quickest({name: two[own if name == safe else other] for name, two in seconds.items()}, safe)
        for own in others
        for other in others
    }
    steady = len(found) == 1
    return Choice(found.pop() if steady else safe, {name: (two[0], two[1]) for name, two in seconds.items()}, steady)


def _quickest(seconds: Mapping[str, float], safe: str) -> str:
    """The safe choice, unless another beats it clearly."""
    best = min(seconds, key=seconds.__getitem__)
    return safe if seconds[best] * MARGIN > seconds[safe] else best
