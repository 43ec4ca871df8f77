"""import hubtools: quick, with every name, and a function where a room has the same name."""

from __future__ import annotations

import ast
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sample_records import sample_runs, write_runs
from test_architecture import HEAVY, ROOMS

import hubtools

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = str(ROOT / "benchmarks" / "baselines" / "golden")
ASKED_FOR = {
    "run", "plan", "results", "board", "compare", "check", "predict", "publish", "load_task", "tasks", "recipes", "UserError",
}  # fmt: skip


def test_the_import_loads_nothing_heavy() -> None:
    code = (
        "import json, sys, hubtools\nprint(json.dumps([sorted({n.split('.')[0] for n in sys.modules}), dir(hubtools)]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded, names = json.loads(done.stdout)
    assert not set(loaded) & (HEAVY | {"pydantic", "huggingface_hub", "rich", "click"})
    assert set(hubtools.__all__) <= set(names) and set(hubtools.__all__) >= ASKED_FOR


def test_every_name_is_there_also_for_type_checkers() -> None:
    tree = ast.parse((ROOT / "hubtools" / "__init__.py").read_text())
    (checked,) = [node for node in tree.body if isinstance(node, ast.If)]
    typed = {alias.name for node in checked.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert typed | {"__version__"} == set(hubtools.__all__)
    for name in hubtools.__all__:
        assert getattr(hubtools, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'runn'"):
        hubtools.runn  # noqa: B018
    assert (ROOT / "hubtools" / "py.typed").is_file()


def test_no_name_is_a_room_too() -> None:
    """Importing a module of the room would put the room in the place of the function."""
    assert not set(hubtools.__all__) & set(ROOMS)


def test_a_public_function_says_what_it_takes_gives_and_refuses() -> None:
    from inspect import getdoc, isfunction, signature

    for name in hubtools.__all__:
        function = getattr(hubtools, name)
        if isfunction(function):
            said = getdoc(function) or ""
            assert "Raises:" in said, name
            assert signature(function).return_annotation not in {None, ""}, name


# What is asked for


def test_a_plan_is_that_of_the_command() -> None:
    planned = hubtools.plan(["embedded"], "localisation", "probe", seeds=1, fractions=[0.5, 1], set={"epochs": 3})
    assert [run.fraction for run in planned] == [0.5, None] and planned[0].overrides == {"epochs": 3}
    assert planned.to_pandas()["fraction"].iloc[0] == 0.5 and planned[:1].titles == planned.titles[:1]
    assert hubtools.plan("embedded", hubtools.load_task("localisation"), "probe", seeds=1).titles == planned[1:].titles


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        ({"seeds": [-1]}, "-1 is not a seed"),
        ({"seeds": [1.5]}, "1.5 is not a seed"),
        ({"fractions": 2}, "2 is not a share"),
        ({"subset": 3}, "too few"),
        ({"task": "localisatoin"}, "Did you mean localisation"),
        ({"checkpoint": ""}, "it is empty"),
        ({"set": {"epoch": 3}}, "epoch"),
    ],
)
def test_what_cannot_be_planned_is_one_line(asked: dict[str, Any], match: str) -> None:
    with pytest.raises(hubtools.UserError, match=match):
        hubtools.plan(**{"checkpoint": "embedded", "task": "localisation", "recipe": "probe", **asked})


def test_results_are_filtered_by_patterns_and_what_fits_nothing_is_said() -> None:
    found = hubtools.results(GOLDEN, task="golden-class", recipe=["*probe", "*lora"])
    assert sorted(record.identity.recipe.name for _, record in found) == ["golden-lora", "golden-probe"]
    frame = found.to_pandas()
    assert set(frame["split"]) == {"test"} and frame["primary"].all() and (frame["low"] <= frame["high"]).all()
    validation = hubtools.results(f"{GOLDEN}:recipe=golden-probe", split="test", metric="rmse").to_pandas()
    assert set(validation["task"]) == {"golden-value"}
    for wrong in ({"task": "no-such"}, {"metric": "no-such"}, {"split": "no-such"}):
        with pytest.raises(hubtools.UserError, match="There are"):
            hubtools.results(GOLDEN, **wrong)


def test_a_misspelt_term_is_not_passed_over() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'margin'"):
        hubtools.check(GOLDEN, GOLDEN, margin={"golden-class": 0.1})  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'licenses'"):
        hubtools.publish("runs", "me/x", licenses="mit")  # type: ignore[call-arg]
    with pytest.raises(hubtools.UserError, match="no question 'both'"):
        hubtools.compare(GOLDEN, GOLDEN, "both")  # type: ignore[arg-type]


def test_notes_are_told_as_they_are_met_and_kept(tmp_path: Path) -> None:
    write_runs(tmp_path / "runs", sample_runs())
    broken = tmp_path / "runs" / "broken"
    broken.mkdir()
    (broken / "run.json").write_text("{")
    told: list[str] = []
    found = hubtools.results(tmp_path / "runs", on_note=told.append)
    assert len(told) == 1 and told[0].startswith("left out: ") and found.notes == tuple(told)
    assert found.unfinished and "not finished" in repr(found)
    assert hubtools.board(found).notes == found.notes


# What a notebook shows


def test_what_others_wrote_is_text_in_a_notebook(tmp_path: Path) -> None:
    runs = [(folder, record) for folder, record in sample_runs() if record.identity.checkpoint]
    for _, record in runs:
        assert record.identity.checkpoint is not None
        record.identity.checkpoint.name = "lab/<img src=x onerror=alert(1)>"
        record.task["title"] = "<script>alert(1)</script>"
    write_runs(tmp_path / "runs", runs)
    for shown in (hubtools.results(tmp_path / "runs"), hubtools.board(tmp_path / "runs")):
        html = shown._repr_html_()
        assert "<img" not in html and "<script" not in html and "&lt;img" in html


def test_listings_show_themselves() -> None:
    for listed in (hubtools.tasks(), hubtools.recipes(), hubtools.suites()):
        assert listed._repr_html_().count("<tr>") == min(len(listed), 40) + 1
        assert listed.to_pandas()["name"].tolist() == listed.names
    with pytest.raises(hubtools.UserError, match="Did you mean probe"):
        hubtools.recipes()["prob"]
    html = hubtools.load_task("localisation")._repr_html_()
    assert "sequence-multilabel" in html and "worse means" in html


# Whose progress and logging it is


def test_a_warning_goes_to_the_logger(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    from hubtools.common import telling

    with caplog.at_level(logging.WARNING, logger="hubtools"):
        telling.warn("smaller batches")
    assert caplog.messages == ["smaller batches"] and capfd.readouterr() == ("", "")
    assert not telling.is_command() and not telling.bars_shown()
    with telling.on_stderr(), telling.on_stderr():
        telling.warn("smaller batches")
    assert capfd.readouterr().err == "smaller batches\n" and not telling.is_command()


def test_the_bars_of_libraries_are_as_they_were() -> None:
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from transformers.utils import logging as of_transformers

    from hubtools.api.computing import quiet

    def state() -> tuple[bool, bool, int]:
        shown = of_transformers.is_progress_bar_enabled()
        return are_progress_bars_disabled(), shown, of_transformers.get_verbosity()

    try:
        for change in (enable_progress_bars, disable_progress_bars):
            change()
            before = state()
            with quiet():
                assert state()[:2] == (True, False)
            assert state() == before
    finally:
        enable_progress_bars()
