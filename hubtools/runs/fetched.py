"""Runs from the Hub, ``hub://user/repo[@revision][/folder]``: a model that bench published, or a frozen baseline.

Records and predictions are downloaded at one commit, and nothing else: no weights, no code. A commit that is in
huggingface_hub's cache needs no network.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from hubtools.data.hub import download_files, hub_api, hub_errors
from hubtools.runs.frozen import is_baseline, open_baseline
from hubtools.runs.public import HUB
from hubtools.runs.store import PREDICTIONS, RECORD
from hubtools.specs.baseline import BASELINE_FILE, read_baseline_file
from hubtools.specs.errors import UserError

_REFERENCE = re.compile(
    r"hub://(?P<repo>[^/@\s]+/[^/@\s]+)(?:@(?P<revision>refs/(?:pr|convert)/[^/\s]+|[^/\s]+))?"
    r"(?:/(?P<folder>[A-Za-z0-9_-][\w.-]*(?:/[A-Za-z0-9_-][\w.-]*)*)/?)?"
)


@dataclass(frozen=True)
class Fetched:
    """Runs that came from a repository.

    Attributes:
        folder: in huggingface_hub's cache: a run's folder, or a baseline's.
        reference: what names exactly these runs again, the commit written out.
    """

    folder: Path
    reference: str


def runs_folder(where: str) -> tuple[Path, list[str]]:
    """The folder of the runs that a user names, and what there is to say about it.

    Args:
        where: a folder of runs, a run's folder or its ``run.json``, a baseline's folder, or an address on the Hub.

    Raises:
        UserError: a baseline was altered, or the Hub does not give it.
    """
    notes = []
    if where.startswith(HUB):
        fetched = fetch_runs(where)
        folder = fetched.folder
        if where != fetched.reference:
            notes.append(f"{where} is {fetched.reference}")
    else:
        path = Path(where)
        folder = path.parent if path.name in {RECORD, BASELINE_FILE} else path
    if is_baseline(folder):
        open_baseline(folder).verify()
    return folder, notes


def fetch_runs(reference: str) -> Fetched:
    """Bring runs into huggingface_hub's cache, or find them there.

    Raises:
        UserError: no such repository, revision or folder; it is gated; the Hub is not reached; no runs are in it.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise UserError(
            "not the address of runs on the Hub", where=reference, fix="Write hub://user/repository@revision/folder."
        )
    repo, inside = match["repo"], match["folder"]
    shown = f"{HUB}{repo}{'@' + match['revision'] if match['revision'] else ''}"
    kind, commit = _resolve(repo, match["revision"], shown)
    pinned = f"{HUB}{repo}@{commit}"
    # Any download brings the list of files; .gitattributes is in every repository.
    root = download_files(repo, kind, commit, [RECORD, BASELINE_FILE, ".gitattributes"], shown)
    listed = _files(repo, kind, commit) or set()
    if inside is None and BASELINE_FILE not in listed and RECORD in listed:
        if PREDICTIONS not in listed:
            raise UserError(f"it has a {RECORD} but no {PREDICTIONS}", where=shown, fix="Ask its owner to add it.")
        return Fetched(download_files(repo, kind, commit, [RECORD, PREDICTIONS], shown), pinned)
    prefix = f"{inside}/" if inside else ""
    if f"{prefix}{BASELINE_FILE}" not in listed:
        raise _nothing_there(listed, inside, shown)
    folder = download_files(repo, kind, commit, [f"{prefix}{BASELINE_FILE}"], shown) / (inside or "")
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
    return Fetched(root / (inside or ""), f"{pinned}/{inside}" if inside else pinned)


def _resolve(repo: str, revision: str | None, shown: str) -> tuple[str, str]:
    """Kind of the repository and commit: a model, else a data set of that name."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionResolutionError

    kinds = ("model", "dataset")
    if revision is not None and re.fullmatch("[0-9a-f]{40}", revision):
        for kind in kinds:
            if _files(repo, kind, revision) is not None:
                return kind, revision
    unknown: Exception | None = None
    with hub_errors(shown):
        for kind in kinds:
            try:
                commit = hub_api().resolve_revision(repo, repo_type=kind, revision=revision).resolved
                if commit == revision:
                    # The Hub was not asked.
                    hub_api().repo_info(repo, repo_type=kind, revision=revision)
                return kind, commit
            except GatedRepoError:
                raise
            except (RepositoryNotFoundError, RevisionResolutionError) as error:
                # The Hub does not know it, or is not reached and it is not in the cache: as the one, perhaps as the other.
                unknown = unknown or error
        assert unknown is not None
        raise unknown


def _files(repo: str, kind: str, commit: str) -> set[str] | None:
    """The files of a commit, as an earlier download listed them; None where there was none."""
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    try:
        return {file.path for file in get_cached_repo_tree(repo, repo_type=kind, revision=commit)}
    except CachedRepoTreeNotFoundError:
        return None


def _nothing_there(listed: set[str], inside: str | None, shown: str) -> UserError:
    known = sorted(file.rpartition("/")[0] for file in listed if file.endswith(f"/{BASELINE_FILE}"))
    fix = (
        f"There are: {', '.join(f'{shown}/{folder}' for folder in known[:20])}."
        if known
        else f"A model that bench published has {RECORD}; a frozen baseline has {BASELINE_FILE}."
    )
    return UserError(f"there is no baseline {inside}" if inside else "there are no runs", where=shown, fix=fix)
