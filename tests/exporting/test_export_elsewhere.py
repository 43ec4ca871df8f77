"""An export asked by programs that know nothing of bench: plain onnxruntime as the documentation says, and transformers.js."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny_runs import made

from hubtools.exporting.onnx_export import write_export
from hubtools.exporting.pipeline_files import write_pipeline_files
from hubtools.inference.predictor import Predictor, Protein
from hubtools.training.compute.device import Execution

pytestmark = [pytest.mark.slow]
for package in ("onnx", "onnxruntime", "onnxscript"):
    pytest.importorskip(package, reason='onnx is not installed: pip install "plm-hubtools[export]"')
HERE = Path(__file__).resolve().parent
DOCUMENTATION = HERE.parents[1] / "docs" / "demo.md"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Predictor, Path]]:
    folder = tmp_path_factory.mktemp("export")
    predictor = Predictor.open(made(folder, "residue-classification"), Execution.choose("cpu"))
    write_export(predictor, "me/tiny", folder / "export")
    yield predictor, folder / "export"


def said(predictor: Predictor, sequence: str) -> np.ndarray:
    (answer,) = predictor.predict([Protein("one", sequence)])
    return answer.scores


def test_the_documented_lines_of_onnxruntime_give_what_bench_predicts(exported: tuple[Predictor, Path]) -> None:
    predictor, folder = exported
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENTATION.read_text(encoding="utf-8"), re.DOTALL)
    found: dict[str, np.ndarray] = {}
    exec(code.replace("DIR/", f"{folder}/"), found)
    logits = found["logits"][0, 1:-1].astype(np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(shares, said(predictor, "MKTAYIAKQR"), atol=1e-4)


def test_a_graph_names_no_file_of_this_machine(exported: tuple[Predictor, Path]) -> None:
    _, folder = exported
    held = (folder / "model.onnx").read_bytes()
    assert b"site-packages" not in held and str(HERE.parents[1]).encode() not in held and b".py" not in held


@pytest.mark.parametrize("sequence", ["MKTAYIAKQRBJOUXZ", "mkT aY\n", "ACDEFGHIKLMNPQRSTVWY"])
def test_its_tokenizer_gives_the_tokens_of_the_table(exported: tuple[Predictor, Path], sequence: str) -> None:
    from transformers import AutoTokenizer

    predictor, folder = exported
    tokens = AutoTokenizer.from_pretrained(folder)(sequence)["input_ids"]
    canonical = "".join(sequence.split()).upper()
    assert tokens == predictor.tokeniser.with_special(predictor.tokeniser.encode(canonical)).tolist()


def test_transformers_js_gives_what_bench_predicts_and_refuses_what_is_no_letter(
    exported: tuple[Predictor, Path],
) -> None:
    predictor, folder = exported
    node, modules = shutil.which("node"), os.environ.get("BENCH_NODE_MODULES", "")
    if node is None or not (Path(modules) / "@huggingface" / "transformers").is_dir():
        pytest.skip("BENCH_NODE_MODULES is no folder with @huggingface/transformers of npm, or there is no node")
    sequences = ["MKTAYIAKQRBJOUXZ", "mktay", "MK-TA"]
    program = [node, HERE / "transformers_js.mjs", modules, folder, *sequences]
    lines = subprocess.run(program, check=True, capture_output=True, text=True, timeout=120).stdout.splitlines()
    first, second, refused = map(json.loads, lines)
    for sequence, found in zip(sequences, (first, second), strict=False):
        scores = said(predictor, sequence.upper())
        assert [label for _, label, _ in found] == [predictor.labels[best] for best in scores.argmax(1)]
        np.testing.assert_allclose([share for *_, share in found], scores.max(1), atol=1e-4)
    assert isinstance(refused, str)


def test_models_of_proteins_have_no_such_files(tmp_path: Path) -> None:
    predictor = Predictor.open(made(tmp_path, "sequence-classification"), Execution.choose("cpu"))
    (tmp_path / "export").mkdir()
    write_pipeline_files(predictor, tmp_path / "export")
    assert not [*(tmp_path / "export").iterdir()]
