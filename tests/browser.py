"""A real Chromium that looks at pages, and keeps what it complained of and what it asked the network for."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


@dataclass
class Seen:
    """A page, and what happened in it.

    Attributes:
        page: of playwright.
        complaints: errors and warnings of the console, and exceptions that nobody caught.
        requests: addresses asked for over the network, in order; those of files and data are not.
    """

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@contextmanager
def browser_page(*, flags: tuple[str, ...] = (), **options: Any) -> Iterator[Seen]:
    """An empty page in headless Chromium; the test is skipped where there is none.

    Args:
        flags: of a browser of its own.
        options: of playwright's ``new_page``: viewport, color_scheme, reduced_motion, ...
    """
    browser, loop = _browser(flags)
    # It runs in this thread, but for others only while a page is open: asyncio.run() would refuse to begin.
    asyncio._set_running_loop(loop)
    try:
        context = browser.new_context(**options)
        seen = Seen(context.new_page())
        seen.page.on("console", lambda said: said.type in {"error", "warning"} and seen.complaints.append(said.text))
        seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        seen.page.on("request", lambda asked: asked.url.startswith("http") and seen.requests.append(asked.url))
        try:
            yield seen
        finally:
            context.close()
    finally:
        asyncio._set_running_loop(None)


_playwright: list[Any] = []
_browsers: dict[tuple[str, ...], Any] = {}


def _browser(flags: tuple[str, ...]) -> tuple[Any, Any]:
    """The one browser of this process with these flags, which ends with it, and playwright's loop; each page is a profile of its own."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("there is no Chromium on this machine")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
    if not _playwright:
        started = playwright.sync_playwright().start()
        _playwright[:] = [started, asyncio.get_running_loop()]
    started, loop = _playwright
    if flags not in _browsers:
        asyncio._set_running_loop(loop)
        try:
            _browsers[flags] = started.chromium.launch(executable_path=program, args=["--no-sandbox", *flags])
        finally:
            asyncio._set_running_loop(None)
    return _browsers[flags], loop
