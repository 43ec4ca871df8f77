"""UniProt over its REST service: the whole answer or an error, kept under its checksum, and frozen in the task file."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from uniprot_server import UniProt

from hubtools.common.errors import UserError
from hubtools.data import DataCache, load_task_data, source_digest
from hubtools.data.sources import uniprot
from hubtools.data.sources.uniprot import UniProtAnswer, fetch_answer
from hubtools.data.sources.uniprot_answers import kept_answers, rows_sha256
from hubtools.specs.lookup.spec_files import load_task

PLACES = ["Cytoplasm {ECO:0000269}.", "Cell membrane; Multi-pass membrane protein."]
ENTRIES = [
    {
        "accession": f"P{90000 - i}",
        "sequence": "M" + "ACDEFGHIKL"[i] * (i + 2),
        "cc_subcellular_location": f'SUBCELLULAR LOCATION: {PLACES[i % 2]} Note="A quote.' if i < 9 else "",
    }
    for i in range(10)
]
FIELDS = ["accession", "sequence", "cc_subcellular_location"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[UniProt]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(uniprot, "FIRST_PAUSE", 0.001)
    with UniProt(ENTRIES, page=3) as running:
        monkeypatch.setenv("BENCH_UNIPROT", running.address)
        yield running


def fetched() -> UniProtAnswer:
    return fetch_answer("(reviewed:true)", FIELDS)


def task_file(folder: Path, **data: Any) -> Path:
    """A task on the query, with comments in the file and an order of keys of its own."""
    text = """\
# Where proteins are.
name: places
version: 1
title: Places
problem: sequence-classification
summary: s
data:
  source: uniprot  # the REST service
  query: "(reviewed:true)"   # everything
  annotation:
    field: cc_subcellular_location
    comment:
      cytosol: {contains: [Cytoplasm]}
      membrane: {contains: [membrane], without: [Cytoplasm]}
  split: {by: sequences, seed: 0, fractions: {train: 0.6, test: 0.4}}
labels: {cytosol: cytosol, membrane: membrane}
metrics: {primary: accuracy}

# The end.
licence: CC-BY-4.0
citation: none
"""
    path = folder / "places.yaml"
    path.write_text(text)
    return path


def bench(*words: str) -> str:
    from hubtools.cli.main import cli

    done = CliRunner().invoke(cli, ["data", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_all_pages_are_one_answer(server: UniProt) -> None:
    answer = fetched()
    assert answer.rows == [[entry[name] for name in FIELDS] for entry in ENTRIES]
    assert (answer.release, answer.date) == ("2026_01", "28-January-2026")
    assert [asked.get("cursor") for asked in server.log] == [None, "3", "6", "9"]
    assert {"query": "(reviewed:true)", "fields": ",".join(FIELDS), "format": "tsv", "size": "500"} == server.log[0]


def test_compressed_pages_are_the_same(server: UniProt) -> None:
    plain = fetched()
    server.compressed = True
    assert fetched() == plain


@pytest.mark.parametrize("step", [(429, 0), 500, 503, "cut", "half"])
def test_what_passes_is_tried_again(server: UniProt, step: Any) -> None:
    server.script = ["ok", step, step]
    assert len(fetched().rows) == len(ENTRIES)
    assert len(server.log) == 4 + 2


def test_retry_after_is_waited_for(server: UniProt, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("hubtools.data.sources.uniprot.time.sleep", waited.append)
    server.script = [(429, 7)]
    fetched()
    assert waited == [7]


def test_rows_of_two_releases_are_never_mixed(server: UniProt) -> None:
    server.script = ["ok", "next"]
    answer = fetched()
    assert answer.release == "2026_02" and len(answer.rows) == len(ENTRIES)
    assert [asked.get("cursor") for asked in server.log] == [None, "3", None, "3", "6", "9"]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ([400], r"UniProt refuses it \(HTTP 400\): query parameter has an invalid syntax\. Correct data\.query"),
        ([404], r"HTTP 404"),
        (["html"], r"a web page and not a table"),
        (["header"], r"asked for accession, sequence, cc_subcellular_location, and the answer has the columns Entry"),
        (["short"], r"announced 10 entries and sent 9: nothing was kept"),
        ([500] * 5, r"does not answer \(HTTP 500.*; 5 attempts\)"),
        ([(429, 9999)], r"asks to wait 9,999 s"),
        (["elsewhere"], r"a next page on another server \(http://elsewhere\.example/"),
        (["bomb"], r"one page of the answer has more than 1,000 bytes"),
    ],
)
def test_a_failure_is_one_clear_line_and_nothing_is_kept(
    server: UniProt, tmp_path: Path, script: list[Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script = script
    monkeypatch.setattr("hubtools.data.sources.uniprot.LARGEST_PAGE", 1000)
    task = load_task(str(task_file(tmp_path)))
    with pytest.raises(UserError, match=message):
        load_task_data(task, DataCache(tmp_path / "cache"))
    assert not list((tmp_path / "cache").glob("files/*")) and not kept_answers(DataCache(tmp_path / "cache"))


def test_an_empty_answer_is_an_error(server: UniProt) -> None:
    server.entries = []
    with pytest.raises(UserError, match=r"UniProt has no entry for \(reviewed:true\)\. Correct data\.query"):
        fetched()


def test_an_entry_that_comes_twice_is_refused(server: UniProt, tmp_path: Path) -> None:
    server.entries = [*ENTRIES, ENTRIES[0]]
    with pytest.raises(UserError, match="sent the entry P90000 twice"):
        load_task_data(load_task(str(task_file(tmp_path))), DataCache(tmp_path / "cache"))


def test_the_first_fetch_is_kept_used_again_and_on_record(server: UniProt, tmp_path: Path) -> None:
    task = load_task(str(task_file(tmp_path)))
    data = load_task_data(task, DataCache(tmp_path / "cache"))
    asked = len(server.log)
    server.release, server.entries = "2026_02", ENTRIES[:6]
    again = load_task_data(task, DataCache(tmp_path / "cache"))
    assert len(server.log) == asked and again.facts == data.facts
    assert data.facts.release == "2026_01" and data.facts.files[0].sha256
    assert any(line.startswith("not frozen: UniProt release 2026_01, fetched on 20") for line in data.facts.findings)
    # One entry has no comment.
    assert data.facts.removed == {"no cc_subcellular_location": 1}
    labels = {row["id"]: row["label"] for split in data.splits.values() for row in split}
    assert labels == {entry["accession"]: i % 2 for i, entry in enumerate(ENTRIES[:9])}


def test_the_checksum_is_of_the_rows_in_order_of_accession(server: UniProt, tmp_path: Path) -> None:
    task, cache = load_task(str(task_file(tmp_path))), DataCache(tmp_path / "a")
    first = source_digest(task, cache)
    rows = sorted([entry[name] for name in FIELDS] for entry in ENTRIES)
    assert kept_answers(cache)[0].sha256 == rows_sha256(FIELDS, rows)
    server.entries = ENTRIES[::-1]
    assert source_digest(task, DataCache(tmp_path / "b")) == first
    server.entries = [*ENTRIES[1:], {**ENTRIES[0], "sequence": "MW"}]
    assert source_digest(task, DataCache(tmp_path / "c")) != first


def test_freeze_writes_the_pin_and_nothing_else(
    server: UniProt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("BENCH_DATA_MIRROR", raising=False)
    path = task_file(tmp_path)
    before, unfrozen = path.read_text().splitlines(), load_task(str(path))
    data = load_task_data(unfrozen, DataCache(tmp_path / "cache"))
    bench("freeze", str(path), "--copy-to", str(tmp_path / "mirror"))
    after = path.read_text().splitlines()
    added = [line for line in after if line not in before]
    assert [line for line in after if line not in added] == before
    assert [line.split(":")[0] for line in added] == [
        "  frozen", "    release", "    rows", "    sha256", "    file_sha256",
    ]  # fmt: skip
    frozen = load_task(str(path))
    assert frozen.data.frozen.release == "2026_01" and frozen.data.frozen.rows == len(ENTRIES)  # type: ignore[union-attr]
    assert frozen.hash == unfrozen.hash
    assert "everything is pinned already" in bench("freeze", str(path))
    # Elsewhere, without a network: the mirror is enough.
    monkeypatch.setenv("BENCH_UNIPROT", "http://127.0.0.1:9")
    elsewhere = load_task_data(frozen, DataCache(tmp_path / "other", [tmp_path / "mirror"]))
    assert elsewhere.facts.splits == data.facts.splits
    assert not any("not frozen" in line for line in elsewhere.facts.findings)
    assert source_digest(frozen, DataCache(tmp_path / "other")) == source_digest(
        unfrozen, DataCache(tmp_path / "cache")
    )


def test_a_frozen_task_refuses_other_rows(server: UniProt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    path = task_file(tmp_path)
    bench("freeze", str(path))
    # Fetched again where the file is nowhere: the same rows are taken, of whatever release.
    server.release = "2026_02"
    assert load_task_data(load_task(str(path)), DataCache(tmp_path / "other")).facts.release == "2026_01"
    server.entries = ENTRIES[1:]
    with pytest.raises(
        UserError,
        match=r"frozen at UniProt release 2026_01 \(10 entries\).*release 2026_02 \(9 entries\).*--data-mirror",
    ):
        load_task_data(load_task(str(path)), DataCache(tmp_path / "third"))


def test_a_kept_file_that_is_not_what_it_should_be_is_refused(server: UniProt, tmp_path: Path) -> None:
    task, cache = load_task(str(task_file(tmp_path))), DataCache(tmp_path / "cache")
    load_task_data(task, cache)
    kept = kept_answers(cache)[0]
    (cache.root / "files" / kept.file_sha256).write_bytes(b"half")
    asked = len(server.log)
    load_task_data(task, DataCache(tmp_path / "cache"))
    assert len(server.log) > asked, "a damaged file is fetched again"


def test_fetch_fills_a_mirror_and_rm_empties_the_cache(
    server: UniProt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    path = task_file(tmp_path)
    told = bench("fetch", str(path), "--to", str(tmp_path / "mirror"))
    assert "places: 1 file," in told and "bench data freeze places pins it" in told
    name = next(iter((tmp_path / "mirror").iterdir())).name
    assert name[:12] in (listed := bench("ls")) and "UniProt 2026_01, 10 entries: (reviewed:true)" in listed
    assert "removed 1 file," in bench("rm", name[:8])
    assert "0 files" in bench("ls")
    with pytest.raises(UserError, match="the cache has nothing of 'abcdef'"):
        bench("rm", "abcdef")


def test_a_file_that_comes_with_bench_is_not_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"this file comes with bench\. Copy it first"):
        bench("freeze", "secondary-structure")


def test_a_fetch_that_is_stopped_leaves_nothing_and_starts_again(
    server: UniProt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, cache = load_task(str(task_file(tmp_path))), DataCache(tmp_path / "cache")
    whole, pages = uniprot._asked, iter(range(3))

    def stopped(url: str, fields: list[str]) -> Any:
        if next(pages, None) == 2:
            raise KeyboardInterrupt
        return whole(url, fields)

    with monkeypatch.context() as patch:
        patch.setattr(uniprot, "_asked", stopped)
        with pytest.raises(KeyboardInterrupt):
            source_digest(task, cache)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.stat().st_size]
    assert source_digest(task, cache) == source_digest(task, DataCache(tmp_path / "other"))


def test_another_address_is_named_where_it_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_UNIPROT", "rest.uniprot.org")
    with pytest.raises(UserError, match=r"BENCH_UNIPROT: 'rest\.uniprot\.org' is no address"):
        fetched()


@pytest.mark.parametrize("change", ["release", "sha256", "half"])
def test_a_frozen_file_that_is_not_what_the_task_says_is_refused(
    server: UniProt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    path = task_file(tmp_path)
    bench("freeze", str(path), "--copy-to", str(tmp_path / "mirror"))
    kept = next(iter((tmp_path / "mirror").iterdir()))
    monkeypatch.setenv("BENCH_UNIPROT", "http://127.0.0.1:9")
    task, cache = load_task(str(path)), DataCache(tmp_path / "other", [tmp_path / "mirror"])
    if change == "half":
        kept.write_bytes(kept.read_bytes()[:-10])
        with pytest.raises(UserError, match="wrong checksum: expected"):
            load_task_data(task, cache)
    elif change == "sha256":
        path.write_text(path.read_text().replace(task.data.frozen.sha256, "f" * 64))  # type: ignore[union-attr]
        with pytest.raises(UserError, match=f"the rows are not those of the task: expected sha256 {'f' * 64}"):
            load_task_data(load_task(str(path)), cache)
    else:
        # The name of the release is for people; the rows are what counts.
        path.write_text(path.read_text().replace("2026_01", "2025_04"))
        assert load_task_data(load_task(str(path)), cache).facts.release == "2025_04"


@pytest.mark.slow
def test_two_processes_fetch_once(server: UniProt, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom hubtools.data.sources.uniprot_answers import first_answer\n"
        "from hubtools.data.sources.file_cache import DataCache\nfrom hubtools.specs.lookup.spec_files import load_task\n"
        f"print(first_answer(load_task({str(task_file(tmp_path))!r}).data, DataCache(Path({str(tmp_path / 'c')!r}))).sha256)"
    )
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = {process.communicate()[0] for process in both}
    assert len(told) == 1 and len(server.log) == 4, "one answer is four pages"


def test_an_address_without_checksum_is_resolved_once_and_then_pinned(
    server: UniProt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("BENCH_DATA_MIRROR", raising=False)
    server.page = 500
    url = f"{server.address}/rows.tsv?fields=accession,sequence&size=500"
    spec = yaml.safe_load(task_file(tmp_path).read_text())
    spec["data"] = {
        "source": "url",
        "files": [
            {"name": "rows", "url": url, "format": "tsv"},
            {"name": "more", "url": url + "&x=1", "format": "tsv"},
        ],
        "columns": {"sequence": "Sequence", "label": "Entry"},
        "splits": {"train": {"files": ["rows"]}, "test": {"files": ["more"]}},
    }
    spec["labels"] = [entry["accession"] for entry in ENTRIES]
    path = tmp_path / "places.yaml"
    text = yaml.safe_dump(spec, sort_keys=False)
    # One file in flow style, as people write short ones.
    flow = f"{{name: more, url: '{url}&x=1', format: tsv}}"
    text = text.replace(f"  - name: more\n    url: {url}&x=1\n    format: tsv\n", f"  - {flow}\n")
    assert flow in text
    path.write_text(text)
    task = load_task(str(path))
    first = source_digest(task, DataCache(tmp_path / "cache"))
    asked = len(server.log)
    assert source_digest(task, DataCache(tmp_path / "cache")) == first and len(server.log) == asked == 2
    told = bench("freeze", str(path))
    pinned = load_task(str(path))
    assert told.count("sha256") == 2 and all(file.sha256 for file in pinned.data.files)  # type: ignore[union-attr]
    assert source_digest(pinned, DataCache(tmp_path / "cache")) == first


def test_a_recorded_answer_is_read(tmp_path: Path) -> None:
    """Two pages as UniProt sent them in 2023 (release 2022_05)."""
    import re
    from http.client import parse_headers
    from io import BytesIO

    folder = Path(__file__).parents[2].parent / "shared" / "data" / "uniprot_rest_capture"
    if not folder.is_dir():
        pytest.skip("the recorded answers are not here")
    rows, links = [], []
    for name in ("search-a81e72.R", "search-6bf81a.R"):
        text = (folder / name).read_text()
        found = re.findall(
            r'`?([\w-]+)`? = ("(?:[^"\\]|\\.)*")', text[text.index("headers = ") : text.index("body = ")]
        )
        kept = {key: json.loads(value) for key, value in found if key != "Content-Encoding"}
        headers = parse_headers(BytesIO("".join(f"{k}: {v}\r\n" for k, v in kept.items()).encode() + b"\r\n"))
        body = json.loads(re.search(r'charToRaw\(("(?:[^"\\]|\\.)*")\)', text)[1])  # type: ignore[index]
        page = uniprot._read(body.encode(), headers, "https://rest.uniprot.org/x", ["accession", "id", "gene_primary"])
        assert (page.total, page.release, page.date) == (999, "2022_05", "14-December-2022")
        rows += page.rows
        links.append(page.following)
    assert len(rows) == 999 and len({row[0] for row in rows}) == 999
    assert links[0] is not None and "cursor=" in links[0] and links[1] is None
