"""What a run with an adapter publishes is loaded by strangers, with plain peft and transformers, as its card says."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import warm_process
from hub_server import TOKEN, Hub
from tiny_checkpoints import write_checkpoint
from tiny_runs import made

from hubtools.cli.main import main
from hubtools.common.errors import UserError
from hubtools.data import DataCache, load_task_data
from hubtools.evaluation.predictions import read_predictions
from hubtools.inference.named_model import open_predictor
from hubtools.inference.predictor import Protein
from hubtools.publishing.contents import plan_publication
from hubtools.reporting.card.snippet import EXAMPLE
from hubtools.runs.store import PREDICTIONS, read_record
from hubtools.specs.task import Task

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_reload")]
REPO = "me/tiny-lora"
# Nobody else has this package.
ALONE = "import sys; sys.modules['hubtools'] = None; exec(compile(sys.stdin.read(), 'card', 'exec'))"


def lora_run(folder: Path, hub: Hub, problem: str) -> Path:
    """A run on a checkpoint of the Hub."""
    files = {path.name: path.read_bytes() for path in write_checkpoint(folder / "esm", "esm").iterdir()}
    hub.add_model("lab/esm", {**files, "README.md": "---\nlicense: mit\n---\n"})
    return made(folder, problem, recipe="lora", checkpoint="lab/esm")


def publish(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    monkeypatch.setattr("sys.argv", ["bench", "publish", str(run), "--repo", REPO, "--push", *options])
    with pytest.raises(SystemExit) as exited:
        main()
    out, err = capsys.readouterr()
    assert not exited.value.code, err
    assert "✓ reload" in out and TOKEN not in out + err
    return out


def blocks(card: str) -> list[str]:
    """The Python of a card."""
    return re.findall(r"^```python\n(.*?)^```", card, re.DOTALL | re.MULTILINE)


def said(code: str, hub: Hub, folder: Path, sequence: str) -> str:
    """What a stranger reads who runs it on this sequence."""
    assert EXAMPLE in code
    code = code.replace(EXAMPLE, sequence)
    environment = os.environ | hub.env | {"HF_HOME": str(folder / "elsewhere")}
    del environment["HF_TOKEN"]
    done = warm_process.run([], code=ALONE, stdin=code.encode(), env=environment, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def recorded(run: Path) -> tuple[str, Any]:
    """A test protein, and the probability of the second label that the run recorded for it, or for each residue."""
    record = read_record(run)
    rows = load_task_data(Task.model_validate(record.task), DataCache(run.parents[1] / "cache")).splits["test"]
    scores = read_predictions(run / PREDICTIONS)["test"]
    name, sequence = rows["id"][0], rows["sequence"][0]
    return sequence, scores.scores[scores.ids == name]


@pytest.mark.parametrize("problem", ["sequence-classification", "residue-classification"])
@pytest.mark.parametrize("weights", ["both", "adapter", "merged"])
def test_every_way_on_the_card_gives_the_recorded_probabilities(
    hub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    problem: str,
    weights: str,
) -> None:
    run = lora_run(tmp_path, hub, problem)
    publish(run, monkeypatch, capsys, "--weights", weights)
    files = set(hub.model(REPO).history()[0].files)
    assert ("model.safetensors" in files) == (weights != "adapter")
    assert ("adapter_model.safetensors" in files) == (weights == "adapter")
    assert ("adapter/adapter_model.safetensors" in files) == (weights == "both")
    card = hub.read(REPO, "README.md").decode()
    assert ("library_name: peft" in card) == (weights == "adapter")
    ways = blocks(card)
    assert len(ways) == {"both": 3, "adapter": 1, "merged": 2}[weights]
    sequence, expected = recorded(run)
    for code in ways:
        text = said(code, hub, tmp_path, sequence)
        if "pipeline(" in code:
            scores = [float(score) for score in re.findall(r"'score': (?:np\.float32\()?([\d.e-]+)", text)]
            likeliest = expected.max(1) if problem.startswith("residue") else sorted(expected[0], reverse=True)
            assert scores == pytest.approx(list(likeliest), abs=1e-4)
        elif problem.startswith("residue"):
            shown = [line.split("\t") for line in text.splitlines()]
            assert [line[0] for line in shown] == [f"{r}{i}" for i, r in enumerate(sequence, start=1)]
            assert [float(line[2]) for line in shown] == pytest.approx(expected.max(1).tolist(), abs=6e-4)
        else:
            assert [float(line.split("\t")[1]) for line in text.splitlines()] == pytest.approx(expected[0], abs=6e-4)
    # And bench itself predicts with what lies there, without running the code beside it.
    (answer,) = open_predictor(REPO).predict([Protein("a", sequence)])
    assert answer.scores.reshape(expected.shape) == pytest.approx(expected, abs=1e-5)


def test_without_being_told_both_go_out(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = lora_run(tmp_path, hub, "sequence-classification")
    publish(run, monkeypatch, capsys)
    files = set(hub.model(REPO).history()[0].files)
    assert {"model.safetensors", "adapter/adapter_model.safetensors"} <= files
    config = json.loads(hub.read(REPO, "adapter/adapter_config.json"))
    assert config["base_model_name_or_path"] == "lab/esm"
    assert config["revision"] == hub.model("lab/esm").history()[0].oid
    # The adapter alone later takes the place of all that.
    publish(run, monkeypatch, capsys, "--weights", "adapter")
    files = set(hub.model(REPO).history()[0].files)
    assert "adapter_model.safetensors" in files and "model.safetensors" not in files
    assert not any(name.startswith("adapter/") for name in files)


def test_an_adapter_that_was_changed_is_refused(hub: Hub, tmp_path: Path) -> None:
    run = lora_run(tmp_path, hub, "sequence-classification")
    weights = run / "adapter" / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    # The merged model is made of it; alone, it is a file that goes out.
    with pytest.raises(UserError, match="changed after the run"):
        plan_publication(run, REPO)
    failed = plan_publication(run, REPO, weights="adapter").failed
    assert any("changed after the run" in str(check.error) for check in failed)


def test_the_adapter_of_a_folder_is_of_no_use_to_others(tmp_path: Path) -> None:
    run = made(tmp_path, "sequence-classification", recipe="lora")
    assert not any(file.path.startswith("adapter") for file in plan_publication(run, REPO).files)
    with pytest.raises(UserError, match=r"folder of this machine.*--weights merged"):
        plan_publication(run, REPO, weights="adapter")


def test_a_run_without_an_adapter_has_none_to_publish(tmp_path: Path) -> None:
    run = made(tmp_path, "sequence-classification")
    with pytest.raises(UserError, match="the run trained none"):
        plan_publication(run, REPO, weights="both")
