"""The folder of an exported model: graphs that were proven, the table of tokens, and what somebody needs to know to ask them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubtools.common.errors import UserError
from hubtools.common.files import replacing_folder
from hubtools.common.hashing import file_sha256
from hubtools.common.version import __version__
from hubtools.exporting.onnx_graph import OPSET, refuse_what_has_no_graph, write_graphs
from hubtools.exporting.onnx_model import OnnxModel
from hubtools.exporting.onnx_proof import GraphDifference, difference, require_same
from hubtools.exporting.pipeline_files import write_pipeline_files
from hubtools.exporting.quantised import QuantisedCost, cost_of, quantise
from hubtools.exporting.token_table import TOKENS, token_table

if TYPE_CHECKING:
    from hubtools.inference.predictor import Predictor

# In every export, so that a folder that is none is never replaced.
EXPORT = "export.json"
QUANTISED = ("int8",)


@dataclass(frozen=True)
class OnnxFacts:
    """What an export is and how it was held to torch.

    Attributes:
        files: names of the graphs.
        bytes: of them.
        difference: between float32 graphs and torch.
        quantised: ``int8``, or None for float32.
        int8: difference between int8 graphs and torch on the same proteins.
        cost: of int8 on validation; None where it was not measured.
        not_measured: why it was not.
    """

    files: tuple[str, ...]
    bytes: int
    difference: GraphDifference
    quantised: str | None = None
    int8: GraphDifference | None = None
    cost: QuantisedCost | None = None
    not_measured: str = ""


def write_export(
    predictor: Predictor, name: str, folder: Path, *, quantised: str | None = None, mirrors: Sequence[Path] = ()
) -> OnnxFacts:
    """Write a model as an export, which is there only when its graphs were proven to compute what torch computes.

    Args:
        predictor: the model, on the CPU.
        name: under which it was asked for.
        folder: new, or an earlier export.
        quantised: ``int8`` for smaller weights.
        mirrors: folders of data, for what int8 costs.

    Raises:
        UserError: the model is none that is exported, or its graphs differ: then nothing is left.
    """
    refuse_what_has_no_graph(predictor, name)
    with replacing_folder(folder, EXPORT) as staging:
        facts = fill(predictor, name, staging, quantised=quantised, mirrors=mirrors)
        write_pipeline_files(predictor, staging)
        return facts


def fill(
    predictor: Predictor, name: str, folder: Path, *, quantised: str | None = None, mirrors: Sequence[Path] = ()
) -> OnnxFacts:
    """As :func:`write_export`, into a folder that somebody else takes care of."""
    refuse_what_has_no_graph(predictor, name)
    files = write_graphs(predictor, folder)
    config = predictor.model.config
    found = difference(predictor, OnnxModel(folder, config))
    require_same(found, name)
    int8, cost, why = None, None, ""
    if quantised:
        quantise(folder)
        int8 = difference(predictor, OnnxModel(folder, config))
        try:
            cost = cost_of(predictor, folder, mirrors)
        except UserError as error:
            why = error.what
    facts = OnnxFacts(
        tuple(files), sum((folder / file).stat().st_size for file in files), found, quantised, int8, cost, why
    )
    (folder / TOKENS).write_text(_json(token_table(predictor.tokeniser)), encoding="utf-8")
    (folder / EXPORT).write_text(_json(_about(predictor, name, folder, facts)), encoding="utf-8")
    return facts


def _about(predictor: Predictor, name: str, folder: Path, facts: OnnxFacts) -> dict[str, Any]:
    """What ``export.json`` holds."""
    record, task = predictor.record, predictor.task
    training = record.training
    return {
        "made_by": f"bench {__version__}",
        "model": name,
        "run": record.run_id,
        "task": {"name": record.identity.task.name, "version": record.identity.task.version, "title": task.title},
        "checkpoint": record.subject,
        "recipe": record.identity.recipe.name,
        "opset": OPSET,
        "graphs": {file: file_sha256(folder / file) for file in facts.files},
        "weights": facts.quantised or "float32",
        "level": predictor.problem.level.name,
        "kind": predictor.problem.kind,
        "labels": predictor.labels,
        "positive": task.metrics.positive,
        "thresholds": (training.choices if training else {}).get("thresholds"),
        "unit": task.unit,
        "candidates": task.data.candidates,
        # A longer protein is read in windows of so many residues, which share so many.
        "window": {"residues": predictor.window.residues, "overlap": predictor.window.overlap},
        "difference": dataclasses.asdict(facts.difference),
        "int8": None
        if facts.quantised is None
        else {
            "difference": dataclasses.asdict(facts.int8) if facts.int8 else None,
            "validation": dataclasses.asdict(facts.cost) if facts.cost else None,
            "not_measured": facts.not_measured or None,
        },
    }


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
