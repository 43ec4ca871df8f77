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


# WCAG 2.1: relative luminance and contrast of each text that is seen, as it stands on what is behind it. Whatever form a colour has,
# a canvas makes bytes of it. What cannot be used may be pale.
_CONTRAST = """roots => {
  const context = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
  const bytes = (...colours) => {
    context.clearRect(0, 0, 1, 1);
    for (const colour of colours) { context.fillStyle = colour; context.fillRect(0, 0, 1, 1); }
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const light = colours => bytes(...colours).slice(0, 3).map(v => v / 255)
    .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = element => element ? [...behind(element.parentElement), getComputedStyle(element).backgroundColor] : ["white"];
  const pale = [];
  for (const element of document.querySelectorAll(roots)) {
    const text = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!text || !element.getClientRects().length || element.closest(":disabled")) continue;
    const style = getComputedStyle(element), back = behind(element);
    const [a, b] = [light([...back, element instanceof SVGElement ? style.fill : style.color]), light(back)].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < 4.5) pale.push([ratio, element.outerHTML.slice(0, 90)]);
  }
  return pale;
}"""


def pale_texts(page: Any, roots: str = "body *") -> list[Any]:
    """Texts of a page whose contrast is below 4.5, WCAG 2.1 AA: ``[contrast, the beginning of the element]``.

    Args:
        page: of playwright.
        roots: CSS selector of the elements that are looked at.
    """
    return list(page.evaluate(_CONTRAST, roots))
