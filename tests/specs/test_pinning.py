"""Pins are added to task files of any form that people write; where that cannot be done, the file stays as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubtools.common.errors import UserError
from hubtools.specs.data_sources import Frozen
from hubtools.specs.lookup.pinning import write_pins
from hubtools.specs.lookup.spec_files import load_task
from hubtools.specs.task import Task

HEAD = "name: t\nversion: 1\ntitle: T\nproblem: sequence-regression\nsummary: s\n"
TAIL = "metrics: {primary: spearman}\nlicence: CC0-1.0\ncitation: none"
DATA = {
    "block": "data:\n  source: uniprot\n  query: x  # all\n  split: {fractions: {train: 0.5, test: 0.5}}\n",
    "deep": "data:\n      source: 'uniprot'\n      query: >\n        x\n        y\n      split: {fractions: {train: 0.5, test: 0.5}}\n",
    "flow": "data: {source: uniprot, query: x, split: {fractions: {train: 0.5, test: 0.5}}}  # short\n",
    "last": "data:\n  query: x\n  split: {fractions: {train: 0.5, test: 0.5}}\n  source: uniprot  # the service\n",
}
FROZEN = Frozen(release="2026_01", rows=3, sha256="1" * 64, file_sha256="12345e" + "0" * 58)


def pinned(path: Path) -> Task:
    task = load_task(str(path))
    return task.model_copy(update={"data": task.data.model_copy(update={"frozen": FROZEN})})


@pytest.mark.parametrize("form", DATA)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("end", ["\n", ""])
def test_only_the_pin_is_added(tmp_path: Path, form: str, newline: str, end: str) -> None:
    path = tmp_path / "t.yaml"
    # The data last, too, in a file whose last line has no end.
    text = (HEAD + DATA[form] + TAIL + end if end else HEAD + TAIL + "\n" + DATA[form][:-1]).replace("\n", newline)
    path.write_bytes(text.encode())
    write_pins(path, pinned(path))
    # Digits alone, or with an e, would be numbers, and 2026_01 too: as text they come back.
    assert load_task(str(path)).data.frozen == FROZEN  # type: ignore[union-attr]
    after = path.read_bytes().decode()
    remaining = iter(after)
    assert all(letter in remaining for letter in text), "what was there is there, in its order"
    assert after.count("#") == text.count("#") and ("\r\n" in after) == ("\r\n" in text)
    assert "\n" not in after.replace("\r\n", "") or newline == "\n"


def test_a_form_that_lines_cannot_be_added_to_is_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    merged = "data:\n  ? source\n  : uniprot\n  ? query\n  : x\n  split: &s {fractions: {train: 0.5, test: 0.5}}\n"
    path.write_text(HEAD + merged + TAIL)
    before, task = path.read_text(), pinned(path)
    changed = task.model_copy(update={"title": "Another"})
    with pytest.raises(UserError, match=r"the pins cannot be added.*Write them yourself: frozen: release: '2026_01'"):
        write_pins(path, changed)
    assert path.read_text() == before and [entry.name for entry in tmp_path.iterdir()] == ["t.yaml"]
