"""The page in a real browser: type a sequence, read the answer; what is no sequence gets a kind message."""

from __future__ import annotations

import csv
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Seen, browser_page
from tiny_runs import made

from hubtools.common.errors import UserError
from hubtools.inference.demo_page import DemoService, Limits, build, serve
from hubtools.inference.named_model import open_predictor
from hubtools.inference.predictor import Predictor, Protein

pytestmark = pytest.mark.slow
pytest.importorskip("gradio", reason='gradio is not installed: pip install "plm-hubtools[demo]"')
SEQUENCE = "MKTAYFWYKDEDEFWYMKTAYFWYKDE"


@pytest.fixture(scope="module", params=["sequence-classification", "residue-classification"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Predictor, str]]:
    """A tiny model and the address of its page."""
    predictor = open_predictor(str(made(tmp_path_factory.mktemp("demo"), request.param)))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    page = build(predictor, Limits(proteins=3, residues=200))
    yield predictor, serve(page, host="127.0.0.1", port=port, browser=False)
    page.close(verbose=False)


def asked(seen: Seen, address: str, text: str) -> Any:
    """The answer's element after a question."""
    seen.page.goto(address)
    seen.page.wait_for_selector("#sequence textarea")
    seen.page.fill("#sequence textarea", text)
    seen.page.click("#predict")
    seen.page.wait_for_selector("#answer .b-answer, #answer .b-message")
    return seen.page.locator("#answer")


def test_type_and_read(served: tuple[Predictor, str], tmp_path: Path) -> None:
    predictor, address = served
    (expected,) = predictor.predict([Protein("sequence", SEQUENCE)])
    with browser_page() as seen:
        answer = asked(seen, address, f"  {SEQUENCE[:10].lower()}\n{SEQUENCE[10:]}  ")
        assert answer.locator("h2").inner_text() == "sequence"
        if predictor.problem.level.by_residue:
            letters = "".join(answer.locator(".b-r b").all_inner_texts())
            assert letters == SEQUENCE
            names = {"O": 0, "A": 1}
            said = [names[code] for code in answer.locator(".b-r span").all_inner_texts()]
            assert said == expected.scores.argmax(1).tolist()
        else:
            shown = dict(
                zip(
                    [text.split()[0] for text in answer.locator(".b-bars th").all_inner_texts()],
                    [float(text.split()[0]) for text in answer.locator(".b-bars td:last-child").all_inner_texts()],
                    strict=True,
                )
            )
            for name, probability in zip(predictor.labels, expected.scores, strict=True):
                assert shown[name] == pytest.approx(100 * probability, abs=0.06)
        with seen.page.expect_download() as started:
            seen.page.click("#download")
        path = tmp_path / "table.tsv"
        started.value.save_as(path)
        rows = list(csv.DictReader(path.open(), delimiter="\t"))
        got = np.array([[float(row["p_other"]), float(row["p_aromatic"])] for row in rows])
        np.testing.assert_allclose(got, np.atleast_2d(expected.scores), atol=1e-5)
        assert seen.complaints == []
        assert {request.split("/")[2].split(":")[0] for request in seen.requests} == {"127.0.0.1"}


def test_an_uploaded_structure_is_painted(tmp_path: Path) -> None:
    """Its chain is read, and what is predicted of each residue stands on it, in a frame of its own."""
    from tiny_structures import chain_atoms, write_structure

    from hubtools.api.proteins.viewing_structures import painter
    from hubtools.data import DataCache
    from hubtools.reporting.structures.viewer_program import MOL_3D

    if DataCache.default().held(MOL_3D.sha256) is None:
        pytest.skip("3Dmol.js is not in the cache of data: bench view fetches it")
    predictor = open_predictor(str(made(tmp_path / "made", "residue-classification")))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    page = build(predictor, paint=painter(predictor))
    address = serve(page, host="127.0.0.1", port=port, browser=False)
    path = write_structure(tmp_path / "mine.pdb", chain_atoms(SEQUENCE))
    try:
        with browser_page() as seen:
            seen.page.goto(address)
            seen.page.wait_for_selector("#sequence textarea")
            seen.page.set_input_files("input[type=file]", str(path))
            seen.page.wait_for_selector("text=mine")
            seen.page.click("#predict")
            frame = seen.page.frame_locator("#painted iframe")
            frame.locator("body[data-state='shown mine']").wait_for(timeout=60_000)
            assert "".join(frame.locator(".b-r b").all_inner_texts()) == SEQUENCE
            assert seen.page.locator("#answer h2").inner_text() == "mine"
    finally:
        page.close(verbose=False)


def test_what_is_no_sequence_gets_a_kind_message(served: tuple[Predictor, str]) -> None:
    messages = {
        "": "no sequence yet",
        "MKT1A": "holds '1' at position 4",
        ">a\nMKV\n>b\nMK*V": "Cut the protein at the stop codon",
        "MKV" * 100: "more than this page takes at once",
        ">a\nMKV\n>b\nMKV\n>c\nMKV\n>d\nMKV": "3 proteins",
    }
    with browser_page() as seen:
        for text, said in messages.items():
            answer = asked(seen, served[1], text)
            assert said in answer.locator("[role=alert]").inner_text()
            assert not seen.page.locator("#download").is_visible()
        assert seen.complaints == []


def test_several_proteins_by_keyboard_in_the_dark_on_a_narrow_screen(served: tuple[Predictor, str]) -> None:
    with browser_page(viewport={"width": 390, "height": 844}, color_scheme="dark") as seen:
        page = seen.page
        page.goto(served[1])
        page.wait_for_selector("#sequence textarea")
        page.focus("#sequence textarea")
        page.keyboard.insert_text(">first <b>x</b>\nMKV\n>second\nFWY\n")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_selector("#answer .b-answer")
        assert page.locator("#answer h2").inner_text() == "first"
        page.wait_for_selector("#all")
        assert "second" in page.locator("#all").inner_text()
        page.click("#chosen input")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        page.wait_for_function("document.querySelector('#answer h2').innerText == 'second'")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert seen.complaints == []


def test_letters_are_read_as_in_the_run_that_made_the_model(served: tuple[Predictor, str]) -> None:
    """In upper case, and as X where the vocabulary lacks them; ESM's own tokenizer would make one token of JJ."""
    predictor, _ = served
    [expected] = predictor.predict([Protein("sequence", "MKXXAA")])
    [answer] = DemoService(predictor, Limits()).ask("mkJjaa").answers
    assert answer.answer.protein.sequence == "MKJJAA"
    np.testing.assert_allclose(answer.answer.scores, expected.scores, atol=1e-6)


def test_a_taken_port_is_said(served: tuple[Predictor, str]) -> None:
    predictor, address = served
    page = build(predictor)
    with pytest.raises(UserError, match="is taken"):
        serve(page, host="127.0.0.1", port=int(address.rstrip("/").rsplit(":", 1)[1]), browser=False)


def test_pairs_are_asked_for_by_two_boxes(tmp_path: Path) -> None:
    predictor = open_predictor(str(made(tmp_path, "pair-classification")))
    desk = DemoService(predictor, Limits())
    (expected,) = predictor.predict([Protein("pair", "MKV", "FWY")])
    told = desk.ask("MKV", partner="FWY")
    np.testing.assert_array_equal(told.answers[0].answer.scores, expected.scores)
    assert "no sequence yet" in desk.ask("MKV").message
