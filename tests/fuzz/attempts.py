"""How each reader is tried: what it is given, and how it is called. A reader without an attempt fails the suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import samples
from hypothesis.strategies import SearchStrategy
from mutations import Schema

# Inputs that are tried where a fixed number is, for a reader that takes about a millisecond.
USUAL, FEW, FEWER = 30, 12, 5


class Attempt(NamedTuple):
    """How a reader is tried.

    Attributes:
        inputs: made when they are asked for.
        call: with the reader, an empty folder and an input.
        examples: how many are tried in continuous integration.
    """

    inputs: Callable[[], SearchStrategy[Any]]
    call: Callable[[Callable[..., Any], Path, Any], Any]
    examples: int = USUAL


ATTEMPTS: dict[str, list[Attempt]] = {}


def attempt(*names: str, examples: int = USUAL) -> Callable[[Any], Any]:
    """The function below makes the inputs, and says how a reader is called with one."""

    def add(function: Callable[[], tuple[SearchStrategy[Any], Any]]) -> Any:
        made = cache(function)
        for name in names:
            one = Attempt(lambda: made()[0], lambda read, folder, value: made()[1](read, folder, value), examples)
            ATTEMPTS.setdefault(name, []).append(one)
        return function

    return add


def put(folder: Path, name: str, content: bytes) -> Path:
    """A file in a folder."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


def all_of(found: Any) -> Any:
    """What a generator gives; anything else as it is."""
    return list(found) if isinstance(found, Iterator) else found


@cache
def schema(model: Any) -> Schema:
    """Of a model."""
    return Schema(model)


def tensors(values: dict[str, Any], metadata: dict[str, str]) -> bytes:
    """A safetensors file."""
    from safetensors.numpy import save

    return save({name: np.asarray(value) for name, value in values.items()}, metadata=metadata)


def parquet(columns: dict[str, Any]) -> bytes:
    """A table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    return samples.written(lambda path: pq.write_table(pa.table(columns), path))
