"""The page read in poor light, used without a mouse, and opened by browsers that cannot run it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Seen, browser_page, pale_texts
from exporting.asked_page import Made, asked, opened, served

from hubtools.exporting.page_server import PageServer

pytestmark = [pytest.mark.slow]
SEVERAL = ">one\nMKTAYIAKQRBXJ\n>two\n" + "ACGT" * 10


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    with served(tmp_path_factory.mktemp("everyone"), "residue-classification") as found:
        yield found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(page: Made, scheme: str) -> None:
    with browser_page(color_scheme=scheme) as seen:
        opened(seen, page.address)
        assert pale_texts(seen.page) == []
        asked(seen, SEVERAL)
        assert seen.page.is_visible("#all") and seen.page.is_visible("svg.b-plot, table.b-sites")
        assert pale_texts(seen.page) == []
        asked(seen, "MK-TA")
        assert pale_texts(seen.page) == []


def focused(seen: Seen) -> str:
    return str(seen.page.evaluate("document.activeElement.id || document.activeElement.textContent"))


def test_everything_is_reached_and_done_by_keys(page: Made) -> None:
    with browser_page() as seen:
        opened(seen, page.address)
        seen.page.keyboard.press("Tab")
        assert focused(seen) == "sequence"
        seen.page.keyboard.type("MKTAYIAKQR")
        seen.page.keyboard.press("Tab")
        assert focused(seen) == "predict"
        seen.page.keyboard.press("Enter")
        seen.page.wait_for_selector("body[data-state=done]", timeout=60_000)
        asked(seen, SEVERAL)
        wanted = seen.page.evaluate(
            """() => [...document.querySelectorAll("button, input, select, textarea, [tabindex]")]
                 .filter(one => one.getClientRects().length).map(one => one.id || one.textContent)"""
        )
        seen.page.focus("#sequence")
        reached = [focused(seen)]
        while len(reached) < len(wanted):
            seen.page.keyboard.press("Tab")
            reached.append(focused(seen))
            style = seen.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert style != "none", reached[-1]
        assert reached == wanted and {"file", "chosen", "tsv", "gff3", "all"} <= set(wanted)


@pytest.mark.parametrize("lacking", ["WebAssembly", "BigInt64Array", "Worker"])
def test_an_old_browser_is_told_what_it_needs(page: Made, lacking: str) -> None:
    with browser_page() as seen:
        seen.page.add_init_script(f"delete globalThis.{lacking}")
        seen.page.goto(page.address)
        seen.page.wait_for_selector("#answer [role=alert]")
        assert "Use a current Firefox, Chrome, Edge or Safari" in seen.page.inner_text("#answer")
        assert seen.page.is_disabled("#predict") and seen.complaints == []


def test_a_browser_without_memory_is_told_so(page: Made) -> None:
    # V8 then gives WebAssembly 13 MB, and the program begins with 17.
    with browser_page(flags=("--js-flags=--wasm-max-mem-pages=200",)) as seen:
        seen.page.goto(page.address)
        seen.page.wait_for_selector("#answer [role=alert]", timeout=60_000)
        assert "does not have the memory" in seen.page.inner_text("#answer")


def test_a_file_that_does_not_arrive_is_named(page: Made, tmp_path: Path) -> None:
    shutil.copytree(page.folder, tmp_path / "page")
    (tmp_path / "page" / "model.onnx").unlink()
    server = PageServer(tmp_path / "page", "127.0.0.1", 0)
    try:
        with browser_page() as seen:
            seen.page.goto(server.address)
            seen.page.wait_for_selector("#answer [role=alert]", timeout=60_000)
            assert "model.onnx of this page could not be loaded (404)" in seen.page.inner_text("#answer")
    finally:
        server.close()
