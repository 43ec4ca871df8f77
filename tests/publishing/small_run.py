"""A run folder as bench leaves it behind, small enough to publish in milliseconds."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from hubtools.common.hashing import digest, file_sha256
from hubtools.evaluation.predictions import Predictions, write_predictions
from hubtools.reporting.card.card_edits import sign
from hubtools.runs.store import PREDICTIONS, TRAINING_LOG, OpenRun, write_record
from hubtools.specs.problem import Problem
from hubtools.specs.recipe import Recipe
from hubtools.specs.record import (
    CheckpointFacts,
    CheckpointIdentity,
    Environment,
    Identity,
    OutputFile,
    RecipeIdentity,
    RunRecord,
    Score,
    SplitResult,
    TaskIdentity,
)
from hubtools.specs.task import Task

CARD = sign("---\nlicense: mit\nlibrary_name: transformers\nbase_model: lab/esm\n---\n# A model\n")


def small_task(licence: str = "CC-BY-4.0") -> Task:
    file = {"url": f"https://example.org/{'a' * 40}/peptides.csv", "sha256": "b" * 64}
    return Task.model_validate(
        {
            "name": "peptides",
            "version": 1,
            "title": "Peptides",
            "problem": "sequence-classification",
            "summary": "Which peptides?",
            "data": {"source": "url", "files": [file], "split": {"fractions": {"train": 0.8, "test": 0.2}}},
            "labels": ["no", "yes"],
            "metrics": {"primary": "mcc"},
            "licence": licence,
            "citation": "Nobody (2026)",
        }
    )


def small_predictions(shift: float = 0.0) -> Predictions:
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], dtype=np.float32)
    return Predictions(
        problem=Problem("sequence-classification"),
        ids=np.array(["a", "b", "c"]),
        positions=None,
        clusters=None,
        truth=np.array([0, 1, 1]),
        scores=scores + np.float32(shift),
    )


def make_run(
    folder: Path,
    *,
    licence: str | None = "mit",
    data_licence: str = "CC-BY-4.0",
    status: str = "complete",
    baseline: bool = False,
    seed: int = 1,
    checkpoint: str = "lab/esm",
    model_files: dict[str, bytes | str] | None = None,
    config: dict[str, Any] | None = None,
) -> Path:
    """Write the folder: model, predictions, training log and a record with their checksums."""
    task = small_task(data_licence)
    files: dict[str, bytes | str] = {
        "config.json": json.dumps(config or {"model_type": "esm"}),
        "model.safetensors": save({"w": np.full(5000, seed, dtype=np.float32)}),
        "vocab.txt": "<cls>\n<pad>\n<eos>\n<unk>\nL\n",
        "modeling_protein_task.py": "# what a stranger loads\n",
    }
    for name, content in (files | (model_files or {})).items():
        path = folder / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    write_predictions(folder / PREDICTIONS, {"test": small_predictions()}, task.label_names)
    (folder / TRAINING_LOG).write_text('{"epoch": 1, "train_loss": 0.5}\n')
    recipe = Recipe(name="full", adaptation="full")
    base = CheckpointIdentity(name=checkpoint, source="hub", commit="c" * 40)
    identity = Identity(
        checkpoint=None if baseline else base,
        task=TaskIdentity(name=task.name, version=1, hash=task.hash),
        data=digest("data"),
        recipe=RecipeIdentity(name="full", hash=recipe.hash),
        seed=seed,
    )
    facts = CheckpointFacts(
        family="esm", model_type="esm", architecture="EsmModel", parameters=10, hidden_size=2, licence=licence
    )
    written = sorted(path for path in folder.rglob("*") if path.is_file())
    record = RunRecord(
        run_id=identity.run_id,
        status=status,  # type: ignore[arg-type]
        identity=identity,
        task=task.model_dump(mode="json"),
        recipe=recipe.model_dump(mode="json"),
        command="bench run --checkpoint lab/esm --task peptides",
        started=datetime(2026, 1, 1, tzinfo=UTC),
        checkpoint=facts,
        results={"test": SplitResult(n_proteins=3, n_labelled=3, scores={"mcc": Score(value=0.5)})},
        environment=Environment(
            bench="0.1.0", python="3.11", platform="Linux", packages={}, device="cpu", device_name="x"
        ),
        outputs=[
            OutputFile(path=path.relative_to(folder).as_posix(), bytes=path.stat().st_size, sha256=file_sha256(path))
            for path in written
        ],
    )
    write_record(folder, record)
    return folder


def write_small_card(run: OpenRun, *_: object) -> str:
    """Stands in for the card of hubtools.reporting, which has tests of its own."""
    (run.card / "figures").mkdir(parents=True, exist_ok=True)
    (run.card / "README.md").write_text(CARD)
    (run.card / "figures" / "confusion.png").write_bytes(b"\x89PNG")
    return "no problem found"
