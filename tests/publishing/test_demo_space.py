"""A page as a Space: what it carries, one commit, and the page itself, run as the Hub runs it."""

from __future__ import annotations

import ast
import os
import re
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from browser import browser_page
from hub_server import TOKEN, Hub
from optional_packages import needs_biotite
from small_run import make_run, write_small_card
from tiny_runs import made
from tiny_structures import chain_atoms, write_structure

import hubtools
from hubtools.common.errors import UserError
from hubtools.inference.predictor import Predictor, Protein
from hubtools.publishing.commit import look
from hubtools.publishing.contents import Publication, plan_publication
from hubtools.publishing.demo_space import (
    ENTRIES,
    GRADIO,
    MANY_PARAMETERS,
    PAINTED_BY,
    REQUIRED,
    REQUIRED_TO_PAINT,
    push_space,
    requirements,
    shipped_modules,
    write_space,
)
from hubtools.publishing.push import push
from hubtools.runs.store import OpenRun
from hubtools.training.compute.device import Execution

REPO, SPACE, COMMIT = "me/peptides", "me/peptides-demo", "c" * 40
PACKAGE = Path(hubtools.__file__).parent
# Imported inside functions that the page never calls: four-bit weights, the measures of another library, files of structures and ontologies.
NEVER_CALLED = {"bitsandbytes", "datasets", "evaluate", "biotite", "msgpack", "pandas", "fastobo"}
# pydantic_core is part of pydantic.
IMPORTED_AS = {"yaml": "pyyaml", "pydantic_core": "pydantic"}
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def publication(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publication:
    monkeypatch.setattr("hubtools.publishing.contents._write_card", write_small_card)
    return plan_publication(make_run(tmp_path / "run"), REPO)


def front_matter(text: str) -> dict[str, object]:
    return dict(yaml.safe_load(text.split("---\n")[1]))


def test_imports_are_followed_and_those_for_type_checkers_are_not(tmp_path: Path) -> None:
    package = tmp_path / "pack"
    for name, text in {
        "__init__.py": "",
        "a/__init__.py": "",
        "a/one.py": "def f():\n    from pack.b import two\n",
        "b/__init__.py": "import pack.three",
        "b/two.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pack.four\n",
        "three.py": "import os",
        "four.py": "",
    }.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    expected = {"__init__.py", "a/__init__.py", "a/one.py", "b/__init__.py", "b/two.py", "three.py"}
    assert shipped_modules(package, ["pack.a.one"]) == expected


def test_the_page_needs_a_part_of_the_package_and_no_commands() -> None:
    shipped = shipped_modules(PACKAGE)
    assert {f"{entry.removeprefix('hubtools.').replace('.', '/')}.py" for entry in ENTRIES} <= shipped
    assert not {name.split("/")[0] for name in shipped} & {"cli", "publishing"}
    assert len(shipped) < len(list(PACKAGE.rglob("*.py"))) / 2


def test_what_the_shipped_modules_import_is_shipped_or_required() -> None:
    shipped, others = shipped_modules(PACKAGE), set()
    for name in shipped:
        for node in ast.walk(ast.parse((PACKAGE / name).read_text())):
            if isinstance(node, ast.Import):
                others |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.module.startswith("hubtools"):
                others.add(node.module.split(".")[0])
            elif isinstance(node, ast.ImportFrom) and node.module in {"hubtools.data", "hubtools.models"}:
                # These packages import on first use what imports do not show: only modules are taken from them.
                for alias in node.names:
                    assert (PACKAGE / node.module.split(".")[1] / f"{alias.name}.py").is_file(), (name, alias.name)
    packages = {IMPORTED_AS.get(name, name) for name in others - set(sys.stdlib_module_names) - NEVER_CALLED}
    # Of threads of numpy nothing is set where it is not there.
    assert packages - {"gradio", "peft", "threadpoolctl"} <= set(REQUIRED)


@needs_biotite
def test_a_page_of_residues_has_what_paints_a_structure_and_another_has_not(run_folder: Path, tmp_path: Path) -> None:
    space = write_space(tmp_path / "space", SPACE, plan_publication(run_folder, REPO, licence="mit"), COMMIT)
    held = {file.path for file in space.files}
    assert {f"hubtools/_content/reports/{name}" for name in PAINTED_BY} <= held
    assert "painter(predictor)" in (tmp_path / "space" / "app.py").read_text()
    # With these files alone a structure that is uploaded becomes a page; the program that draws is whatever is in the cache.
    script = f"""
import sys
sys.modules.update(dict.fromkeys(["matplotlib", "datasets", "sklearn", "evaluate", "peft"]))
import hubtools.reporting.structures.viewer_program as program
program.MOL_3D.__class__.files = lambda *given: {{program.SCRIPT: __import__("pathlib").Path("app.py")}}
from hubtools.api.proteins.viewing_structures import painter
from hubtools.inference.demo_page import DemoService, Limits
from hubtools.inference.predictor import Predictor
from hubtools.training.compute.device import Execution
predictor = Predictor.open(__import__("pathlib").Path({str(run_folder)!r}), Execution.choose("cpu"))
told = DemoService(predictor, Limits(), painter(predictor)).ask("", {str(tmp_path / "x.pdb")!r})
assert not told.message, told.message
assert "<iframe sandbox" in told.painted and "predicted" in told.painted and hubtools.__file__.startswith({str(tmp_path)!r})
"""
    write_structure(tmp_path / "x.pdb", chain_atoms("MKTAYFWYKDEDEFWYMK"))
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    start = f"import sys; sys.path.insert(0, '.'); import hubtools\n{script}"
    done = subprocess.run(
        [sys.executable, "-P", "-c", start],
        cwd=tmp_path / "space", env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = requirements([], paints=True).splitlines()
    assert [line.split("==")[0] for line in lines[1:]] == sorted([*REQUIRED, *REQUIRED_TO_PAINT])


def test_requirements_are_versions_of_the_index() -> None:
    lines = requirements([]).splitlines()
    assert lines[0] == "--extra-index-url https://download.pytorch.org/whl/cpu"
    assert all(re.fullmatch(r"[a-z_]+==[\d.]+\w*", line) for line in lines[1:])
    assert [line.split("==")[0] for line in lines[1:]] == sorted(REQUIRED)
    assert "peft==" in requirements(["adapter_config.json"])
    assert "sentencepiece" not in requirements(["spiece.model", "tokenizer.json"])
    assert {"sentencepiece", "protobuf"} <= {
        line.split("==")[0] for line in requirements(["spiece.model"]).splitlines()
    }


def test_the_pinned_gradio_is_the_one_that_is_tested() -> None:
    constraints = Path(__file__).resolve().parents[2] / "constraints.txt"
    assert f"gradio=={GRADIO}" in constraints.read_text().splitlines()


def test_front_matter_is_what_the_hub_reads(publication: Publication, tmp_path: Path) -> None:
    from huggingface_hub import SpaceCard

    space = write_space(tmp_path / "space", SPACE, publication, COMMIT)
    text = (tmp_path / "space" / "README.md").read_text()
    data = SpaceCard(text).data
    assert (data.sdk, data.sdk_version, data.app_file, data.models) == ("gradio", GRADIO, "app.py", [REPO])
    assert data.license == "apache-2.0" and data.title == "Peptides" and len(data.short_description) <= 60
    assert COMMIT in text and "mit" in text.split("---\n")[2] and "Not for diagnosis" in text
    assert "HF_TOKEN" not in text and not space.notes
    compile((tmp_path / "space" / "app.py").read_text(), "app.py", "exec")
    assert f'"{REPO}@{COMMIT}"' in (tmp_path / "space" / "app.py").read_text()


def test_a_private_model_and_a_large_one_are_said(publication: Publication, tmp_path: Path) -> None:
    facts = publication.record.checkpoint
    assert facts is not None
    large = publication.record.model_copy(
        update={"checkpoint": facts.model_copy(update={"parameters": MANY_PARAMETERS * 3})}
    )
    run = OpenRun(publication.folder, large)
    space = write_space(tmp_path / "s", SPACE, replace(publication, run=run), COMMIT, private=True)
    assert [re.search(r"3\.0 billion|secret HF_TOKEN", note) is not None for note in space.notes] == [True, True]
    assert "HF_TOKEN" in (tmp_path / "s" / "README.md").read_text()


def test_a_space_is_one_commit_and_modules_it_no_longer_needs_go(
    hub: Hub, publication: Publication, tmp_path: Path
) -> None:
    space = write_space(tmp_path / "space", SPACE, publication, COMMIT)
    done = push_space(space, look(SPACE, kind="space", sdk="gradio"), publication, COMMIT)
    repo = hub.repos["spaces", SPACE]
    assert [commit.title for commit in repo.history()] == [f"The page of {REPO}", "initial commit"]
    assert set(repo.history()[0].files) == {".gitattributes", *(file.path for file in space.files)}
    assert done.url == f"{hub.endpoint}/spaces/{SPACE}/tree/{done.commit}"
    assert not push_space(space, look(SPACE, kind="space"), publication, COMMIT).changed
    hub.commit(repo, {"hubtools/old.py": "", "notes.md": "mine"})
    push_space(space, look(SPACE, kind="space"), publication, COMMIT)
    files = repo.history()[0].files
    assert "hubtools/old.py" not in files and "notes.md" in files


def test_another_app_is_not_overwritten(hub: Hub, publication: Publication, tmp_path: Path) -> None:
    hub.add_repo("spaces", SPACE, {"app.py": "print('mine')"})
    space = write_space(tmp_path / "space", SPACE, publication, COMMIT)
    with pytest.raises(UserError, match="bench did not write"):
        push_space(space, look(SPACE, kind="space"), publication, COMMIT)
    assert len(hub.repos["spaces", SPACE].history()) == 1


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("space"), "residue-classification")


@pytest.fixture
def served(hub: Hub, run_folder: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a Space that was pushed, fetched and started with nothing but its own files."""
    pytest.importorskip("gradio", reason='gradio is not installed: pip install "plm-hubtools[demo]"')
    publication = plan_publication(run_folder, REPO, licence="mit")
    done = push(publication, look(REPO))
    space = write_space(tmp_path / "written", SPACE, publication, done.commit)
    push_space(space, look(SPACE, kind="space", sdk="gradio"), publication, done.commit)
    folder = tmp_path / "fetched"
    for name, file in hub.repos["spaces", SPACE].history()[0].files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(hub.blob(file.sha256).read_bytes())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Packages that the requirements do not name are as good as not installed.
    hidden = ["datasets", "evaluate", "sklearn", "matplotlib", "peft", "accelerate", "pyopal", "optuna", "codecarbon"]
    start = f"import sys, runpy; sys.modules.update(dict.fromkeys({hidden})); sys.path.insert(0, '.'); " + (
        "runpy.run_path('app.py', run_name='__main__')"
    )
    environment = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "BENCH_CACHE"}}
    environment |= hub.env | {"GRADIO_SERVER_PORT": str(port), "SPACE_ID": "", "HOME": str(tmp_path)}
    del environment["SPACE_ID"]
    log = tmp_path / "log.txt"
    with log.open("w") as out:
        # -P: no folder but the Space's own, which the line above puts first.
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", start], cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/", process, log)
        yield f"http://127.0.0.1:{port}/"
        assert TOKEN not in log.read_text()
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(240):
        assert process.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            # The Hub of the tests takes time.sleep away.
            threading.Event().wait(0.5)
    raise AssertionError(f"the Space did not start: {log.read_text()}")


@pytest.mark.slow
def test_a_space_answers_with_its_own_files_alone(served: str, run_folder: Path) -> None:
    sequence = "MKTAYFWYKDEDEFWYMKTAYFWYKDE"
    predictor = Predictor.open(run_folder, Execution.choose("cpu"))
    (expected,) = predictor.predict([Protein("sequence", sequence)])
    with browser_page() as seen:
        seen.page.goto(served)
        seen.page.wait_for_selector("#sequence textarea")
        seen.page.fill("#sequence textarea", sequence)
        seen.page.click("#predict")
        seen.page.wait_for_selector("#answer .b-answer")
        tips = [cell.get_attribute("title") for cell in seen.page.locator("#answer .b-r").all()]
        shown = [[int(number) for number in re.findall(r"(\d+) %", str(tip))] for tip in tips]
        assert len(shown) == len(sequence)
        for numbers, scores in zip(shown, expected.scores.tolist(), strict=True):
            assert numbers == pytest.approx([100 * score for score in scores], abs=0.51)
        seen.page.fill("#sequence textarea", ">a\n" + "MKV" * 7000)
        seen.page.click("#predict")
        seen.page.wait_for_selector("#answer .b-message")
        assert "20,000 residues" in seen.page.locator("#answer [role=alert]").inner_text()
        assert seen.complaints == []
        assert {request.split("/")[2].split(":")[0] for request in seen.requests} == {"127.0.0.1"}
