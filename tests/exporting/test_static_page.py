"""A model exported and asked in a real browser: what torch predicted, from the page's own files and nothing else."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Seen, browser_page
from exporting.asked_page import Made, asked, downloaded, opened, scores, served
from hub_server import Hub
from publishing.small_run import make_run, write_small_card
from tiny_runs import made

from hubtools.common.errors import UserError
from hubtools.common.hashing import file_sha256
from hubtools.evaluation.predictions import read_predictions
from hubtools.exporting.static_space import StaticSpace
from hubtools.exporting.web_runtime import ONNXRUNTIME_WEB, PROCESSOR
from hubtools.inference.decisions import Decider
from hubtools.inference.demo_page import Limits
from hubtools.inference.predictor import Predictor, Protein
from hubtools.inference.writers import writing
from hubtools.publishing.commit import look
from hubtools.publishing.contents import plan_publication
from hubtools.publishing.demo_space import PAGE_FILES, push_space, write_space
from hubtools.training.compute.device import Execution

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")]
for package in ("onnx", "onnxruntime", "onnxscript"):
    pytest.importorskip(package, reason='onnx is not installed: pip install "plm-hubtools[export]"')


@pytest.fixture(scope="module", params=["residue-classification", "sequence-classification"])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    with served(tmp_path_factory.mktemp("static"), request.param) as found:
        yield found


@pytest.fixture(scope="module")
def seen(page: Made) -> Iterator[Seen]:
    with browser_page(viewport={"width": 390, "height": 844}) as found:
        opened(found, page.address)
        yield found


def test_the_page_predicts_what_the_run_recorded(page: Made, seen: Seen) -> None:
    recorded = read_predictions(page.run / "predictions.parquet")["test"]
    rows = {
        row["id"]: row["sequence"]
        for row in csv.DictReader(next((page.run.parents[1] / "tasks").glob("*.csv")).open())
        if row["set"] == "test"
    }
    ids = list(dict.fromkeys(recorded.ids.tolist()))[:10]
    asked(seen, "".join(f">{name}\n{rows[name]}\n" for name in ids))
    got = scores(downloaded(seen, "#tsv"), page.predictor.labels)
    if recorded.positions is None:
        expected = np.concatenate([recorded.scores[recorded.ids == name] for name in ids])
    else:
        # Residues without a label are in no record.
        (expected,) = [
            np.concatenate([one.scores for one in page.predictor.predict([Protein(n, rows[n]) for n in ids])])
        ]
        kept = np.concatenate(
            [np.isin(np.arange(len(rows[n])) + 1, recorded.positions[recorded.ids == n]) for n in ids]
        )
        of_record = np.concatenate([recorded.scores[recorded.ids == n] for n in ids])
        np.testing.assert_allclose(got[kept], of_record, atol=1e-4)
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_long_odd_and_lower_case_proteins_are_read_as_bench_predict_reads_them(
    page: Made, seen: Seen, tmp_path: Path
) -> None:
    long = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQVKVKALPDAQFEVV" * 10
    proteins = {"sp|P1|A": long, "=odd": "MKTBZJOUXW", "one": "M", "dna": "ATGGCGTGCA" * 4}
    said = asked(seen, "".join(f">{name} and more\n{text.lower()}*\n" for name, text in proteins.items()))
    assert f"read in {len(page.predictor._encode([Protein('a', long)]).windows[0])} overlapping windows" in said
    decider = Decider(page.predictor)
    answers = [decider.decide(one) for one in page.predictor.predict([Protein(n, s) for n, s in proteins.items()])]
    ours, theirs = tmp_path / "ours.tsv", downloaded(seen, "#tsv")
    with writing(str(ours), decider, {}) as writer:
        for answer in answers:
            writer.write(answer)
    mine = list(csv.reader(ours.open(), delimiter="\t"))
    got = list(csv.reader(io.StringIO(theirs), delimiter="\t"))
    text = [i for i, name in enumerate(mine[0]) if name in {"id", "length", "position", "residue", "predicted"}]
    assert [[row[i] for i in text] for row in got] == [[row[i] for i in text] for row in mine]
    np.testing.assert_allclose(
        scores(theirs, page.predictor.labels), scores(ours.read_text(), page.predictor.labels), atol=1e-4
    )
    if page.predictor.problem.level.by_residue:
        with writing(str(tmp_path / "ours.gff3"), decider, {}) as writer:
            for answer in answers:
                writer.write(answer)

        def places(text: str) -> list[list[str]]:
            return [line.split("\t")[:5] for line in text.splitlines() if not line.startswith("# ")]

        assert places(downloaded(seen, "#gff3")) == places((tmp_path / "ours.gff3").read_text())
    seen.page.select_option("#chosen", "3")
    assert "looks like DNA" in seen.page.inner_text("#answer")
    # On a phone nothing is wider than the screen.
    assert seen.page.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "There is no sequence yet"),
        ("MK_TA", 'holds "_" at position 3'),
        (">a\nMK\n>b\n", "The sequence of b is empty"),
        ("MK\n>a\nMK", 'starts with ">"'),
        (">a\nMK<b>1</b>", 'holds "<" at position 3'),
    ],
)
def test_what_is_no_protein_gets_a_sentence(seen: Seen, text: str, says: str) -> None:
    assert says in asked(seen, text)


def test_5000_residues_are_read(page: Made, seen: Seen) -> None:
    assert "5,000 residues, read in" in asked(seen, "MKTAYIAKQR" * 500)


def test_nothing_but_its_own_files_is_asked_for_and_a_second_visit_needs_no_network(page: Made, seen: Seen) -> None:
    assert seen.complaints == []
    names = {request.removeprefix(page.address).split("?")[0] or "index.html" for request in seen.requests}
    own = {path.relative_to(page.folder).as_posix() for path in page.folder.rglob("*") if path.is_file()}
    assert names <= own and not [request for request in seen.requests if not request.startswith(page.address)]
    seen.page.wait_for_selector("body[data-kept=yes]", timeout=60_000)
    seen.page.context.set_offline(True)
    try:
        seen.page.reload()
        seen.page.wait_for_selector("body[data-state=ready]", timeout=120_000)
        assert "residue" in asked(seen, "MKTAYFWYKDE")
    finally:
        seen.page.context.set_offline(False)


def test_small_models_go_without_the_program_for_graphics(page: Made) -> None:
    assert {path.name for path in (page.folder / "runtime").iterdir()} == set(PROCESSOR)


def test_tokens_are_the_table_of_the_tokeniser(page: Made) -> None:
    table = json.loads((page.folder / "tokens.json").read_text())
    tokeniser = page.predictor.tokeniser
    for sequence in ("MKTAYIAKQRBJOUXZ", "ACDEFGHIKLMNPQRSTVWY"):
        ids = [*table["before"], *(table["letters"][letter] for letter in sequence), *table["after"]]
        assert ids == tokeniser.with_special(tokeniser.encode(sequence)).tolist()
    assert set(table["unknown"]) == tokeniser.unknown and table["padding"] == tokeniser.pad_id


def test_the_space_is_the_page_in_one_commit(
    page: Made, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not page.predictor.problem.level.by_residue:
        pytest.skip("one page is enough")
    monkeypatch.setattr("hubtools.publishing.contents._write_card", write_small_card)
    publication = plan_publication(make_run(tmp_path / "run"), "me/tiny")
    # Of a page that ran on a server, and of somebody.
    hub.add_repo("spaces", "me/tiny-demo", {"app.py": "", "hubtools/__init__.py": "", "notes.md": "mine"})
    space = StaticSpace("me/tiny-demo", page.folder, page.facts, Limits()).at(publication, "c" * 40)
    done = push_space(space, look("me/tiny-demo", kind="space", sdk="static"), publication, "c" * 40)
    files = hub.repos["spaces", "me/tiny-demo"].history()[0].files
    assert done.changed and "notes.md" in files and not {"app.py", "hubtools/__init__.py"} & set(files)
    for path in page.folder.rglob("*"):
        if path.is_file():
            assert files[path.relative_to(page.folder).as_posix()].sha256 == file_sha256(path)
    text = hub.blob(files["README.md"].sha256).read_text()
    assert "sdk: static" in text and "c" * 40 in text and "cross-origin-embedder-policy" in text
    # The other kind of page over it, and back: what a page was made of goes, what somebody added stays.
    served_page = write_space(tmp_path / "gradio", "me/tiny-demo", publication, "c" * 40)
    both = {".gitattributes", "notes.md"}
    for pushed in (served_page, space):
        push_space(pushed, look("me/tiny-demo", kind="space"), publication, "c" * 40)
        files = hub.repos["spaces", "me/tiny-demo"].history()[0].files
        assert set(files) - both == {file.path for file in pushed.files} and "notes.md" in files
    assert {file.path for file in space.files if not file.path.startswith(PAGE_FILES["static"])} == {"README.md"}
    hub.add_repo("spaces", "me/other", {"index.html": "mine", "more.html": ""})
    for pushed in (served_page, space):
        with pytest.raises(UserError, match="that bench did not write"):
            push_space(pushed, look("me/other", kind="space"), publication, "c" * 40)


def test_another_runtime_is_refused(tmp_path: Path) -> None:
    for name in ONNXRUNTIME_WEB.checksums:
        (tmp_path / name).write_text("other")
    with pytest.raises(UserError, match="has another"):
        ONNXRUNTIME_WEB.files(tmp_path)


def test_models_without_a_graph_are_refused_with_the_reason(tmp_path: Path) -> None:
    from hubtools.exporting.onnx_export import write_export

    predictor: Any = Predictor.open(made(tmp_path, "pair-classification"), Execution.choose("cpu"))
    with pytest.raises(UserError, match="about a pair"):
        write_export(predictor, "x", tmp_path / "out")
    assert not (tmp_path / "out").exists()
