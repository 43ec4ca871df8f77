"""Runs from the Hub, ``hub://user/repo[@revision][/folder]``: a model that bench published, a frozen baseline, or results.

Records and predictions are downloaded at one commit, and nothing else: no weights, no code. A commit that is in
huggingface_hub's cache needs no network.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hubtools.common.errors import UserError
from hubtools.common.hub import cached_listing, download_files, full_commit, hub_api, hub_errors
from hubtools.common.inside import inside as file_in
from hubtools.common.readers import reads
from hubtools.runs.store import PREDICTIONS, RECORD, OpenRun, parse_record
from hubtools.specs.baseline_file import BASELINE_FILE, read_baseline_file
from hubtools.specs.references import RESULT_RECORDS, Reference, read_address


@dataclass(frozen=True)
class FetchedRuns:
    """Runs that came from a repository.

    Attributes:
        folder: in huggingface_hub's cache: a run's folder, a baseline's, or that of the whole repository of results.
        reference: what names exactly these runs again, the commit written out.
        holds: which of the three it is.
    """

    folder: Path
    reference: str
    holds: Literal["run", "baseline", "results"]


def fetch_runs(address: str) -> FetchedRuns:
    """Bring runs into huggingface_hub's cache, or find them there.

    Raises:
        UserError: no such repository, revision or folder; it is gated; the Hub is not reached; no runs are in it.
    """
    asked = read_address(address, "runs", "folder")
    repo, inside, shown = asked.repo, asked.inside, asked.repository
    kind, commit, listed = _looked_at(asked, ("model", "dataset"))
    if kind == "model" and _holds(listed, inside) is None:
        # A data set may have the name of a model.
        with contextlib.suppress(UserError):
            kind, commit, listed = _looked_at(asked, ("dataset",))
    holds, pinned = _holds(listed, inside), str(asked.at(commit))
    if holds is None:
        raise _nothing_there(listed, inside, shown)
    if holds == "results":
        return FetchedRuns(download_files(repo, kind, commit, [RESULT_RECORDS], shown), pinned, holds)
    if holds == "run":
        if PREDICTIONS not in listed:
            raise UserError(f"it has a {RECORD} but no {PREDICTIONS}", where=shown, fix="Ask its owner to add it.")
        return FetchedRuns(download_files(repo, kind, commit, [RECORD, PREDICTIONS], shown), pinned, holds)
    prefix = f"{inside}/" if inside else ""
    folder = download_files(repo, kind, commit, [f"{prefix}{BASELINE_FILE}"], shown)
    folder = file_in(folder, inside, where=shown) if inside else folder
    files = [
        f"{prefix}{run.folder}/{name}"
        for arm in read_baseline_file(folder, f"{shown}, {prefix}{BASELINE_FILE}").arms
        for run in arm.runs
        for name in (RECORD, PREDICTIONS)
    ]
    if missing := [file for file in files if file not in listed]:
        raise UserError(
            f"{prefix}{BASELINE_FILE} names {missing[0]}, which the repository lacks",
            where=shown,
            fix="Ask its owner to add it.",
        )
    download_files(repo, kind, commit, files, shown)
    return FetchedRuns(folder, pinned, holds)


@reads("records of a results repository")
def read_results(folder: Path, address: str) -> tuple[list[OpenRun], list[str]]:
    """The records of a results repository, as :func:`hubtools.runs.store.find_records` gives those of a folder.

    Args:
        folder: that was downloaded.
        address: what it is called; no folder of that name is there.

    Raises:
        UserError: the file is not one that bench wrote.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        texts = pq.read_table(folder / RESULT_RECORDS, columns=["record"])["record"].to_pylist()
    # Damaged pages are an OSError, bytes that are no text a ValueError.
    except (pa.ArrowException, KeyError, OSError, ValueError) as error:
        why = str(error).partition("\n")[0][:100]
        raise UserError(f"its {RESULT_RECORDS} cannot be read ({why})", where=address) from None
    found, problems = [], []
    for number, text in enumerate(texts, 1):
        try:
            record = parse_record(str(text), f"{address}, row {number:,} of {RESULT_RECORDS}")
        except UserError as error:
            problems.append(str(error))
            continue
        found.append(OpenRun(file_in(Path(address), record.run_id), record))
    return found, problems


def _looked_at(asked: Reference, kinds: Sequence[str]) -> tuple[str, str, set[str]]:
    """Kind, commit and files of a repository."""
    kind, commit = _resolve(asked, kinds)
    # Any download brings the list of files; .gitattributes is in every repository.
    download_files(asked.repo, kind, commit, [RECORD, BASELINE_FILE, ".gitattributes"], asked.repository)
    return kind, commit, cached_listing(asked.repo, kind, commit) or set()


def _holds(listed: set[str], inside: str | None) -> Literal["run", "baseline", "results"] | None:
    """What is in a repository, or in a folder of it, with these files."""
    if (f"{inside}/" if inside else "") + BASELINE_FILE in listed:
        return "baseline"
    if inside is None and RECORD in listed:
        return "run"
    return "results" if inside is None and RESULT_RECORDS in listed else None


def _resolve(asked: Reference, kinds: Sequence[str]) -> tuple[str, str]:
    """Kind of the repository and commit: the first kind that has one of that name."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionResolutionError

    repo, revision = asked.repo, asked.revision
    if revision is not None and re.fullmatch("[0-9a-f]{40}", revision):
        for kind in kinds:
            if cached_listing(repo, kind, revision) is not None:
                return kind, revision
    unknown: Exception | None = None
    with hub_errors(asked.repository):
        for kind in kinds:
            try:
                commit = hub_api().resolve_revision(repo, repo_type=kind, revision=revision).resolved
                if commit == revision:
                    # The Hub was not asked.
                    hub_api().repo_info(repo, repo_type=kind, revision=revision)
                return kind, full_commit(commit, asked.repository)
            except GatedRepoError:
                raise
            except (RepositoryNotFoundError, RevisionResolutionError) as error:
                # The Hub does not know it, or is not reached and it is not in the cache: as the one, perhaps as the other.
                unknown = unknown or error
        assert unknown is not None
        raise unknown


def _nothing_there(listed: set[str], inside: str | None, shown: str) -> UserError:
    known = sorted(file.rpartition("/")[0] for file in listed if file.endswith(f"/{BASELINE_FILE}"))
    fix = (
        f"There are: {', '.join(f'{shown}/{folder}' for folder in known[:20])}."
        if known
        else f"A model that bench published has {RECORD}; a frozen baseline has {BASELINE_FILE}; results have {RESULT_RECORDS}."
    )
    return UserError(f"there is no baseline {inside}" if inside else "there are no runs", where=shown, fix=fix)
