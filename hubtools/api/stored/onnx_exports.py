"""A model as ONNX graphs that others run, proven to compute what torch computes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hubtools.api.asked import Say, silent
from hubtools.api.computing import ExecutionOptions, quiet
from hubtools.common.errors import UserError
from hubtools.common.files import human
from hubtools.common.notebook import line_html

if TYPE_CHECKING:
    from hubtools.exporting.onnx_export import OnnxFacts
    from hubtools.inference.predictor import Predictor


@dataclass(frozen=True)
class ExportedModel:
    """A folder with graphs, ``tokens.json`` and ``export.json``.

    Attributes:
        folder: that was written.
        facts: what is in it, and how it was held to torch.
    """

    folder: Path
    facts: OnnxFacts

    def lines(self) -> list[str]:
        """What there is to say of it, a sentence each."""
        facts = self.facts
        read = facts.difference
        said = [
            f"{' and '.join(facts.files)}, {human(facts.bytes)}",
            f"float32 differs from torch by {read.largest:.2g} at most, on {len(read.lengths)} proteins of {min(read.lengths):,} to "
            f"{max(read.lengths):,} residues",
        ]
        if facts.cost is not None:
            cost = facts.cost
            said.append(
                f"int8: {cost.metric} {cost.int8:.4g} on {cost.proteins:,} validation proteins, {cost.float32:.4g} in float32; a "
                f"prediction moves by {cost.mean:.2g} in the mean and by {cost.largest:.2g} at most"
            )
        elif facts.quantised:
            said.append(f"what int8 costs was not measured: {facts.not_measured}")
        return said

    def __repr__(self) -> str:
        return "; ".join([str(self.folder), *self.lines()])

    def _repr_html_(self) -> str:
        return line_html(repr(self))


def export(
    model: str | PathLike[str],
    out: str | PathLike[str],
    *,
    quantise: Literal["int8"] | None = None,
    execution: ExecutionOptions | None = None,
    on_note: Say = silent,
) -> ExportedModel:
    """A model as ONNX graphs, which any onnxruntime runs: on a server, in a browser, without torch.

    Args:
        model: as for :func:`hubtools.predict`.
        out: a new folder, or an earlier export.
        quantise: ``int8`` for weights of eight bits, and what that costs on the run's validation proteins.
        execution: where and how torch computes; on the processor, whatever it says.
        on_note: as for :func:`hubtools.results`.

    Raises:
        UserError: there is no such model, it is none that is exported, or its graphs differ from torch by more than 1e-4: then
            nothing is written.
    """
    from hubtools.exporting.onnx_export import write_export

    predictor, name, mirrors = _opened(model, quantise, execution, on_note)
    with quiet():
        facts = write_export(predictor, name, Path(out), quantised=quantise, mirrors=mirrors)
    return ExportedModel(Path(out), facts)


def static_page(
    model: str | PathLike[str],
    out: str | PathLike[str],
    *,
    quantise: Literal["int8"] | None = None,
    runtime: str | PathLike[str] | None = None,
    execution: ExecutionOptions | None = None,
    on_note: Say = silent,
) -> ExportedModel:
    """The page of a model that needs no server: an export, onnxruntime-web and the page, as a folder for any web server.

    Args:
        model, out, quantise, execution, on_note: as of :func:`export`.
        runtime: folder with onnxruntime-web; by default it is fetched from npm once, pinned by checksum, and kept with the data.

    Raises:
        UserError: as :func:`export`, or onnxruntime-web is not to be had.
    """
    from hubtools.exporting.static_page import write_page
    from hubtools.exporting.web_runtime import ONNXRUNTIME_WEB

    # Before the slow part.
    files = ONNXRUNTIME_WEB.files(None if runtime is None else Path(runtime), (execution or ExecutionOptions()).mirrors)
    predictor, name, mirrors = _opened(model, quantise, execution, on_note)
    with quiet():
        facts = write_page(predictor, name, Path(out), files, quantised=quantise, mirrors=mirrors)
    return ExportedModel(Path(out), facts)


def _opened(
    model: str | PathLike[str], quantise: str | None, execution: ExecutionOptions | None, on_note: Say
) -> tuple[Predictor, str, Sequence[Path]]:
    """The model on the processor, where onnxruntime will be held to it; its name; folders of data."""
    from hubtools.api.predicting import model_named, open_model
    from hubtools.exporting.onnx_export import QUANTISED

    if quantise not in {None, *QUANTISED}:
        raise UserError(f"{quantise!r} is no way to quantise", where="quantise", fix=f"Known: {', '.join(QUANTISED)}.")
    computing = dataclasses.replace(execution or ExecutionOptions(), device="cpu")
    name = fspath(model)
    predictor = open_model(name, computing, on_note=on_note)
    on_note("torch exports the model, which takes a minute, and onnxruntime is held to it")
    # Of a run here its id, which says nothing of this machine.
    here = not isinstance(model_named(name), str)
    return predictor, f"run {predictor.record.run_id}" if here else name, computing.mirrors
