"""A folder served to browsers of this machine: its own files, with the types and headers that the page's program needs."""

from __future__ import annotations

import errno
import functools
import threading
import urllib.parse
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from hubtools.common.errors import UserError

# Without the first two a page gets no threads; a stale file of an earlier page is worse than reading it again.
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
    ".json": "application/json",
    ".onnx": "application/octet-stream",
    ".html": "text/html; charset=utf-8",
    ".css": "text/css",
}


class PageHandler(SimpleHTTPRequestHandler):
    """Files of one folder, silently; no listings."""

    extensions_map = TYPES

    def end_headers(self) -> None:
        """The same headers on every answer."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def list_directory(self, path: object) -> None:
        """Nobody needs one."""
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        """What strangers ask for is nobody's business."""


class PageServer:
    """Serves a folder from threads of this process until it is closed.

    Args:
        folder: of the page.
        host, port: as of ``bench demo``; port 0 takes any that is free.

    Raises:
        UserError: the port is taken, or the host is none of this machine.
    """

    def __init__(self, folder: Path, host: str, port: int) -> None:
        handler = functools.partial(PageHandler, directory=str(folder))
        try:
            self._server = ThreadingHTTPServer((host, port), handler)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise UserError(
                    f"no page can be served there ({error.strerror or error})", where=host, fix="Correct --host."
                ) from None
            raise UserError(f"port {port} is taken", where=host, fix=f"Choose another: --port {port + 1}.") from None
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        """Where a browser finds it."""
        host, port = self._server.server_address[:2]
        return f"http://{urllib.parse.quote(str(host))}:{port}/"

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
