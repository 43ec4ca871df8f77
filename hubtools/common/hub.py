"""The one place that talks about the Hugging Face Hub: the client, and its errors in one line each."""

from __future__ import annotations

import contextlib
import glob
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubtools.common.bounds import LARGEST_JSON, LARGEST_SPEC
from hubtools.common.errors import Unreachable, UserError
from hubtools.common.inside import inside, why_not_inside
from hubtools.common.secrets import scrub
from hubtools.common.version import __version__

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

_QUERY = re.compile(r"(https?://[^\s'\"?]+)\?[^\s'\"]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")
# Any download brings the list of files.
_OF_EVERY_REPOSITORY = {".gitattributes"}
# By how the name ends, in bytes: what readers refuse is not downloaded.
_LARGEST = {".json": LARGEST_JSON, ".yaml": LARGEST_SPEC}
_LOG_IN = "Log in with a token that may do this: hf auth login, or set HF_TOKEN."
_FREE_STORAGE = "Remove what is not needed, publish publicly, or get more storage; then run the same command again."
_LATER = "Run the same command again later."


class HubUnavailable(Unreachable):
    """The Hub did not answer, or asked to come back later: nothing is known about what was asked for."""


def hub_api() -> HfApi:
    """The client, whose log entries hold no secret. The endpoint is read now (``HF_ENDPOINT``), the token by huggingface_hub at each request."""
    from huggingface_hub import HfApi

    _keep_secrets_out_of_logs()
    return HfApi(
        endpoint=os.environ.get("HF_ENDPOINT") or None, library_name="plm-hubtools", library_version=__version__
    )


class _SecretsFilter(logging.Filter):
    """Takes tokens, and the queries of addresses, out of what a library logs."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every entry, but not its secrets."""
        # What follows the path of an address: a signed one for an upload lets whoever reads it write that file.
        text = _QUERY.sub(r"\1?[…]", record.getMessage())
        # Not scrub(): asking huggingface_hub for its token may log in turn.
        record.msg, record.args = scrub(text, ask_hub=False), None
        return True


def _keep_secrets_out_of_logs() -> None:
    """Whatever level of detail a user asks for: HF_DEBUG, logging. Entries of child loggers pass only the handlers."""
    for handler in [*logging.getLogger("huggingface_hub").handlers, *logging.getLogger().handlers]:
        if not any(isinstance(one, _SecretsFilter) for one in handler.filters):
            handler.addFilter(_SecretsFilter())


@contextlib.contextmanager
def hub_errors(subject: str) -> Iterator[None]:
    """Turn what huggingface_hub raises into one line for people.

    Args:
        subject: what was being worked on, for example ``checkpoint facebook/esm2_t6_8M_UR50D``.

    Raises:
        UserError: what failed, why, and what to do; never with a token in it.
        HubUnavailable: where it is worth trying again later.
    """
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HfHubHTTPError,
        HFValidationError,
        LocalTokenNotFoundError,
        OIDCError,
        RevisionResolutionError,
    )

    # The HTTP library changed between versions of huggingface_hub (httpx, httpx2): its base error is taken from there.
    transport_error: type[BaseException] = HfHubHTTPError.__bases__[0]
    known: tuple[type[BaseException], ...] = (
        HfHubHTTPError,
        EntryNotFoundError,
        HFValidationError,
        LocalTokenNotFoundError,
        OIDCError,
        RevisionResolutionError,
        transport_error,
        ConnectionError,
        TimeoutError,
    )
    try:
        yield
    except known as error:
        explained = _explain(error)
    except RuntimeError as error:
        # The transfer of a file runs in a thread, and what stopped it comes wrapped.
        if type(error) is not RuntimeError:
            raise
        cause = error.__cause__
        explained = _explain(cause if cause is not None and isinstance(cause, known) else error)
    else:
        return
    kind, what, fix = explained
    # Without the cause: a request's headers and addresses are not for logs. UserError takes secrets out.
    raise kind(what, where=subject, fix=fix) from None


def closed_to_strangers(repo: str, kind: str) -> str | None:
    """Why somebody without a token cannot read a repository, ``private`` or ``gated``; None where they can, or it is not known.

    The Hub is asked only where there is a token: what was read without one is open to all.

    Args:
        repo: its id.
        kind: model or dataset.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import DisabledRepoError, GatedRepoError, RepositoryNotFoundError

    if get_token() is None:
        return None
    try:
        api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, token=False)
        info = api.repo_info(repo, repo_type=kind, timeout=10)
    except GatedRepoError:
        return "gated"
    except DisabledRepoError:
        return None
    except RepositoryNotFoundError:
        return "private"
    except Exception:  # A fact beside the run, which must not end it.
        return None
    return "gated" if getattr(info, "gated", False) else None


Explanation = tuple[type[UserError], str, str]


def download_files(repo: str, kind: str, commit: str, files: list[str], shown: str) -> Path:
    """These files of a commit, where the repository has them; the folder of the snapshot in huggingface_hub's cache.

    Args:
        repo: its id.
        kind: model or dataset.
        commit: of the repository.
        files: paths in it.
        shown: what messages call it.

    Raises:
        UserError: the Hub does not give them, or a name leads out of the repository.
    """
    commit = full_commit(commit, shown)
    for file in files:
        if file not in _OF_EVERY_REPOSITORY:
            inside(Path(), file, where=shown)
    with hub_errors(shown):
        api = hub_api()
        if (tree := _cached_tree(repo, kind, commit)) is None:
            api.snapshot_download(repo, repo_type=kind, revision=commit, allow_patterns=sorted(_OF_EVERY_REPOSITORY))
            tree = _cached_tree(repo, kind, commit)
        _refuse_large(tree or [], files, shown)
        patterns = [glob.escape(file) for file in files]
        return Path(api.snapshot_download(repo, repo_type=kind, revision=commit, allow_patterns=patterns))


def _refuse_large(tree: list[Any], files: list[str], shown: str) -> None:
    """Refuse records and task files that no reader would take, before they are downloaded."""
    from huggingface_hub import RepoFile

    for file in tree:
        most = _LARGEST.get(Path(file.path).suffix)
        if file.path in files and most is not None and isinstance(file, RepoFile) and file.size > most:
            raise UserError(
                f"it is too large ({file.size:,} bytes; at most {most:,} are read)",
                where=f"{shown}, {file.path}",
                fix="Nothing was downloaded. Ask its owner.",
            )


def full_commit(answered: object, shown: str) -> str:
    """The commit that a Hub answered with: it becomes the name of a folder.

    Args:
        answered: the answer.
        shown: what messages call what was asked for.

    Raises:
        UserError: it is none.
    """
    if not isinstance(answered, str) or _COMMIT.fullmatch(answered) is None:
        raise UserError(
            f"the Hub names a commit that is none ({str(answered)[:60]!r})", where=shown, fix="Check HF_ENDPOINT."
        )
    return answered


def cached_listing(repo: str, kind: str, commit: str) -> set[str] | None:
    """The files of a commit, as an earlier download listed them; None where there was none.

    What has a name that would lead out of the repository's folder is not there.
    """
    listed = _cached_tree(repo, kind, commit)
    return None if listed is None else {file.path for file in listed if why_not_inside(file.path) is None}


def _cached_tree(repo: str, kind: str, commit: str) -> list[Any] | None:
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    try:
        return list(get_cached_repo_tree(repo, repo_type=kind, revision=commit))
    except CachedRepoTreeNotFoundError:
        return None


def _explain(error: BaseException) -> Explanation:
    """What happened and what to do, most specific class first (a gated repository *is a* repository not found)."""
    from huggingface_hub import errors

    if isinstance(error, (errors.LocalEntryNotFoundError, errors.RevisionResolutionError)) and error.__cause__:
        # huggingface_hub looked into its cache because the Hub did not answer: that is what is worth telling.
        return _explain(error.__cause__)
    if isinstance(error, errors.HfHubHTTPError) and type(error) is errors.HfHubHTTPError:
        return _explain_status(error)
    for kind, what, fix in (
        (errors.LocalTokenNotFoundError, "this needs a token and there is none", _LOG_IN),
        (
            errors.OIDCError,
            f"no token from this job's identity ({_first_line(error)})",
            "Give the job permissions: id-token: write, or unset HF_OIDC_RESOURCE.",
        ),
        (errors.HFValidationError, f"not a Hub id ({_first_line(error)})", "Write it as owner/name."),
        (
            errors.GatedRepoError,
            "it is gated, and your account has no access",
            "Accept its conditions on its page of the Hub, then log in: hf auth login.",
        ),
        (errors.DisabledRepoError, "its owner or the Hub has disabled it", "Choose another."),
        (
            errors.RepositoryNotFoundError,
            "there is no such repository on the Hub, or it is private and you are not logged in",
            "Check the name; for a private one log in: hf auth login.",
        ),
        (errors.RevisionNotFoundError, "no such revision", "Give a branch, tag or commit that its page lists."),
        (errors.RemoteEntryNotFoundError, "the repository lacks a file that is needed", "Check the revision."),
    ):
        if isinstance(error, kind):
            return UserError, what, fix
    if isinstance(error, errors.HfHubHTTPError):
        return _explain_status(error)
    if isinstance(error, errors.OfflineModeIsEnabled):
        return (
            HubUnavailable,
            "HF_HUB_OFFLINE is set, and it is not in the cache",
            "Unset HF_HUB_OFFLINE, or download it beforehand.",
        )
    return (
        HubUnavailable,
        f"the Hub could not be reached ({type(error).__name__}: {_first_line(error)})",
        "Check the network, HF_ENDPOINT and proxies, then run the same command again.",
    )


def _explain_status(error: HfHubHTTPError) -> Explanation:
    response = error.response
    status = response.status_code
    reason = f": {_first_line(error.server_message)}" if error.server_message else ""
    if status == 429:
        wait = response.headers.get("Retry-After")
        when = f"Run it again in {wait} seconds." if wait else _LATER
        return HubUnavailable, "the Hub asks you to slow down (429, too many requests)", when
    if status >= 500:
        return HubUnavailable, f"the Hub has a problem of its own ({status})", _LATER
    if status in {402, 403, 413, 507} and "storage" in reason.lower():
        return UserError, f"its owner's storage on the Hub is full ({status}){reason}", _FREE_STORAGE
    what, fix = {
        400: (f"the Hub refused the request (400){reason}", "Correct what it names."),
        401: ("the Hub does not accept your token (401)", _LOG_IN),
        403: (f"your token may not do this (403){reason}", _LOG_IN),
        404: ("the Hub does not know it (404)", "Check the name and the revision."),
        409: (f"it conflicts with what is there (409){reason}", "Look at the repository, then run it again."),
        412: ("the branch moved since it was looked at (412), so nothing was written", "Run the same command again."),
    }.get(status, (f"the Hub answered {status}{reason}", _LATER))
    return UserError, what, fix


def _first_line(value: object) -> str:
    line = next((line.strip() for line in str(value).splitlines() if line.strip()), "no details")
    return line.rstrip(".:")[:200]
