"""``pipeline(...)`` of plain transformers says what the run recorded: with native heads, and with bench's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_runs import made

from hubtools.common.errors import UserError
from hubtools.data import DataCache, load_task_data
from hubtools.evaluation.predictions import read_predictions
from hubtools.reporting.card.snippet import needs_custom_code, pipeline_snippet
from hubtools.runs.store import MODEL, PREDICTIONS, read_record
from hubtools.specs.task import Task

pytestmark = pytest.mark.slow
NATIVE: dict[str, Any] = {"head.kind": "native"}
CASES = [
    *((family, "sequence-classification", NATIVE) for family in ("esm", "bert", "esmc", "modernbert")),
    *((family, "residue-classification", NATIVE) for family in ("esm", "bert", "esmc", "modernbert", "t5")),
    ("esm", "sequence-multilabel", NATIVE),
    ("bert", "sequence-regression", NATIVE),
    ("esm", "sequence-classification", {"calibration": "temperature"}),
    ("bert", "sequence-multilabel", {}),
    ("esm", "sequence-regression", {}),
    ("esm", "residue-classification", {"head.hidden": 8}),
]


@pytest.mark.parametrize(
    ("family", "problem", "settings"), CASES, ids=[f"{f}-{p}-{'-'.join(map(str, s.values()))}" for f, p, s in CASES]
)
def test_a_pipeline_says_what_was_recorded(tmp_path: Path, family: str, problem: str, settings: dict[str, Any]) -> None:
    from transformers import pipeline

    run = made(tmp_path, problem, family, **settings)
    record = read_record(run)
    rows = load_task_data(Task.model_validate(record.task), DataCache(tmp_path / "cache")).splits["test"]
    scores = read_predictions(run / PREDICTIONS)["test"]
    sequence = rows["sequence"][0]
    expected = scores.scores[scores.ids == rows["id"][0]]
    assert record.alignment is not None
    text = " ".join(sequence) if record.alignment.rendering == "spaced" else sequence
    custom = needs_custom_code(run / MODEL)
    assert custom == (settings.get("head.kind") != "native")
    residues = problem.startswith("residue")
    kind = "token-classification" if residues else "text-classification"
    predict = pipeline(kind, model=str(run / MODEL), trust_remote_code=custom)
    if residues:
        got, want = [one["score"] for one in predict(text)], expected.max(1)
    else:
        # The likeliest first; of a regression there is one value.
        got, want = [one["score"] for one in predict(text, top_k=None)], -np.sort(-expected.ravel())
    np.testing.assert_allclose(got, want, atol=1e-5, rtol=1e-4)
    assert pipeline_snippet(record, run / MODEL, "me/x") is not None


def test_a_native_head_that_would_be_random_below_is_refused(tmp_path: Path) -> None:
    with pytest.raises((UserError, AssertionError), match=r"would leave .* weights of the model itself untrained"):
        made(tmp_path, "sequence-classification", "t5", **NATIVE)
