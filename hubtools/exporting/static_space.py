"""A model's page that needs no server as a static Space of the Hub: files, and nothing that runs there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hubtools.common.files import human, write_atomic
from hubtools.exporting.onnx_export import OnnxFacts
from hubtools.exporting.onnx_graph import HEAD
from hubtools.exporting.static_page import INDEX, weights_said, write_page
from hubtools.exporting.web_runtime import ONNXRUNTIME_WEB
from hubtools.inference.demo_page import Limits
from hubtools.publishing.commit import PublishedFile
from hubtools.publishing.contents import README, Publication
from hubtools.publishing.demo_space import TITLE_LENGTH, DemoSpace
from hubtools.reporting.card.card_metadata import front_matter
from hubtools.reporting.templates import render

if TYPE_CHECKING:
    from hubtools.inference.predictor import Predictor

# More than this is a long wait for whoever opens the page on a phone.
LARGE = 100 * 10**6


@dataclass(frozen=True)
class StaticSpace:
    """A page in a folder, which goes out when the commit of its model is known.

    Attributes:
        repo: ``owner/name`` of the Space.
        folder: that holds it.
        facts: of the export.
        limits: of one request.
    """

    repo: str
    folder: Path
    facts: OnnxFacts
    limits: Limits

    def weights(self, model: str) -> str:
        """What is said of its weights beside those of the model on the Hub."""
        return weights_said(model, self.facts)

    def at(self, publication: Publication, commit: str) -> DemoSpace:
        """The files of the Space, with a README that names the commit of the model's repository."""
        record, title = publication.record, publication.record.title
        page = [path for path in sorted(self.folder.rglob("*")) if path.is_file() and path.name != README]
        about = {
            "title": title,
            "emoji": "🧬",
            "sdk": "static",
            "app_file": INDEX,
            # Without them browsers give the page no threads.
            "custom_headers": {
                "cross-origin-embedder-policy": "require-corp",
                "cross-origin-opener-policy": "same-origin",
                "cross-origin-resource-policy": "cross-origin",
            },
            "models": [publication.repo],
            "license": "apache-2.0",
            "short_description": title if len(title) <= TITLE_LENGTH else f"{title[: TITLE_LENGTH - 1]}…",
            "tags": ["biology", "protein-language-model", "bench"],
        }
        text = render(
            "space/static/README.md.j2",
            title=title,
            summary=record.task_spec.summary or "",
            model=publication.repo,
            subject=record.subject,
            recipe=record.identity.recipe.name,
            bytes=sum(path.stat().st_size for path in page),
            proteins=self.limits.proteins,
            residues=self.limits.residues,
            weights=self.weights(publication.repo),
            commit=commit,
            head=HEAD in self.facts.files,
            bench=record.environment.bench,
            runtime=ONNXRUNTIME_WEB.version,
            licence=publication.licence,
        )
        write_atomic(self.folder / README, front_matter(about) + text)
        names = sorted(path.relative_to(self.folder).as_posix() for path in [*page, self.folder / README])
        files = tuple(PublishedFile.of(name, self.folder / name) for name in names)
        large = sum(file.bytes for file in files)
        notes = [f"whoever opens the page loads {human(large)} first"] if large > LARGE else []
        if self.facts.not_measured:
            notes.append(f"what int8 costs was not measured: {self.facts.not_measured}")
        return DemoSpace(self.repo, files, tuple(notes))


def write_static_space(
    predictor: Predictor,
    publication: Publication,
    repo: str,
    folder: Path,
    runtime: Mapping[str, Path],
    *,
    quantised: str | None = None,
    mirrors: Sequence[Path] = (),
) -> StaticSpace:
    """Write the page of a model that is published.

    Args:
        predictor: the model, on the CPU.
        publication: of it.
        repo: ``owner/name`` of the Space.
        folder: new.
        runtime, quantised, mirrors: as of :func:`hubtools.exporting.static_page.write_page`.

    Raises:
        UserError: as :func:`hubtools.exporting.static_page.write_page`.
    """
    limits = Limits()
    facts = write_page(
        predictor, publication.repo, folder, runtime, quantised=quantised, mirrors=mirrors, limits=limits
    )
    return StaticSpace(repo, folder, facts, limits)
