"""Answers of UniProt's REST service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hubtools.common.hashing import digest, file_sha256
from hubtools.data.sources.file_cache import DataCache
from hubtools.data.sources.kinds.source import Source, SourceFacts
from hubtools.data.sources.uniprot_answers import first_answer, forget_answer, frozen_file, kept_answer, read_answer
from hubtools.specs.data_sources import UniProtData, UniProtFile
from hubtools.specs.record import SourceFile

if TYPE_CHECKING:
    import pandas as pd

    from hubtools.data.rows.annotation import Annotator


class UniProtSource(Source[UniProtData]):
    """The frozen answer to a query; one that is not frozen is what this machine was told first."""

    spec = UniProtData

    def pin(self, cache: DataCache) -> tuple[UniProtData, list[str]]:
        """With the answer that it is about."""
        if self.data.frozen is not None:
            return self.data, []
        answer = first_answer(self.data, cache)
        finding = f"not frozen: UniProt release {answer.release}, fetched on {answer.fetched}"
        return self.data.model_copy(update={"frozen": answer.frozen}), [finding]

    def forget(self, cache: DataCache) -> None:
        """Let UniProt be asked anew."""
        if self.data.frozen is None:
            forget_answer(self.data, cache)

    def refreshed(self, cache: DataCache) -> tuple[UniProtData, list[str]]:
        """The answer of today, where its rows are others."""
        was = self.data.frozen
        if was is None:
            return self.data, []
        unfrozen = self.data.model_copy(update={"frozen": None})
        forget_answer(unfrozen, cache)
        now = first_answer(unfrozen, cache).frozen
        if now.sha256 == was.sha256:
            return self.data, []
        before, after = (f"release {one.release}, {one.rows:,} entries, sha256 {one.sha256}" for one in (was, now))
        return self.data.model_copy(update={"frozen": now}), [f"{before}; UniProt gives {after} now"]

    def digest(self, cache: DataCache) -> str:
        """Of the rows, whatever file holds them."""
        assert self.data.frozen is not None
        return digest({"rows": self.data.frozen.sha256})

    def read(self, file: UniProtFile, cache: DataCache, annotator: Annotator | None) -> pd.DataFrame:
        """The entries, those with a label where labels are read from annotation."""
        table = read_answer(self.data, frozen_file(self.data, cache))
        if annotator is None:
            return table
        from hubtools.data.sources.annotated_rows import labelled_answer

        return labelled_answer(table, self.data, annotator)

    def facts(self, cache: DataCache) -> SourceFacts:
        """The query, the file that holds the answer, and UniProt's release."""
        data = self.data
        assert data.frozen is not None
        sha256 = file_sha256(frozen_file(data, cache))
        files = [
            SourceFile(name=file.name, location=f"{file.location}: {data.query}", sha256=sha256) for file in data.files
        ]
        return SourceFacts(files, release=data.frozen.release)

    def described(self) -> str:
        """The query, and which answer."""
        frozen = self.data.frozen
        state = f"release {frozen.release}, {frozen.rows:,} entries" if frozen else "not frozen: see bench data freeze"
        return f"UniProt, {self.data.query} ({state})"

    def fetch(self, cache: DataCache) -> list[Path]:
        """The file that holds the answer."""
        return [frozen_file(self.data, cache)]

    def kept(self, cache: DataCache) -> list[str]:
        """The frozen answer, else the first."""
        answer = self.data.frozen or kept_answer(self.data, cache)
        return [answer.file_sha256] if answer and answer.file_sha256 else []
