"""Whatever a reader is given, it gives a value or says in one line what is wrong: of each in the list, thousands of inputs.

``BENCH_FUZZ=N`` tries N times as many, others each time (``make fuzz``). By default they are the same on every machine.
"""

from __future__ import annotations

import os
import resource
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attempts_on_cards
import attempts_on_models
import attempts_on_options
import attempts_on_records
import attempts_on_services
import attempts_on_specs
import attempts_on_tables
import pytest
from attempts import ATTEMPTS, FEWER, Attempt
from hypothesis import HealthCheck, Phase, given, settings
from reader_list import reader, reader_names

from hubtools.common.readers import Reader
from hubtools.common.texts import control_character

# Each fills the table.
KINDS = (
    attempts_on_cards,
    attempts_on_models,
    attempts_on_options,
    attempts_on_records,
    attempts_on_services,
    attempts_on_specs,
    attempts_on_tables,
)
TIMES = int(os.environ.get("BENCH_FUZZ", "0"))
# Of one input, which is some kilobytes: seconds of the processor, and bytes.
LONGEST_TIME, MOST_MEMORY = 10.0, 2 << 30
LONGEST_LINE = 8_000
ENOUGH = 300
NAMES = sorted(reader_names())


def said_well(error: BaseException) -> None:
    """One line that a terminal can show, and that says something."""
    line = str(error)
    assert line.strip(), "it says nothing"
    assert control_character(line) is None, f"not one line of plain text: {line!r}"
    assert len(line) <= LONGEST_LINE, f"{len(line)} characters"
    line.encode()
    assert "Traceback" not in line


def tried(reading: Reader, one: Attempt, value: Any, ends: Counter[str]) -> None:
    """Give a reader an input."""
    began, sizes = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = one.call(reading.read, Path(folder), value)
            if isinstance(found, Iterator):
                list(found)
            ends["read"] += 1
        except AssertionError:
            raise
        except Exception as error:
            names = {kind.__name__ for kind in type(error).__mro__}
            # What is called before or behind the reader may say no, too.
            if not names & {*reading.refuses, "UserError"}:
                raise
            if "UserError" in names:
                said_well(error)
            ends["refused"] += 1
    assert time.process_time() - began < LONGEST_TIME
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - sizes) * (1 if sys.platform == "darwin" else 1024)
    assert grown < MOST_MEMORY, f"{grown:,} bytes"


def examples(one: Attempt) -> Any:
    """How many are tried, and whether always the same."""
    return settings(
        max_examples=one.examples * max(TIMES, 1),
        derandomize=not TIMES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        # To show the smallest input takes many more tries: of a failure, which is rare.
        phases=[Phase.generate, Phase.shrink],
        print_blob=bool(TIMES),
        report_multiple_bugs=False,
    )


def fuzz(name: str) -> Counter[str]:
    """Try a reader in each of the ways that there are; how often it gave a value, and how often it said no."""
    reading, ends = reader(name), Counter[str]()
    for one in ATTEMPTS[name]:

        def run(value: Any) -> None:
            tried(reading, one, value, ends)  # noqa: B023

        examples(one)(given(one.inputs())(run))()
    return ends


def cases() -> list[Any]:
    """The names; of those that build models, which takes tens of milliseconds for each input, marked."""
    slow = {name for name, attempts in ATTEMPTS.items() if any(one.examples <= FEWER for one in attempts)}
    return [pytest.param(name, marks=[pytest.mark.slow] if name in slow else []) for name in NAMES]


@pytest.mark.parametrize("name", NAMES)
def test_a_reader_has_its_attempts(name: str) -> None:
    assert ATTEMPTS.get(name), "say in a module tests/fuzz/attempts_on_*.py what it is given"


def test_an_attempt_has_its_reader() -> None:
    assert set(ATTEMPTS) <= set(NAMES)


def test_a_thousand_inputs_are_tried_at_least() -> None:
    assert sum(one.examples for attempts in ATTEMPTS.values() for one in attempts) > 2_000


@pytest.mark.parametrize("name", cases())
def test_it_reads_or_says_why_not(name: str) -> None:
    ends = fuzz(name)
    assert ends.total() >= min(one.examples for one in ATTEMPTS[name]) / 2
    # Inputs that are all refused, or all read, would try little; of a few, chance may make all alike.
    if ends.total() >= ENOUGH:
        assert ends["read"]
        assert ends["refused"] or not reader(name).refuses


def _raises(error: BaseException) -> Callable[..., Any]:
    def read(*_: Any) -> Any:
        raise error

    return read


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), KeyError("x"), RecursionError(), MemoryError(), UnicodeDecodeError("utf-8", b"", 0, 1, "x")],
)
def test_the_suite_finds_what_is_no_refusal(error: BaseException) -> None:
    one = Attempt(list, lambda read, folder, value: read(value))  # type: ignore[arg-type]
    with pytest.raises(type(error)):
        tried(Reader(_raises(error), "x", ("UserError",)), one, "x", Counter())


@pytest.mark.parametrize("line", ["a\nb", "", "\x1b[0m", "x" * 9_000, "\ud800"])
def test_the_suite_finds_what_is_said_badly(line: str) -> None:
    with pytest.raises((AssertionError, UnicodeEncodeError)):
        said_well(ValueError(line))
