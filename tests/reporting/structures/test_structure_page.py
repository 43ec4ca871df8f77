"""The page of structures: what is in it, and what a browser makes of it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Seen, browser_page
from tiny_structures import chain_atoms, write_structure

import hubtools
from hubtools.common.errors import UserError
from hubtools.data import DataCache
from hubtools.data.structures.aligned_error import read_aligned_error
from hubtools.data.structures.chains import whole_structure
from hubtools.reporting.structures.colours import CONFIDENCE
from hubtools.reporting.structures.structure_page import ShownStructure, structure_page
from hubtools.reporting.structures.viewer_program import MOL_3D

SEQUENCE = "MKTAYGAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGD"
LENGTH = len(SEQUENCE)
PLDDT = [float(value) for value in np.linspace(95, 40, LENGTH).round(1)]


def program(folder: Path) -> Path:
    """In place of 3Dmol.js, which draws nothing that a test of the data asks for."""
    path = folder / "none.js"
    path.write_text("// nothing\n")
    return path


def data_of(page: str) -> Any:
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])  # type: ignore[index]


def folded(folder: Path, name: str = "one", **options: Any) -> Path:
    """As bench fold leaves it: pLDDT as B factor, the aligned error and the table beside it."""
    write_structure(folder / f"{name}.pdb", chain_atoms(SEQUENCE, confidence=PLDDT, **options))
    np.savez(
        folder / f"{name}.pae.npz", pae=np.abs(np.subtract.outer(np.arange(LENGTH), np.arange(LENGTH))).astype("f4")
    )
    (folder / "folds.tsv").write_text(
        f"id\tfile\tlength\tmean_plddt\tptm\tseconds\tseed\none\tone.pdb\t{LENGTH}\t67.5\t0.81\t1\t1\n"
    )
    return folder


def test_the_page_holds_what_the_files_say(tmp_path: Path) -> None:
    whole = whole_structure(folded(tmp_path) / "one.pdb")
    error = read_aligned_error(tmp_path / "one.pae.npz")
    page = structure_page([ShownStructure(whole, aligned_error=error)], program(tmp_path), "A <b> & c")
    assert page == structure_page([ShownStructure(whole, aligned_error=error)], program(tmp_path), "A <b> & c")
    assert "A &lt;b&gt; &amp; c" in page
    (one,) = data_of(page)["structures"]
    (chain,) = one["chains"]
    assert chain["residues"] == SEQUENCE and chain["numbers"] == [str(place) for place in range(1, LENGTH + 1)]
    assert chain["values"]["confidence"] == pytest.approx(PLDDT)
    assert one["facts"] == {"residues": str(LENGTH), "mean pLDDT": f"{np.mean(PLDDT):.1f}"}
    cells = np.frombuffer(gzip.decompress(base64.b64decode(one["pae"]["cells"])), np.uint8).reshape(LENGTH, LENGTH)
    # A byte is an eighth of an Å; what is beyond the largest is the largest.
    assert np.abs(cells / 255 * 31.75 - np.minimum(error, 31.75)).max() < 0.07
    from biotite.structure.io import pdb

    text = gzip.decompress(base64.b64decode(one["text"])).decode()
    drawn = pdb.PDBFile.read(io.StringIO(text)).get_structure(model=1)
    assert np.array_equal(drawn.coord, whole.atoms.coord)


def test_what_may_run_in_the_page_is_named_by_its_checksum(tmp_path: Path) -> None:
    page = structure_page([ShownStructure(whole_structure(folded(tmp_path) / "one.pdb"))], program(tmp_path), "t")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]  # type: ignore[index]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    elements = re.findall(r"<script>(.*?)</script>|<style>(.*?)</style>", page, re.DOTALL)
    sums = {base64.b64encode(hashlib.sha256((a or b).encode()).digest()).decode() for a, b in elements}
    assert sums == set(re.findall(r"sha256-([^']+)'", policy)) and len(sums) == 3


def test_b_factors_of_what_was_measured_are_no_confidence(tmp_path: Path) -> None:
    path = folded(tmp_path) / "one.pdb"
    path.write_text("EXPDTA    X-RAY DIFFRACTION\n" + path.read_text())
    shown = ShownStructure(whole_structure(path))
    assert shown.confidence is None
    assert [one["key"] for one in data_of(structure_page([shown], program(tmp_path), "t"))["paintings"]] == ["place"]
    # Shares, as some programs write them, are percent.
    atoms = chain_atoms(SEQUENCE, confidence=[0.5] * LENGTH)
    confidence = ShownStructure(whole_structure(write_structure(tmp_path / "s.pdb", atoms))).confidence
    assert confidence is not None and confidence[0].tolist() == [50.0] * LENGTH


def test_names_and_labels_of_others_are_text(tmp_path: Path) -> None:
    import pandas as pd

    from hubtools.reporting.structures.residue_predictions import residue_predictions

    folded(tmp_path)
    label = "</script><script>alert(1)</script>"
    frame = pd.DataFrame({"id": "one", "position": range(1, LENGTH + 1), "residue": list(SEQUENCE), "predicted": label})
    said = residue_predictions(frame, "t")
    whole = whole_structure(tmp_path / "one.pdb")
    page = structure_page([ShownStructure(whole, said.of(whole, True, "t"))], program(tmp_path), "t", said, [label])
    assert "alert(1)</script>" not in page and data_of(page)["paintings"][0]["names"] == [label]


def test_what_is_no_error_map_is_refused(tmp_path: Path) -> None:
    folded(tmp_path)
    (tmp_path / "one.pae.npz").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(UserError, match="no NumPy archive with an array pae"):
        read_aligned_error(tmp_path / "one.pae.npz")


def test_a_long_protein_has_a_map_of_means(tmp_path: Path) -> None:
    from hubtools.reporting.structures.structure_page import _error_map

    found = _error_map(np.tile([[0.0, 20.0]], (1030, 515)))
    assert found["step"] == 3 and found["size"] == 344


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two structures, of which one has predictions; without 3Dmol.js in the cache of data, nothing is fetched for it."""
    if DataCache.default().held(MOL_3D.sha256) is None:
        pytest.skip("3Dmol.js is not in the cache of data: bench view fetches it")
    import pandas as pd

    folder = folded(tmp_path_factory.mktemp("folds"))
    write_structure(folder / "two.pdb", chain_atoms(SEQUENCE[::-1], confidence=PLDDT, seed=4))
    rows = {
        "id": "one",
        "position": range(1, LENGTH + 1),
        "residue": list(SEQUENCE),
        "predicted": ["in", "out"] * (LENGTH // 2),
    }
    return hubtools.view(folder, pd.DataFrame(rows)).write(folder / "page.html")


@pytest.fixture(scope="module")
def seen(page: Path) -> Iterator[Seen]:
    with browser_page(viewport={"width": 390, "height": 844}, color_scheme="dark", reduced_motion="reduce") as found:
        found.page.goto(page.as_uri())
        found.page.wait_for_selector("body[data-state='shown one']", timeout=60_000)
        yield found


def colours(seen: Seen) -> list[str]:
    """Of the letters, as #rrggbb."""
    found = seen.page.eval_on_selector_all(".b-r", "cells => cells.map(cell => getComputedStyle(cell).backgroundColor)")
    return ["#" + "".join(f"{int(part):02X}" for part in re.findall(r"\d+", text)[:3]) for text in found]


@pytest.mark.slow
def test_the_browser_draws_and_asks_nobody(seen: Seen) -> None:
    # A canvas in which something else than the ground is drawn.
    drawn = seen.page.locator("#canvas").screenshot()
    assert len(drawn) > 8_000
    assert seen.page.evaluate("document.documentElement.scrollWidth") == 390
    assert not seen.requests
    assert [one for one in seen.complaints if "GPU stall" not in one] == []


@pytest.mark.slow
def test_confidence_has_the_colours_of_alphafold(seen: Seen) -> None:
    seen.page.select_option("#colour", "confidence")
    bands = [next(colour for low, colour, _ in CONFIDENCE if value >= low) for value in PLDDT]
    assert colours(seen) == bands
    seen.page.select_option("#colour", "predicted")
    assert colours(seen) == [colour.upper() for colour in ("#56b4e9", "#e69f00")] * (LENGTH // 2)


@pytest.mark.slow
def test_the_keyboard_goes_through_the_list_and_turns(seen: Seen) -> None:
    seen.page.focus("#list button")
    seen.page.keyboard.press("ArrowDown")
    seen.page.wait_for_selector("body[data-state='shown two']")
    # Of it nothing is predicted, and no error is known.
    assert seen.page.locator("#error").is_hidden() and seen.page.input_value("#colour") == "confidence"
    before = seen.page.locator("#canvas").screenshot()
    seen.page.focus("#view")
    seen.page.keyboard.press("ArrowRight")
    seen.page.wait_for_timeout(200)
    assert seen.page.locator("#canvas").screenshot() != before
    seen.page.click(".b-r >> nth=4")
    assert "5" in seen.page.inner_text("#said")
    seen.page.focus("#list tr[aria-current] button")
    seen.page.keyboard.press("ArrowUp")
    seen.page.wait_for_selector("body[data-state='shown one']")
    assert seen.page.locator("#error").is_visible() and "pTM 0.81" in seen.page.inner_text("#facts")
