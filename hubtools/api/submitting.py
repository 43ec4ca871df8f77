"""Results that are handed in for a leaderboard: made, and recomputed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING

from hubtools.api.asked import Names, Say, names_of, silent
from hubtools.api.found_runs import said_of
from hubtools.common.errors import UserError
from hubtools.specs.references import is_address

if TYPE_CHECKING:
    from hubtools.findings.verification import Verification
    from hubtools.publishing.commit import PushedCommit


def hand_in(
    run: str | PathLike[str],
    *,
    to: str | PathLike[str] | None = None,
    repo: str | None = None,
    on_note: Say = silent,
) -> Path | PushedCommit:
    """Copy of a run what a submission holds: the record as others may see it, and the predictions.

    Args:
        run: one run, named as for :func:`hubtools.results`.
        to: folder of submissions; this or ``repo``.
        repo: results repository ``owner/name``, in which a pull request is opened.
        on_note: as for :func:`hubtools.results`.

    Returns:
        The submission's folder, or the pull request.

    Raises:
        UserError: there is no such finished run, or the Hub does not allow it.
    """
    from hubtools.findings.naming.named_runs import Needs, run_named
    from hubtools.findings.verification import add_submission

    if (to is None) == (repo is None):
        raise UserError("where does it go?", fix="Give --to DIR, or --repo OWNER/NAME.")
    source, named = run_named(fspath(run), Needs.PREDICTIONS)
    said_of([named], on_note)
    if to is not None:
        return add_submission(source, Path(to))
    from hubtools.publishing.results_repository import submit

    with tempfile.TemporaryDirectory(prefix="bench-submission-") as scratch:
        return submit(add_submission(source, Path(scratch)), str(repo))


def check_submissions(
    paths: Names, *, project: str | PathLike[str] | None = None, mirrors: Sequence[Path] = ()
) -> Iterator[Verification]:
    """Recompute what is claimed: schema, checksums, rows and labels of the data, and every score from the predictions.

    Args:
        paths: submissions, folders of them, or ``hub://owner/name@refs/pr/N``, a pull request in a results repository.
        project: folder whose tasks, recipes and suites are held to be right beside those of bench; never what is checked.
        mirrors: folders of data.

    Yields:
        What was found of each submission, as it is: ``accepted`` is True, False, or None where something could not be looked at.

    Raises:
        UserError: there is no submission, or ``project`` is in what is checked.
    """
    from hubtools.data import DataCache
    from hubtools.findings.verification import check_submission, submissions_in
    from hubtools.publishing.results_repository import accepted_records, fetch_submissions
    from hubtools.specs.lookup.trusted import TrustedSpecs

    owner = None if project is None else Path(project)
    cache, held = DataCache.default(tuple(mirrors)), TrustedSpecs(owner)
    for path in names_of(paths):
        if owner is not None and owner.resolve().is_relative_to(Path(path).resolve()):
            raise UserError("this is in what is checked", where=f"--project {owner}", fix="Name a folder of your own.")
        known = {}
        folder = Path(path)
        if is_address(path):
            folder, known = fetch_submissions(path), accepted_records(path)
        for submission in submissions_in(folder):
            yield check_submission(submission, cache, held, known)
