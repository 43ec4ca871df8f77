"""The notebooks of docs/notebooks run as they stand, on little data, and what they show came from what they say."""

from __future__ import annotations

import ast
import importlib.util
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tiny_checkpoints import write_checkpoint
from uniprot_server import UniProt

import hubtools

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "notebooks"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
GOLDEN = FOLDER.parents[1] / "benchmarks" / "golden" / "tasks" / "golden-class.yaml"
LARGEST = 300_000  # bytes
# What else a notebook may import; pandas is there wherever bench is.
IMPORTS = {"hubtools", "importlib.util", "pandas", "subprocess", "sys"}
PLACES = re.compile(r"(?<![\w.:/])/(?:tmp|work|home|root|Users|var|mnt|opt|content)/|[A-Z]:\\\\")


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("execute_notebooks", FOLDER / "execute.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = _script()


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_plain_python_through_the_one_door(name: str) -> None:
    notebook = SCRIPT.read(FOLDER / f"{name}.ipynb")
    cells = SCRIPT.code_cells(notebook)
    assert sum(SCRIPT.PARAMETERS in cell["metadata"].get("tags", []) for cell in cells) == 1
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    trees = [SCRIPT.plain(cell) for cell in cells]
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Import):
            assert {alias.name for alias in node.names} <= IMPORTS
        assert not isinstance(node, ast.ImportFrom)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "hubtools":
            assert node.attr in hubtools.__all__
        # Names that begin with an underscore are nobody's to use.
        assert not (isinstance(node, ast.Attribute) and node.attr.startswith("_"))
    # Only the first cell installs, and only where bench is not there.
    assert "find_spec" in SCRIPT.text_of(cells[0])
    assert not any("subprocess" in SCRIPT.text_of(cell) for cell in cells[1:])


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_what_a_notebook_shows_came_from_what_it_says(name: str) -> None:
    path = FOLDER / f"{name}.ipynb"
    notebook = SCRIPT.read(path)
    assert notebook["metadata"]["bench"]["executed"] == SCRIPT.source_sha256(notebook), "make notebooks runs it again"
    assert path.stat().st_size < LARGEST
    for number, cell in enumerate(SCRIPT.code_cells(notebook), 1):
        assert cell["execution_count"] == number
        last = SCRIPT.plain(cell).body[-1]
        if number > 1 and isinstance(last, ast.Expr):
            assert cell["outputs"], number
    outputs = json.dumps([cell["outputs"] for cell in SCRIPT.code_cells(notebook)], ensure_ascii=False)
    assert not PLACES.findall(outputs) and "Traceback" not in outputs and '"error"' not in outputs


def test_each_opens_in_colab_and_is_listed() -> None:
    listed = (FOLDER / "README.md").read_text(encoding="utf-8")
    project = (FOLDER.parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    (ours,) = re.findall(r'^Repository = "https://(github\.com/[\w-]+/[\w-]+)"', project, flags=re.MULTILINE)
    assert sorted(set(re.findall(r"\]\(([\w-]+)\.ipynb\)", listed))) == NOTEBOOKS
    for name in NOTEBOOKS:
        there = ours.replace("github.com", "github")
        link = f"](https://colab.research.google.com/{there}/blob/main/docs/notebooks/{name}.ipynb)"
        notebook = SCRIPT.read(FOLDER / f"{name}.ipynb")
        assert link in SCRIPT.text_of(notebook["cells"][0]) and link in listed, name
        for cell in notebook["cells"]:
            for target in re.findall(r"https://(github\.com/\S+?)/blob/main/([\w./-]+)", SCRIPT.text_of(cell)):
                assert target[0] == ours and (FOLDER.parents[1] / target[1]).is_file(), target


def _entries(count: int) -> list[dict[str, str]]:
    """Proteins as UniProt gives them, without relatives among them; what is of a membrane has more leucine."""
    drawn = random.Random(0)
    rows = []
    for number in range(count):
        letters = "ACDEFGHIKLMNPQRSTVWY" + ("LLLLLLVVV" if number % 2 else "DEKR")
        place = "Cell membrane; Multi-pass membrane protein" if number % 2 else "Cytoplasm"
        rows.append(
            {
                "accession": f"P{10000 + number}",
                "sequence": "M" + "".join(drawn.choices(letters, k=drawn.randint(40, 70))),
                "cc_subcellular_location": f"SUBCELLULAR LOCATION: {place}. Note=Of nobody.",
                "ft_helix": 'HELIX 3..12; /evidence="ECO:0007829"; HELIX 30..36',
                "ft_strand": "STRAND 16..20",
                "ft_turn": "TURN 22..24" if number % 3 else "",
            }
        )
    return rows


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a session: UniProt answers from this machine, and other things that are asked for lie in it."""
    from hubtools.data.sources import uniprot

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(uniprot, "FIRST_PAUSE", 0.001)
    entries = _entries(80)
    rows = [f"g{number},{number / 80},{entry['sequence']}" for number, entry in enumerate(entries)]
    Path("own.csv").write_text("\n".join(["gene,solubility,sequence", *rows]), encoding="utf-8")
    write_checkpoint(tmp_path / "other", "esm")
    # Clusters of 30 % identity need MMseqs2, which need not be here; a task in the folder of a session is found first.
    for shipped in (FOLDER.parents[1] / "tasks").glob("notebook-*-corrected.yaml"):
        Path("tasks").mkdir(exist_ok=True)
        text = shipped.read_text(encoding="utf-8")
        assert "identity: 0.3" in text
        Path("tasks", shipped.name).write_text(text.replace("identity: 0.3", "identity: 0.5"), encoding="utf-8")
    with UniProt(entries, page=50) as running:
        monkeypatch.setenv("BENCH_UNIPROT", running.address)
        yield tmp_path


QUICK = ["SEEDS, SUBSET = [1, 2], 30", 'CHECKPOINT = "embedded"']
# What a notebook's parameters become, the names that it leaves, and tables of theirs that must hold something.
SMALL: dict[str, tuple[list[str], str]] = {
    "sequence-classification": (
        [*QUICK, 'SETTINGS = {"epochs": 1}'],
        "checked planned done board comparison predicted",
    ),
    "token-classification": ([*QUICK, 'SETTINGS = {"epochs": 1}'], "checked planned done board comparison predicted"),
    "own-data": (['SEEDS, CHECKPOINT, TABLE = [1], "embedded", "own.csv"'], "proposed done board comparison predicted"),
    "new-checkpoint": (
        [f'BEFORE, AFTER, SEEDS, SUBSET, TASKS = "embedded", "other", [1], 30, [{str(GOLDEN)!r}]'],
        "done done_after board comparison checked",
    ),
    "learning-curve": ([*QUICK, f"FRACTIONS, TASK = [0.5, 1], {str(GOLDEN)!r}"], "planned done curves comparison"),
}


def test_every_notebook_is_run_below() -> None:
    assert sorted(SMALL) == NOTEBOOKS


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_as_it_stands(name: str, beside: Path) -> None:
    notebook = SCRIPT.read(FOLDER / f"{name}.ipynb")
    parameters, left = SMALL[name]
    session: dict[str, Any] = SCRIPT.run(notebook, parameters)
    assert not session["done"].problems and len(session["done"].complete) == session["done"].planned
    for shown in left.split():
        html = session[shown]._repr_html_()
        assert html.count("<table") == html.count("</table>") > 0 and str(beside) not in html, shown
        assert shown in {"checked", "proposed"} or len(session[shown].to_pandas()), shown
    pictures = [
        output["data"]["image/png"]
        for cell in SCRIPT.code_cells(notebook)
        for output in cell["outputs"]
        if "image/png" in output.get("data", {})
    ]
    assert pictures
