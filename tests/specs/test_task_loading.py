"""A wrong file is one line that names file, line, key, problem and remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hubtools.common.errors import UserError
from hubtools.specs.lookup.spec_files import load_recipe, load_task
from hubtools.specs.task import Task

GOOD = """\
name: t
version: 1
title: T
problem: sequence-classification
summary: s
data:
  source: file
  files:
    - path: a.csv
  columns: {sequence: seq}
  splits:
    train: {where: {set: train}}
    test: {where: {set: test}}
labels: [a, b]
metrics: {primary: accuracy}
licence: MIT
citation: c
"""


def write(folder: Path, text: str, name: str = "t.yaml") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_a_good_file(tmp_path: Path) -> None:
    task = load_task(write(tmp_path, GOOD))
    assert task.labels == {"a": "a", "b": "b"}
    # Relative paths start at the task file.
    assert task.data.files[0].path == tmp_path / "a.csv"  # type: ignore[union-attr]


BROKEN = [
    ("version: 1", "version: 1\ntitel: T", ":3", r"titel: unknown key\. Did you mean title\?"),
    ("{sequence: seq}", "{sequnce: seq}", ":10", r"data\.columns\.sequnce: unknown key\. Did you mean sequence\?"),
    ("    - path: a.csv", "    - path: a.csv\n      heder: [x]", ":10", r"data\.files\[0\]\.heder: unknown key\. Did you mean header\?"),
    ("licence: MIT\n", "licence: MIT License\n", ":16", r"licence: 'MIT License' is no identifier\. Did you mean mit\?"),
    ("licence: MIT\n", "", "", r"licence: this key is missing\. Add it"),
    ("    - path: a.csv", "    - name: a", ":9", r"data\.files\[0\]\.path: this key is missing"),
    ("version: 1", "version: one", ":2", r"version: expected a whole number \(it is 'one'\)"),
    ("summary: s", "summary:", ":5", "summary: there is no value"),
    ("{primary: accuracy}", "{primary: accuracy", ":16", "not valid YAML"),
    ("title: T", "title: T\ntitle: U", ":4", r"key 'title' is given twice"),
    ("sequence-classification", "sequence-clasification", ":4", r"unknown value 'sequence-clasification'\. Did you mean sequence-classification\?"),
    ("primary: accuracy", "primary: acuracy", ":15", r"metrics\.primary: there is no metric 'acuracy'\. Did you mean accuracy\?"),
    ("primary: accuracy", "primary: spearman", ":15", r"'spearman' is not for classification\. Use one of: accuracy, "),
    ("primary: accuracy", "primary: f1", ":15", r"'f1' is about one class of two\. Name it under metrics\.positive"),
    ("labels: [a, b]\nmetrics: {primary: accuracy}", "labels: [a, b, c]\nmetrics: {primary: f1}", ":15", r"'f1' is of two classes, and here are 3\. Use one of: accuracy, .*macro_f1, .*auroc, auprc$"),
    ("source: file", "source: ftp", ":6", r"data: unknown source 'ftp'\. Known sources: url, file, hub, package"),
    ("  source: file\n", "", ":6", r"the key source is missing\. Add source: url, file, hub, package, uniprot or structures"),
    ("    test: {where: {set: test}}\n", "", ":11", r"data\.splits: no test split"),
    ("train: {where: {set: train}}", "train: {files: [b]}", ":12", r"data\.splits\.train: there is no file 'b'\. The files are: a"),
    ("    - path: a.csv", "    - path: a.csv\n      sha256: abc", ":10", r"data\.files\[0\]\.sha256: expected 64 hexadecimal digits \(it is 'abc'\)"),
    ("path: a.csv", "path: a.zip", ":9", r"a\.zip is an archive\. Name the file inside it under member"),
    ("path: a.csv", "path: a.ods", ":9", r"cannot tell the format of a\.ods\. Write format"),
    ("labels: [a, b]", "labels: [a]", ":14", r"labels: sequence-classification needs labels"),
    ("labels: [a, b]", "labels: [yes, no]", ":14", r"YAML reads yes, no, .*Put the label in quotes"),
    ("  columns: ", '  site_marker: "#"\n  columns: ', ":10", r"data\.site_marker: this is for residue tasks"),
    (GOOD, "- a\n- b\n", "", "expected keys and values"),
    ("name: t", "name: other", "", r"name is 'other' but the file is called t\.yaml"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "message"), BROKEN)
def test_a_broken_file_is_one_line_with_its_place(tmp_path: Path, old: str, new: str, line: str, message: str) -> None:
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(UserError, match=message) as error:
        load_task(path)
    assert str(error.value).startswith(f"{path}{line}: ")
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"t\.yaml: not a text file in UTF-8"):
        load_task(str(tmp_path / "t.yaml"))


def test_a_name_nobody_has(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no task is called 'localization'\. Did you mean localisation\?"):
        load_task("localization")
    with pytest.raises(UserError, match=r"no task file .*absent\.yaml"):
        load_task(str(tmp_path / "absent.yaml"))


def test_a_users_own_task_comes_before_a_shipped_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tasks").mkdir()
    write(tmp_path / "tasks", GOOD.replace("name: t", "name: localisation"), "localisation.yaml")
    monkeypatch.chdir(tmp_path)
    assert load_task("localisation").title == "T"


def test_an_override_that_is_wrong_names_the_recipe(tmp_path: Path) -> None:
    recipe = write(tmp_path, "name: r\nadaptation: full\n", "r.yaml")
    assert load_recipe(recipe, {"learning_rate": 3e-4, "head.hidden": 8}).head.hidden == 8
    with pytest.raises(UserError, match=r"--set on recipe r: learning_rat: unknown key\. Did you mean learning_rate\?"):
        load_recipe(recipe, {"learning_rat": 1.0})


def changed(task: Task, **changes: Any) -> str:
    return Task.model_validate({**task.model_dump(), **changes}).hash


def test_the_hash_is_about_what_can_change_a_number(tmp_path: Path) -> None:
    task = load_task(write(tmp_path, GOOD))
    assert changed(task) == task.hash
    assert changed(task, title="other", notes=["n"], citation="d", margin=0.5) == task.hash
    assert changed(task, version=2) != task.hash
    # The order of labels is the order of outputs, and a dict remembers it where JSON with sorted keys does not.
    assert changed(task, labels={"b": "b", "a": "a"}) != task.hash
    (tmp_path / "elsewhere").mkdir()
    assert load_task(write(tmp_path / "elsewhere", GOOD)).hash == task.hash


@pytest.mark.parametrize("character", ["\\n", "\\r", "\\e[31m", "\\0", "\\x7F", "\\x85", "\\u2028", "\\u202E"])
@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("labels: [a, b]", 'labels: [a, "b%simport os"]', "labels"),
        ("labels: [a, b]", 'labels: {a: a, "b%s": b}', "labels"),
        ("title: T", 'title: "T%s"', "title"),
        ("licence: MIT", 'licence: "MIT%s"', "licence"),
        ("    - path: a.csv", '    - {path: a.csv, name: "a%s"}', r"data\.files"),
        ("{sequence: seq}", '{sequence: "seq%s"}', r"data\.columns\.sequence"),
    ],
)
def test_no_text_holds_what_cannot_be_shown(tmp_path: Path, character: str, old: str, new: str, key: str) -> None:
    """A label with a line break once put a line of Python into the code of the card."""
    file = write(tmp_path, GOOD.replace(old, new % character))
    with pytest.raises(
        UserError, match=rf"t\.yaml:\d+: {key}.* holds the character .*which may not be shown\. Remove it"
    ):
        load_task(file)


def test_prose_may_have_lines_and_separators_may_be_tabs(tmp_path: Path) -> None:
    file = GOOD.replace("summary: s", "summary: |\n  one\n  two").replace(
        "citation: c", 'citation: |\n  @misc{c,\n    year = 2024\n  }\nnotes: ["a\\nb"]'
    )
    file = file.replace("a.csv", "a.fasta").replace(
        "fasta", 'fasta\n      header_separator: "\\t"\n      header: [a, b]', 1
    )
    task = load_task(write(tmp_path, file))
    assert (task.summary, task.notes) == ("one two", ["a b"])
    assert "\n" in task.citation
    assert task.data.files[0].header_separator == "\t"


def test_a_recipe_of_the_command_line_neither(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="which may not be shown"):
        load_recipe("probe", {"title": "a\u202eb"})
