"""What bench ships stays as it is, what packages add is found by name, and what does not load is said."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from hubtools.common.errors import UserError
from hubtools.common.registry import Registry, UnknownName, named


@dataclass(frozen=True)
class Word:
    name: str
    says: str = ""


def registry() -> Registry[Word]:
    return Registry("word", Word, "bench.words", [Word("yes", "ours"), Word("no")])


def announce(site: Path, **points: str) -> None:
    info = site / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    lines = "".join(f"{name} = {value}\n" for name, value in points.items())
    (info / "entry_points.txt").write_text(f"[bench.words]\n{lines}")
    importlib.invalidate_caches()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "their_words.py").write_text(
        "from test_registry import Word\nPERHAPS = [Word('perhaps'), Word('yes', 'theirs')]\nMISTAKE = 3\n"
    )
    return tmp_path


def test_a_name_that_is_not_there_is_one_line_with_the_nearest_one() -> None:
    words = registry()
    with pytest.raises(UnknownName) as raised:
        words["yess"]
    assert str(raised.value).startswith("there is no word 'yess'. Did you mean yes? There are: yes, no. ")
    assert "yess" not in words and words.get("yess") is None and list(words) == ["yes", "no"] and len(words) == 2


def test_what_is_added_may_be_added_again_but_not_in_place_of_what_is_shipped() -> None:
    words = registry()
    words.register(Word("perhaps", "once"))
    assert words.register(Word("perhaps", "twice")) is words["perhaps"]
    with pytest.raises(UserError, match="of its own"):
        words.register(Word("yes", "theirs"))
    with pytest.raises(UserError, match="no word"):
        words.register("maybe")  # type: ignore[arg-type]


def test_packages_are_asked_for_what_bench_does_not_ship(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    announce(site, a="their_words:PERHAPS", b="their_words:MISTAKE", c="not_there:X", d="their_words:PERHAPS")
    words = registry()
    assert words["yes"].says == "ours" and not capsys.readouterr().err
    assert words["perhaps"] == Word("perhaps")
    said = capsys.readouterr().err.splitlines()
    assert [line.split()[2] for line in said] == ["a", "b", "c", "d"]
    assert "of its own" in said[0] and "not_there" in said[2] and "another package" in said[3]
    assert list(words) == ["yes", "no", "perhaps"] and not capsys.readouterr().err


def test_a_text_names_what_is_in_a_module() -> None:
    assert named("pathlib:Path") is Path
    for wrong in ("pathlib:Pat", "path_lib:Path", "pathlib", ":"):
        with pytest.raises(UserError, match="cannot load"):
            named(wrong)
