"""The leaderboard, as a site and in one file: its data are the board's; in a real browser it sorts, filters, links and asks nobody."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Seen, browser_page, pale_texts
from sample_records import FULL, LOCALISATION, PEPTIDES, PROBE, make_record, many_runs, ranked_runs, sample_runs

from hubtools.common.errors import UserError
from hubtools.findings.board.leaderboard import Board, build_board
from hubtools.reporting.site import MARK, page_file, site_files, write_site
from hubtools.reporting.site_data import site_data

EVIL = "lab/</script><script>document.title='taken'</script>"


def evil_runs() -> list[Any]:
    """A checkpoint whose name is an attack."""
    records = [make_record(PEPTIDES, recipe, 0.5, checkpoint=EVIL) for recipe in (FULL, PROBE)]
    return [(Path(f"/home/me/secret/{i}"), record) for i, record in enumerate(records)]


@pytest.fixture(scope="module")
def board() -> Board:
    return build_board([*ranked_runs(), *evil_runs()])


@pytest.fixture(scope="module")
def site(board: Board, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "public"
    write_site(board, folder)
    return folder


@pytest.fixture(scope="module", params=["site", "one file"])
def address(request: pytest.FixtureRequest, site: Path, board: Board, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of the page: what the one can, the other can."""
    if request.param == "site":
        return (site / "index.html").as_uri()
    # Alone in its folder.
    path = tmp_path_factory.mktemp("file") / "board.html"
    path.write_text(page_file(board), encoding="utf-8")
    return path.as_uri()


# The data


def test_every_row_and_score_of_the_board_is_in_the_data(board: Board) -> None:
    data, details = site_data(board)
    assert [table["task"] for table in data["tables"]] == [table.question.task for table in board.tables]
    for shown, table in zip(data["tables"], board.tables, strict=True):
        assert len(shown["rows"]) == len(table.rows) == len(details[shown["id"]]["rows"])
        for one, row in zip(shown["rows"], table.rows, strict=True):
            estimate = row.scores[table.primary]
            assert one["v"] == pytest.approx(estimate.value, rel=1e-5) and one["best_set"] == row.best_set
            assert data["arms"][one["arm"]]["model"] == row.name
            assert one["n"] == len(row.runs)
        for known, row in zip(details[shown["id"]]["rows"], table.rows, strict=True):
            assert [run["run"] for run in known["runs"]] == [record.run_id for _, record in row.runs]
            assert [run["seed"] for run in known["runs"]] == row.seeds
            about = details[shown["id"]]["shared"][known["about"]]
            assert about["recipe"]["hash"] == row.record.identity.recipe.hash
    assert board.overall is not None
    assert [row["rank"][0] for row in data["overall"]["rows"]] == [
        pytest.approx(one.mean_rank.value, rel=1e-5) for one in board.overall.rows
    ]


def test_a_notice_stands_above_everything(board: Board) -> None:
    assert "notice" not in page_file(board).partition("<body>")[2].partition("<main")[0]
    above = page_file(board, "Only <a> demonstration.").partition("<main")[0]
    assert '<p class="notice">Only &lt;a&gt; demonstration.</p>' in above


def test_the_same_records_give_the_same_files(board: Board) -> None:
    assert dict(site_files(board)) == dict(site_files(board))


def test_no_folder_of_the_machine_is_told(board: Board) -> None:
    for name, text in site_files(board):
        assert "/home/me" not in text, name


def test_nothing_in_a_name_ends_a_script(site: Path) -> None:
    for path in site.rglob("*"):
        if path.suffix in {".html", ".js"}:
            assert "<script>document.title" not in path.read_text()
    inside = re.search(
        r'<script type="application/json" id="data">(.*?)</script>', (site / "index.html").read_text(), re.S
    )
    assert inside and EVIL in json.dumps(json.loads(inside[1]), ensure_ascii=False)


def test_the_downloads_hold_the_scores(site: Path, board: Board) -> None:
    rows = list(csv.DictReader((site / "results.csv").open()))
    primary = [
        row for row in rows if row["task"] == "localisation" and row["split"] == "test" and row["metric"] == "macro_f1"
    ]
    (table,) = [table for table in board.tables if table.question.task == "localisation"]
    assert [float(row["value"]) for row in primary] == [
        pytest.approx(row.scores[table.primary].value, rel=1e-5) for row in table.rows
    ]
    assert json.loads((site / "results.json").read_text())["counts"]["runs"] == board.n_runs


def test_a_folder_that_is_no_site_is_left_alone(board: Board, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="something else"):
        write_site(board, tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_site_is_replaced_as_a_whole(board: Board, tmp_path: Path) -> None:
    write_site(build_board(sample_runs()), tmp_path / "site")
    before = {path.name for path in (tmp_path / "site" / "data").iterdir()}
    write_site(board, tmp_path / "site")
    assert (tmp_path / "site" / MARK).is_file()
    assert {path.name for path in (tmp_path / "site" / "data").iterdir()} != before


def test_one_task_needs_no_overall_table(tmp_path: Path) -> None:
    board = build_board([(Path("r"), make_record(LOCALISATION, FULL, 0.5, checkpoint="a/b"))])
    data, _ = site_data(board)
    assert data["overall"] is None and len(data["tables"]) == 1


# In a browser


@pytest.fixture
def seen(address: str) -> Iterator[Seen]:
    """The overview; at the end nothing was complained of, and nobody was asked for anything."""
    with browser_page() as seen:
        seen.page.goto(address)
        seen.page.wait_for_selector("main table")
        yield seen
        assert seen.complaints == [] and seen.requests == []
        assert "taken" not in seen.page.title()


def texts(seen: Seen, css: str) -> list[str]:
    return seen.page.locator(css).all_inner_texts()


def go(seen: Seen, view: str) -> None:
    """Show a view; the browser tells the page of a new address some time later, and here at once."""
    seen.page.evaluate(f"location.hash = {json.dumps(view)}; dispatchEvent(new HashChangeEvent('hashchange'))")


def heading(seen: Seen, begins: str) -> str:
    """The heading, as soon as it begins so."""
    seen.page.locator("h1", has_text=re.compile("^" + re.escape(begins))).wait_for()
    return str(seen.page.inner_text("h1"))


def the_task(seen: Seen, name: str) -> None:
    (found,) = seen.page.evaluate(f"DATA.tables.filter(t => t.task === {json.dumps(name)}).map(t => t.id)")
    go(seen, f"#/task/{found}")


@pytest.mark.slow
def test_sorting_by_any_column_in_both_orders(seen: Seen) -> None:
    the_task(seen, "localisation")
    header = "th:has(button[data-sort=score])"
    assert seen.page.get_attribute(header, "aria-sort") == "none"
    for order, way in (("descending", True), ("ascending", False)):
        seen.page.click("button[data-sort=score]")
        assert seen.page.get_attribute(header, "aria-sort") == order
        scores = [float(text) for text in texts(seen, "main .card:first-of-type tbody .score")]
        assert len(scores) > 3 and scores == sorted(scores, reverse=way)
    seen.page.click("button[data-sort=model]")
    names = texts(seen, "main .card:first-of-type tbody th a")
    assert names == sorted(names, key=str.lower)
    assert seen.page.get_attribute(header, "aria-sort") == "none"


@pytest.mark.slow
def test_filters_say_what_is_shown_and_are_in_the_address(seen: Seen) -> None:
    page = seen.page
    page.fill("[name=q]", "ankh")
    assert all("ankh" in name.lower() for name in texts(seen, "#overall tbody th a"))
    page.fill("[name=q]", "")
    page.select_option("[name=adaptation]", "probe")
    assert all("probe" in sub for sub in texts(seen, "#overall tbody th .sub"))
    page.select_option("[name=adaptation]", "")
    page.uncheck("[name=baselines]")
    assert "composition" not in " ".join(texts(seen, "#overall tbody th"))
    page.select_option("[name=problem]", "residue-classification")
    assert "without interval" in page.inner_text("#overall caption")
    assert page.inner_text("#status").startswith("2 tasks")
    assert "problem=residue-classification" in page.url and "baselines=no" in page.url
    # The address alone brings the view back.
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    page.wait_for_selector("main table")
    assert not page.is_checked("[name=baselines]")
    assert page.input_value("[name=problem]") == "residue-classification"
    page.click("button[type=reset]")
    assert "?" not in page.url and page.is_checked("[name=baselines]")
    page.select_option("[name=size]", "1B")
    sizes = page.evaluate("[...document.querySelectorAll('#overall tbody tr')].map(r => r.lastChild.innerText)")
    assert sizes and all(size.endswith("M") for size in sizes)


@pytest.mark.slow
def test_mean_rank_over_a_part_of_the_tasks(seen: Seen, board: Board) -> None:
    assert board.overall is not None
    seen.page.select_option("[name=problem]", "residue-classification")
    shown = [float(text) for text in texts(seen, "#overall tbody .score") if text != "–"]
    tasks = ["phosphotyrosine", "secondary-structure"]
    ranks = [[one.ranks[task] for task in tasks] for one in board.overall.rows]
    expected = sorted(sum(r for r in row if r) / 2 for row in ranks if None not in row)
    assert shown == [pytest.approx(rank, abs=0.006) for rank in expected]


@pytest.mark.slow
def test_links_lead_to_tasks_and_models_and_back(seen: Seen) -> None:
    page = seen.page
    page.click("main a:has-text('Subcellular localisation')")
    heading(seen, "Subcellular localisation")
    assert "Subcellular" in page.title() and page.evaluate("document.activeElement.id") == "main"
    name = page.inner_text("tbody th a >> nth=0")
    page.click("tbody th a >> nth=0")
    assert heading(seen, name) == name and "/model/" in page.url
    assert "localisation" in page.inner_text("main").lower()
    page.go_back()
    heading(seen, "Subcellular localisation")
    page.go_forward()
    heading(seen, name)
    go(seen, "#/model/nobody%2Fnothing")
    assert "There is no model nobody/nothing" in page.inner_text("main")
    go(seen, "#/nowhere")
    assert "no such page" in page.inner_text("main")


@pytest.mark.slow
def test_every_number_says_where_it_is_from(seen: Seen, board: Board) -> None:
    the_task(seen, "localisation")
    (table,) = [table for table in board.tables if table.question.task == "localisation"]
    seen.page.click("button:has-text('Provenance') >> nth=0")
    seen.page.wait_for_selector("dialog[open] tbody tr")
    text = seen.page.inner_text("dialog")
    for _, record in table.rows[0].runs:
        assert record.run_id in text
    assert table.rows[0].revision in text and table.question.task_hash[:16] in text and "bench run" in text
    # The dialog holds the focus, and gives it back.
    assert seen.page.evaluate("document.querySelector('dialog').contains(document.activeElement)")
    seen.page.keyboard.press("Escape")
    assert not seen.page.locator("dialog[open]").count()
    assert seen.page.evaluate("document.activeElement.innerText") == "Provenance"


@pytest.mark.slow
def test_heat_map_and_trade_off(seen: Seen) -> None:
    page = seen.page
    page.click("nav a:has-text('Heat map')")
    page.wait_for_selector("table.map")
    assert page.get_attribute("nav a[data-view=map]", "aria-current") == "page"
    shown = len(texts(seen, "table.map tbody td button"))
    assert shown == page.evaluate(
        "mainTables(new URLSearchParams()).reduce((n, t) => n + t.rows.filter(r => r.v !== null).length, 0)"
    )
    page.click("table.map tbody td button >> nth=0")
    page.wait_for_selector("dialog[open] tbody tr")
    page.keyboard.press("Escape")
    page.click("nav a:has-text('Score and cost')")
    page.wait_for_selector("svg a")
    assert page.locator("svg a").count() > 3
    # No point beats one of the front at no more parameters.
    front = page.evaluate(
        "pareto([{x: 1, y: 2}, {x: 1, y: 1}, {x: 2, y: 1}, {x: 3, y: 5}, {x: 9, y: 5}], true).map(p => [p.x, p.y])"
    )
    assert front == [[1, 2], [3, 5]]
    page.select_option(".controls select >> nth=1", "w")
    assert "x=w" in page.url and "wall time" in (page.text_content("svg .axis-title >> nth=0") or "")


@pytest.mark.slow
def test_keyboard_and_screen_reader(seen: Seen) -> None:
    page = seen.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    for view in ("#/", "#/map", "#/trade", "#/read"):
        go(seen, view)
        lacking = page.evaluate(
            """() => [
              ...[...document.querySelectorAll('input, select')].filter(e => !e.labels.length && !e.ariaLabel),
              ...[...document.querySelectorAll('button, a')].filter(e => !(e.innerText || e.textContent || '').trim() && !e.ariaLabel),
              ...[...document.querySelectorAll('th')].filter(e => !e.scope || !e.textContent.trim()),
              ...[...document.querySelectorAll('table')].filter(e => !e.caption || !e.caption.textContent),
            ].map(e => e.outerHTML.slice(0, 120))"""
        )
        assert lacking == [], view
        assert page.locator("h1").count() == 1


@pytest.mark.slow
def test_dark_and_light(address: str) -> None:
    with browser_page(color_scheme="dark") as seen:
        page = seen.page
        page.goto(address)
        background = "getComputedStyle(document.body).backgroundColor"
        dark = page.evaluate(background)
        assert page.get_attribute("#theme", "aria-pressed") == "true"
        page.click("#theme")
        assert page.evaluate(background) != dark
        page.reload()
        assert page.get_attribute("#theme", "aria-pressed") == "false", "the choice is kept"
        page.click("#theme")
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.querySelector('h2')).color") == "rgb(23, 33, 45)", (
            "dark on paper"
        )
        assert seen.complaints == []


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(address: str, scheme: str) -> None:
    """WCAG 2.1 AA: a contrast of at least 4.5."""
    with browser_page(color_scheme=scheme) as seen:
        seen.page.goto(address)
        assert pale_texts(seen.page, "main *, header *, .filters *") == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 768, 1280])
def test_no_screen_scrolls_sideways(site: Path, width: int) -> None:
    with browser_page(viewport={"width": width, "height": 844}) as seen:
        seen.page.goto((site / "index.html").as_uri())
        task = seen.page.evaluate("DATA.tables[0].id")
        for view in ("#/", "#/tables", f"#/task/{task}", "#/map", "#/trade", "#/read"):
            go(seen, view)
            seen.page.wait_for_selector("main .card")
            assert seen.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view


@pytest.mark.slow
def test_without_scripts_the_results_are_there(address: str, board: Board) -> None:
    with browser_page(java_script_enabled=False, color_scheme="dark") as seen:
        seen.page.goto(address)
        text = seen.page.inner_text("main")
        for table in board.tables:
            assert table.task.title in text
        assert ("results.csv" in text) == address.endswith("index.html")
        assert not seen.page.is_visible("nav") and not seen.page.is_visible("#theme"), "buttons that do nothing"
        assert seen.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 19, 25)", "dark"


@pytest.mark.slow
def test_all_tables_below_each_other_each_sorts_by_itself(seen: Seen, board: Board) -> None:
    go(seen, "#/tables")
    seen.page.wait_for_selector(f"main .card:nth-of-type({len(board.tables)})")
    titles = texts(seen, "main .card h2 a")
    assert titles == [table.task.title for table in board.tables]
    first = seen.page.locator("main .card").nth(0).locator("[data-sort$='.score']")
    first.focus()
    for order in ("descending", "ascending"):
        seen.page.keyboard.press("Enter")
        heads = seen.page.evaluate(
            "[...document.querySelectorAll('[data-sort$=\".score\"]')].map(b => b.closest('th').ariaSort)"
        )
        assert heads == [order, *["none"] * (len(heads) - 1)]
        # The keyboard stays where it was, though the tables are drawn anew.
        assert seen.page.evaluate("document.activeElement.dataset.sort").endswith(".score")


@pytest.mark.slow
def test_lines_behind_the_bars_stand_where_best_and_baseline_do(seen: Seen) -> None:
    the_task(seen, "localisation")
    heading(seen, "Subcellular localisation")
    # The middle of the dot of the best row, and of the best baseline's, from the left of their cells.
    dots, width, places, layers = seen.page.evaluate(
        """() => {
          const middle = row => { const [cell, dot] = ['td.plots', 'td.plots b'].map(css => row.querySelector(css).getBoundingClientRect());
            return dot.left + dot.width / 2 - cell.left; };
          const style = getComputedStyle(document.querySelector('td.plots'));
          return [['tbody tr', 'tbody tr.low'].map(css => middle(document.querySelector(css))),
            document.querySelector('td.plots').getBoundingClientRect().width, style.backgroundPosition.split(', '), style.backgroundImage];
        }"""
    )
    for dot, place, line in zip(dots, places, (2, 1.5), strict=False):
        share, sign, pixels = re.match(r"calc\(([\d.]+)% ([+-]) ([\d.]+)px\)", place).groups()  # type: ignore[union-attr]
        assert float(share) / 100 * (width - line) + float(sign + pixels) == pytest.approx(dot, abs=2)
    assert layers.startswith("linear-gradient") and layers.count("repeating-linear-gradient") == 1


@pytest.mark.slow
def test_ticks_are_few_and_inside(seen: Seen) -> None:
    for low, high in ((0, 1), (0.09, 0.67), (0.8492, 0.861), (-3, 250), (0.5, 0.5)):
        marks = seen.page.evaluate(f"ticks({low}, {high})")
        assert 1 <= len(marks) <= 6 and all(low - 1e-9 <= mark <= high + 1e-9 for mark in marks)


@pytest.mark.slow
def test_the_head_of_a_long_table_stays_in_sight(tmp_path: Path) -> None:
    path = tmp_path / "board.html"
    path.write_text(page_file(build_board(many_runs(400))), encoding="utf-8")
    with browser_page(viewport={"width": 1280, "height": 700}) as seen:
        page = seen.page
        page.goto(path.as_uri())
        # One task: its table is there at once, two hundred rows of it.
        assert page.inner_text("h1").startswith("Subcellular localisation") and page.locator("tbody tr").count() >= 200
        assert not page.is_visible("[name=task]") and page.is_visible("[name=adaptation]"), "a choice of one"
        page.evaluate("scrollTo(0, 5000)")
        head, bar = (f"document.querySelector('{css}').getBoundingClientRect()" for css in ("thead th", "#filters"))
        page.wait_for_function(f"Math.abs({head}.top - {bar}.bottom) < 2")
        page.fill("[name=q]", "protein-model-17 full")
        assert all("protein-model-17" in name for name in texts(seen, ".card >> nth=0 >> tbody th a"))
        commit = page.evaluate("DATA.arms[3].revision.slice(0, 7)")
        page.fill("[name=q]", commit)
        assert all(commit in name for name in texts(seen, ".card >> nth=0 >> tbody th"))
        page.fill("[name=q]", "")
        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.locator("main .card >> nth=0 >> tbody tr").count() == 400, "paper has no button for the rest"
        assert seen.complaints == []
