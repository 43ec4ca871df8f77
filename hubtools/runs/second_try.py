"""Whether what made a run fail may pass by itself, so that the run is worth a second try, and with what."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from hubtools.common.errors import Unreachable, UserError
from hubtools.runs.plan import PlannedRun
from hubtools.runs.session import Session
from hubtools.specs.record import Failure
from hubtools.training.compute import distributed
from hubtools.training.compute.memory import LEAST, out_of_memory, release

# Memory did not suffice; something far away did not answer.
Passing = Literal["memory", "network"]
# Seconds before the second try of what did not answer, where nothing else is done meanwhile.
PAUSE = 5.0
# What a file system of the network and a connection say when the other side is gone.
_GONE = {
    *(errno.ESTALE, errno.ETIMEDOUT, errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH),
    *(errno.ECONNRESET, errno.ECONNREFUSED, errno.ECONNABORTED, errno.EPIPE, errno.ENOTCONN),
}
# Errors of libraries for the network that are none of Python's, by module and name: nothing of them is imported to ask.
_OF_LIBRARIES = {
    ("requests", "ConnectionError"),
    ("requests", "Timeout"),
    ("urllib3", "HTTPError"),
    ("httpx", "TransportError"),
}


def may_pass(error: BaseException) -> Passing | None:
    """What a failure is of, if it may pass; None where the same would happen again."""
    if out_of_memory(error):
        return "memory"
    return "network" if any(_of_network(one) for one in _with_causes(error)) else None


def less(session: Session) -> Session:
    """The session with a quarter of the tokens at once, once memory that the first try held is given back."""
    how = session.execution
    release(how.device)
    return replace(session, execution=replace(how, token_budget=max(how.token_budget // 4, LEAST), auto_budget=False))


class SecondTries:
    """Which runs are tried twice, and with what.

    Args:
        session: of the first tries.
        single: whether there is one run alone. What it cannot be begun for is shown at once to whoever waits for it.
    """

    def __init__(self, session: Session, single: bool) -> None:
        self.first, self.single = session, single
        self.smaller: Session | None = None
        self.why: dict[int, str] = {}
        self.kinds: dict[int, Passing] = {}

    def session(self, number: int) -> Session:
        """What a run is done with."""
        if self.kinds.get(number) != "memory":
            return self.first
        self.smaller = self.smaller or less(self.first)
        return self.smaller

    def of_failure(self, number: int, run: PlannedRun, kind: Passing, failure: Failure) -> UserError | None:
        """Why a run that failed is tried again; None where it is not."""
        # How batches are cut is part of the name of a run with the encoder's own dropout.
        if (kind == "memory" and run.recipe.encoder_dropout) or not self._once(number, kind, failure.message):
            return None
        smaller = self.session(number).execution.token_budget
        return UserError(failure.message, fix=f"Now with --token-budget {smaller}." if kind == "memory" else None)

    def of_mistake(self, number: int, error: UserError) -> bool:
        """Whether a run that could not be begun is tried again."""
        kind = may_pass(error)
        return kind is not None and not self.single and self._once(number, kind, str(error))

    def _once(self, number: int, kind: Passing, why: str) -> bool:
        """Whether there is a second try, which there is once; processes that do a run together would have to agree on it."""
        if number in self.why or distributed.started():
            return False
        self.why[number], self.kinds[number] = why, kind
        return True


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it says that it came of."""
    seen = set[int]()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__


def _of_network(error: BaseException) -> bool:
    if isinstance(error, (Unreachable, ConnectionError, TimeoutError)):
        return True
    if isinstance(error, OSError) and error.errno in _GONE:
        return True
    return any((kind.__module__.partition(".")[0], kind.__name__) in _OF_LIBRARIES for kind in type(error).__mro__)
