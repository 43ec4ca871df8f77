#!/usr/bin/env python3
"""Published models where users are: ``python tests/publishing/loads.py [--environments FOLDER] [--only TEXT]``.

Tiny models of each architecture are trained here and published by ``bench publish --push`` to a Hub on loopback. What the cards
there say (a class of transformers or the shipped file, ``pipeline``, peft) and what docs/tensorflow.md says is then run by
people who have no bench, in environments of their own with the versions of ``hubtools/reporting/card/tried_versions.py``, and
here. Sequences hold B, J, O, U, X, Z and lower case. The table says how far a probability is from what the run recorded.

Environments are made with pip in FOLDER and used again; by default they are made anew each time. PIP_ARGS are options for pip.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

import numpy as np  # noqa: E402
import warm_process  # noqa: E402
from hub_server import Hub  # noqa: E402

from hubtools.reporting.card.snippet import EXAMPLE  # noqa: E402
from hubtools.reporting.card.tried_versions import KERAS, TRANSFORMERS_4, TRANSFORMERS_5  # noqa: E402

STRANGER = Path(__file__).with_name("stranger.py")
PAGE = TESTS.parent / "docs" / "tensorflow.md"
# What tokenizers of sentencepiece ask for.
BESIDES = ["sentencepiece", "protobuf"]
HERE, FOUR, FIVE, TF = "here", "transformers-4", "transformers-5", "tensorflow"
INSTALLED = {FOUR: TRANSFORMERS_4, FIVE: TRANSFORMERS_5, TF: KERAS}
# What another order of the same sums may change.
ROUNDING = 1e-5
ODD = ("UZO", "BJX")
PROTEIN, RESIDUE = "sequence-classification", "residue-classification"


@dataclass(frozen=True)
class Case:
    """One published model.

    Attributes:
        name: of the architecture, in the table.
        family: of ``tiny_checkpoints``.
        problem: of the task.
        recipe: that trains it.
        settings: of the recipe.
        four: whether transformers 4 knows the architecture.
        keras: whether docs/tensorflow.md is for it.
    """

    name: str
    family: str
    problem: str
    recipe: str = "lora"
    settings: Mapping[str, Any] = field(default_factory=dict)
    four: bool = True
    keras: bool = True

    @property
    def title(self) -> str:
        """In the table."""
        return f"{self.name}, {', '.join([self.recipe, *map(str, self.settings.values())])}"


NATIVE = {"head.kind": "native"}
BOTH = (PROTEIN, RESIDUE)
CASES = [
    *(Case("ESM-2", "esm", problem) for problem in BOTH),
    *(Case("ESM-2", "esm", problem, "full", NATIVE) for problem in BOTH),
    *(Case("ESM-2", "esm", problem, "probe", {"probe.layers": [1], "head.hidden": 8}) for problem in BOTH),
    *(Case("ESM-1b", "esm1b", problem) for problem in BOTH),
    *(Case("ProtBERT", "bert", problem) for problem in BOTH),
    *(Case("ProtBERT", "bert", problem, "full", NATIVE) for problem in BOTH),
    *(Case("ProtT5", "t5", problem) for problem in BOTH),
    *(Case("ProtT5 of spiece.model", "spiece", problem) for problem in BOTH),
    *(Case("ProstT5", "prostt5", problem) for problem in BOTH),
    *(Case("Ankh", "ankh", problem) for problem in BOTH),
    *(Case("ModernBERT", "modernbert", problem, keras=False) for problem in BOTH),
    *(Case("ModernBERT", "modernbert", problem, "full", NATIVE, keras=False) for problem in BOTH),
    *(Case("ESM C", "esmc", problem, four=False, keras=False) for problem in BOTH),
    *(Case("ESM C", "esmc", problem, "full", NATIVE, four=False, keras=False) for problem in BOTH),
]


@dataclass
class Published:
    """A model on the Hub, and what its run recorded for some test proteins as people write them.

    Attributes:
        case: which.
        ways: Python of the card, by what it is: ``model``, ``pipeline``, ``peft``.
        sequences: the proteins.
        scores: (rows, labels) of each.
        labels: their names.
    """

    case: Case
    ways: dict[str, str]
    sequences: list[str]
    scores: list[np.ndarray]
    labels: list[str]


def odd_rows(problem: str) -> list[dict[str, str]]:
    """The rows of a tiny task whose test proteins hold three of the rare letters each, and lower case."""
    from tiny_project import tiny_rows

    rows = tiny_rows(problem)
    for number, row in enumerate(row for row in rows if row["set"] == "test"):
        letters, odd = list(row["sequence"]), ODD[number % len(ODD)]
        letters[len(letters) // 3], letters[len(letters) // 2], letters[-1] = odd
        row["sequence"] = "".join(letters[:2]) + "".join(letters[2:]).lower()
    return rows


def publish(case: Case, hub: Hub, folder: Path) -> Published:
    """Train, publish with the command, and read the card on the Hub."""
    from tiny_checkpoints import only_sentencepiece, rounded_frequencies, write_checkpoint
    from tiny_runs import made

    from hubtools.cli.main import cli
    from hubtools.evaluation.predictions import read_predictions
    from hubtools.runs.store import PREDICTIONS, read_record

    checkpoint = folder / "checkpoint"
    if case.family == "spiece":
        only_sentencepiece(write_checkpoint(checkpoint, "t5"))
    else:
        write_checkpoint(checkpoint, case.family)
    if case.family == "esm":
        rounded_frequencies(checkpoint)
    files: dict[str, bytes | str] = {path.name: path.read_bytes() for path in checkpoint.iterdir()}
    base, repo = f"lab/{case.family}", f"me/{folder.name}"
    if ("models", base) not in hub.repos:
        hub.add_model(base, files | {"README.md": "---\nlicense: mit\n---\n"})
    rows = odd_rows(case.problem)
    run = made(folder, case.problem, recipe=case.recipe, checkpoint=base, rows=rows, **case.settings)
    os.environ["BENCH_CACHE"] = str(folder / "cache")
    with contextlib.redirect_stdout(sys.stderr):
        cli.main(["publish", str(run), "--repo", repo, "--licence", "mit", "--push"], standalone_mode=False)
    card = hub.read(repo, "README.md").decode()
    blocks = re.findall(r"^```python\n(.*?)^```", card, re.DOTALL | re.MULTILINE)
    kinds = [
        "peft" if "import PeftModel" in code else "pipeline" if "pipeline(" in code else "model" for code in blocks
    ]
    recorded, record = read_predictions(run / PREDICTIONS)["test"], read_record(run)
    test = [row for row in rows if row["set"] == "test"][: len(ODD)]
    scores = [recorded.scores[recorded.ids == row["id"]] for row in test]
    names = record.task_spec.label_names
    return Published(case, dict(zip(kinds, blocks, strict=True)), [row["sequence"] for row in test], scores, names)


def in_keras(card: str) -> str:
    """docs/tensorflow.md with the lines of a model's card in the places that it says.

    Args:
        card: the Python with which it loads the model in torch.
    """
    *blocks, example = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    before, _, after = card.partition("\ntokenizer = AutoTokenizer")
    theirs = [line for line in before.splitlines() if not line.startswith(("import torch", "from transformers"))]
    (tokens,) = re.findall(r"^tokens = .*$", after, re.MULTILINE)
    (name,) = re.findall(r"^MODEL = .*$\n", example, re.MULTILINE)
    (sequence,) = re.findall(r"^sequence = .*$\n", example, re.MULTILINE)
    (called,) = re.findall(r"^tokens = .*$", example, re.MULTILINE)
    text = example.replace(sequence, "").replace(called, tokens.replace('"pt"', '"tf"'))
    text = text.replace(name, "\n".join(theirs) + "\n")
    # The card cuts special tokens off its probabilities.
    return "\n".join([*blocks, text, *_residues(card)])


def _residues(card: str) -> list[str]:
    """A line that leaves the logits of the residues, where the card is about residues."""
    found = re.findall(r"^values = logits(\[.*?\])", card, re.MULTILINE)
    return [f"logits = logits{found[0]}"] if found else []


def questions(published: Published, environment: str) -> Iterator[tuple[str, str]]:
    """What is asked in an environment: (way, Python)."""
    case = published.case
    if environment == TF:
        if case.keras:
            yield "TensorFlow", in_keras(published.ways["model"])
    elif case.four or environment != FOUR:
        for way, code in published.ways.items():
            yield way, "\n".join([code, *(_residues(code) if way != "pipeline" else [])])


def differs(published: Published, answers: Sequence[Any], way: str) -> float:
    """The largest difference of a probability to what the run recorded."""
    worst = 0.0
    for scores, answer in zip(published.scores, answers, strict=True):
        if way == "pipeline":
            rows = range(len(scores)) if published.case.problem == RESIDUE else [0] * len(answer)
            assert len(answer) == (len(scores) if published.case.problem == RESIDUE else len(published.labels))
            pairs = [
                (scores[row, published.labels.index(label)], got)
                for row, (label, got) in zip(rows, answer, strict=True)
            ]
            worst = max(worst, *(abs(float(expected) - got) for expected, got in pairs))
        else:
            logits = np.asarray(answer)
            powers = np.exp(logits - logits.max(-1, keepdims=True))
            got = powers / powers.sum(-1, keepdims=True)
            assert got.shape == scores.shape
            worst = max(worst, float(np.abs(got - scores).max()))
    return worst


def ask(
    python: Path | str, models: Sequence[Published], environment: str, hub: Hub, home: Path
) -> list[dict[str, str]]:
    """The cells of an environment, by way, for each model: the largest difference, or the error."""
    asked = [(i, way, code) for i, model in enumerate(models) for way, code in questions(model, environment)]
    request = [{"code": code, "example": EXAMPLE, "sequences": models[i].sequences} for i, _, code in asked]
    settings = {"HF_HOME": str(home), "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    environ = {
        key: value for key, value in (os.environ | hub.env | settings).items() if key not in {"HF_TOKEN", "PYTHONPATH"}
    }
    command = [str(python), "-I", str(STRANGER)]
    done = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, env=environ, cwd=home)
    if done.returncode:
        raise SystemExit(f"{environment}: {done.stderr[-3000:]}")
    cells: list[dict[str, str]] = [{} for _ in models]
    for (i, way, _), answer in zip(asked, json.loads(done.stdout.splitlines()[-1]), strict=True):
        # An error stands in a cell of a table.
        said = " ".join(answer.replace("|", " ").split()) if isinstance(answer, str) else ""
        cells[i][way] = said or f"{differs(models[i], answer, way):.1e}"
    return cells


def same(cell: str) -> bool:
    """Whether a cell says that the recorded probabilities came out."""
    return re.fullmatch(r"[\d.]+e[+-]\d+", cell) is not None and float(cell) < ROUNDING


def environment(name: str, folder: Path) -> Path:
    """The Python of an environment, which is made where it is not there."""
    python = folder / name / "bin" / "python"
    if not python.exists():
        packages = [f"{package}=={wanted}" for package, wanted in INSTALLED[name].items()]
        subprocess.run([sys.executable, "-m", "venv", str(folder / name)], check=True)
        options = ["-qq", "--disable-pip-version-check", *shlex.split(os.environ.get("PIP_ARGS", ""))]
        subprocess.run([str(python), "-m", "pip", "install", *options, *packages, *BESIDES], check=True)
    return python


def columns(ways: Sequence[str] = ("model", "pipeline", "peft")) -> list[tuple[str, str, str]]:
    """(environment, way, title) of the table's columns."""
    releases = {
        HERE: version("transformers"),
        FIVE: TRANSFORMERS_5["transformers"],
        FOUR: TRANSFORMERS_4["transformers"],
    }
    peft = {HERE: version("peft"), FIVE: TRANSFORMERS_5["peft"], FOUR: TRANSFORMERS_4["peft"]}
    found = []
    for place, release in releases.items():
        for way in ways:
            title = {"model": f"transformers {release}", "pipeline": "its pipeline", "peft": f"peft {peft[place]}"}[way]
            found.append((place, way, title))
    return [*found, (TF, "TensorFlow", f"TensorFlow {KERAS['tensorflow']}")]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--environments", type=Path, help="folder in which environments are made, or are")
    parser.add_argument("--only", default="", help="models whose row holds this")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, Hub(Path(scratch) / "hub") as hub:
        # Before huggingface_hub is imported.
        os.environ.update(hub.env | {"BENCH_ENERGY": "off"})
        folder = (options.environments or Path(scratch) / "environments").absolute()
        pythons = {HERE: Path(sys.executable), **{name: environment(name, folder) for name in INSTALLED}}
        chosen = [case for case in CASES if options.only in f"{case.title}, {case.problem}"]
        # Each reload before publishing is a process of its own, but need not import torch again.
        with mock.patch("hubtools.publishing.reload.subprocess", warm_process.stand_in()):
            models = [publish(case, hub, Path(scratch) / f"model{number}") for number, case in enumerate(chosen)]
        cells = {}
        for name, python in pythons.items():
            home = Path(scratch) / "homes" / name
            home.mkdir(parents=True)
            cells[name] = ask(python, models, name, hub, home)
        shown = columns()
        print(f"| model | task | {' | '.join(title for *_, title in shown)} |")
        print(f"| --- | --- |{' ---: |' * len(shown)}")
        for number, case in enumerate(chosen):
            row = [cells[place][number].get(way, "–") for place, way, _ in shown]
            print(f"| {case.title} | {case.problem} | {' | '.join(row)} |")
        if wrong := [cell for found in cells.values() for row in found for cell in row.values() if not same(cell)]:
            raise SystemExit(f"{len(wrong)} of these are not what was recorded")


if __name__ == "__main__":
    main()
