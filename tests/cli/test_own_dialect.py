"""A checkpoint whose code speaks another dialect, from the command to the record: by a file of the user's, and by bench's own family."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_own_code import write_like
from tiny_project import write_project

from hubtools.models.families import known_families
from hubtools.runs.store import find_records

PAGE = Path(__file__).resolve().parents[2] / "docs" / "extending.md"
RESIDUES = "residue-classification"
Bench = Callable[..., tuple[int, str, str]]


def file_of_the_page() -> str:
    """The family file of the section on dialects."""
    section = PAGE.read_text(encoding="utf-8").split("\n### Code that speaks another dialect\n")[1].split("\n### ")[0]
    return re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)[0]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for state, empty in (("_brought", list[Any]()), ("_looked", list[Any]()), ("_bringers", dict[str, str]())):
        monkeypatch.setattr(known_families, state, empty)
    # Set, so that it is as before afterwards, too: the option writes it for processes that are started.
    monkeypatch.setenv("BENCH_FAMILIES", "")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("BENCH_DATA_MIRROR", raising=False)
    folder = write_project(tmp_path / "project", RESIDUES)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.slow
def test_a_file_of_the_users_says_how_code_is_asked_and_the_record_says_which(project: Path, bench: Bench) -> None:
    write_like(project / "odd", "odd")
    (project / "another.py").write_text(file_of_the_page())
    asked = (
        *("run", "--checkpoint", "./odd", "--task", f"tiny-{RESIDUES}", "--recipe", "probe", "--seed", "1"),
        *("--device", "cpu", "--trust-remote-code", "--set", "epochs=1"),
    )
    code, _, err = bench(*asked)
    assert code != 0
    assert "odd: its forward takes src and pad_mask; bench needs input_ids and attention_mask" in " ".join(err.split())
    code, _, err = bench(*asked, "--family", "another.py")
    assert code == 0, err
    [(folder, record)] = [
        (folder, record) for folder, record in find_records([project / "runs"])[0] if record.status == "complete"
    ]
    assert record.checkpoint is not None and record.identity.checkpoint is not None
    digest = known_families.family_named("another").digest
    assert record.checkpoint.family == "another" and record.identity.checkpoint.family == f"another {digest[:12]}"
    assert (record.checkpoint.hidden_size, record.checkpoint.layers, record.checkpoint.architecture) == (16, 2, "Odd")
    assert record.environment.layout == "padded" and record.together is not None
    assert record.together.difference is not None and record.together.difference < 1e-5
    assert "the file `another.py` that brings it" in (folder / "card" / "README.md").read_text()
    # Its code does not ship with the model.
    code, _, err = bench("predict", "--family", "another.py", str(folder), "MKTAY")
    assert code != 0 and "its encoder (odd) is code of its checkpoint's repository" in " ".join(err.split())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "--family: there is no file another.py"),
        ("Family = 1", "another.py: it brings no family"),
        ("1 / 0", r"another\.py: it brings no family \(ZeroDivisionError"),
    ],
)
def test_a_file_that_brings_none_is_one_line(project: Path, bench: Bench, text: str | None, says: str) -> None:
    if text is not None:
        (project / "another.py").write_text(text)
    write_like(project / "odd", "odd")
    for command in (("run", "--recipe", "probe", "--task"), ("tasks", "check")):
        more = (f"tiny-{RESIDUES}", "--checkpoint", "./odd", "--trust-remote-code", "--family", "another.py")
        code, _, err = bench(*command, *more)
        assert code != 0 and re.search(says, " ".join(err.split())) is not None, err


@pytest.mark.slow
def test_the_check_of_a_task_asks_in_the_dialect(project: Path, bench: Bench) -> None:
    write_like(project / "amplify", "amplify")
    check = ("tasks", "check", f"tiny-{RESIDUES}", "--trust-remote-code", "--checkpoint", "./amplify")
    code, out, err = bench(*check)
    assert code == 0 and "residues padded: at most" in " ".join(out.split()), err
