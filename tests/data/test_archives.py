"""Archives of structure files: every file of them once, and none that would be somewhere else."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from hubtools.common.errors import UserError
from hubtools.data import DataCache
from hubtools.data.sources import streams
from hubtools.data.sources.archives import archived_files
from hubtools.data.sources.known_sources import source_of
from hubtools.specs.data_sources import FolderOfStructures, StructuresData


def write(archive: Path, files: dict[str, bytes]) -> Path:
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
            for name, content in files.items():
                zipped.writestr(name, content)
    else:
        with tarfile.open(archive, "w:gz" if archive.suffix == ".gz" else "w") as tarred:
            for name, content in files.items():
                put(tarred, name, content)
    return archive


def put(tarred: tarfile.TarFile, name: str, content: bytes) -> None:
    about = tarfile.TarInfo(name)
    about.size = len(content)
    tarred.addfile(about, io.BytesIO(content))


def of_archive(path: Path, most: int = 1000) -> dict[str, bytes]:
    file = FolderOfStructures(path=path, derives="contacts")
    return dict(archived_files(file, path, lambda inner: ".pdb" in inner.suffixes, most))


@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.gz"])
def test_each_file_that_is_asked_for_unpacked(tmp_path: Path, ending: str) -> None:
    given = {"./b.pdb": b"1", "in/a.pdb.gz": gzip.compress(b"2"), "README": b"3", "in/._a.pdb": b"4"}
    found = of_archive(write(tmp_path / f"a{ending}", given | {"__MACOSX/in/a.pdb": b"5", "long.pdb": b"0" * 2000}))
    assert list(found.items()) == [("b.pdb", b"1"), ("in/a.pdb.gz", b"2"), ("long.pdb", b"0" * 1001)]


@pytest.mark.parametrize("ending", [".zip", ".tar"])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../x.pdb", "it may lead out of its folder"),
        ("/etc/x.pdb", "it may lead out of its folder"),
        ("a/../../x.pdb", "it may lead out of its folder"),
        ("a\\..\\x.pdb", "it holds the character"),
        ("con.pdb", "Windows keeps that name for a device"),
    ],
)
def test_a_name_that_leads_out_of_a_folder_is_refused(tmp_path: Path, ending: str, name: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        of_archive(write(tmp_path / f"a{ending}", {"good.pdb": b"x", name: b"x"}))


def test_what_is_no_file_of_its_own_is_refused(tmp_path: Path) -> None:
    link = tarfile.TarInfo("x.pdb")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(tmp_path / "link.tar", "w") as tarred:
        tarred.addfile(link)
    with pytest.raises(UserError, match="it is a link"):
        of_archive(tmp_path / "link.tar")
    with pytest.raises(UserError, match=r"a/x\.pdb and b/X\.pdb have one name"):
        of_archive(write(tmp_path / "twice.zip", {"a/x.pdb": b"", "b/X.pdb": b""}))


@pytest.mark.parametrize("ending", [".zip", ".tar.gz"])
def test_what_unpacks_to_more_than_data_do_is_refused(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "FREE_UNPACKED", 1 << 16)
    # Each alone is within the bound.
    archive = write(tmp_path / f"a{ending}", {f"{n}.pdb": bytes(60_000) for n in range(20)})
    monkeypatch.setattr(streams, "MOST_UNPACKED_RATIO", 10)
    with pytest.raises(UserError, match="unpacks to more than 10 times its size"):
        of_archive(archive, 1 << 20)


@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.gz"])
def test_what_is_damaged_or_no_archive_is_one_line(tmp_path: Path, ending: str) -> None:
    archive = write(tmp_path / f"a{ending}", {f"{n}.pdb": bytes(range(256)) * 9 for n in range(9)})
    whole = archive.read_bytes()
    # Of the tar the half ends between two files.
    for content in (b"", b"no archive", whole[: len(whole) // 2], whole[: len(whole) // 3]):
        archive.write_bytes(content)
        with pytest.raises(UserError):
            of_archive(archive, 1 << 20)


def test_what_a_task_file_may_say(tmp_path: Path) -> None:
    for more, said in (
        ({}, "give either path or url"),
        ({"path": "a.zip", "url": "https://example.org/a.zip"}, "give either path or url"),
        ({"url": "https://example.org/a.zip"}, "an archive at an address needs it"),
        ({"url": "https://example.org/a.pdb"}, "it is no archive"),
        ({"path": "folder", "sha256": "0" * 64}, "a folder has none"),
    ):
        with pytest.raises(ValueError, match=said):
            FolderOfStructures.model_validate({"derives": "contacts", "name": "a", **more})
    archive = write(tmp_path / "a.zip", {"README": b""})
    for file, said in (
        ({"path": archive}, "no structure file is in it"),
        ({"path": archive, "sha256": "0" * 64}, "wrong checksum"),
        ({"path": tmp_path / "b.zip"}, "there is no archive"),
    ):
        data = StructuresData(source="structures", files=[{"derives": "contacts", **file}], splits={"test": {}})
        with pytest.raises(UserError, match=said):
            source_of(data).read(data.files[0], DataCache(tmp_path / "cache"), None)
