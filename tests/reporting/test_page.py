"""The board as a page: self-contained, sound HTML, and it works in a browser."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from sample_records import FULL, LOCALISATION, make_record, sample_runs

from hubtools.reporting.board import Board, build_board
from hubtools.reporting.page import board_page, ticks

VOID = {"meta", "link", "input", "br", "img"}


class Page(HTMLParser):
    """Collects elements and checks that every one is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str, css: str = "") -> list[dict[str, str | None]]:
        return [a for name, a in self.elements if name == tag and css in (a.get("class") or "")]


@pytest.fixture(scope="module")
def board() -> Board:
    return build_board(sample_runs())


@pytest.fixture(scope="module")
def page(board: Board) -> Page:
    return Page(board_page(board))


def test_nothing_is_loaded_from_anywhere(page: Page) -> None:
    for tag, attributes in page.elements:
        for key in ("src", "href", "action", "srcset", "data"):
            assert not (attributes.get(key) or "").startswith(("http", "//")), (tag, attributes)
    policy = next(a for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert (policy["content"] or "").startswith("default-src 'none'")


def test_every_element_is_closed_and_every_row_there(page: Page, board: Board) -> None:
    assert not page.open
    assert board.overall
    shown = sum(len(table.rows) for table in board.tables) + len(board.overall.rows)
    assert len(page.all("tbody", "row")) == shown
    assert len(page.all("section", "group")) == len(board.tables)


def test_tables_say_how_they_are_sorted(page: Page, board: Board) -> None:
    assert sum("aria-sort" in a for a in page.all("th")) == len(board.tables) + 1
    assert all(a.get("scope") == "col" for a in page.all("th"))


def test_bars_lie_inside_their_axis(page: Page) -> None:
    styles = [a["style"] or "" for a in page.all("span", "span") + page.all("span", "dot")]
    assert len(styles) > 50
    for style in styles:
        left, width = (re.search(rf"{key}:([-\d.]+)%", style) for key in ("left", "width"))
        assert left and float(left[1]) >= 0 and float(left[1]) + (float(width[1]) if width else 0) <= 100.01


def test_names_cannot_smuggle_markup() -> None:
    record = make_record(LOCALISATION, FULL, 0.5, checkpoint='<script>alert("x")</script>', local=True)
    text = board_page(build_board([(Path("runs/x"), record)]))
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


def test_the_same_records_give_the_same_page(board: Board) -> None:
    assert board_page(board) == board_page(build_board(sample_runs()))


def test_a_board_of_failures_alone_is_a_page() -> None:
    record = make_record(LOCALISATION, FULL, 0.0, checkpoint="a/b", status="failed")
    assert "CUDA out of memory" in board_page(build_board([(Path("runs/x"), record)]))


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.09, 0.67), (0.8492, 0.861), (-3.0, 250.0), (0.5, 0.5)])
def test_ticks_are_few_and_inside(low: float, high: float) -> None:
    marks = ticks(low, high)
    assert 1 <= len(marks) <= 6
    assert all(low - 1e-9 <= mark <= high + 1e-9 for mark in marks)


@pytest.mark.slow
def test_sorting_and_filtering_in_a_browser(board: Board, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on this machine")
    script = """
    const group = [...document.querySelectorAll("section.group")].find(g => g.dataset.task === "localisation");
    const names = () => [...group.querySelectorAll("tbody.row")].filter(r => !r.hidden).map(r => r.rows[0].cells[0].dataset.v);
    const metric = group.querySelectorAll("thead th")[3], out = [];
    out.push(names());
    metric.querySelector("button").click(); out.push(metric.ariaSort, names());
    metric.querySelector("button").click(); out.push(metric.ariaSort, names());
    const box = document.getElementById("baselines"); box.checked = false; box.dispatchEvent(new Event("input"));
    out.push(names());
    const toggle = group.querySelector(".toggle"); toggle.click(); out.push(toggle.getAttribute("aria-expanded"));
    out.push(performance.getEntriesByType("resource").length);
    document.body.textContent = "RESULT" + JSON.stringify(out) + "END";
    """
    file = tmp_path / "board.html"
    file.write_text(board_page(board).replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", file.as_uri()],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    found = re.search(r"RESULT(.*)END", done.stdout)
    assert found, done.stderr[-500:]
    ranks = [str(i) for i in range(1, 12)]
    models = [str(i) for i in range(1, 8)]
    assert found[1] == re.sub(
        r"'", '"', str([ranks, "descending", ranks, "ascending", ranks[::-1], models[::-1], "true", 0])
    ).replace(", ", ",")
