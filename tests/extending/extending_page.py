"""docs/extending.md: the code blocks of its sections, and the package that a reader would make of them."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "extending.md"


def blocks(section: str, language: str) -> list[str]:
    """Code blocks of a language in a section, in order."""
    text = PAGE.read_text(encoding="utf-8")
    inside = re.search(rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", text, flags=re.DOTALL | re.MULTILINE)
    assert inside, f"the page has no section {section!r}"
    return re.findall(rf"^```{language}\n(.*?)^```", inside[1], flags=re.DOTALL | re.MULTILINE)


def install(site: Path, files: dict[str, str], project: str) -> None:
    """A package in a folder of installed ones: its modules, and the entry points of its pyproject.toml."""
    for name, text in files.items():
        (site / name).write_text(text)
    group, points = re.fullmatch(r'\[project\.entry-points\."(.+)"\]\n(.*)', project, flags=re.DOTALL).groups()
    info = site / "my_lab-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-lab\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{points.replace(chr(34), '')}")
    importlib.invalidate_caches()
