"""The list of readers as the source has it: without an import, and after one."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from hubtools.common.readers import READERS, Reader

ROOT = Path(__file__).resolve().parents[1] / "hubtools"
MODULES = sorted(path for path in ROOT.rglob("*.py") if "_content" not in path.parts)


def is_listed(node: ast.AST) -> bool:
    """Whether a function or a class is in the list."""
    decorators = getattr(node, "decorator_list", [])
    return any(isinstance(one, ast.Call) and ast.unparse(one.func) == "reads" for one in decorators)


@cache
def reader_names() -> dict[str, str]:
    """The names of all readers, and the module of each."""
    found = {}
    for path in MODULES:
        source = path.read_text()
        if "@reads(" in source:
            module = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
            found.update({f"{module.removeprefix('hubtools.')}.{name}": module for name in _listed(ast.parse(source))})
    return found


def _listed(tree: ast.Module) -> Iterator[str]:
    def within(node: ast.AST, outer: str) -> Iterator[str]:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            if is_listed(node):
                yield outer + node.name
            outer = f"{outer}{node.name}."
        for child in ast.iter_child_nodes(node):
            yield from within(child, outer)

    yield from within(tree, "")


def reader(name: str) -> Reader:
    """One of them; its module is imported."""
    importlib.import_module(reader_names()[name])
    return READERS[name]
