"""The cache: the right content from wherever it is, never a wrong or half a file."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from hubtools.common.errors import UserError
from hubtools.data import DataCache
from hubtools.data.sources import download as download_module
from hubtools.data.sources.kinds.local_source import LocalSource
from hubtools.data.sources.kinds.package_source import PackageSource
from hubtools.specs.data_sources import LocalData, LocalFile, PackageData, PackageFile, UrlFile

CONTENT = b"sequence,label\n" + b"MKT,a\n" * 200_000
SHA = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """Serves CONTENT; ``script`` holds what the next requests get: a status, 'cut' (half, then gone) or 'ok'."""

    def __init__(self) -> None:
        self.script: list[int | str] = []
        self.ranges: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = self.headers.get("Range")
                outer.ranges.append(asked)
                step = outer.script.pop(0) if outer.script else "ok"
                if isinstance(step, int):
                    self.send_error(step)
                    return
                start = int(re.findall(r"\d+", asked)[0]) if asked else 0
                if start >= len(CONTENT):
                    self.send_error(416)
                    return
                body = CONTENT[start:]
                self.send_response(206 if asked else 200)
                if asked:
                    self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if step == "cut" else body)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/data.csv"

    def __enter__(self) -> Server:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download_module, "FIRST_PAUSE", 0.001)
    with Server() as running:
        yield running


def everything_in(root: Path) -> list[str]:
    """Files with content, without locks."""
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file() and p.stat().st_size)


def test_a_download_is_kept_under_its_sha256_and_not_repeated(tmp_path: Path, server: Server) -> None:
    file = UrlFile(url=server.url, sha256=SHA)
    path = DataCache(tmp_path).fetch(file)
    assert path.read_bytes() == CONTENT
    assert DataCache(tmp_path).fetch(file) == path
    assert len(server.ranges) == 1
    assert everything_in(tmp_path) == [f"files/{SHA}"]


def test_a_mirror_is_used_in_place_without_network(tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / SHA).write_bytes(CONTENT)
    file = UrlFile(url="http://127.0.0.1:9/never-asked", sha256=SHA, format="csv")
    assert DataCache(tmp_path / "cache", [mirror]).fetch(file) == mirror / SHA
    assert not (tmp_path / "cache").exists()


def test_a_damaged_mirror_is_refused(tmp_path: Path) -> None:
    (tmp_path / SHA).write_bytes(CONTENT[:-1])
    with pytest.raises(UserError, match=f"wrong checksum: expected sha256 {SHA}, got [0-9a-f]{{64}}.*mirror"):
        DataCache(tmp_path / "cache", [tmp_path]).fetch(UrlFile(url="http://127.0.0.1:9/x.csv", sha256=SHA))


def test_mirrors_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("BENCH_DATA_MIRROR", f"{tmp_path / 'one'}:{tmp_path / 'two'}")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    cache = DataCache.default([tmp_path / "three"])
    assert [mirror.name for mirror in cache.mirrors] == ["three", "one", "two"]
    assert cache.root == tmp_path / "cache"
    with pytest.raises(UserError, match="there is no data mirror"):
        DataCache.default([tmp_path / "absent"])


def test_a_broken_connection_is_resumed_where_it_stopped(tmp_path: Path, server: Server) -> None:
    server.script = ["cut", 503, "cut"]
    assert DataCache(tmp_path).fetch(UrlFile(url=server.url, sha256=SHA)).read_bytes() == CONTENT
    starts = [int(asked[6:-1]) if asked else 0 for asked in server.ranges]
    assert starts[0] == 0 and starts[1] == starts[2] > 0 and starts[3] > starts[2]


def test_what_an_earlier_process_left_is_resumed_and_checked(tmp_path: Path, server: Server) -> None:
    (tmp_path / "partial").mkdir()
    (tmp_path / "partial" / SHA).write_bytes(b"of another file" * 10)
    assert DataCache(tmp_path).fetch(UrlFile(url=server.url, sha256=SHA)).read_bytes() == CONTENT
    assert server.ranges == ["bytes=150-", None]


def test_a_part_longer_than_the_file_is_begun_again(tmp_path: Path, server: Server) -> None:
    (tmp_path / "partial").mkdir()
    (tmp_path / "partial" / SHA).write_bytes(CONTENT + b"more")
    assert DataCache(tmp_path).fetch(UrlFile(url=server.url, sha256=SHA)).read_bytes() == CONTENT


def test_a_wrong_checksum_is_refused_and_nothing_is_left(tmp_path: Path, server: Server) -> None:
    wrong = "0" * 64
    with pytest.raises(UserError) as error:
        DataCache(tmp_path).fetch(UrlFile(url=server.url, sha256=wrong))
    assert str(error.value).startswith(f"{server.url}: wrong checksum: expected sha256 {wrong}, got {SHA}.")
    assert everything_in(tmp_path) == []


def test_a_damaged_cache_is_fetched_again(tmp_path: Path, server: Server) -> None:
    file = UrlFile(url=server.url, sha256=SHA)
    DataCache(tmp_path).fetch(file).write_bytes(b"damaged")
    assert DataCache(tmp_path).fetch(file).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("script", "message", "asked"),
    [
        ([404], "the server answers HTTP 404 Not Found", 1),
        ([500] * 9, "HTTP 500 .*5 attempts", 5),
        (["cut"] * 2 + [503] * 3, "HTTP 503 .*5 attempts", 5),
    ],
)
def test_failures_are_one_line_with_a_remedy(
    tmp_path: Path, server: Server, script: list[int | str], message: str, asked: int
) -> None:
    server.script = script
    with pytest.raises(UserError, match=f"{server.url}: .*{message}.*--data-mirror") as error:
        DataCache(tmp_path).fetch(UrlFile(url=server.url, sha256=SHA))
    assert "\n" not in str(error.value)
    assert len(server.ranges) == asked
    assert not list((tmp_path / "files").iterdir())


def test_no_server_at_all(tmp_path: Path, server: Server) -> None:
    with pytest.raises(UserError, match=r"cannot download it .*5 attempts"):
        DataCache(tmp_path).fetch(UrlFile(url="http://127.0.0.1:9/x.csv", sha256=SHA))


def test_two_processes_at_once_download_once(tmp_path: Path, server: Server) -> None:
    code = (
        "import sys; from pathlib import Path; from hubtools.data import DataCache; "
        "from hubtools.specs.data_sources import UrlFile; "
        "print(DataCache(Path(sys.argv[1])).fetch(UrlFile(url=sys.argv[2], sha256=sys.argv[3])))"
    )
    command = [sys.executable, "-c", code, str(tmp_path), server.url, SHA]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert {process.communicate()[0].strip() for process in processes} == {str(tmp_path / "files" / SHA)}
    assert len(server.ranges) == 1


def test_an_unwritable_cache_names_the_variable(tmp_path: Path, server: Server) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(UserError, match=r"cannot write the data cache .*BENCH_CACHE"):
        DataCache(tmp_path / "taken").fetch(UrlFile(url=server.url, sha256=SHA))


def test_local_files_are_used_in_place(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(CONTENT)
    cache = DataCache(tmp_path / "cache")

    def read(path: Path, sha256: str | None = None) -> list[Path]:
        file = LocalFile(path=path, sha256=sha256)
        return LocalSource(LocalData(source="file", files=[file], splits={"train": {}, "test": {}})).fetch(cache)

    assert read(path) == read(path, SHA) == [path]
    with pytest.raises(UserError, match="wrong checksum"):
        read(path, "0" * 64)
    with pytest.raises(UserError, match=r"there is no file .*absent\.csv"):
        read(tmp_path / "absent.csv")


def in_package(package: str, path: str, sha256: str = SHA) -> PackageSource:
    data = PackageData(
        source="package",
        package=package,
        version="4.3.3",
        files=[PackageFile(path=path, sha256=sha256, format="csv")],
        splits={"train": {}, "test": {}},
    )
    return PackageSource(data)


def test_a_file_in_a_package_is_found_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "peptidebox"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "x.csv").write_bytes(CONTENT)
    info = tmp_path / "peptidebox-4.3.4.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: peptidebox\nVersion: 4.3.4\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    cache = DataCache(tmp_path / "cache")
    # Another version with the same content is the same data.
    assert in_package("peptidebox", "x.csv").fetch(cache) == [package / "x.csv"]
    with pytest.raises(UserError, match=r"wrong checksum.*4\.3\.4 is installed: pip install peptidebox==4\.3\.3"):
        in_package("peptidebox", "x.csv", "0" * 64).fetch(cache)
    with pytest.raises(UserError, match=r"has no file y\.csv"):
        in_package("peptidebox", "y.csv").fetch(cache)


def test_a_missing_package_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not installed\. pip install no-such-peptides==4\.3\.3"):
        in_package("no-such-peptides", "x.csv").fetch(DataCache(tmp_path))


def test_an_array_is_computed_once(tmp_path: Path) -> None:
    cache, calls = DataCache(tmp_path), []

    def compute() -> np.ndarray:
        calls.append(1)
        return np.arange(3)

    for _ in range(2):
        assert cache.array("x", compute).tolist() == [0, 1, 2]
    assert len(calls) == 1
    (tmp_path / "arrays" / "x.npy").write_bytes(b"damaged")
    assert cache.array("x", compute).tolist() == [0, 1, 2]
