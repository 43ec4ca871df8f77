"""A name that is not written in the code is joined to a path by ``inside``, which no name leaves; and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from path_joins import joins
from pydantic import TypeAdapter, ValidationError

from hubtools.common.errors import UserError
from hubtools.common.inside import inside, one_file_twice, why_not_inside
from hubtools.specs import names

ROOT = Path(__file__).resolve().parents[2] / "hubtools"
MODULES = sorted(path for path in ROOT.rglob("*.py") if "_content" not in path.parts)

# What is joined without `inside`, and why it cannot lead anywhere: (module, what is joined).
ALLOWED = {
    ("common/inside.py", "name"): "it is the join itself",
    ("api/boards.py", "file.path"): "constants of write_results",
    ("api/freezing.py", "asked"): "what the user wrote, after why_not_inside",
    ("api/stored/data_files.py", "sha256"): "a digest that was computed, or of the type Sha256",
    ("data/sources/file_cache.py", "sha256"): "a digest that was computed, or of the type Sha256",
    ("data/sources/file_cache.py", "file.sha256"): "of the type Sha256",
    ("data/sources/file_cache.py", "f'{name}.npy'"): "digests",
    ("data/sources/file_cache.py", "f'{name}.json'"): "digests",
    ("data/sources/file_cache.py", "f'url-{name}'"): "digests",
    ("data/sources/file_cache.py", "name"): "digests, with a prefix of the callers'",
    ("data/sources/uniprot_answers.py", "f'answer-{sha256}'"): "a digest, of the type Sha256",
    ("data/sources/uniprot_answers.py", "f'rows-{sha256}'"): "a digest, of the type Sha256",
    ("data/splits/identity.py", "f'{part}.fasta'"): "the two parts of the call",
    ("exporting/onnx_export.py", "file"): "MODEL and HEAD",
    ("exporting/pipeline_files.py", "name"): "three names, constants",
    ("exporting/static_page.py", "file"): "names of the page's own files, constants",
    ("exporting/static_space.py", "name"): "names of the listing of that folder, and README",
    ("data/npm_package.py", "name"): "keys of checksums, constants",
    ("data/npm_package.py", "self.name"): "a constant of bench",
    ("data/npm_package.py", "self.version"): "a constant of bench",
    ("data/npm_package.py", "Path(self.inside).name"): "a constant of bench",
    ("runs/claims.py", "f'.claim-{self.number}'"): "a number",
    ("runs/claims.py", "f'.claim.{secrets.token_hex(8)}'"): "drawn",
    ("runs/claims.py", "name"): "names of the listing of that folder",
    ("runs/many/merging.py", "name"): "names of the listing of that folder, and constants",
    ("runs/many/run_states.py", "name"): "names of the listing of that folder",
    ("findings/arms.py", "name"): "REPLICATES and PREDICTIONS",
    ("findings/frozen_baseline.py", "name"): "RECORD and PREDICTIONS",
    ("findings/verification.py", "name"): "RECORD, PREDICTIONS and REPLICATES",
    ("inference/named_model.py", "part"): "MODEL and the folder itself",
    ("data/sources/file_cache.py", "key"): "a digest",
    ("models/checkpoint.py", "file"): "names of the listing of that folder",
    ("models/saved.py", "name"): "two constants",
    ("publishing/board_space.py", "name"): "files that the site has just written",
    ("publishing/contents.py", "part"): "constants",
    ("publishing/contents.py", "name"): "constants, and names of a walk through that folder",
    ("publishing/contents.py", "needed"): "constants",
    ("publishing/contents.py", "file.path"): "names of a walk through the run's folder",
    ("publishing/demo_space.py", "name"): "files of the package hubtools",
    ("publishing/demo_space.py", "file"): "files of the package hubtools",
    ("publishing/demo_space.py", "option"): "files of the package hubtools",
    ("publishing/results_repository.py", "name"): "constants",
    ("reporting/card/model_card.py", "eval_results_name(record)"): "a name of the type Name, in a folder that is a constant",
    ("reporting/card/model_card.py", "figure.name"): "names of bench's figures",
    ("reporting/site.py", "name"): "the site's own files",
    ("reporting/templates.py", "name"): "templates that bench names",
    ("runs/costs/attempts.py", "name"): "constants",
    ("runs/steps.py", "part"): "constants",
    ("runs/store.py", "mark"): "constants",
    ("runs/store.py", "name"): "constants",
    ("runs/sweeps/trials.py", "f'trial-{number:03d}-{FAILURE}'"): "a number",
    ("runs/whole_model.py", "name"): "constants",
    ("runs/whole_model.py", "path.name"): "names of a walk through the model's folder",
    ("specs/lookup/task_packages.py", "*below"): "the entry point of an installed package",
    ("specs/suite.py", "name"): "a path that the suite's owner writes; a suite is never a stranger's",
    ("specs/task.py", "self.hierarchy.obo"): "a path that the task's owner writes; tasks of the Hub: task_repositories._data_files",
    ("specs/task.py", "path"): "a path that the task's owner writes; tasks of the Hub: task_repositories._data_files",
    ("training/compute/machine.py", "controllers"): "what the kernel says of its control groups",
    ("training/compute/machine.py", "inner"): "what the kernel says of its control groups",
    (
        "training/compute/measured.py",
        "FILE.format(device=''.join((c if c.isalnum() else '-' for c in device.lower())))",
    ): "letters, digits and hyphens",
    ("training/finetune/resume.py", "f'checkpoint-{step}'"): "a number",
    ("training/finetune/resume.py", "name"): "constants",
    ("training/frozen/embedding_store.py", "space.name"): "a digest",
}  # fmt: skip


def test_no_name_of_others_is_joined_to_a_path_but_by_inside() -> None:
    found = {(path.relative_to(ROOT).as_posix(), part) for path in MODULES for _, part in joins(path.read_text())}
    new = sorted(found - set(ALLOWED))
    assert not new, f"join by hubtools.common.inside.inside(folder, name), or say in ALLOWED why not: {new}"
    assert not set(ALLOWED) - found, "what is allowed is no longer there: remove it"


@pytest.mark.parametrize(
    "line",
    [
        "def f(folder: Path, record): return folder / record.run_id",
        "def f(root, record): return Path(root) / record['path']",
        "def f(root: Path, file): target = root / 'x'; return target / f'{file.name}.json'",
        "def f(run, name): return run.folder / name",
        "def f(root: Path, name): return root.joinpath(name)",
        "def f(root, name): return Path(root, name)",
        "def f(repo): return download_files(repo) / repo.listed[0]",
    ],
)
def test_the_search_for_it_finds_it(line: str) -> None:
    assert len(list(joins(line))) == 1


def test_the_search_for_it_finds_nothing_else() -> None:
    written = "def f(folder: Path, n, name): folder / 'a' / RECORD; inside(folder, name); n / 2; n / len(name)"
    assert not list(joins(written))


REFUSED = {
    "": "empty",
    ".": "out of its folder",
    "..": "out of its folder",
    "../x": "out of its folder",
    "a/../../x": "out of its folder",
    "a/./x": "out of its folder",
    "/etc/passwd": "out of its folder",
    "a//b": "out of its folder",
    "a/": "out of its folder",
    "..\\x": "begins with a dot",
    "a\\x": r"character \\",
    "C:x": "character :",
    "C:\\x": "character",
    "~/x*": r"character \*",
    "x\0y": "x00",
    "x\ny": "n",
    "\x1b[31mx": "x1b",
    ".hidden": "begins with a dot",
    "a/.ssh/x": "begins with a dot",
    "x.": "ends with a blank or a dot",
    "x ": "ends with a blank or a dot",
    " x": "begins with a blank",
    "nul": "device",
    "NUL.txt": "device",
    "a/com1": "device",
    "lpt¹": "device",
    "aux.tar.gz": "device",
    "x" * 300: "longer than",
    "é" * 150: "longer than",
    "/".join(["abcdefghi"] * 120): "longer than",
    "a\u202eb": "u202e",
    "a\u200bb": "not seen",
    "a\ufeffb": "not seen",
    "a\ud800b": "it holds the character",
    "\u2024\u2024/x": "looks like another",
    "a\uff0fb": "looks like another",
    "a\uff3cb": "looks like another",
    "e\u0301": "NFC",
}


@pytest.mark.parametrize("name", REFUSED, ids=ascii)
def test_a_name_that_leaves_its_folder_is_refused_everywhere(name: str, tmp_path: Path) -> None:
    assert REFUSED[name].replace("\\", "") in str(why_not_inside(name)).replace("\\", "")
    with pytest.raises(UserError) as error:
        inside(tmp_path, name)
    assert "\n" not in str(error.value) and "Traceback" not in str(error.value)
    for kind in (names.Name, names.SplitName, names.FolderName, names.InnerPath, names.AnyInnerPath, names.RunId):
        with pytest.raises(ValidationError):
            TypeAdapter[Any](kind).validate_python(name)


@pytest.mark.parametrize(
    "name", ["a", "a/b.c", "train-00000-of-00001.parquet", "données.csv", "my table.tsv", "console", "com10", "a..b"]
)
def test_a_name_that_stays_is_taken(name: str, tmp_path: Path) -> None:
    assert inside(tmp_path, name) == tmp_path / name
    assert TypeAdapter[Any](names.AnyInnerPath).validate_python(name) == name


def test_two_names_that_are_one_file_on_a_disk_that_knows_no_case() -> None:
    assert one_file_twice(["a", "b/C", "b/c"]) == ("b/C", "b/c")
    assert one_file_twice(["straße", "STRASSE"]) == ("straße", "STRASSE")
    assert one_file_twice(["a", "b", "a"]) is None


def test_the_folder_of_a_run_has_a_name_that_every_disk_takes() -> None:
    from hubtools.runs.store import folder_of

    long = folder_of("lab/" + "x" * 300, "t" * 80, "r" * 80, "s1", "0" * 12)
    assert len(long) <= 200 and why_not_inside(long, 1) is None and long.endswith("--s1--000000000000")
    # As ever where there is room.
    assert (
        folder_of("facebook/esm2_t6_8M", "task", "full", "s1", "0" * 12)
        == "task--facebook-esm2_t6_8m--full--s1--" + "0" * 12
    )
