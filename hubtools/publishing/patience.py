"""Waiting for a Hub that is busy and for a line that breaks: how often, how long, and when it is better to give up."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

ATTEMPTS = 5
# Seconds. Who is asked to wait longer is told so instead: a job that hangs for an hour is worse than one that fails.
LONGEST_WAIT = 60.0
TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})

_log = logging.getLogger(__name__)


def patiently(call: Callable[[], Result]) -> Result:
    """What a call returns, tried again while the Hub is busy or cannot be reached.

    Only for calls that may happen twice: what the first attempt did before its answer was lost stays done.

    Raises:
        Exception: whatever the call raised, where waiting does not help, or did not.
    """
    for attempt in range(ATTEMPTS):
        try:
            return call()
        except Exception as error:
            wait = waiting_time(error, attempt)
            if wait is None or attempt == ATTEMPTS - 1:
                raise
            _log.warning("%s: trying again in %.0f s (%d of %d)", _short(error), wait, attempt + 2, ATTEMPTS)
            time.sleep(wait)
    raise AssertionError("unreachable")


def waiting_time(error: Exception, attempt: int) -> float | None:
    """Seconds to wait after a failure, or None where trying again is no remedy.

    Args:
        error: what the call raised.
        attempt: failures before this one: without other advice the wait doubles from one second.
    """
    if not is_transient(error):
        return None
    asked = getattr(getattr(error, "response", None), "headers", {}).get("Retry-After", "")
    if not asked.strip().isdigit():
        return float(2**attempt)
    return float(asked) if float(asked) <= LONGEST_WAIT else None


def is_transient(error: BaseException | None) -> bool:
    """Whether the Hub was busy or the connection broke: nothing is known about what was asked for."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if isinstance(error, RuntimeError) and error.__cause__ is not None:
        # The transfer of a file comes wrapped in what says which file it was.
        return is_transient(error.__cause__)
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in TRANSIENT
    # The base of all errors of the HTTP library, whichever huggingface_hub uses (see hubtools.common.hub).
    broken = (HfHubHTTPError.__bases__[0], ConnectionError, TimeoutError)
    return isinstance(error, broken) and not isinstance(error, OfflineModeIsEnabled)


def _short(error: Exception) -> str:
    response = getattr(error, "response", None)
    return f"the Hub is busy ({response.status_code})" if response is not None else "the connection broke"
