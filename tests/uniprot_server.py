"""UniProt's REST service on loopback, in the form of recorded answers: pages, cursors, headers, and its failures."""

from __future__ import annotations

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

TITLES = {
    "accession": "Entry",
    "sequence": "Sequence",
    "date_created": "Date of creation",
    "date_sequence_modified": "Date of last sequence modification",
    "cc_subcellular_location": "Subcellular location [CC]",
    "ft_helix": "Helix",
    "ft_strand": "Beta strand",
    "ft_turn": "Turn",
    "ft_mod_res": "Modified residue",
}


class UniProt:
    """Serves ``entries`` (dictionaries by field). ``script`` holds what the next requests get instead of a page.

    Steps: a status, (status, Retry-After), 'cut' (half a body, then gone), 'half' (a body that ends within a line),
    'html', 'header' (other columns), 'short' (a page that lacks its last row), 'next' (the release goes on), 'elsewhere' (the next page
    is another server's), 'bomb' (many zeros, packed), 'ok'.
    """

    def __init__(self, entries: list[dict[str, str]], page: int = 2) -> None:
        self.entries, self.page, self.script, self.log = entries, page, list[Any](), list[dict[str, str]]()
        self.release, self.compressed = "2026_01", False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer._answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> UniProt:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(handler.path).query).items()}
        self.log.append(asked)
        step = self.script.pop(0) if self.script else "ok"
        if isinstance(step, tuple):
            self._send(handler, b"slow down", {"Retry-After": str(step[1])}, step[0])
        elif isinstance(step, int):
            words = json.dumps({"url": handler.path, "messages": ["query parameter has an invalid syntax"]})
            self._send(handler, words.encode(), {"Content-Type": "application/json"}, step)
        elif step == "html":
            self._send(handler, b"<!DOCTYPE html><html>log in</html>", {"Content-Type": "text/html"})
        else:
            if step == "next":
                self.release = "2026_02"
            self._page(handler, asked, step)

    def _page(self, handler: BaseHTTPRequestHandler, asked: dict[str, str], step: str) -> None:
        fields, start = asked["fields"].split(","), int(asked.get("cursor", "0"))
        size = min(int(asked["size"]), self.page)
        rows = self.entries[start : start + size]
        titles = ["Entry", "Something else"] if step == "header" else [TITLES[name] for name in fields]
        lines = ["\t".join(titles), *("\t".join(entry.get(name, "") for name in fields) for entry in rows)]
        if step == "short":
            lines.pop()
        body = ("\n".join(lines) + "\n").encode()
        headers = {
            "Content-Type": "text/plain; format=tsv",
            "X-Total-Results": str(len(self.entries)),
            "X-UniProt-Release": self.release,
            "X-UniProt-Release-Date": "28-January-2026",
        }
        if start + size < len(self.entries):
            following = urlencode({**asked, "cursor": str(start + size)})
            server = "http://elsewhere.example" if step == "elsewhere" else self.address
            headers["Link"] = f'<{server}/uniprotkb/search?{following}>; rel="next"'
        if step == "half":
            body = body[:-3]
        if step == "bomb":
            body, headers["Content-Encoding"] = gzip.compress(bytes(100_000)), "gzip"
        elif self.compressed:
            body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
        self._send(handler, body, headers, cut=step == "cut")

    def _send(
        self,
        handler: BaseHTTPRequestHandler,
        body: bytes,
        headers: dict[str, str],
        status: int = 200,
        cut: bool = False,
    ) -> None:
        handler.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body[: len(body) // 2] if cut else body)
