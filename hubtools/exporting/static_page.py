"""A model's page that needs no server: the export, onnxruntime-web and one page, as a folder that any web server can show.

What the page looks like is what ``bench demo`` looks like: its style, colours and letters come from the same place.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubtools.common.bounds import json_values
from hubtools.common.files import replacing_folder
from hubtools.common.hashing import file_sha256
from hubtools.common.version import __version__
from hubtools.exporting.onnx_export import EXPORT, OnnxFacts, fill
from hubtools.exporting.onnx_graph import refuse_what_has_no_graph
from hubtools.exporting.onnx_model import OnnxModel
from hubtools.exporting.onnx_proof import ALLOWED, known_answer
from hubtools.exporting.token_table import TOKENS
from hubtools.exporting.web_runtime import GRAPHICS, ONNXRUNTIME_WEB, PROCESSOR
from hubtools.findings.wording import metric_title
from hubtools.inference import drawing
from hubtools.inference.demo_page import EXAMPLES, Limits
from hubtools.reporting.answer_style import CSS, PALETTE
from hubtools.reporting.templates import asset, render

if TYPE_CHECKING:
    from hubtools.inference.predictor import Predictor

INDEX, PAGE, STYLE, RUNTIME = "index.html", "page.json", "page.css", "runtime"
SCRIPTS = ("page.js", "proteins.js", "worker.js", "offline.js")
_FOLDER = "space/static"
# Bytes of graphs from which the program for graphics goes with the page: of a smaller model it would be most of what is loaded,
# to save a second.
GRAPHICS_FROM = 16 * 10**6


def write_page(
    predictor: Predictor,
    name: str,
    folder: Path,
    runtime: Mapping[str, Path],
    *,
    quantised: str | None = None,
    mirrors: Sequence[Path] = (),
    limits: Limits | None = None,
) -> OnnxFacts:
    """Write the page of a model into a folder, which is there only when the model was proven.

    Args:
        predictor: the model, on the CPU.
        name: under which it was asked for.
        folder: new, or an earlier page.
        runtime: files of onnxruntime-web by name (:data:`hubtools.exporting.web_runtime.ONNXRUNTIME_WEB`).
        quantised, mirrors: as of :func:`hubtools.exporting.onnx_export.write_export`.
        limits: of one request.

    Raises:
        UserError: as :func:`hubtools.exporting.onnx_export.write_export`.
    """
    refuse_what_has_no_graph(predictor, name)
    with replacing_folder(folder, EXPORT) as staging:
        facts = fill(predictor, name, staging, quantised=quantised, mirrors=mirrors)
        (staging / RUNTIME).mkdir()
        for file in [*PROCESSOR, *(GRAPHICS if facts.bytes >= GRAPHICS_FROM else ())]:
            shutil.copyfile(runtime[file], staging / RUNTIME / file)
        for file in SCRIPTS:
            (staging / file).write_text(asset(f"{_FOLDER}/{file}"), encoding="utf-8")
        (staging / STYLE).write_text(asset(f"{_FOLDER}/{STYLE}") + CSS, encoding="utf-8")
        page = render(
            f"{_FOLDER}/{INDEX}.j2",
            title=predictor.task.title,
            headline=drawing.headline(predictor),
            model_said=weights_said(name, facts),
            bench=__version__,
            runtime=ONNXRUNTIME_WEB.version,
        )
        (staging / INDEX).write_text(page, encoding="utf-8")
        values = page_facts(predictor, staging, facts, limits or Limits())
        (staging / PAGE).write_text(json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    return facts


def page_facts(predictor: Predictor, folder: Path, facts: OnnxFacts, limits: Limits) -> dict[str, Any]:
    """What the page's scripts read: ``export.json``, how answers look, and which files there are.

    Args:
        predictor: the model.
        folder: that holds the export and the runtime.
        facts: of the export.
        limits: of one request.
    """
    export = json_values((folder / EXPORT).read_bytes())
    programs = _programs(folder)
    large = [*(program["binary"] for program in programs.values()), *facts.files]
    files = {file: {"bytes": (folder / file).stat().st_size, "sha256": file_sha256(folder / file)} for file in large}
    known = None
    if "webgpu" in programs:
        sequence, scores = known_answer(predictor, OnnxModel(folder, predictor.model.config))
        known = {"sequence": sequence, "scores": scores.tolist(), "allowed": ALLOWED}
    letters = predictor.task.data.candidates
    return {
        **export,
        "unknown": "".join(sorted(predictor.tokeniser.unknown)),
        "files": files,
        # By where they compute; that for graphics is used where it says of a known protein what is said of it here.
        "programs": programs,
        "known": known,
        "kept": [INDEX, PAGE, STYLE, TOKENS, EXPORT, *SCRIPTS],
        "version": f"{__version__} {export['run']} {export['weights']} {ONNXRUNTIME_WEB.version}",
        "most": {"proteins": limits.proteins, "residues": limits.residues},
        "examples": {
            name: sequence
            for name, sequence in EXAMPLES.items()
            if not letters or any(letter in sequence for letter in letters)
        },
        "shown": {
            "labels": drawing.SHOWN_LABELS,
            "residues": drawing.SHOWN_RESIDUES,
            "sites": drawing.SHOWN_SITES,
            "block": drawing.BLOCK,
            "palette": list(PALETTE),
            "codes": drawing.codes(predictor.labels),
        },
    }


def _programs(folder: Path) -> dict[str, dict[str, str]]:
    """The builds of onnxruntime-web that a page has: the script that is imported, the one that it loads, and the binary."""
    builds = {"webgpu": GRAPHICS, "wasm": PROCESSOR}
    return {
        name: dict(zip(("program", "loader", "binary"), (f"{RUNTIME}/{file}" for file in files), strict=True))
        for name, files in builds.items()
        if all((folder / RUNTIME / file).is_file() for file in files)
    }


def weights_said(name: str, facts: OnnxFacts) -> str:
    """Which weights are in the page, and how they were held to what was measured."""
    if facts.quantised is None:
        return f"The weights are those of {name}, in float32; their outputs differ by {facts.difference.largest:.1g} at most from what was measured."
    if facts.cost is None:
        return f"The weights are those of {name} in eight bits; what that costs was not measured."
    cost = facts.cost
    return (
        f"The weights are those of {name} in eight bits: {metric_title(cost.metric)} {cost.int8:.3f} instead of {cost.float32:.3f} on "
        f"{cost.proteins:,} validation proteins."
    )
