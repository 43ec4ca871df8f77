"""A real Chromium that looks at pages, and keeps what it complained of and what it asked the network for."""

from __future__ import annotations

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
def browser_page(**options: Any) -> Iterator[Seen]:
    """An empty page in headless Chromium; the test is skipped where there is none.

    Args:
        options: of playwright's ``new_page``: viewport, color_scheme, reduced_motion, ...
    """
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("there is no Chromium on this machine")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            seen = Seen(browser.new_page(**options))
            seen.page.on(
                "console", lambda said: said.type in {"error", "warning"} and seen.complaints.append(said.text)
            )
            seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
            seen.page.on("request", lambda asked: asked.url.startswith("http") and seen.requests.append(asked.url))
            yield seen
        finally:
            browser.close()
