"""Data sets on the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubtools.common.errors import UserError
from hubtools.common.files import is_there
from hubtools.common.hashing import digest
from hubtools.common.hub import full_commit, hub_api, hub_errors
from hubtools.data.sources.file_cache import DataCache
from hubtools.data.sources.kinds.source import Source, SourceFacts
from hubtools.data.sources.table_files import arrow_to_rows
from hubtools.specs.data_sources import HubData, HubFile
from hubtools.specs.record import SourceFile

if TYPE_CHECKING:
    import pandas as pd

    from hubtools.data.rows.annotation import Annotator


class HubSource(Source[HubData]):
    """A data set at a commit, kept by ``datasets``; without one it is at the latest, once per command."""

    spec = HubData

    def pin(self, cache: DataCache) -> tuple[HubData, list[str]]:
        """At its latest commit, where the task file names none."""
        data = self.data
        if data.revision is not None:
            return data, []
        revision = cache.once(("hub", data.dataset), self._latest_commit)
        return data.model_copy(update={"revision": revision}), [f"not pinned: {data.dataset} was at commit {revision}"]

    def refreshed(self, cache: DataCache) -> tuple[HubData, list[str]]:
        """At its latest commit."""
        was = self.data.revision
        if was is None:
            return self.data, []
        now = self._latest_commit()
        if now == was:
            return self.data, []
        change = f"{self.data.dataset}: commit {was}; the Hub has {now} now"
        return self.data.model_copy(update={"revision": now}), [change]

    def digest(self, cache: DataCache) -> str:
        """Of its name and commit."""
        return digest(self.data.model_dump(include={"dataset", "config", "revision"}))

    def read(self, file: HubFile, cache: DataCache, annotator: Annotator | None) -> pd.DataFrame:
        """The rows of a split."""
        builder = self._prepared()
        try:
            rows = builder.as_dataset(split=file.split)
        except (OSError, ValueError) as error:
            raise self._failure(error) from None
        return arrow_to_rows(rows.with_format("arrow")[:], self.data.dataset)

    def facts(self, cache: DataCache) -> SourceFacts:
        """The splits, the data set and its commit."""
        data = self.data
        files = [SourceFile(name=file.name, location=f"{data.dataset}:{file.split}") for file in data.files]
        return SourceFacts(files, dataset=data.dataset, revision=data.revision)

    def described(self) -> str:
        """Its name and commit."""
        return f"{self.data.dataset} on the Hub at {self.data.revision or 'its latest commit: not pinned'}"

    def fetch(self, cache: DataCache) -> list[Path]:
        """Into the cache of ``datasets``: no path."""
        self._prepared()
        return []

    def kept_elsewhere(self) -> str:
        """The cache of ``datasets``."""
        return f"{self.data.dataset} is in the cache of datasets, which HF_HOME names"

    def _refuse_folder(self) -> None:
        """Make sure that ``datasets`` asks the Hub: a folder of that name here would take the data set's place."""
        if is_there(Path(self.data.dataset)):
            raise UserError(
                "the current folder has a folder of that name, which would be read in place of the Hub's",
                where=self.data.dataset,
                fix="Run this somewhere else, or rename that folder.",
            )

    def _latest_commit(self) -> str:
        """The commit that the data set's main branch is at."""
        name = self.data.dataset
        with hub_errors(f"data set {name}"):
            found = hub_api().dataset_info(name).sha
        if not found:
            raise UserError("the Hub names no commit of it", where=name, fix="Write data.revision.")
        return full_commit(found, f"data set {name}")

    def _prepared(self) -> Any:
        """The builder of a data set whose files are on this machine."""
        import datasets

        data = self.data
        assert data.revision is not None
        self._refuse_folder()
        try:
            builder = datasets.load_dataset_builder(data.dataset, data.config, revision=data.revision)
            # Where the Hub does not answer, datasets takes whatever revision it has kept, and says so only in its log.
            if builder.hash != data.revision:
                raise UserError(
                    f"the Hub cannot be reached, and another revision is in the cache ({builder.hash:.8})",
                    where=f"{data.dataset} at {data.revision[:8]}",
                    fix="Check the network and HF_ENDPOINT, or try later.",
                )
            builder.download_and_prepare()
        except (OSError, ValueError) as error:
            # datasets' and huggingface_hub's own errors are all of these two kinds.
            raise self._failure(error) from None
        return builder

    def _failure(self, error: OSError | ValueError) -> UserError:
        """One line for what ``datasets`` raises; it drops the Hub's own answer as cause, so its words have to do."""
        data = self.data
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        if "gated dataset" in line:
            what = "the data set is gated and this token has no access"
            fix = f"Ask for access on https://huggingface.co/datasets/{data.dataset}, then run: hf auth login."
        elif line.startswith("Revision "):
            what, fix = "the data set has no such revision", "Correct data.revision."
        elif "doesn't exist on the Hub" in line:
            what = "the Hub has no such data set, or this token may not see it"
            fix = "Correct data.dataset; for a private one run: hf auth login."
        elif isinstance(error, ValueError):
            # An unknown configuration or split: the line lists those that there are.
            what, fix = line, "Correct data.config or the file's split."
        else:
            what, fix = f"the Hub cannot be read ({line})", "Check the network and HF_ENDPOINT, or try later."
        return UserError(what, where=f"{data.dataset} at {(data.revision or 'main')[:8]}", fix=fix)
