"""The REST service of UniProt: the whole answer to a query, page by page, or an error that says why not."""

from __future__ import annotations

import http.client
import os
import re
import time
import urllib.error
import urllib.request
import zlib
from dataclasses import dataclass
from email.message import Message
from urllib.parse import urlencode, urljoin, urlsplit

from tqdm import tqdm

from hubtools.common import telling
from hubtools.common.bounds import json_values
from hubtools.common.errors import UserError
from hubtools.common.readers import reads
from hubtools.common.version import __version__

ADDRESS_VARIABLE = "BENCH_UNIPROT"
ADDRESS = "https://rest.uniprot.org"
PAGE = 500  # rows, the most that UniProt gives at once
ATTEMPTS = 5
FIRST_PAUSE = 1.0  # seconds; doubled after each failure
LONGEST_PAUSE = 120.0  # seconds; a longer Retry-After is not waited for
TIMEOUT = 60.0  # seconds without a byte
# Of a page, unpacked. Five hundred entries of titin's length with all their features are some tens of megabytes.
LARGEST_PAGE = 256 << 20  # bytes
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_LATER = "Try again later, or give a --data-mirror that has the frozen answer."
# What UniProt calls its columns in tables; a field that is not listed is not compared.
_TITLES = {
    "accession": "Entry",
    "id": "Entry Name",
    "sequence": "Sequence",
    "length": "Length",
    "reviewed": "Reviewed",
    "organism_id": "Organism (ID)",
    "date_created": "Date of creation",
    "date_sequence_modified": "Date of last sequence modification",
    "cc_subcellular_location": "Subcellular location [CC]",
    "ft_act_site": "Active site",
    "ft_binding": "Binding site",
    "ft_carbohyd": "Glycosylation",
    "ft_coiled": "Coiled coil",
    "ft_crosslnk": "Cross-link",
    "ft_disulfid": "Disulfide bond",
    "ft_helix": "Helix",
    "ft_lipid": "Lipidation",
    "ft_mod_res": "Modified residue",
    "ft_signal": "Signal peptide",
    "ft_strand": "Beta strand",
    "ft_transit": "Transit peptide",
    "ft_transmem": "Transmembrane",
    "ft_turn": "Turn",
}


@dataclass(frozen=True)
class UniProtAnswer:
    """All rows that UniProt has for a query.

    Attributes:
        fields: names of the columns, UniProt's own for its fields.
        rows: one list of cells an entry, in the order of the pages.
        release: such as 2026_01.
        date: of the release, as UniProt writes it.
    """

    fields: list[str]
    rows: list[list[str]]
    release: str
    date: str


@dataclass(frozen=True)
class _Page:
    rows: list[list[str]]
    following: str | None
    total: int
    release: str
    date: str


class _Again(Exception):
    """An answer that may be better when asked for again; ``pause`` where the server says when."""

    def __init__(self, reason: str, pause: float | None = None) -> None:
        self.pause = pause
        super().__init__(reason)


class _NewRelease(Exception):
    """UniProt has gone on to another release, or state, between two pages."""


def address() -> str:
    """Where the service is: ``BENCH_UNIPROT``, or UniProt's own address."""
    return (os.environ.get(ADDRESS_VARIABLE) or ADDRESS).rstrip("/")


def fetch_answer(query: str, fields: list[str]) -> UniProtAnswer:
    """Ask UniProt for all entries of a query.

    Passing failures (too many requests, errors of the server, cut connections and pages) are tried again with growing
    pauses. When the release changes between pages, everything is fetched again: rows of two releases are never mixed.

    Args:
        query: in UniProt's language.
        fields: names of its fields.

    Raises:
        UserError: UniProt refuses the query, has no entry for it, answers something else than the table asked for, or
            does not answer.
    """
    if not address().startswith(("http://", "https://")):
        raise UserError(f"{address()!r} is no address", where=ADDRESS_VARIABLE, fix=f"Write {ADDRESS}, or unset it.")
    for _ in range(3):
        try:
            return _all_pages(query, fields)
        except _NewRelease as error:
            telling.warn(f"UniProt: {error}; starting again")
    raise UserError("the release changed between pages three times", where="UniProt", fix=_LATER)


def _all_pages(query: str, fields: list[str]) -> UniProtAnswer:
    asked = {"query": query, "fields": ",".join(fields), "format": "tsv", "size": PAGE}
    url: str | None = f"{address()}/uniprotkb/search?{urlencode(asked)}"
    rows: list[list[str]] = []
    first: _Page | None = None
    seen: set[str] = set()
    with tqdm(desc="UniProt", unit=" entries", disable=not telling.bars_shown()) as bar:
        while url is not None:
            if url in seen:
                raise UserError("the pages of the answer go round in a circle", where=url, fix=_LATER)
            seen.add(url)
            page = _page(url, fields)
            if first is None:
                first = page
                bar.reset(page.total)
            if page.release != first.release:
                raise _NewRelease(f"release {first.release} became {page.release} between two pages")
            if page.total != first.total:
                raise _NewRelease(f"{first.total:,} entries became {page.total:,} between two pages")
            rows += page.rows
            bar.update(len(page.rows))
            url = page.following
    assert first is not None
    if not rows and not first.total:
        raise UserError(
            f"UniProt has no entry for {query}", where=f"release {first.release}", fix="Correct data.query."
        )
    if len(rows) != first.total:
        raise UserError(
            f"UniProt announced {first.total:,} entries and sent {len(rows):,}: nothing was kept",
            where=query,
            fix=_LATER,
        )
    return UniProtAnswer(fields, rows, first.release, first.date)


def _page(url: str, fields: list[str]) -> _Page:
    """One page, asked for until it comes whole."""
    reason = ""
    pause: float = 0
    for attempt in range(ATTEMPTS):
        if attempt:
            telling.warn(f"UniProt: {reason}; again in {pause:g} s")
            time.sleep(pause)
        try:
            return _asked(url, fields)
        except _Again as error:
            reason, pause = str(error), FIRST_PAUSE * 2**attempt
            if error.pause is not None:
                pause = max(error.pause, 0.0)
                if pause > LONGEST_PAUSE:
                    raise UserError(
                        f"UniProt asks to wait {pause:,.0f} s ({reason})", where=url, fix="Try again then."
                    ) from None
    raise UserError(f"UniProt does not answer ({reason}; {ATTEMPTS} attempts)", where=url, fix=_LATER)


def _asked(url: str, fields: list[str]) -> _Page:
    headers = {"User-Agent": f"plm-hubtools/{__version__}", "Accept-Encoding": "gzip"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT) as response:
            return _read(_sent(response), response.headers, response.geturl(), fields)
    except urllib.error.HTTPError as error:
        with error:
            if error.code in _PASSING:
                wait = (error.headers.get("Retry-After") or "").strip()
                raise _Again(
                    f"HTTP {error.code} {error.reason}", float(wait) if re.fullmatch("[0-9]{1,9}", wait) else None
                ) from None
            said = _own_words(error)
        fix = (
            "Correct data.query or data.fields." if error.code == 400 else f"Check {ADDRESS_VARIABLE} and the network."
        )
        raise UserError(f"UniProt refuses it (HTTP {error.code}): {said}", where=url, fix=fix) from None
    except urllib.error.URLError as error:
        raise _Again(str(error.reason)) from None
    except http.client.IncompleteRead as error:
        raise _Again(f"the connection broke after {len(error.partial):,} bytes") from None
    except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
        raise _Again(str(error) or type(error).__name__) from None
    except ValueError as error:
        raise UserError(f"not an address ({error})", where=url, fix=f"Correct {ADDRESS_VARIABLE}.") from None


@reads("error of UniProt's service", refuses=())
def _own_words(error: urllib.error.HTTPError) -> str:
    """UniProt's own message: JSON with the list ``messages``."""
    try:
        said = json_values(_unpacked(_sent(error), error.headers, error.url))
        return "; ".join(str(message) for message in said["messages"])[:500]
    except (ValueError, KeyError, TypeError, OSError, EOFError, zlib.error, http.client.HTTPException, UserError):
        return str(error.reason)


def _sent(response: http.client.HTTPResponse | urllib.error.HTTPError) -> bytes:
    """The bytes of an answer; no more than a little above what a page can have."""
    length = response.headers.get("Content-Length") or ""
    # Read without a number, an answer that breaks off before its length is noticed.
    if re.fullmatch("[0-9]{1,12}", length) and int(length) <= LARGEST_PAGE:
        return response.read()
    return response.read(LARGEST_PAGE + 1)


def _unpacked(body: bytes, headers: Message, url: str) -> bytes:
    """What was sent, unpacked as far as a page can be large.

    Raises:
        EOFError, zlib.error: it is cut short, or not packed as the header says.
        UserError: it is larger.
    """
    if headers.get("Content-Encoding") == "gzip":
        unpacking = zlib.decompressobj(wbits=31)
        body = unpacking.decompress(body, LARGEST_PAGE + 1)
        if len(body) <= LARGEST_PAGE and not unpacking.eof:
            raise EOFError
    if len(body) > LARGEST_PAGE:
        raise UserError(
            f"one page of the answer has more than {LARGEST_PAGE:,} bytes",
            where=url,
            fix=f"This is not UniProt's service. Check {ADDRESS_VARIABLE}.",
        )
    return body


@reads("page of UniProt's service", refuses=("UserError", "_Again"))
def _read(body: bytes, headers: http.client.HTTPMessage, url: str, fields: list[str]) -> _Page:
    try:
        text = _unpacked(body, headers, url).decode("utf-8")
    except (EOFError, OSError, zlib.error, UnicodeDecodeError):
        raise _Again("the page came incomplete") from None
    kind = headers.get("Content-Type", "")
    if "html" in kind or text.lstrip()[:1] == "<":
        raise UserError(
            "the answer is a web page and not a table",
            where=url,
            fix=f"A proxy or login page answers in UniProt's place? Check the network and {ADDRESS_VARIABLE}.",
        )
    total, release = headers.get("X-Total-Results", ""), headers.get("X-UniProt-Release", "")
    if not re.fullmatch("[0-9]{1,12}", total) or not release:
        raise UserError(
            "the answer does not say how many entries there are and of which release",
            where=url,
            fix=f"This is not UniProt's service. Check {ADDRESS_VARIABLE}.",
        )
    if text and not text.endswith("\n"):
        raise _Again("the page came incomplete")
    # Quotes mean nothing in UniProt's tables: cells are full of them.
    table = [line.removesuffix("\r").split("\t") for line in text.split("\n")[:-1]]
    _same_columns(table[0] if table else [], fields, url)
    for number, row in enumerate(table[1:], 2):
        if len(row) != len(fields):
            raise UserError(
                f"line {number} of the answer has {len(row)} cells and not {len(fields)}", where=url, fix=_LATER
            )
    following = re.search(r'<([^<>]+)>\s*;[^,]*\brel="?next"?', headers.get("Link", ""))
    try:
        next_url = urljoin(url, following[1]) if following else None
    except ValueError:
        raise UserError("the answer names a next page that is no address", where=url, fix=_LATER) from None
    if next_url is not None and urlsplit(next_url)[:2] != urlsplit(url)[:2]:
        raise UserError(
            f"the answer names a next page on another server ({next_url[:80]})",
            where=url,
            fix=f"Check the network and {ADDRESS_VARIABLE}.",
        )
    return _Page(
        rows=table[1:],
        following=next_url,
        total=int(total),
        release=release,
        date=headers.get("X-UniProt-Release-Date", ""),
    )


def _same_columns(header: list[str], fields: list[str], url: str) -> None:
    def plain(title: str) -> str:
        return re.sub(r"\s", "", title).lower()

    fits = len(header) == len(fields) and all(
        name not in _TITLES or plain(_TITLES[name]) == plain(title) for name, title in zip(fields, header, strict=True)
    )
    if not fits:
        raise UserError(
            f"asked for {', '.join(fields)}, and the answer has the columns {', '.join(header) or 'none'}",
            where=url,
            fix="Correct data.fields, or UniProt has renamed its columns.",
        )
