"""Where users load published models: what cards and docs/tensorflow.md say of it, and that it was tried."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import loads
import pytest
from hub_server import Hub
from loads import CASES, HERE, PAGE, PROTEIN, RESIDUE, TF, Case
from sample_records import PEPTIDES, PROBE, make_record

from hubtools.reporting.card.tried_versions import (
    IN_KERAS,
    KERAS,
    OLDEST,
    TRANSFORMERS_4,
    TRANSFORMERS_5,
    loads_in_keras,
    oldest_tried,
)
from hubtools.specs.recipe import Head
from hubtools.specs.record import RunRecord

ROOT = Path(__file__).resolve().parents[2]
# As `python tests/publishing/loads.py --environments FOLDER` left it.
ENVIRONMENTS = os.environ.get("BENCH_LOADS")


def tried(**head: str) -> RunRecord:
    """A record of a probe of an ESM-2, with this head."""
    return make_record(PEPTIDES, PROBE.model_copy(update={"head": Head(**head)}), 0.5, checkpoint="lab/esm2")


def test_what_was_tried_of_transformers_5_is_the_oldest_that_bench_may_be_installed_with() -> None:
    oldest = dict(re.findall(r"^(\S+)==(\S+)$", (ROOT / "constraints-oldest.txt").read_text(), re.MULTILINE))
    assert {name: oldest[name] for name in ("transformers", "peft")} == {
        name: TRANSFORMERS_5[name] for name in ("transformers", "peft")
    }
    # Its torch is not that of the file, which says by what it was replaced.
    assert f"torch {TRANSFORMERS_5['torch']} in place" in (ROOT / "constraints-oldest.txt").read_text()


def test_every_architecture_that_a_card_speaks_of_was_tried() -> None:
    models = {"esm": "esm", "esm1b": "esm", "spiece": "t5", "prostt5": "t5", "ankh": "t5"}
    for kind, versions in OLDEST.items():
        own = [case for case in CASES if models.get(case.family, case.family) == kind]
        assert {case.problem for case in own} == {PROTEIN, RESIDUE}
        # Adapters, too: peft is in the sentence.
        assert any(case.recipe == "lora" for case in own)
        assert {case.four for case in own} == {versions is TRANSFORMERS_4}
        assert {case.keras for case in own} == {kind in IN_KERAS}


def test_a_card_names_the_oldest_versions_that_were_tried() -> None:
    record = tried()
    said = oldest_tried(record, peft=True)
    assert said.endswith("were loaded with: transformers 4.57.6, peft 0.18.0, torch 2.13.0.") and "architecture" in said
    assert "peft" not in oldest_tried(record, peft=False)
    assert loads_in_keras(record)
    assert not loads_in_keras(tried(pooling="attention"))
    assert record.checkpoint is not None
    checkpoint = record.checkpoint.model_copy(update={"model_type": "esmc"})
    assert "transformers 5.20.0" in oldest_tried(record.model_copy(update={"checkpoint": checkpoint}), peft=False)
    # Of what was not tried, a card claims nothing.
    checkpoint = record.checkpoint.model_copy(update={"model_type": "roformer"})
    other = record.model_copy(update={"checkpoint": checkpoint})
    assert "transformers 5.23.0" in oldest_tried(other, peft=False) and "not tried" in oldest_tried(other, peft=False)
    assert not loads_in_keras(other)


def test_the_page_on_tensorflow_installs_what_was_tried() -> None:
    page = PAGE.read_text()
    for name, release in KERAS.items():
        assert f"{name}=={release}" in page, name
    assert f"safetensors {KERAS['safetensors']}" in page


@pytest.mark.parametrize("residues", [False, True])
def test_the_page_on_tensorflow_takes_the_lines_of_any_card(residues: bool) -> None:
    card = "\n".join(
        [
            "import re",
            "import torch",
            "from transformers import AutoModel, AutoTokenizer",
            'MODEL = "lab/own"',
            f'sequence = "{loads.EXAMPLE}".upper()',
            'read = re.sub("[UZOB]", "X", sequence)',
            "tokenizer = AutoTokenizer.from_pretrained(MODEL)",
            'tokens = tokenizer(" ".join(read), return_tensors="pt")',
            *(["values = logits[:-1].softmax(-1)"] if residues else []),
        ]
    )
    code = loads.in_keras(card)
    ast.parse(code)
    assert 'MODEL = "lab/own"' in code and 'tokens = tokenizer(" ".join(read), return_tensors="tf")' in code
    assert code.count("sequence = ") == 1 and "torch" not in re.findall(r"^import (\w+)", code, re.MULTILINE)
    assert code.endswith("logits = logits[:-1]") == residues


@pytest.fixture
def published_here(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_reload: None, blank_figures: None
) -> Callable[[Case], loads.Published]:
    """Publish a model to the Hub of this test."""
    # Set by what publishes, for good.
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    return lambda case: loads.publish(case, hub, tmp_path / f"{case.family}-{case.problem}")


def answers(place: str, python: Path, model: loads.Published, hub: Hub, tmp_path: Path) -> dict[str, str]:
    home = tmp_path / place
    home.mkdir()
    (cells,) = loads.ask(python, [model], place, hub, home)
    return cells


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [Case("", "modernbert", PROTEIN, keras=False), Case("", "spiece", RESIDUE)],
    ids=lambda case: f"{case.family}-{case.problem}",
)
def test_rare_letters_and_lower_case_give_what_was_recorded_by_every_way_on_the_card(
    published_here: Callable[[Case], loads.Published], case: Case, hub: Hub, tmp_path: Path
) -> None:
    model = published_here(case)
    assert all(set("".join(model.sequences).upper()) >= set(pair) for pair in loads.ODD)
    assert any(letter.islower() for letter in model.sequences[0])
    cells = answers(HERE, Path(sys.executable), model, hub, tmp_path)
    assert set(cells) == {"model", "pipeline", "peft"}
    assert all(map(loads.same, cells.values())), cells


@pytest.mark.slow
@pytest.mark.skipif(ENVIRONMENTS is None, reason="BENCH_LOADS names no folder of environments: see loads.py")
@pytest.mark.parametrize("place", list(loads.INSTALLED))
@pytest.mark.parametrize("family", ["esm", "bert", "spiece", "prostt5", "modernbert"])
def test_other_versions_give_what_was_recorded(
    published_here: Callable[[Case], loads.Published], place: str, family: str, hub: Hub, tmp_path: Path
) -> None:
    (case, *_) = [case for case in CASES if (case.family, case.problem) == (family, RESIDUE)]
    if place == TF and not case.keras:
        pytest.skip("Keras has no such class")
    cells = answers(place, loads.environment(place, Path(str(ENVIRONMENTS))), published_here(case), hub, tmp_path)
    assert set(cells) == ({"TensorFlow"} if place == TF else {"model", "pipeline", "peft"})
    assert all(map(loads.same, cells.values())), cells
