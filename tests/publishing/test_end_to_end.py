"""From a real run to a repository on a loopback Hub, and back on a stranger's machine."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import TOKEN, Hub
from tiny_checkpoints import write_checkpoint

from hubtools.cli.main import main
from hubtools.publishing.contents import plan_publication

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")]

TASK = """
name: {name}
version: 1
title: Charged
problem: {problem}
summary: Which are charged?
data:
  source: file
  files: [{{path: rows.csv}}]
  columns: {{id: id}}
  split: {{fractions: {{train: 0.5, validation: 0.2, test: 0.3}}}}
labels: {{"0": other, "1": charged}}
metrics: {{primary: mcc}}
licence: CC0-1.0
citation: Nobody (2026)
"""

# What a stranger does: no bench, no folder of the publisher, no token. Prints the largest difference to the
# published predictions.
STRANGER = """
import json, sys
import numpy as np, torch
from transformers import AutoModel, AutoModelForTokenClassification, AutoTokenizer
import pyarrow.parquet as pq
from huggingface_hub import hf_hub_download

repo, per_residue, sequences = sys.argv[1], sys.argv[2] == "residue", json.loads(sys.argv[3])
tokenizer = AutoTokenizer.from_pretrained(repo, trust_remote_code=not per_residue)
if per_residue:
    model = AutoModelForTokenClassification.from_pretrained(repo).eval()
else:
    model = AutoModel.from_pretrained(repo, trust_remote_code=True).eval()
rows = pq.read_table(hf_hub_download(repo, "predictions.parquet")).to_pylist()
rows = [row for row in rows if row["split"] == "test"]
worst = 0.0
for name in {row["id"] for row in rows}:
    recorded = np.array([row["probability"] for row in rows if row["id"] == name])
    with torch.no_grad():
        logits = model(**tokenizer(sequences[name], return_tensors="pt")).logits
    again = (logits[0, 1:-1] if per_residue else logits).softmax(-1).numpy()
    assert recorded.shape == again.shape, (recorded.shape, again.shape)
    worst = max(worst, float(np.abs(recorded - again).max()))
assert "hubtools" not in sys.modules and len(rows) > 10
print(worst)
"""


def make_rows(folder: Path, per_residue: bool) -> dict[str, str]:
    """Peptides of which half are charged; returns sequences by id."""
    draw = random.Random(0)
    sequences, lines = {}, ["id,sequence,label"]
    for index in range(60):
        charged = index % 2
        sequence = "".join(draw.choice("KRDELA" if charged else "GASTVL") for _ in range(draw.randint(8, 30)))
        label = "".join("1" if residue in "KRDE" else "0" for residue in sequence) if per_residue else str(charged)
        sequences[f"p{index}"] = sequence
        lines.append(f"p{index},{sequence},{label}")
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    return sequences


def make_real_run(folder: Path, per_residue: bool) -> Path:
    """Train for one epoch what bench would train."""
    import torch

    from hubtools.data import DataCache
    from hubtools.runs.plan import PlannedRun
    from hubtools.runs.unit import Session, execute
    from hubtools.specs.loading import load_recipe, load_task
    from hubtools.training.device import Execution

    torch.set_num_threads(1)
    problem = "residue-classification" if per_residue else "sequence-classification"
    (folder / "charge.yaml").write_text(TASK.format(name="charge", problem=problem))
    checkpoint = write_checkpoint(folder / "esm", "esm")
    (checkpoint / "README.md").write_text("---\nlicense: mit\n---\n")
    session = Session(folder / "runs", DataCache(folder / "cache"), Execution.choose("cpu"))
    overrides = {"epochs": 1}
    task, recipe = load_task(str(folder / "charge.yaml")), load_recipe("full", overrides)
    outcome = execute(PlannedRun(task, recipe, str(checkpoint), seed=1, overrides=overrides), session)
    assert outcome.record.status == "complete", outcome.record.failure
    return outcome.folder


@pytest.mark.parametrize("level", ["residue", "protein"])
def test_what_was_measured_is_what_a_stranger_gets(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], level: str
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    sequences = make_rows(tmp_path, level == "residue")
    run = make_real_run(tmp_path, level == "residue")
    capsys.readouterr()

    monkeypatch.setattr("sys.argv", ["bench", "publish", str(run), "--repo", "me/charge", "--push"])
    with pytest.raises(SystemExit) as exited:
        main()
    out, err = capsys.readouterr()
    assert not exited.value.code, err
    assert "✓ reload" in out and "read back and identical" in out and TOKEN not in out + err
    assert [commit.title for commit in hub.model("me/charge").history()] == [
        "charge: esm, full, seed 1",
        "initial commit",
    ]
    files = hub.model("me/charge").history()[0].files
    assert ("modeling_protein_task.py" in files) == (level == "protein"), "plain transformers where that is possible"
    card = hub.read("me/charge", "README.md").decode()
    for name in ("README.md", "run.json", "config.json", "training.jsonl"):
        assert str(tmp_path) not in hub.read("me/charge", name).decode(), f"{name} tells a folder of this machine"
    assert str(tmp_path) in (run / "run.json").read_text(), "the run's own record finds its data again"
    assert "license: mit" in card and "me/charge" in card

    environment = os.environ | hub.env | {"HF_HOME": str(tmp_path / "elsewhere")}
    del environment["HF_TOKEN"]
    stranger = [sys.executable, "-c", STRANGER, "me/charge", level, json.dumps(sequences)]
    done = subprocess.run(stranger, capture_output=True, text=True, env=environment, cwd=tmp_path / "hub")
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1e-5

    # Planned again, it is the same to the last bit: pushing it again would change nothing.
    again = {file.path: file.sha256 for file in plan_publication(run, "me/charge").files}
    assert again == {path: file.sha256 for path, file in files.items() if path != ".gitattributes"}
