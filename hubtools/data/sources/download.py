"""One file over HTTP: progress, retries with back-off, resumption."""

from __future__ import annotations

import base64
import http.client
import netrc
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from tqdm import tqdm

from hubtools.common import telling
from hubtools.common.errors import Unreachable, UserError, library_words
from hubtools.common.version import __version__

ATTEMPTS = 5
FIRST_PAUSE = 1.0  # seconds; doubled after each failure
TIMEOUT = 30.0  # seconds without a byte
_BLOCK = 1 << 18
# Answers that may differ a moment later.
_PASSING = {408, 425, 429, 500, 502, 503, 504}


class _Interrupted(Exception):
    """A transfer that may succeed when tried again."""


def download(url: str, part: Path) -> None:
    """Bring the whole content of an address into a file, going on where an earlier attempt stopped.

    What has arrived stays in ``part`` when the network fails, so that the next call resumes.

    Raises:
        UserError: the server refuses.
        Unreachable: every attempt failed.
    """
    reason = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            pause = FIRST_PAUSE * 2 ** (attempt - 1)
            telling.warn(f"{url}: {reason}; again in {pause:g} s")
            time.sleep(pause)
        try:
            _transfer(url, part)
            return
        except _Interrupted as error:
            reason = str(error)
    raise Unreachable(
        f"cannot download it ({reason}; {ATTEMPTS} attempts)",
        where=url,
        fix="Check the network, or put the file, named by its sha256, into a folder given as --data-mirror.",
    )


def _transfer(url: str, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": f"plm-hubtools/{__version__}"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(url, headers=headers)
    if (login := _login(url)) is not None:
        # Not where the server sends us on to.
        request.add_unredirected_header("Authorization", login)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            _receive(response, url, part, have)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            # What we have is not the beginning of what the server has.
            part.unlink(missing_ok=True)
            raise _Interrupted("the server has no such range") from None
        if error.code in _PASSING:
            raise _Interrupted(f"HTTP {error.code} {error.reason}") from None
        raise UserError(
            f"the server answers HTTP {error.code} {error.reason}",
            where=url,
            fix="Correct the address in the task file, or put the file, named by its sha256, into a folder given as "
            "--data-mirror.",
        ) from None
    except urllib.error.URLError as error:
        # An error of the system's, or a sentence.
        reason = error.reason
        raise _Interrupted(library_words(reason) if isinstance(reason, BaseException) else str(reason)) from None
    except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
        raise _Interrupted(library_words(error) or "the connection broke") from None


def _login(url: str) -> str | None:
    """Basic authentication by what ``~/.netrc`` (or the file that NETRC names) has of the host; never without encryption.

    An address with a password in it is refused before (``specs/base.py``), since addresses are recorded.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in {"127.0.0.1", "localhost", "::1"}:
        return None
    file = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    try:
        found = netrc.netrc(file).authenticators(parts.hostname or "") if file.is_file() else None
    except (netrc.NetrcParseError, OSError, UnicodeDecodeError) as error:
        line = getattr(error, "lineno", None)
        where = f"{file}:{line}" if line else str(file)
        raise UserError("cannot read it", where=where, fix="Correct it, or remove it.") from None
    if found is None:
        return None
    user, _, password = found
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def _receive(response: http.client.HTTPResponse, url: str, part: Path, have: int) -> None:
    content_range = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    resumed = response.status == 206 and content_range is not None and int(content_range[1]) == have
    if response.status == 206 and not resumed:
        part.unlink(missing_ok=True)
        raise _Interrupted("the server sent another range than asked for")
    start = have if resumed else 0
    length = response.headers.get("Content-Length")
    total = start + int(length) if length else None
    received = start
    with (
        part.open("ab" if resumed else "wb") as stream,
        tqdm(
            total=total,
            initial=start,
            unit="B",
            unit_scale=True,
            desc=url.rsplit("/", 1)[-1],
            disable=not telling.bars_shown(),
        ) as bar,
    ):
        while block := response.read(_BLOCK):
            stream.write(block)
            received += len(block)
            bar.update(len(block))
    if total is not None and received < total:
        raise _Interrupted(f"the connection broke after {received:,} of {total:,} bytes")
