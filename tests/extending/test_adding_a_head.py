"""A head, added as docs/extending.md says: trained, saved, published, and loaded by people who have no bench."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from extending_page import blocks, install
from tiny_checkpoints import write_checkpoint
from tiny_project import QUICK, task_name, write_task
from tiny_runs import whole

from hubtools.common.errors import UserError
from hubtools.common.hashing import file_sha256
from hubtools.data import DataCache
from hubtools.evaluation import read_predictions
from hubtools.models import modeling_protein_task
from hubtools.models.saved import load_model
from hubtools.models.task_model import use_head
from hubtools.publishing.contents import collect_files, lay_out
from hubtools.publishing.demo_space import _of_head
from hubtools.publishing.reload import reproduce
from hubtools.reporting.card.model_card import build_card
from hubtools.runs.execute import Outcome, execute
from hubtools.runs.plan import PlannedRun
from hubtools.runs.session import Session
from hubtools.runs.store import PLACES, PREDICTIONS, OpenRun
from hubtools.runs.whole_model import make_whole
from hubtools.specs.head_kinds import HEADS, HeadKind
from hubtools.specs.lookup.spec_files import load_recipe, load_task, recipe_in
from hubtools.specs.problem import Problem
from hubtools.specs.recipe import Recipe
from hubtools.training.compute.device import Execution

PROTEIN = "sequence-classification"
STRANGER = """
import json, sys, torch
from transformers import AutoModel, AutoTokenizer
model = AutoModel.from_pretrained("model", trust_remote_code=True).eval()
tokenizer = AutoTokenizer.from_pretrained("model", trust_remote_code=True)
with torch.no_grad():
    print(json.dumps([model(**tokenizer(s, return_tensors="pt")).logits[0].tolist() for s in sys.argv[1:]]))
assert not any(name.startswith(("hubtools", "my_lab")) for name in sys.modules)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in which the package of the page is installed."""
    torch.set_num_threads(1)
    monkeypatch.setattr(HEADS, "_added", {})
    monkeypatch.setattr(HEADS, "_looked", False)
    monkeypatch.setattr(HEADS, "_bringers", {})
    monkeypatch.setattr(modeling_protein_task, "HEADS", {})
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("my_lab_gated", "my_lab_heads"):
        # As another test has left it, from a folder of its own.
        monkeypatch.delitem(sys.modules, name, raising=False)
    module, entry = blocks("A head", "python")
    install(tmp_path, {"my_lab_gated.py": module, "my_lab_heads.py": entry}, blocks("A head", "toml")[0])
    (tmp_path / "gated.yaml").write_text(blocks("A head", "yaml")[0])
    return tmp_path


def run(folder: Path, recipe: Recipe, problem: str = PROTEIN) -> Outcome:
    write_task(folder, problem)
    checkpoint = write_checkpoint(folder / "esm", "esm")
    task = load_task(str(folder / "tasks" / f"{task_name(problem)}.yaml"))
    session = Session(folder / "runs", DataCache(folder / "cache"), Execution(torch.device("cpu"), 512))
    outcome = execute(PlannedRun(task, recipe, str(checkpoint), 1), session)
    assert outcome.record.status == "complete", outcome.record.failure
    return outcome


@pytest.mark.slow
@pytest.mark.parametrize("adaptation", ["full", "probe", "adapter"])
def test_it_is_trained_saved_and_loaded_again(here: Path, adaptation: str) -> None:
    settings = {"adaptation": adaptation, **({"adapter.rank": 2} if adaptation == "adapter" else {})}
    recipe = recipe_in(here / "gated.yaml", settings)
    outcome = run(here, recipe)
    task = load_task(str(here / "tasks" / f"{task_name(PROTEIN)}.yaml"))
    model, _ = load_model(whole(outcome.folder) / "model", task, shipped_code=False)
    head = model.head.module
    assert type(head).__name__ == "GatedHead" and head.gate.out_features == 2
    # A probe trains on standardised embeddings, and what is saved reads plain ones.
    assert bool(model.head.mean.any()) == (adaptation == "probe")
    card = build_card(outcome.folder).read_text()
    assert "The head is a mean over residues that gates weigh" in card
    sha256 = file_sha256(here / "my_lab_gated.py")
    assert f"- the head `gated`: the package `my-lab` 1.0, sha256 of its file `{sha256}`\n" in card
    with lay_out(collect_files(whole(outcome.folder))) as stage:
        # Where this machine has the data, which is not published.
        shutil.copy(outcome.folder / PLACES, stage)
        assert reproduce(Path(stage)).rows == 40


@pytest.mark.slow
def test_a_stranger_without_the_package_gets_what_was_measured(here: Path) -> None:
    outcome = run(here, load_recipe("probe", {"head.kind": "gated", "epochs": 3}))
    make_whole(OpenRun(outcome.folder, outcome.record))
    code = (outcome.folder / "model" / "modeling_protein_task.py").read_text()
    assert code.startswith(Path(modeling_protein_task.__file__).read_text()) and "class GatedHead" in code
    with (here / "tasks" / f"{PROTEIN}.csv").open() as table:
        rows = [line.strip().split(",") for line in table if line.strip().endswith("test")]
    asked = [sequence for _, sequence, *_ in rows[:5]]
    command = [sys.executable, "-I", "-c", STRANGER, *asked]
    environment = {"HF_HOME": str(here / "hf"), "HF_HUB_OFFLINE": "1", "PATH": ""}
    done = subprocess.run(command, capture_output=True, text=True, cwd=outcome.folder, env=environment)
    assert done.returncode == 0, done.stderr
    logits = torch.tensor(json.loads(done.stdout.splitlines()[-1]))
    recorded = read_predictions(outcome.folder / PREDICTIONS)["test"]
    scores = [recorded.scores[list(recorded.ids).index(row[0])] for row in rows[:5]]
    np.testing.assert_allclose(logits.softmax(-1).numpy(), np.stack(scores), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("problem", ["residue-classification", "pair-classification", "sequence-regression"])
@pytest.mark.parametrize("adaptation", ["full", "probe"])
def test_one_that_reads_vectors_serves_every_level(here: Path, problem: str, adaptation: str) -> None:
    (here / "my_lab_residual.py").write_text(
        "from torch import nn\n\n\nclass Residual(nn.Module):\n"
        "    def __init__(self, width, outputs, hidden, dropout):\n"
        "        super().__init__()\n        self.inner = nn.Linear(width, width)\n"
        "        self.output = nn.Linear(width, outputs)\n\n"
        "    def forward(self, x):\n        return self.output(x + self.inner(x).relu())\n"
    )
    levels = ("protein", "residue", "pair")
    HEADS.register(HeadKind("residual", "one residual layer", "my_lab_residual:Residual", levels=levels))
    settings = {"head.kind": "residual", "epochs": 2, **(QUICK if adaptation == "full" else {})}
    outcome = run(here, load_recipe(adaptation, settings), problem)
    assert "class Residual" in (outcome.folder / "model" / "modeling_protein_task.py").read_text()
    with lay_out(collect_files(whole(outcome.folder))) as stage:
        # Where this machine has the data, which is not published.
        shutil.copy(outcome.folder / PLACES, stage)
        assert reproduce(Path(stage)).rows > 0


@pytest.mark.slow
@pytest.mark.parametrize("head", [{"head.kind": "gated"}, {"head.pooling": "attention"}], ids=str)
def test_an_adapter_that_is_put_on_its_base_answers_as_the_merged_model(here: Path, head: dict[str, str]) -> None:
    from peft import PeftModel
    from transformers import AutoConfig, AutoModel

    outcome = run(here, load_recipe("lora", {**QUICK, **head}))
    make_whole(OpenRun(outcome.folder, outcome.record))
    adapter, ids = str(outcome.folder / "adapter"), torch.tensor([[0, 5, 9, 12, 20, 2]])
    config = AutoConfig.from_pretrained(adapter, trust_remote_code=True)
    base = AutoModel.from_config(config, trust_remote_code=True)
    base.load_encoder(str(here / "esm"))
    put_on = PeftModel.from_pretrained(base, adapter).eval()
    merged = AutoModel.from_pretrained(outcome.folder / "model", trust_remote_code=True).eval()
    with torch.no_grad():
        torch.testing.assert_close(put_on(input_ids=ids).logits, merged(ids).logits, atol=1e-5, rtol=1e-4)


def test_a_recipe_asks_only_what_it_can_be_told(here: Path) -> None:
    text = yaml.safe_load(blocks("A head", "yaml")[0])
    recipe = Recipe.model_validate(text)
    before = recipe.hash
    assert before != Recipe.model_validate({**text, "head": {"kind": "gated"}}).hash
    (here / "my_lab_gated.py").write_text((here / "my_lab_gated.py").read_text() + "\n# Otherwise.\n")
    assert before != recipe.hash
    for head, said in (
        ({"kind": "gatet"}, "there is no head 'gatet'. Did you mean gated?"),
        ({"kind": "gated", "options": {"gate": 1}}, "It can be told gates"),
        ({"kind": "bench", "options": {"gates": 1}}, "It can be told nothing"),
        ({"kind": "gated", "pooling": "attention"}, "pools in its own way"),
        ({"kind": "gated", "solver": "ridge"}, "is for head.kind: bench"),
        ({"kind": "native"}, None),
    ):
        (here / "other.yaml").write_text(yaml.safe_dump({**text, "name": "other", "head": head}))
        if said is None:
            recipe_in(here / "other.yaml")
            continue
        with pytest.raises(UserError) as raised:
            recipe_in(here / "other.yaml")
        assert said in str(raised.value)
    reason = recipe.why_not(Problem("residue-classification"))
    assert reason == "head.kind: gated is for a protein, not for a residue"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("import numpy", "imports numpy"),
        ("from . import other", r"imports \."),
        ("def combine(x): return x", "combine is also a name of the modelling file"),
    ],
)
def test_a_file_that_cannot_ship_is_refused(here: Path, line: str, said: str) -> None:
    name = f"my_lab_wrong_{abs(hash(line))}"
    text = line if line.startswith("def") else f"try:\n    {line}\nexcept ImportError:\n    pass"
    (here / f"{name}.py").write_text(f"{text}\n\nclass Wrong: pass\n")
    with pytest.raises(UserError, match=said):
        use_head(HeadKind("wrong", "", f"{name}:Wrong"))


def test_a_space_holds_no_packages_of_others(here: Path) -> None:
    record = type("Record", (), {"recipe": {"head": {"kind": "gated"}}})
    with pytest.raises(UserError, match="does not hold my_lab_gated"):
        _of_head(record)  # type: ignore[arg-type]
    assert _of_head(type("Record", (), {"recipe": {}})) == []  # type: ignore[arg-type]
