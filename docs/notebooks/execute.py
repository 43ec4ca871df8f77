"""Run the notebooks of this folder in a small setup, and keep what they show: ``python docs/notebooks/execute.py --help``.

A notebook runs as it stands, but for its cell tagged ``parameters``: lines of its own metadata (``bench.small``) come after it, and
are shown below it, so that whoever reads an output knows what it was made with. What a cell shows is what Jupyter would: what it
prints, and its last value, by the methods ``_repr_html_``, ``_repr_markdown_`` and ``_repr_png_``. No kernel is needed for that, because the notebooks
are plain Python; :func:`plain` holds them to it.
"""

from __future__ import annotations

import argparse
import ast
import base64
import contextlib
import hashlib
import io
import json
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PARAMETERS = "parameters"
# Methods by which a value shows itself, as Jupyter knows them.
_SHOWS = {"text/html": "_repr_html_", "text/markdown": "_repr_markdown_", "image/png": "_repr_png_"}
Notebook = dict[str, Any]


def read(path: Path) -> Notebook:
    """A notebook, as nbformat 4 writes it."""
    found: Notebook = json.loads(path.read_text(encoding="utf-8"))
    return found


def write(path: Path, notebook: Notebook) -> None:
    """In one form, so that a difference of two versions is one of content."""
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def code_cells(notebook: Notebook) -> list[dict[str, Any]]:
    """Cells of code, in order."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def text_of(cell: dict[str, Any]) -> str:
    """The source of a cell."""
    return "".join(cell["source"])


def source_sha256(notebook: Notebook) -> str:
    """Of everything that outputs come from: the code, in order, and what parameters are replaced by."""
    parts = [*map(text_of, code_cells(notebook)), *notebook["metadata"]["bench"]["small"]]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def plain(cell: dict[str, Any]) -> ast.Module:
    """The syntax of a cell.

    Raises:
        SyntaxError: it is not plain Python, but a command of IPython, say.
    """
    return ast.parse(text_of(cell))


def run(notebook: Notebook, parameters: Sequence[str]) -> dict[str, Any]:
    """Run all cells in the present folder and put what they show into the notebook.

    Args:
        notebook: its outputs are replaced.
        parameters: lines of Python that come after the cell of parameters.

    Returns:
        The names that the cells left.
    """
    session: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(code_cells(notebook), 1):
        cell["execution_count"], cell["outputs"] = number, []
        printed, warned = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(warned):
            value = _value(plain(cell), session, f"cell {number}")
            if PARAMETERS in cell["metadata"].get("tags", []):
                exec("\n".join(parameters), session)
                print("\n".join(["The outputs of this page were made with", *parameters]))
        for name, text in (("stdout", printed.getvalue()), ("stderr", warned.getvalue())):
            if text:
                cell["outputs"].append({"name": name, "output_type": "stream", "text": text.splitlines(keepends=True)})
        if value is not None:
            cell["outputs"].append(_shown(value, number))
    return session


def _value(tree: ast.Module, session: dict[str, Any], name: str) -> object:
    """Run a cell; the value of its last expression."""
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec"), session)
    return None if last is None else eval(compile(ast.Expression(last.value), name, "eval"), session)


def _shown(value: object, number: int) -> dict[str, Any]:
    data: dict[str, Any] = {"text/plain": repr(value).splitlines(keepends=True)}
    metadata: dict[str, Any] = {}
    for kind, method in _SHOWS.items():
        shows = getattr(value, method, None)
        if shows is None or (found := shows()) is None:
            continue
        if isinstance(found, tuple):
            found, metadata[kind] = found
        data[kind] = base64.b64encode(found).decode() if isinstance(found, bytes) else found.splitlines(keepends=True)
    return {"output_type": "execute_result", "execution_count": number, "data": data, "metadata": metadata}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="notebooks, without .ipynb; by default all")
    parser.add_argument(
        "--with",
        dest="beside",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="what a small setup finds beside the notebook by that name: a checkpoint, a table; may be given often",
    )
    asked = parser.parse_args()
    paths = [HERE / f"{name}.ipynb" for name in asked.names] or sorted(HERE.glob("*.ipynb"))
    for path in paths:
        notebook = read(path)
        with tempfile.TemporaryDirectory() as folder:
            for name, _, target in (one.partition("=") for one in asked.beside):
                Path(folder, name).symlink_to(Path(target).resolve())
            os.chdir(folder)
            run(notebook, notebook["metadata"]["bench"]["small"])
            os.chdir(HERE)
            said = json.dumps(notebook)
            for place in {folder, str(Path.home()), *(one.partition("=")[2] for one in asked.beside)}:
                if re.search(re.escape(place) + r"(?![\w-])", said):
                    sys.exit(f"{path.name} shows a place of this machine: {place}")
        notebook["metadata"]["bench"]["executed"] = source_sha256(notebook)
        write(path, notebook)
        print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
