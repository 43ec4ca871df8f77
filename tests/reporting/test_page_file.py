"""The board in one file: sound HTML that holds what the site holds, loads nothing, and reads no record as markup."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from browser import browser_page
from sample_records import FULL, LOCALISATION, make_record, many_runs, sample_runs

from hubtools.findings.board.leaderboard import Board, build_board
from hubtools.reporting.site import page_file, site_files
from hubtools.specs.record import Failure

VOID = {"meta", "link", "input", "br", "img", "wbr"}
ATTACKS = [
    '<script>alert("x")</script>',
    "</script><img src=x onerror=taken()>",
    "<!-- <script>",
    "</noscript><script>taken()</script>",
    "]]> {{ 7 * 7 }} ${taken()} \\u003c `",
    "' onmouseover='taken()' \" onfocus=\"taken()",
]


class Page(HTMLParser):
    """Collects elements and what stands in scripts, and checks that every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data

    def all(self, tag: str, css: str = "") -> list[dict[str, str | None]]:
        return [a for name, a in self.elements if name == tag and css in (a.get("class") or "")]

    @property
    def data(self) -> dict[str, Any]:
        """What is in the scripts that are data, by id."""
        found = zip(self.all("script"), self.scripts, strict=True)
        return {a["id"] or "": json.loads(text) for a, text in found if a.get("type") == "application/json"}


@pytest.fixture(scope="module")
def board() -> Board:
    return build_board(sample_runs())


@pytest.fixture(scope="module")
def page(board: Board) -> Page:
    return Page(page_file(board))


def evil_board(attack: str) -> Board:
    """A board that says the same attack wherever a record may say something."""
    record = make_record(LOCALISATION, FULL, 0.5, checkpoint=attack, local=True, overrides={attack: attack})
    record.task |= {"title": attack, "summary": attack, "licence": attack, "notes": [attack], "citation": attack}
    record.task |= {"homepage": f"javascript:{attack}", "trust": {"colour": "red", "reason": attack}}
    record.environment.device_name = record.environment.packages["torch"] = attack
    assert record.data and record.training
    record.training.selected_by = attack
    record.data.files[0].name = record.data.files[0].location = attack
    stopped = make_record(LOCALISATION, FULL, 0.0, checkpoint=attack, seed=2, status="failed")
    stopped.failure = Failure(kind="ValueError", message=attack)
    return build_board([(Path("runs/x"), record), (Path("runs/y"), stopped)])


def test_nothing_is_loaded_from_anywhere(page: Page) -> None:
    for tag, attributes in page.elements:
        for key in ("src", "href", "action", "srcset", "data"):
            assert (attributes.get(key) or "#").startswith(("#", "data:")), (tag, attributes)
    policy = next(a for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")["content"] or ""
    assert policy.startswith("default-src 'none'") and "self" not in policy and "file:" not in policy


def test_every_element_is_closed_and_every_row_there_without_scripts(page: Page, board: Board) -> None:
    assert not page.open
    assert board.overall
    shown = [*(len(table.rows) for table in board.tables), len(board.overall.rows), len(board.unfinished)]
    # One head for each table.
    assert len(page.all("tr")) == sum(shown) + len(shown)
    assert all(a.get("scope") in {"col", "row"} for a in page.all("th"))


def test_the_file_holds_what_the_site_holds(page: Page, board: Board) -> None:
    files = dict(site_files(board))
    assert page.data["data"] == json.loads(files["results.json"]) == Page(files["index.html"]).data["data"]
    beside = {name: text for name, text in files.items() if name.startswith("data/")}
    assert len(page.data) == len(beside) + 1
    for name, text in beside.items():
        (inside,) = re.findall(r'^benchDetails\("[^"]+", (.*)\);\n$', text)
        assert page.data[f"details-{Path(name).stem}"] == json.loads(inside)


def test_the_same_records_give_the_same_file(board: Board) -> None:
    assert page_file(board) == page_file(build_board(sample_runs()))


def test_what_did_not_finish_is_told_with_the_reason_and_without_folders(page: Page) -> None:
    stopped = {run["status"]: run for run in page.data["data"]["unfinished"]}
    assert set(stopped) == {"failed", "interrupted", "running, or killed"}
    assert stopped["failed"]["why"].startswith("OutOfMemoryError: CUDA out of memory")
    record = make_record(LOCALISATION, FULL, 0.0, checkpoint="a/b", status="failed")
    record.failure = Failure(
        kind="OSError", message="'/home/me/data/x.csv' or C:\\Users\\me\\y.csv; see https://hf.co/docs/hub and a/b"
    )
    text = page_file(build_board([(Path("runs/x"), record)]))
    assert "/home/me" not in text and "Users" not in text
    (run,) = Page(text).data["data"]["unfinished"]
    assert run["why"] == "OSError: 'x.csv' or y.csv; see https://hf.co/docs/hub and a/b"


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_text_of_a_record_is_markup(attack: str) -> None:
    page, plain = (Page(page_file(board)) for board in (evil_board(attack), evil_board("x")))
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in plain.elements]
    assert attack in json.dumps(page.data, ensure_ascii=False).replace('\\"', '"').replace("\\\\", "\\")


@pytest.mark.slow
def test_no_text_of_a_record_is_markup_in_a_browser(tmp_path: Path) -> None:
    with browser_page() as seen:
        for attack in ATTACKS:
            path = tmp_path / "board.html"
            path.write_text(page_file(evil_board(attack)), encoding="utf-8")
            seen.page.goto(path.as_uri())
            for view in ("#/", "#/map", "#/trade", "#/read"):
                seen.page.evaluate(
                    f"location.hash = {json.dumps(view)}; dispatchEvent(new HashChangeEvent('hashchange'))"
                )
                seen.page.wait_for_selector("main .card")
            assert not seen.page.locator("main img, main script").count()
            seen.page.evaluate("openDetails(DATA.tables[0], 0)")
            seen.page.wait_for_selector("dialog tbody tr")
            assert attack in seen.page.text_content("dialog dl")
            assert not seen.page.locator("[href^='javascript']").count()
        assert seen.complaints == [] and seen.requests == []


@pytest.mark.slow
def test_everything_can_be_saved_as_json_and_what_is_shown_as_csv(board: Board, page: Page, tmp_path: Path) -> None:
    path = tmp_path / "board.html"
    path.write_text(page_file(board), encoding="utf-8")
    with browser_page() as seen:
        seen.page.goto(path.as_uri())
        texts = []
        for button in ("#all-json", "#shown-csv"):
            with seen.page.expect_download() as waiting:
                seen.page.click(button)
            texts.append(Path(waiting.value.path()).read_text())
        assert json.loads(texts[0]) == page.data["data"]
        assert texts[1].startswith("task,version,metric,model,recipe,score,low,high\n")
        assert "runs did not finish" in seen.page.inner_text("#unfinished") and seen.complaints == []


@pytest.mark.slow
def test_a_board_of_failures_alone_is_a_page(tmp_path: Path) -> None:
    record = make_record(LOCALISATION, FULL, 0.0, checkpoint="a/b", status="failed")
    path = tmp_path / "board.html"
    path.write_text(page_file(build_board([(Path("runs/x"), record)])), encoding="utf-8")
    with browser_page() as seen:
        seen.page.goto(path.as_uri())
        assert "CUDA out of memory" in seen.page.inner_text("#unfinished")
        for view in ("#/map", "#/trade", "#/read", "#/tables"):
            seen.page.evaluate(f"location.hash = {json.dumps(view)}; dispatchEvent(new HashChangeEvent('hashchange'))")
            seen.page.wait_for_selector("main .card")
        assert seen.complaints == []


@pytest.mark.slow
def test_a_thousand_rows_are_about_a_megabyte() -> None:
    assert len(page_file(build_board(many_runs(1000))).encode()) < 1.3e6
