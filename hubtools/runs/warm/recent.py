"""What was made last, for whoever asks for the same again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class Recent(Generic[V]):
    """Values by their keys, as many of the latest as fit; the very last always does.

    Args:
        most: of their sizes together.
        size: of a value.
    """

    def __init__(self, most: float, size: Callable[[V], float] = lambda _: 1) -> None:
        self.most, self.size = most, size
        self._values: OrderedDict[Hashable, tuple[V, float]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        """The value of a key, made where it is not there.

        Raises:
            Exception: what ``make`` raises; then nothing is kept.
        """
        if key not in self._values:
            value = make()
            self._values[key] = (value, self.size(value))
        self._values.move_to_end(key)
        while len(self._values) > 1 and sum(size for _, size in self._values.values()) > self.most:
            self._values.popitem(last=False)
        return self._values[key][0]

    def __len__(self) -> int:
        return len(self._values)
