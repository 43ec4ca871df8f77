"""What is written is whole or is not there, whatever fails; a folder is replaced at once, and only one that bench made."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from faulty_disk import STEPS, faulty

from hubtools.common import files
from hubtools.common.errors import UserError
from hubtools.common.files import (
    PARTIAL,
    WRITERS,
    WritingFunction,
    allocate,
    make_folder,
    owner_only,
    remove_files,
    replacing_folder,
)

MARK = "made.json"


def write(folder: Path, text: str) -> None:
    with replacing_folder(folder, MARK) as staging:
        (staging / MARK).write_text(text)


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_one_that_bench_made_is_replaced(tmp_path: Path) -> None:
    write(tmp_path / "a", "first")
    (tmp_path / "a" / "old.txt").write_text("")
    write(tmp_path / "a", "second")
    assert contents(tmp_path / "a") == {MARK: "second"}
    # Nothing is left beside it.
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_empty_folder_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    write(tmp_path / "a", "first")
    assert contents(tmp_path / "a") == {MARK: "first"}


def test_somebody_elses_stays(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "thesis.txt").write_text("three years")
    (tmp_path / "link").symlink_to(theirs)
    (tmp_path / "file").write_text("a file")
    for name in ("theirs", "link", "file"):
        with pytest.raises(UserError, match="something else"):
            write(tmp_path / name, "ours")
    assert contents(theirs) == {"thesis.txt": "three years"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link", "theirs"]


def test_what_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a", "first")

    def fails() -> None:
        with replacing_folder(tmp_path / "a", MARK) as staging:
            (staging / MARK).write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert contents(tmp_path / "a") == {MARK: "first"}

    # Also where the last step fails, when the former folder is already aside.
    replace = Path.replace

    def refuses(path: Path, target: Path) -> Path:
        if "former" not in path.name and "former" not in Path(target).name and not Path(target).exists():
            raise OSError(28, "No space left on device")
        return replace(path, target)

    monkeypatch.setattr(files, "_exchanged", lambda one, other: False)
    monkeypatch.setattr(Path, "replace", refuses)
    with pytest.raises(UserError, match="No space"):
        write(tmp_path / "a", "second")
    assert contents(tmp_path / "a") == {MARK: "first"}
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_of_what_is_unpickled_is_the_users_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = owner_only(tmp_path / "a" / "b")
    assert made.stat().st_mode & 0o777 == 0o700
    # One that was there, and that others could write.
    made.chmod(0o777)
    assert owner_only(made).stat().st_mode & 0o777 == 0o700
    (tmp_path / "link").symlink_to(made)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="it is a link or another user's"):
        owner_only(tmp_path / "link")
    with pytest.raises(UserError, match="cannot make it a folder of yours alone"):
        owner_only(tmp_path / "file")
    monkeypatch.setattr("os.getuid", lambda: made.stat().st_uid + 1)
    with pytest.raises(UserError, match="it is a link or another user's"):
        owner_only(made)


# Every writing function, by its list: a new one is tested because it is there.

OLD, NEW = "old " * 2000, "new " * 3000


def use(writer: WritingFunction, path: Path, text: str) -> None:
    """Write a text with a function, however it is called."""
    if writer.shape == "content":
        writer.write(path, text)
    elif writer.shape == "file":
        with writer.write(path) as temporary:
            temporary.write_text(text)
    elif writer.shape == "folder":
        with writer.write(path, MARK) as staging:
            (staging / MARK).write_text(text)
    elif writer.shape == "move":
        writer.write(path, path.parent / "source")
    else:
        pytest.fail(f"nothing is known of {writer.shape}")


def found(writer: WritingFunction, path: Path) -> str | None:
    """What is there now."""
    path = path / MARK if writer.shape == "folder" else path
    return path.read_text() if path.exists() else None


def prepared(writer: WritingFunction, folder: Path, there: bool) -> tuple[Path, str | None, str]:
    """A path, what is there, and what is there when all goes well."""
    path = folder / "target"
    if there:
        (folder / "source").write_text(OLD)
        use(writer, path, OLD)
    (folder / "source").write_text(NEW)
    old = found(writer, path)
    return path, old, (old or "") + NEW if writer.appends else NEW


def beside(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"target", "source"}


@pytest.mark.parametrize("there", [False, True], ids=["new", "replaced"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", WRITERS)
def test_what_fails_leaves_the_old_whole_and_what_does_not_the_new(
    tmp_path: Path, name: str, step: str, there: bool
) -> None:
    writer = WRITERS[name]
    path, old, new = prepared(writer, tmp_path, there)
    try:
        with faulty(tmp_path, step):
            use(writer, path, NEW)
    except UserError as error:
        assert "\n" not in str(error) and "cannot write it (" in str(error) and str(tmp_path) in str(error)
        # To open a file for appending makes it.
        assert found(writer, path) == old or (writer.appends and old is None and found(writer, path) == "")
        assert beside(tmp_path) <= {f"target{PARTIAL}"}
    else:
        assert found(writer, path) == new and not beside(tmp_path)


@pytest.mark.parametrize("there", [False, True], ids=["new", "replaced"])
@pytest.mark.parametrize("name", WRITERS)
def test_a_kill_before_it_has_its_name_leaves_nothing_that_is_taken_for_it(
    tmp_path: Path, name: str, there: bool
) -> None:
    writer = WRITERS[name]
    path, old, new = prepared(writer, tmp_path, there)
    if not (child := os.fork()):
        with faulty(tmp_path, "kill"):
            use(writer, path, NEW)
        os._exit(0)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert found(writer, path) == (old if ended else new)
    assert all(left.startswith(".") or left.endswith(PARTIAL) for left in beside(tmp_path))


@pytest.mark.parametrize("name", WRITERS)
def test_a_disk_that_is_really_full(tmp_path: Path, name: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no file system may be mounted here")
    try:
        writer = WRITERS[name]
        path, old, new = prepared(writer, disk, True)
        with (disk / "rest").open("wb", buffering=0) as stream, pytest.raises(OSError, match="No space"):
            while True:
                stream.write(bytes(4096))
        try:
            use(writer, path, NEW)
        except UserError as error:
            assert "No space left on device" in str(error) and "Make room" in str(error)
            assert found(writer, path) == old
        else:
            assert found(writer, path) == new
        assert beside(disk) <= {"rest", f"target{PARTIAL}"}
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("way", ["exchange", "renames", "renames without locks"])
@pytest.mark.slow
def test_nine_processes_replace_one_folder_fifty_times_each(tmp_path: Path, way: str) -> None:
    """Found by testers: 275 of 450 succeeded."""
    code = (
        "import contextlib, sys\nfrom pathlib import Path\nfrom hubtools.common import files\n"
        "if sys.argv[2] != 'exchange': files._exchanged = lambda one, other: False\n"
        "if 'without' in sys.argv[2]: files._turn = lambda parent: contextlib.nullcontext()\n"
        "for turn in range(50):\n"
        "    with files.replacing_folder(Path(sys.argv[1]), 'made.json', durable=False) as staging:\n"
        "        for name in ('made.json', 'other'): (staging / name).write_text(f'{sys.argv[3]} {turn}')\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, tmp_path / "a", way, str(number)], stderr=subprocess.PIPE)
        for number in range(9)
    ]
    said = [process.communicate()[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0] * 9, said
    assert len(set(contents(tmp_path / "a").values())) == 1, "one process's folder, whole"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_who_makes_a_folder_late_removes_nothing_of_who_was_first(tmp_path: Path) -> None:
    """Six processes on one folder of runs: rarely, one lost its claim to another that had just seen no folder there."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for number in range(50):
            folder, together = tmp_path / str(number), threading.Barrier(4)

            def come(name: str, folder: Path = folder, together: threading.Barrier = together) -> None:
                together.wait()
                make_folder(folder)
                (folder / name).touch()

            threads = [threading.Thread(target=come, args=(name,)) for name in "abcd"]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sorted(path.name for path in folder.iterdir()) == [*"abcd"]
    finally:
        sys.setswitchinterval(interval)


def test_a_file_in_the_place_of_a_folder_goes(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a disk that failed")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link"):
        make_folder(tmp_path / name)
        assert (tmp_path / name).is_dir()


def test_a_file_that_cannot_be_removed_is_named_with_what_went_before_it(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_text("12345")
    assert remove_files([tmp_path / "gone", paths[0]]) == ([paths[0]], 5)
    with faulty(tmp_path, "read-only", after=1), pytest.raises(UserError) as caught:
        remove_files(paths)
    assert str(caught.value).startswith(f"{paths[2]}: cannot remove it (Read-only file system); 1 were removed before")
    assert not paths[1].exists() and paths[2].exists()


def test_room_is_taken_before_a_map_is_written_to(tmp_path: Path) -> None:
    """A full disk would end the process by a signal."""
    path = tmp_path / "table"
    path.touch()
    with faulty(tmp_path, "write", after=1000), pytest.raises(UserError, match=r"cannot write it \(File too large\)"):
        allocate(path, 10_000)
    allocate(path, 10_000)
    assert path.stat().st_size == 10_000
