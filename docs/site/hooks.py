"""What MkDocs asks of this project: pages that lie outside docs/, and links to files that are no page."""

from __future__ import annotations

import posixpath
import re
import tomllib
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]

#: Files of the repository that are pages, and what they are called on the site.
PAGES = {
    "README.md": "index.md",
    "tasks/README.md": "catalogue.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
SOURCES = {page: source for source, page in PAGES.items()}
LINK = re.compile(r"(?P<before>!?)\[(?P<text>[^\]]*)\]\((?P<path>[^)\s#:]+)(?P<anchor>(?:#[^)\s]*)?)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie outside docs/."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn links between files of the repository into links between pages.

    A link that shows the name of a page's file shows the page's title. A file that is no page is linked to in the repository,
    at the address in ``pyproject.toml``. A link to nothing stays as it is, so that the strict build names it.
    """
    name = page.file.src_uri
    here = posixpath.dirname(name) or "."
    folder = posixpath.dirname(SOURCES.get(name, f"docs/{name}"))
    repository = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]

    def turned(match: re.Match[str]) -> str:
        path, text = posixpath.normpath(posixpath.join(folder, match["path"])), match["text"]
        if path.endswith(".md") and text in {path, match["path"]} and (ROOT / path).is_file():
            text = _title(ROOT / path)
        if path in PAGES:
            target = posixpath.relpath(PAGES[path], here)
        elif path.startswith("docs/") and not path.endswith(".ipynb"):
            target = posixpath.relpath(path, posixpath.join("docs", here))
        elif (ROOT / path).exists():
            target = f"{repository}/blob/main/{path}"
        else:
            return match[0]
        return f"{match['before']}[{text}]({target}{match['anchor']})"

    # Code is shown as it is.
    pieces = re.split(r"(^```.*?^```$)", markdown, flags=re.DOTALL | re.MULTILINE)
    return "".join(piece if piece.startswith("```") else LINK.sub(turned, piece) for piece in pieces)


def _title(page: Path) -> str:
    """The first heading of a page."""
    return page.read_text(encoding="utf-8").split("\n", 1)[0].lstrip("# ")
