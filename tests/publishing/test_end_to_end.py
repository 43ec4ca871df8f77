"""From a real run to a repository on a loopback Hub, and back on a stranger's machine."""

from __future__ import annotations

import csv
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
import warm_process
from hub_server import TOKEN, Hub
from optional_packages import four_bits
from tiny_checkpoints import write_checkpoint

from hubtools.cli.main import main
from hubtools.publishing.contents import plan_publication
from hubtools.runs.store import read_record

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("quick_reload"),
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
]

TASK = """
name: {name}
version: 1
title: Charged
problem: {problem}
summary: Which are charged?
data:
  source: file
  files: [{{path: rows.csv}}]
  columns: {columns}
  split: {{fractions: {{train: 0.5, validation: 0.2, test: 0.3}}}}
labels: {labels}
metrics: {{primary: {metric}}}
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

repo, problem, sequences = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
per_residue = problem.startswith("residue-")
tokenizer = AutoTokenizer.from_pretrained(repo, trust_remote_code=not per_residue)
if per_residue:
    model = AutoModelForTokenClassification.from_pretrained(repo).eval()
else:
    model = AutoModel.from_pretrained(repo, trust_remote_code=True).eval()
rows = pq.read_table(hf_hub_download(repo, "predictions.parquet")).to_pylist()
rows = [row for row in rows if row["split"] == "test"]
worst = 0.0
column = "prediction" if problem.endswith("regression") else "probability"
for name in {row["id"] for row in rows}:
    recorded = np.array([row[column] for row in rows if row["id"] == name])
    with torch.no_grad():
        # One sequence, or the two of a pair: consecutive rows are a pair.
        logits = model(**tokenizer(sequences[name], return_tensors="pt", padding=True)).logits
    logits = logits[0, 1:-1] if per_residue else logits
    if problem.endswith("regression"):
        again = logits[:, 0]
    else:
        again = logits.sigmoid() if problem.endswith("multilabel") else logits.softmax(-1)
    assert recorded.shape == again.shape, (recorded.shape, again.shape)
    worst = max(worst, float(np.abs(recorded - again.numpy()).max()))
assert "hubtools" not in sys.modules and len(rows) > 10
print(worst)
"""


CLASSES, NUMBER = '{"0": other, "1": charged}', "[]"
PAIRS = ("pair-classification", "pair-multilabel", "pair-regression")
COLUMNS = dict.fromkeys(PAIRS, "{id: id, partner: partner}")
LABELS = dict.fromkeys(("residue-multilabel", "pair-multilabel"), "[acid, base]")
LABELS |= dict.fromkeys(("residue-regression", "sequence-regression", "pair-regression"), NUMBER)
METRIC = {problem: "spearman" if labels == NUMBER else "auprc" for problem, labels in LABELS.items()}


def label_of(problem: str, sequence: str, charged: int) -> str:
    """Which residues are charged, how much, or whether the whole peptide is."""
    charge = [(residue in "KR") - (residue in "DE") for residue in sequence]
    if problem == "residue-multilabel":
        return json.dumps([[int(c < 0), int(c > 0)] for c in charge])
    if problem == "residue-regression":
        return ";".join(map(str, charge))
    if problem == "residue-classification":
        return "".join("1" if c else "0" for c in charge)
    if problem == "pair-multilabel":
        return "acid" if sum(charge) < 0 else "base" if sum(charge) > 0 else ""
    return str(sum(charge) / 10 if problem.endswith("-regression") else charged)


def make_rows(folder: Path, problem: str) -> dict[str, str | list[str]]:
    """Peptides of which half are charged; returns sequences by id, of a pair both."""
    draw = random.Random(0)

    def peptide(charged: int) -> str:
        length = 20 if problem == "sequence-regression" else draw.randint(8, 30)
        return "".join(draw.choice("KRDELA" if charged else "GASTVL") for _ in range(length))

    table, read = [["id", "sequence", "label", "partner"]], {}
    # Of pairs most are left out: their two proteins are drawn into different splits.
    for index in range(240 if problem.startswith("pair-") else 60):
        sequence, partner = peptide(index % 2), peptide(index % 3 % 2)
        table.append([f"p{index}", sequence, label_of(problem, sequence, index % 2), partner])
        read[f"p{index}"] = [sequence, partner] if problem.startswith("pair-") else sequence
    with (folder / "rows.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(table)
    return read


def make_real_run(folder: Path, problem: str, overrides: dict[str, Any]) -> Path:
    """Train for one epoch what bench would train."""
    import torch

    from hubtools.data import DataCache
    from hubtools.runs.execute import execute
    from hubtools.runs.plan import PlannedRun
    from hubtools.runs.session import Session
    from hubtools.specs.lookup.spec_files import load_recipe, load_task
    from hubtools.training.compute.device import Execution

    torch.set_num_threads(1)
    words = {"columns": COLUMNS.get(problem, "{id: id}"), "labels": LABELS.get(problem, CLASSES)}
    text = TASK.format(name="charge", problem=problem, metric=METRIC.get(problem, "mcc"), **words)
    (folder / "charge.yaml").write_text(text)
    checkpoint = write_checkpoint(folder / "esm", "esm")
    (checkpoint / "README.md").write_text("---\nlicense: mit\n---\n")
    session = Session(folder / "runs", DataCache(folder / "cache"), Execution.choose("cpu"))
    task, recipe = load_task(str(folder / "charge.yaml")), load_recipe("full", overrides)
    outcome = execute(PlannedRun(task, recipe, str(checkpoint), seed=1, overrides=overrides), session)
    assert outcome.record.status == "complete", outcome.record.failure
    return outcome.folder


RUNS: list[Any] = [
    ("residue-classification", {}),
    ("residue-multilabel", {}),
    ("residue-regression", {}),
    ("sequence-classification", {}),
    ("sequence-regression", {"head.pooling": "mutations"}),
    ("pair-classification", {}),
    ("pair-multilabel", {}),
    ("pair-regression", {}),
    ("pair-classification", {"adaptation": "probe"}),
    ("residue-classification", {"adaptation": "adapter", "adapter.kind": "dora"}),
    four_bits("sequence-regression", {"adaptation": "adapter", "adapter.kind": "qlora"}),
]


def in_words(value: Any) -> str:
    """For the names of tests."""
    return value if isinstance(value, str) else " ".join(map(str, value.values()))


@pytest.mark.parametrize(("problem", "settings"), RUNS, ids=in_words)
def test_what_was_measured_is_what_a_stranger_gets(
    hub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    problem: str,
    settings: dict[str, Any],
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    sequences = make_rows(tmp_path, problem)
    run = make_real_run(tmp_path, problem, {"epochs": 1, **settings})
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
    assert ("modeling_protein_task.py" in files) == (not problem.startswith("residue-")), (
        "plain transformers where that is possible"
    )
    card = hub.read("me/charge", "README.md").decode()
    for name in ("README.md", "run.json", "config.json", "training.jsonl"):
        assert str(tmp_path) not in hub.read("me/charge", name).decode(), f"{name} tells a folder of this machine"
    assert str(tmp_path) not in (run / "run.json").read_text(), "nor does the run's own record"
    assert str(tmp_path) in read_record(run).task["data"]["files"][0]["path"], "which finds its data again"
    assert "license: mit" in card and "me/charge" in card

    environment = os.environ | hub.env | {"HF_HOME": str(tmp_path / "elsewhere")}
    del environment["HF_TOKEN"]
    asked = ["me/charge", problem, json.dumps(sequences)]
    done = warm_process.run(asked, code=STRANGER, env=environment, cwd=tmp_path / "hub")
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1e-5

    # Planned again, it is the same to the last bit: pushing it again would change nothing.
    again = {file.path: file.sha256 for file in plan_publication(run, "me/charge").files}
    assert again == {path: file.sha256 for path, file in files.items() if path != ".gitattributes"}
