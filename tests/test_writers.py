"""Every file that bench writes is written by a function of the one list, ``hubtools.common.files.WRITERS``; read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubtools.common.files import WRITERS

ROOT = Path(__file__).resolve().parents[1] / "hubtools"
MODULES = sorted(path for path in ROOT.rglob("*.py") if "_content" not in path.parts)
OWN = ROOT / "common" / "files.py"
# What writes a file, whoever's function it is: by the name that is called.
WRITING = {
    *("write_text", "write_bytes", "writelines", "savefig", "save_file", "save_pretrained", "open_memmap"),
    *("write_table", "ParquetWriter", "to_parquet", "to_csv", "savez", "tofile", "mkstemp", "mkdtemp"),
    *("copyfile", "copy2", "copytree", "move", "NamedTemporaryFile", "fsync", "symlink_to"),
}
# What only looks like one, or writes where nobody reads until a function of the list has given it its name.
ALLOWED = {
    "hubtools/cli/main.py:main": "to nowhere, in place of a stream that was closed",
    "hubtools/training/compute/memory.py:forget_peak": "a word to the system, no file",
    "hubtools/models/saved.py:ship_code": "into the folder that its caller replaces",
    "hubtools/models/saved.py:_for_strangers": "into the folder that its caller replaces",
    "hubtools/models/saved.py:save_weights": "into the folder that its caller replaces",
    "hubtools/models/saved.py:_save_head": "into the folder that its caller replaces",
    "hubtools/runs/whole_model.py:_write_model": "into the folder that its caller replaces",
    "hubtools/findings/frozen_baseline.py:_freeze_run": "into the folder that its caller replaces",
    "hubtools/exporting/onnx_export.py:fill": "into the folder that its caller replaces",
    "hubtools/exporting/onnx_graph.py:_without_traces": "into the folder that its caller replaces",
    "hubtools/exporting/pipeline_files.py:write_pipeline_files": "into the folder that its caller replaces",
    "hubtools/exporting/quantised.py:quantise": "into the folder that its caller replaces",
    "hubtools/data/npm_package.py:_unpack": "into the folder that its caller replaces",
    "hubtools/inference/writers.py:__init__": "a Parquet file under the name that its caller completes",
    "hubtools/inference/writers.py:_flush": "into the same",
    "hubtools/inference/checkpoints/embedding_files.py:_parquet": "a Parquet file under the name that embedding_file completes",
    "hubtools/inference/checkpoints/embedding_files.py:flush": "into the same",
    "hubtools/inference/checkpoints/embedding_files.py:put": "an entry of an archive under such a name",
    "hubtools/inference/checkpoints/embedding_files.py:_safetensors": "a file under such a name",
    "hubtools/training/frozen/embedding.py:_table": "of one run's work, made anew by the next; its room is taken first",
    "hubtools/data/sources/download.py:_receive": "a part of a download, which is moved when it is whole",
    "hubtools/publishing/contents.py:lay_out": "links, in a folder that goes when it was read",
    "hubtools/publishing/results_repository.py:fetch_submissions": "a new folder for what is written into it",
    "hubtools/reporting/figures/plots.py:png": "into memory",
    "hubtools/reporting/figures/plots.py:paper_file": "into memory",
    "hubtools/training/compute/distributed.py:joined": "to nowhere",
}


def writing(node: ast.AST) -> bool:
    """Whether a call writes a file, or renames one."""
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    given = [inner for argument in [*node.args, *node.keywords] for inner in ast.walk(argument)]
    texts = [one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    if name in {"open", "fdopen"}:
        return any(len(text) <= 3 and set(text) & set("wax+") and set(text) <= set("wax+rbt") for text in texts)
    if not isinstance(node.func, ast.Attribute):
        return name in WRITING
    # Text has replace and frames have rename, with more or other arguments; a file is saved under a name.
    if name in {"replace", "rename"}:
        return len(node.args) == 1 and not node.keywords
    return name in WRITING or (name == "save" and bool(node.args)) or (name == "dump" and len(node.args) > 1)


def unlisted(source: str) -> Iterator[tuple[str, str]]:
    """Function and line of each call that writes outside of a block of a writing function."""

    def within(node: ast.AST, function: str) -> Iterator[tuple[str, str]]:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            function = node.name
        if isinstance(node, ast.With):
            called = [item.context_expr.func for item in node.items if isinstance(item.context_expr, ast.Call)]
            if any(ast.unparse(one).rpartition(".")[2] in WRITERS for one in called):
                return
        if writing(node):
            yield function, ast.unparse(node)
        for child in ast.iter_child_nodes(node):
            yield from within(child, function)

    yield from within(ast.parse(source), "")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_is_written_but_by_the_list(path: Path) -> None:
    if path == OWN:
        return
    place = path.relative_to(ROOT.parent).as_posix()
    found = [
        f"{place}: {line}" for function, line in unlisted(path.read_text()) if f"{place}:{function}" not in ALLOWED
    ]
    assert not found, "write it by a function of hubtools/common/files.py"


def test_nothing_is_allowed_that_is_not_there() -> None:
    there = {
        f"{path.relative_to(ROOT.parent).as_posix()}:{function}"
        for path in MODULES
        if path != OWN
        for function, _ in unlisted(path.read_text())
    }
    assert set(ALLOWED) <= there


@pytest.mark.parametrize(
    "line",
    [
        "path.write_text(text)",
        "open(path, 'w')",
        "path.open('ab' if again else 'wb')",
        "json.dump(values, stream)",
        "path.open(mode='w', encoding='utf-8')",
        "pq.write_table(table, path)",
        "np.save(path, values)",
        "temporary.replace(path)",
        "os.replace",
        "figure.savefig(path)",
    ],
)
def test_the_search_for_it_finds_it(line: str) -> None:
    assert bool(list(unlisted(line))) == (line != "os.replace")
    assert not list(unlisted(f"with replacing(path) as temporary:\n    {line}"))


@pytest.mark.parametrize(
    "line", ["text.replace('a', 'b')", "replace(spec, name='x')", "path.open('rb')", "open('w.txt')"]
)
def test_what_only_looks_like_it_is_left_alone(line: str) -> None:
    assert not list(unlisted(line))
