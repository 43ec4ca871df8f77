"""Where the code joins something to a path, read from its source: ``folder / name``, ``joinpath``, ``Path(folder, name)``.

What is a path is told by how a name is made in its module: an argument or a value of type Path, and what follows from paths.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

# Attributes and methods that give paths, whatever they are of; functions of bench's that do.
_PATHS = {"parent", "folder", "root", "resolve", "expanduser", "absolute", "with_name", "cwd", "home", "owner"}
_GIVE_PATHS = {
    "Path",
    "inside",
    "shipped_root",
    "cache_folder",
    "usable_cache_folder",
    "download_files",
    "mkdtemp",
    "snapshot_download",
}


def joins(source: str) -> Iterator[tuple[str, str]]:
    """Each join to a path: its text, and what is joined where that is not written in the code.

    A text in quotes, a constant in capitals and a file's own name (``path.name``, ``MODELING_FILE.name``) are written in the
    code or read from a folder; so is what a digest is.
    """
    tree = ast.parse(source)
    known = _named_paths(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and _is_path(node.left, known):
            joined = [node.right]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "joinpath":
            joined = node.args
        elif isinstance(node, ast.Call) and _called(node) in {"Path", "PurePosixPath"}:
            joined = node.args[1:]
        else:
            continue
        for part in joined:
            if not _written(part):
                yield ast.unparse(node), ast.unparse(part)


def _called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def _written(part: ast.expr) -> bool:
    if isinstance(part, ast.Constant):
        return True
    if isinstance(part, ast.Name):
        return part.id.isupper()
    if isinstance(part, ast.Attribute):
        return isinstance(part.value, ast.Name) and part.value.id.isupper() and part.attr == "name"
    if isinstance(part, ast.JoinedStr):
        return all(_written(value.value) for value in part.values if isinstance(value, ast.FormattedValue))
    if isinstance(part, ast.Subscript):
        return _written(part.value)
    return isinstance(part, ast.Call) and _called(part) in {"digest", "file_sha256"}


def _named_paths(tree: ast.AST) -> set[str]:
    """Names that stand for paths somewhere in a module."""
    known: set[str] = set()
    while True:
        before = len(known)
        for node in ast.walk(tree):
            if isinstance(node, ast.arg) and node.annotation is not None and _says_path(node.annotation):
                known.add(node.arg)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and _says_path(node.annotation):
                known.add(node.target.id)
            elif isinstance(node, ast.Assign):
                for target in node.targets:
                    known |= set(_assigned(target, node.value, known))
            elif isinstance(node, (ast.For, ast.comprehension)) and isinstance(node.target, ast.Name):
                called = node.iter.func if isinstance(node.iter, ast.Call) else None
                if isinstance(called, ast.Attribute) and called.attr in {"glob", "rglob", "iterdir"}:
                    known.add(node.target.id)
            elif (
                isinstance(node, ast.withitem)
                and isinstance(node.optional_vars, ast.Name)
                and isinstance(node.context_expr, ast.Call)
                and _called(node.context_expr).startswith("replacing")
            ):
                known.add(node.optional_vars.id)
        if len(known) == before:
            return known


def _says_path(annotation: ast.expr) -> bool:
    return any(isinstance(node, ast.Name) and node.id == "Path" for node in ast.walk(annotation)) and not any(
        isinstance(node, ast.Name) and node.id in {"list", "dict", "Sequence", "Mapping", "tuple", "Callable"}
        for node in ast.walk(annotation)
    )


def _assigned(target: ast.expr, value: ast.expr, known: set[str]) -> Iterator[str]:
    if isinstance(target, ast.Name) and _is_path(value, known):
        yield target.id
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for one, given in zip(target.elts, value.elts, strict=True):
            yield from _assigned(one, given, known)


def _is_path(node: ast.expr, known: set[str]) -> bool:
    if isinstance(node, ast.Name):
        return node.id in known
    if isinstance(node, ast.Attribute):
        return node.attr in _PATHS or node.attr in known
    if isinstance(node, ast.Call):
        return _called(node) in _GIVE_PATHS | _PATHS
    if isinstance(node, ast.IfExp):
        return _is_path(node.body, known) or _is_path(node.orelse, known)
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and _is_path(node.left, known)
