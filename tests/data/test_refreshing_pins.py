"""``bench data freeze --refresh``: sources are asked again, and what changed is told before a pin is replaced."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner
from uniprot_server import UniProt

import hubtools
from hubtools.cli.main import cli
from hubtools.common.errors import UserError
from hubtools.common.hashing import file_sha256
from hubtools.data.sources import uniprot
from hubtools.specs.lookup.spec_files import load_task

ENTRIES = [
    {"accession": f"P9000{i}", "sequence": "M" + "ACDEFG"[i] * 9, "cc_subcellular_location": f"{place}."}
    for i, place in enumerate(["Cytoplasm", "Nucleus"] * 3)
]
REST = """\
  columns: {sequence: sequence, label: label}
  split: {fractions: {train: 0.6, validation: 0.2, test: 0.2}, seed: 0}
labels: [a, b]
metrics: {primary: mcc}
licence: CC0-1.0
citation: me
"""
HEAD = "name: t\nversion: 1\ntitle: t\nproblem: sequence-classification\nsummary: s\ndata:\n"
ROWS = "sequence,label\n" + "".join(f"M{letter * 6},{'ab'[i % 2]}\n" for i, letter in enumerate("ACDEFG"))


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A folder and the address that it is served at; the cache is of the test's own."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("BENCH_DATA_MIRROR", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def refresh(path: Path) -> list[str]:
    done = CliRunner().invoke(cli, ["data", "freeze", "--refresh", str(path)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


def test_files_at_addresses(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = served
    for name in ("one.csv", "two.csv"):
        (folder / name).write_text(ROWS)
    path = tmp_path / "t.yaml"
    path.write_text(
        f"{HEAD}  source: url\n  files:\n    - url: {address}/one.csv  # the first\n"
        f"    - {{url: '{address}/two.csv', name: two}}\n{REST}"
    )
    hubtools.freeze_data(path)
    pinned, old = path.read_text(), file_sha256(folder / "one.csv")
    assert pinned.count(old) == 2
    assert refresh(path) == ["t: the sources were asked again, and give what is pinned"] and path.read_text() == pinned
    (folder / "two.csv").write_text(ROWS + "MWWWW,a\n")
    new = file_sha256(folder / "two.csv")
    told: list[str] = []
    frozen = hubtools.freeze_data(
        path, refresh=True, on_change=lambda line: told.append(f"{line}; file: {path.read_text() == pinned}")
    )
    # Told while the file still says the old.
    assert told == [f"t: two: sha256 {old} (6 rows); the address gives sha256 {new} (7 rows) now; file: True"]
    assert frozen.lines == (f"sha256: {new}",) and frozen.changed and not frozen.open
    first, second = pinned.rsplit(old, 1)
    assert path.read_text() == f"{first}{new}{second}" and "# the first" in first
    assert [file.sha256 for file in load_task(str(path)).data.files] == [old, new]  # type: ignore[union-attr]
    # The pin of a block, with the file gone that it was of.
    before = path.read_text()
    (folder / "one.csv").write_text(ROWS.replace("a\n", "b\n", 1))
    hubtools.remove_data(old)
    (line, *_) = refresh(path)
    assert f"sha256 {old} (which is not on this machine to count its rows)" in line and "(6 rows) now" in line
    assert path.read_text() == before.replace(old, file_sha256(folder / "one.csv"))
    # What cannot be asked leaves the file as it is.
    (folder / "one.csv").unlink()
    before = path.read_text()
    with pytest.raises(UserError, match=r"one\.csv"):
        hubtools.freeze_data(path, refresh=True)
    assert path.read_text() == before


@pytest.mark.parametrize("form", ["block", "flow"])
def test_an_answer_of_uniprot(
    form: str, served: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uniprot, "FIRST_PAUSE", 0.001)
    path = tmp_path / "t.yaml"
    annotation = (
        "  annotation: {field: cc_subcellular_location, comment: {a: {contains: [Cyto]}, b: {contains: [Nucl]}}}\n"
    )
    rest = REST.replace("  columns: {sequence: sequence, label: label}\n", annotation)
    path.write_text(f'{HEAD}  source: uniprot\n  query: "(reviewed:true)"\n{rest}')
    with UniProt(ENTRIES) as server:
        monkeypatch.setenv("BENCH_UNIPROT", server.address)
        hubtools.freeze_data(path)
        if form == "flow":
            frozen = load_task(str(path)).data.frozen  # type: ignore[union-attr]
            assert frozen is not None
            lines = [line for line in path.read_text().splitlines(True) if not line.startswith("    ")]
            inline = ", ".join(f"{key}: {value!r}" for key, value in frozen.model_dump(exclude_none=True).items())
            path.write_text("".join(lines).replace("  frozen:\n", f"  frozen: {{{inline}}}  # pinned\n"))
        pinned, was = path.read_text(), load_task(str(path)).data.frozen  # type: ignore[union-attr]
        # Another release with the same rows is no change.
        server.release = "2026_02"
        asked = len(server.log)
        assert refresh(path) == ["t: the sources were asked again, and give what is pinned"]
        assert path.read_text() == pinned and len(server.log) > asked
        server.entries = ENTRIES[:5]
        told, *written = refresh(path)
    now = load_task(str(path)).data.frozen  # type: ignore[union-attr]
    assert was is not None and now is not None and (was.rows, now.rows, now.release) == (6, 5, "2026_02")
    assert told == (
        f"t: release 2026_01, 6 entries, sha256 {was.sha256}; UniProt gives release 2026_02, 5 entries, sha256 {now.sha256} now"
    )
    assert written and all(line.startswith(f"{path}: ") for line in written)
    kept = [line for line in pinned.splitlines() if "frozen" not in line and not line.startswith("    ")]
    assert [line for line in path.read_text().splitlines() if line in kept] == kept
    assert ("# pinned" in path.read_text()) == (form == "flow")
