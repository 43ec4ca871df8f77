"""The page on a graphics processor: used where it says what the processor says, left where there is none or it says something else.

Chromium imitates one in software (SwiftShader), so that what WebGPU computes is really computed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from browser import Seen, browser_page
from exporting.asked_page import Made, asked, downloaded, opened, scores, served

from hubtools.exporting import static_page
from hubtools.inference.predictor import Protein

pytestmark = [pytest.mark.slow]
IMITATED = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader")
PROTEINS = {"short": "MKT", "long": "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQ", "odd": "MKBZJOUXW"}


FLOAT32 = pytest.mark.parametrize("page", [("sequence-classification", None)], indirect=True)
INT8 = pytest.mark.parametrize("page", [("residue-classification", "int8")], indirect=True)


@pytest.fixture(scope="module")
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(static_page, "GRAPHICS_FROM", 0)
        with served(tmp_path_factory.mktemp("graphics"), *request.param) as found:
            yield found


def predicted(seen: Seen, page: Made) -> np.ndarray:
    asked(seen, "".join(f">{name}\n{sequence}\n" for name, sequence in PROTEINS.items()))
    return scores(downloaded(seen, "#tsv"), page.predictor.labels)


def expected(page: Made) -> np.ndarray:
    found = page.predictor.predict([Protein(name, sequence) for name, sequence in PROTEINS.items()])
    return np.concatenate([one.scores.reshape(-1, len(page.predictor.labels)) for one in found])


def computes(seen: Seen) -> Any:
    return seen.page.evaluate("document.body.dataset.computes")


@FLOAT32
def test_a_graphics_processor_says_what_torch_says(page: Made) -> None:
    with browser_page(flags=IMITATED) as seen:
        opened(seen, f"{page.address}?on=graphics")
        assert computes(seen) == "webgpu" and "on the graphics processor" in seen.page.inner_text("#state")
        np.testing.assert_allclose(predicted(seen, page), expected(page), atol=1e-4)
        assert "on the graphics processor" in seen.page.inner_text("#state")
        # Of the two programs one is loaded, and nothing is asked for elsewhere.
        assert not [name for name in seen.requests if "threaded.wasm" in name or not name.startswith(page.address)]
        assert seen.complaints == []


@INT8
@pytest.mark.parametrize("where", ["graphics", "processor"])
def test_weights_of_eight_bits_are_multiplied_out_in_float32_everywhere(page: Made, where: str) -> None:
    known = json.loads((page.folder / "page.json").read_text())["known"]
    with browser_page(flags=IMITATED) as seen:
        opened(seen, f"{page.address}?on={where}")
        assert computes(seen) == {"graphics": "webgpu", "processor": "wasm"}[where]
        asked(seen, known["sequence"])
        found = scores(downloaded(seen, "#tsv"), page.predictor.labels)
    np.testing.assert_allclose(found, known["scores"], atol=1e-5)
    # With onnxruntime's own rounding of what they are multiplied with, it is another value.
    import onnxruntime

    tokeniser = page.predictor.tokeniser
    ids = np.array([tokeniser.with_special(tokeniser.encode(known["sequence"]))])
    session = onnxruntime.InferenceSession(str(page.folder / "model.onnx"), providers=["CPUExecutionProvider"])
    logits = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0][0, 1:-1]
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert np.abs(shares - known["scores"]).max() > 1e-5


@FLOAT32
@pytest.mark.parametrize(
    ("flags", "asked_for"),
    [((), ""), ((), "?on=graphics"), (IMITATED, ""), (IMITATED, "?on=processor")],
    ids=["none", "none, asked for", "imitated", "not wanted"],
)
def test_without_a_graphics_processor_the_processor_computes(
    page: Made, flags: tuple[str, ...], asked_for: str
) -> None:
    with browser_page(flags=flags) as seen:
        opened(seen, page.address + asked_for)
        assert computes(seen) == "wasm" and "on the processor" in seen.page.inner_text("#state")
        np.testing.assert_allclose(predicted(seen, page), expected(page), atol=1e-4)
        assert not [name for name in seen.requests if "jspi" in name]


@FLOAT32
def test_a_graphics_processor_that_says_something_else_is_left(page: Made) -> None:
    path = page.folder / "page.json"
    before = path.read_text()
    values = json.loads(before)
    values["known"]["scores"][0][0] += 0.001
    path.write_text(json.dumps(values))
    try:
        with browser_page(flags=IMITATED) as seen:
            opened(seen, f"{page.address}?on=graphics")
            assert computes(seen) == "wasm"
            assert [name for name in seen.requests if "jspi" in name]
    finally:
        path.write_text(before)
