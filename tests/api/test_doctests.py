"""The examples in the docstrings of the door are run, in the folder of the project."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = [
    "hubtools.common.notebook",
    *(
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in sorted((ROOT / "hubtools" / "api").rglob("*.py"))
        if path.stem[0] != "_"
    ),
]
FUNCTIONS = (
    "run", "plan", "results", "board", "compare", "check", "predict", "load_task", "tasks", "recipes", "new_task", "check_task",
)  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_come_out_as_they_say(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert not doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS).failed


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_has_an_example(name: str) -> None:
    import hubtools

    assert ">>> " in (getattr(hubtools, name).__doc__ or "")
