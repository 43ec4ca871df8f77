"""A folder is replaced as a whole, and only one that bench made."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubtools.common.errors import UserError
from hubtools.common.files import owner_only, replacing_folder

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
        if "former" not in path.name and "former" not in Path(target).name:
            raise OSError(28, "No space left on device")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", refuses)
    with pytest.raises(OSError, match="No space"):
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
