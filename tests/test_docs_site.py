"""The documentation as a site: every link leads somewhere, and a page asks nobody but its own server for anything."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from browser import browser_page

pytest.importorskip("material", reason='MkDocs is not installed: pip install "plm-hubtools[docs]"')
ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def test_every_page_is_in_the_site_and_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = {path.stem for path in site.glob("*.html")}
    assert {path.stem for path in (ROOT / "docs").glob("*.md")} < pages
    for path in site.glob("*.html"):
        text = path.read_text(encoding="utf-8")
        # What is loaded with a page: scripts, styles, pictures, frames. A link that a reader follows is none of these.
        loaded = re.findall(r"<(?:script|img|iframe|source|video|audio)\b[^>]*?\bsrc=[\"']?([^\"' >]+)", text)
        loaded += re.findall(r"<link\b[^>]*?\bhref=[\"']?([^\"' >]+)", text)
        assert loaded and not [one for one in loaded if re.match(r"(https?:)?//", one)], path.name


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_pages_fit_the_window_and_search_finds(address: str, width: int, scheme: str) -> None:
    with browser_page(viewport={"width": width, "height": 900}, color_scheme=scheme) as seen:
        for page in ("tasks.html", "catalogue.html", "index.html"):
            seen.page.goto(address + page)
            assert seen.page.evaluate("document.documentElement.scrollWidth") <= width, page
        seen.page.goto(address + "index.html?q=bootstrap")
        seen.page.locator(".md-search-result__item").first.wait_for(state="attached")
        assert not [one for one in seen.requests if not one.startswith(address)]
        assert not seen.complaints
