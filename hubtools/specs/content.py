"""Where task, recipe, suite and template files are: the user's folder first, then the shipped ones."""

from __future__ import annotations

import difflib
from pathlib import Path

from hubtools.specs.errors import UserError

KINDS = {"task": "tasks", "recipe": "benchmarks/recipes", "suite": "benchmarks"}


def shipped_root() -> Path:
    """Folder that holds ``tasks/``, ``benchmarks/`` and ``reports/``: inside the package in a wheel, else the checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "_content"
    return inside if inside.is_dir() else package.parent


def roots() -> list[Path]:
    """Folders searched for content, first match wins: the working directory, then what bench ships."""
    here, shipped = Path.cwd(), shipped_root()
    return [here] if here == shipped else [here, shipped]


def available(kind: str) -> dict[str, Path]:
    """All files of a kind (``task``, ``recipe``, ``suite``) by name."""
    found: dict[str, Path] = {}
    for root in roots():
        for path in sorted((root / KINDS[kind]).glob("*.yaml")):
            found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def find(kind: str, name: str) -> Path:
    """The file of a task, recipe or suite, named by a path or by its name.

    Raises:
        UserError: nothing has that name; the message lists near misses.
    """
    as_path = Path(name)
    if as_path.suffix in {".yaml", ".yml"} or "/" in name:
        if not as_path.is_file():
            raise UserError(f"no {kind} file {name}", fix=f"Give a path to a YAML file, or a name: bench {kind}s list.")
        return as_path
    known = available(kind)
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {close[0]}?" if close else f"Known: {', '.join(known) or 'none'}."
    raise UserError(f"no {kind} is called {name!r}", fix=hint)
