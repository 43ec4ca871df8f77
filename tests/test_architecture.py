"""The rules of the house, read from the source: which room knows which, and what a help text may load."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "hubtools"
MODULES = sorted(path for path in ROOT.rglob("*.py") if "_content" not in path.parts)
# A room imports from itself and from rooms before it.
ROOMS = [
    "common",
    "specs",
    "data",
    "models",
    "evaluation",
    "training",
    "runs",
    "findings",
    "reporting",
    "publishing",
    "inference",
    "exporting",
    "api",
    "cli",
]
LONGEST = 500
# Modules of one folder; a command is a module, and there are as many as there are.
MOST = 16
MOST_COMMANDS = 24
# Modules whose files are programs.
PICKLES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
HEAVY = {"torch", "transformers", "datasets", "sklearn", "scipy", "pandas", "pyarrow", "matplotlib", "numpy"}


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {dotted(path): path for path in MODULES}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports(path: Path) -> Iterator[str]:
    """Modules of the package that a module imports, also inside functions and for its types."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            # `from hubtools.models import checkpoint` is about the module models.checkpoint.
            found = [
                inner if (inner := f"{node.module}.{alias.name}") in NAMES else str(node.module) for alias in node.names
            ]
        else:
            continue
        yield from (name for name in found if name.split(".")[0] == "hubtools")


def room(name: str) -> str | None:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else None


def test_every_folder_is_a_room_of_the_design() -> None:
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    assert folders <= set(ROOMS)


@pytest.mark.parametrize("name", NAMES)
def test_a_room_knows_only_the_rooms_before_it(name: str) -> None:
    own = room(name)
    # The package itself is the door: what the room api holds, by its names.
    known = ROOMS[: ROOMS.index(own or "api") + 1]
    wrong = [
        imported for imported in imports(NAMES[name]) if room(imported) is not None and room(imported) not in known
    ]
    assert not wrong, f"{name} may import from {', '.join(known) or 'no room'}, and imports {', '.join(wrong)}"


def test_no_module_needs_itself() -> None:
    """Neither when it is imported, nor inside a function, nor for its types."""
    graph = {name: {n for n in imports(path) if n != name} for name, path in NAMES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_a_name_of_a_file_means_one_thing() -> None:
    counted = Counter(path.stem for path in MODULES if path.stem != "__init__")
    assert not [name for name, count in counted.items() if count > 1]


def test_a_name_of_a_class_means_one_thing() -> None:
    classes = [node.name for path in MODULES for node in ast.walk(parsed(path)) if isinstance(node, ast.ClassDef)]
    assert not [name for name, count in Counter(classes).items() if count > 1]


def test_a_folder_can_be_overlooked() -> None:
    counted = Counter(path.parent for path in MODULES if path.stem != "__init__")
    for folder, count in counted.items():
        assert count <= (MOST_COMMANDS if folder.name == "cli" else MOST), f"{folder} has {count} modules"


def test_a_room_says_what_is_inside() -> None:
    for folder in {path.parent for path in MODULES} - {ROOT}:
        said = ast.get_docstring(parsed(folder / "__init__.py")) or ""
        inside = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
        missing = {name for name in inside - {"__init__"} if f"``{name}``" not in said}
        # Commands are listed by the command.
        assert not missing or folder.name == "cli" or folder.parent.name == "cli", f"{folder}: {missing}"


@pytest.mark.parametrize("name", NAMES)
def test_every_module_says_what_it_is_for(name: str) -> None:
    assert ast.get_docstring(parsed(NAMES[name])), f"{name} has no docstring"


@pytest.mark.parametrize("name", NAMES)
def test_a_module_can_be_read_in_a_sitting(name: str) -> None:
    lines = len(NAMES[name].read_text().splitlines())
    assert lines <= LONGEST, f"{name} has {lines} lines: split it"


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_unpickled_without_restriction(name: str) -> None:
    """What others can write (runs, caches, checkpoints) must not run anything when it is read."""
    assert not unpickles(NAMES[name].read_text()), name


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(path, weights_only=False)",
        "torch.load(path)",
        "import pickle",
        "from pickle import loads",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=trusted)",
        "pandas.read_pickle(path)",
        "options = {'weights_only': False}",
        "import joblib",
    ],
)
def test_the_search_for_it_finds_it(line: str) -> None:
    assert unpickles(line) and not unpickles("torch.load(path, weights_only=True); np.load(path, allow_pickle=False)")


def unpickles(source: str) -> list[str]:
    """Lines that may run what is in a file: pickle and what is built on it, unless it is told not to."""
    safe = {"weights_only": True, "allow_pickle": False}
    found: list[ast.AST] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names]
            modules = names if isinstance(node, ast.Import) else [node.module or ""]
            found += [node for module in modules if module.split(".")[0] in PICKLES]
        elif isinstance(node, ast.Call):
            for word in node.keywords:
                value = word.value.value if isinstance(word.value, ast.Constant) else None
                found += [word.value] if word.arg in safe and value is not safe[word.arg] else []
            called = ast.unparse(node.func)
            told = any(word.arg == "weights_only" for word in node.keywords)
            found += [node] if (called == "torch.load" and not told) or called.endswith(".read_pickle") else []
        elif isinstance(node, ast.Dict):
            for key, item in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value in safe:
                    found += [] if isinstance(item, ast.Constant) and item.value is safe[key.value] else [item]
    return [ast.unparse(node) for node in found]


@pytest.mark.parametrize(
    "command",
    [
        ["--help"],
        ["run", "--help"],
        ["board", "--help"],
        ["curve", "--help"],
        ["estimate", "--help"],
        ["sweep", "--help"],
        ["check", "--help"],
        ["publish", "--help"],
        ["baseline", "--help"],
        ["baseline", "create", "--help"],
        ["data", "--help"],
        ["data", "ls"],
        ["cache", "--help"],
        ["recipes", "list"],
        ["run", "--checkpoint", "x", "--dry-run"],
    ],
)
def test_what_needs_no_tensors_loads_no_torch(command: list[str], tmp_path: Path) -> None:
    assert not loaded_by(command, tmp_path) & HEAVY


def test_the_board_loads_no_torch(tmp_path: Path) -> None:
    from sample_records import sample_runs, write_runs

    write_runs(tmp_path / "runs", sample_runs())
    assert not loaded_by(["board"], tmp_path) & (HEAVY - {"numpy"})


def test_a_check_loads_no_torch(tmp_path: Path) -> None:
    from check_cases import write_arm

    write_arm(tmp_path / "runs")
    command = ["check", "--baseline", "runs", "--candidate", "runs", "--junit", "j.xml", "--summary", "s.md"]
    assert not loaded_by(command, tmp_path) & {"torch", "transformers", "datasets"}


def test_what_is_frozen_is_shown_without_torch(tmp_path: Path) -> None:
    golden = ROOT.parent / "benchmarks" / "baselines" / "golden"
    assert not loaded_by(["baseline", "show", str(golden)], tmp_path) & {"torch", "transformers", "datasets"}


@pytest.mark.slow
def test_what_compares_or_checks_a_table_loads_no_torch(tmp_path: Path) -> None:
    from check_cases import write_arm

    write_arm(tmp_path / "runs")
    compared = loaded_by(["compare", "runs:seed=1", "runs:seed=2"], tmp_path)
    task = ROOT.parent / "benchmarks" / "golden" / "tasks" / "golden-class.yaml"
    checked = loaded_by(["tasks", "check", str(task)], tmp_path)
    assert not (compared | checked) & {"torch", "transformers", "sklearn", "matplotlib", "peft"}
    assert "datasets" not in compared


@pytest.mark.slow
def test_a_probe_loads_what_it_needs_when_it_needs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures wait for the card; what neither trains a probe and the baselines beside it nor draws its figures is not imported at all."""
    monkeypatch.setenv("BENCH_BASELINES", "1")
    golden = ROOT.parent / "benchmarks" / "golden"
    task, recipe = golden / "tasks" / "golden-class.yaml", golden / "recipes" / "golden-probe.yaml"
    run = ["run", "--checkpoint", "embedded", "--task", task, "--recipe", recipe, "--runs", tmp_path / "runs"]
    predict = ["predict", "runs:recipe=golden-probe", "one.fasta"]
    (tmp_path / "one.fasta").write_text(">one\nMKTAYIAKQR\n")
    # What is there when a card is begun.
    before = (
        "from hubtools.api import running\nof = running.write_card\n"
        "running.write_card = lambda *given: (noted.update(sys.modules), of(*given))[1]"
    )
    trained, drawn = modules_of([*map(str, run), "--device", "cpu"], tmp_path, before)
    never = {"sklearn", "scipy.stats", "peft", "bitsandbytes", "evaluate", "optuna", "codecarbon", "gradio"}
    assert not trained & (never | {"matplotlib"}) and {"torch", "datasets"} <= trained
    assert not drawn & never and "matplotlib" in drawn
    assert not modules_of(predict, tmp_path)[1] & (never | {"datasets", "pandas", "pyarrow", "matplotlib"})


def test_the_list_of_embeddings_loads_no_torch(tmp_path: Path) -> None:
    assert not loaded_by(["cache", "ls"], tmp_path) & (HEAVY - {"numpy"})


def loaded_by(command: list[str], folder: Path) -> set[str]:
    """Top-level modules in memory after a command that must succeed."""
    return {name.partition(".")[0] for name in modules_of(command, folder)[1]}


def modules_of(command: list[str], folder: Path, before: str = "") -> tuple[set[str], set[str]]:
    """All modules in memory after a command that must succeed, and before them those that lines run first put into ``noted``."""
    code = (
        f"import sys\nnoted = set()\n{before}\nfrom hubtools.cli.main import main\n"
        f"sys.argv = ['bench', *{command!r}]\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    assert not ended.code, ended.code\n"
        "print('NOTED', *noted)\nprint('LOADED', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    noted, _, loaded = done.stdout.rpartition("NOTED")[2].partition("LOADED")
    return set(noted.split()), set(loaded.split())
