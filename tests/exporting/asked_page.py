"""A page of a tiny model that is served, and asked as a person asks it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from browser import Seen
from tiny_runs import made

from hubtools.data import DataCache
from hubtools.exporting.onnx_export import OnnxFacts
from hubtools.exporting.page_server import PageServer
from hubtools.exporting.static_page import write_page
from hubtools.exporting.web_runtime import ONNXRUNTIME_WEB
from hubtools.inference.predictor import Predictor
from hubtools.training.compute.device import Execution


@dataclass
class Made:
    """A page, the model behind it and where it is served."""

    run: Path
    predictor: Predictor
    folder: Path
    facts: OnnxFacts
    address: str


def needs_runtime() -> None:
    """Skip where onnxruntime-web is not in the cache of data: nothing is fetched for a test."""
    for package in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package, reason='onnx is not installed: pip install "plm-hubtools[export]"')
    if DataCache.default().held(ONNXRUNTIME_WEB.sha256) is None:
        pytest.skip("onnxruntime-web is not in the cache of data: bench demo --static fetches it")


@contextmanager
def served(folder: Path, problem: str, quantised: str | None = None) -> Iterator[Made]:
    """The page of a tiny model with windows of 40 residues: proteins of a test are read in several."""
    needs_runtime()
    run = made(folder, problem, **{"window.residues": 40, "window.overlap": 10})
    predictor = Predictor.open(run, Execution.choose("cpu"))
    facts = write_page(predictor, "me/tiny", folder / "page", ONNXRUNTIME_WEB.files(), quantised=quantised)
    server = PageServer(folder / "page", "127.0.0.1", 0)
    yield Made(run, predictor, folder / "page", facts, server.address)
    server.close()


def opened(seen: Seen, address: str) -> None:
    """Go there, and wait until the model is loaded."""
    seen.page.goto(address)
    seen.page.wait_for_selector("body[data-state=ready]", timeout=120_000)


def asked(seen: Seen, text: str) -> str:
    """What the page says of a text that was typed."""
    seen.page.fill("#sequence", text)
    seen.page.press("#sequence", "Control+Enter")
    seen.page.wait_for_selector("body[data-state=done]", timeout=120_000)
    # Answers are put in when the last is there.
    seen.page.wait_for_function("document.querySelector('#answer').children.length > 0")
    return str(seen.page.inner_text("#answer"))


def downloaded(seen: Seen, button: str) -> str:
    """The file that a button gives."""
    with seen.page.expect_download() as started:
        seen.page.click(button)
    return Path(started.value.path()).read_text(encoding="utf-8")


def scores(text: str, labels: list[str]) -> np.ndarray:
    """Probabilities of a table that was downloaded: (rows, labels)."""
    rows = csv.DictReader(io.StringIO(text), delimiter="\t")
    return np.array([[float(row[f"p_{label}"]) for label in labels] for row in rows])
