"""What a library says of what it cannot read: shown where it speaks to people, left out where it speaks to a program."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubtools.common.bounds import json_values, yaml_values
from hubtools.common.errors import UserError, in_brackets, library_words
from hubtools.common.files import is_file, is_folder, is_there
from hubtools.specs.lookup.spec_files import parse_spec
from hubtools.specs.recipe import Recipe


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("day is out of range\nfor month"), "day is out of range for month"),
        (OSError(36, "File name too long", "x" * 300), "File name too long"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "it is not text in UTF-8"),
        (ValueError("Validation error: TypeError: expected int"), "Validation error: expected int"),
        (ValueError("type of None unknown: <class 'NoneType'>"), ""),
        (KeyError("columns"), ""),
        (AttributeError("'NoneType' object has no attribute 'x'"), ""),
        (ValueError(), ""),
    ],
)
def test_words_for_people_stay(error: Exception, words: str) -> None:
    assert library_words(error) == words
    assert in_brackets(error) == (f" ({words})" if words else "")


def test_half_of_a_character_is_neither_json_nor_yaml() -> None:
    import yaml

    assert json_values(r'{"a": "\ud83d\ude00"}') == {"a": "\U0001f600"}
    with pytest.raises(ValueError, match="within a character"):
        json_values(r'{"a": "\ud800"}')
    with pytest.raises(yaml.YAMLError, match="within a character"):
        yaml_values(r'a: "\ud800"')


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("0777", "0777 is a number to base 8 there"),
        ("1:30", "1:30 is a number to base 60 there"),
        ("!!int nine", "a value that is not what its tag says"),
        ("!!python/name:os.system", "the tag 'python/name:os.system' is not known here"),
    ],
)
def test_a_value_that_yaml_reads_as_nobody_thinks_is_refused(value: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        parse_spec(f"name: mine\nadaptation: full\nepochs: {value}\n", Recipe, "mine.yaml")


def test_a_number_in_quotes_or_with_its_base_is_read() -> None:
    assert parse_spec("name: mine\nadaptation: full\nepochs: 0x10\n", Recipe, "mine.yaml").epochs == 16


@pytest.mark.parametrize("key", ["[a, b]", "{a: b}"])
def test_a_key_that_is_no_text_is_refused(key: str) -> None:
    with pytest.raises(UserError, match=r"mine\.yaml:2: not valid YAML \(a key that is a list or a mapping"):
        parse_spec(f"name: mine\n? {key}\n: 1\n", Recipe, "mine.yaml")


def test_a_name_that_no_disk_takes_is_not_there() -> None:
    for ask in (is_file, is_folder, is_there):
        assert not ask(Path("n" * 5000))
        assert ask(Path(__file__)) is (ask is not is_folder)
