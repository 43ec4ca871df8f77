"""A model's page as a Space of the Hub: the page's own code, the model at one commit, and nothing else to install.

bench is on no package index, so the Space carries the modules that the page runs: those that its imports lead to.
Changing the package later does not change a Space that is there.
"""

from __future__ import annotations

import ast
import importlib.metadata
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hubtools.common.errors import UserError
from hubtools.common.files import write_atomic
from hubtools.publishing.commit import PublishedFile, PushedCommit, Target, send
from hubtools.publishing.contents import README, Publication
from hubtools.reporting.card.card_metadata import front_matter
from hubtools.reporting.templates import asset, render
from hubtools.specs.head_kinds import HEADS
from hubtools.specs.record import RunRecord

# What app.py imports; the rest follows.
ENTRIES = ("hubtools.inference.demo_page", "hubtools.inference.named_model", "hubtools.training.compute.device")
# Gradio and Python that the page is tested with.
GRADIO, PYTHON = "6.31.0", "3.12"
# Packages that the shipped modules import, besides gradio, which the Space's front matter asks for.
REQUIRED = (
    "filelock",
    "huggingface_hub",
    "numpy",
    "openpyxl",
    "pyarrow",
    "pydantic",
    "pyyaml",
    "safetensors",
    "scipy",
    "torch",
    "tqdm",
    "transformers",
)
# What more a page of residues is made of, on which the answer stands on a structure that is uploaded: a module, the packages that it
# and what it imports need, and files of reports/.
PAINTING = "hubtools.api.proteins.viewing_structures"
REQUIRED_TO_PAINT = ("biotite", "jinja2", "markupsafe", "msgpack", "pandas")
PAINTED_BY = (
    "space/static/page.css",
    *(f"structures/{name}" for name in ("index.html.j2", "structures.css", "structures.js")),
)
# The free hardware has 2 cores and 16 GB: more parameters than this, and an answer takes minutes.
MANY_PARAMETERS = 1_000_000_000
# What strangers may ask of those two cores at once.
PROTEINS, RESIDUES = 50, 20_000
TITLE_LENGTH = 60  # of short_description, by the Hub
_PACKAGE = Path(__file__).resolve().parents[1]
_CODE = f"{_PACKAGE.name}/"
# What a page of bench is made of, by where it computes, and the file that says that it is one.
PAGE_FILES = {
    "gradio": ("app.py", "requirements.txt", _CODE),
    "static": (
        *("index.html", "page.json", "page.css", "page.js", "proteins.js", "worker.js", "offline.js", "runtime/"),
        *("model.onnx", "head.onnx", "tokens.json", "export.json"),
    ),
}
_SIGNS = {"gradio": f"{_CODE}__init__.py", "static": "export.json"}
# What the Hub puts into every new static Space.
_FRESH = {"index.html", "style.css", README, ".gitattributes"}


@dataclass(frozen=True)
class DemoSpace:
    """The files of a Space, and what its owner should know.

    Attributes:
        repo: ``owner/name`` of the Space.
        files: as they will lie in it.
        notes: a sentence each.
    """

    repo: str
    files: tuple[PublishedFile, ...]
    notes: tuple[str, ...] = ()


def write_space(folder: Path, repo: str, publication: Publication, commit: str, *, private: bool = False) -> DemoSpace:
    """Lay a Space out in a folder, in which ``python app.py`` serves the page.

    Args:
        folder: empty.
        repo: ``owner/name`` of the Space.
        publication: of the model.
        commit: of the model's repository, which the Space will load whatever comes after.
        private: whether the model is, so that the Space needs a token.

    Raises:
        UserError: a module that the page needs is not there, or the model's head is that of another package.
    """
    record = publication.record
    paints = record.task_spec.problem.level.by_residue
    entries = [*ENTRIES, *_of_head(record), *([PAINTING] if paints else [])]
    for name in sorted(shipped_modules(_PACKAGE, entries)):
        write_atomic(folder / _CODE / name, (_PACKAGE / name).read_text(encoding="utf-8"))
    for name in PAINTED_BY if paints else ():
        # Where a wheel has what bench ships.
        write_atomic(folder / _CODE / "_content" / "reports" / name, asset(name))
    title = record.title
    about = {
        "title": title,
        "emoji": "🧬",
        "sdk": "gradio",
        "sdk_version": GRADIO,
        "python_version": PYTHON,
        "app_file": "app.py",
        "models": [publication.repo],
        "license": "apache-2.0",
        "short_description": _short(title),
        "suggested_hardware": "cpu-basic",
        "tags": ["biology", "protein-language-model", "bench"],
    }
    facts = {
        "model": publication.repo,
        "commit": commit,
        "summary": record.task_spec.summary or "",
        "licence": publication.licence,
        "subject": record.subject,
        "recipe": record.identity.recipe.name,
        "private": private,
        "bench": record.environment.bench,
        "proteins": PROTEINS,
        "residues": RESIDUES,
        "paints": paints,
    }
    write_atomic(folder / README, front_matter(about) + render("space/README.md.j2", title=title, **facts))
    write_atomic(folder / "app.py", render("space/app.py.j2", **facts))
    write_atomic(folder / "requirements.txt", requirements({file.path for file in publication.files}, paints=paints))
    paths = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: (path.parts[:-1], path))
    files = tuple(PublishedFile.of(path.relative_to(folder).as_posix(), path) for path in paths)
    return DemoSpace(repo, files, tuple(_notes(publication, repo, private)))


def refuse_another_page(target: Target) -> None:
    """Look at what the Space holds.

    Raises:
        UserError: an app or a page that bench did not write, which would be overwritten.
    """
    held = set(target.files)
    app = "app.py" in held and _SIGNS["gradio"] not in held
    page = "index.html" in held and _SIGNS["static"] not in held and not held <= _FRESH
    if app or page:
        what = "an app.py" if app else "an index.html"
        raise UserError(
            f"this Space has {what} that bench did not write", where=target.repo, fix="Choose another name: --space."
        )


def push_space(space: DemoSpace, target: Target, publication: Publication, commit: str) -> PushedCommit:
    """One commit, in which what an earlier page of bench needed goes, of either kind; files of others stay.

    Args:
        space: from :func:`write_space`, or a page that needs no server.
        target: from :func:`hubtools.publishing.commit.look`, of kind ``space``.
        publication: of the model.
        commit: of the model that the page is of.

    Raises:
        UserError: as :func:`refuse_another_page`, and :func:`hubtools.publishing.commit.send`.
    """
    refuse_another_page(target)
    new = {file.path for file in space.files}
    ours = tuple(name for kind, sign in _SIGNS.items() if sign in target.files for name in PAGE_FILES[kind])
    stale = [name for name in target.files if ours and name.startswith(ours) and name not in new]
    text = f"Of {publication.repo} at {commit}; bench run {publication.record.run_id}."
    return send(target, space.files, stale, f"The page of {publication.repo}", text)


def requirements(published: Iterable[str], *, paints: bool = False) -> str:
    """``requirements.txt``: the versions that are installed here, torch for processors alone.

    Args:
        published: names of the model's files, some of which need a package more.
        paints: whether the page reads structures.
    """
    names, published = [*REQUIRED, *(REQUIRED_TO_PAINT if paints else ())], set(published)
    if "adapter_config.json" in published:
        names.append("peft")
    if "spiece.model" in published and "tokenizer.json" not in published:
        names += ["sentencepiece", "protobuf"]
    # A version of this machine's build, as 2.6.0+cu124, is not on the index.
    lines = [f"{name}=={importlib.metadata.version(name).split('+')[0]}" for name in sorted(names)]
    return "\n".join(["--extra-index-url https://download.pytorch.org/whl/cpu", *lines]) + "\n"


def shipped_modules(package: Path, entries: Iterable[str] = ENTRIES) -> set[str]:
    """Files of the package that modules need: those they import, anywhere but for type checkers, and so on.

    Args:
        package: folder of the package.
        entries: dotted names.

    Returns:
        Paths inside the folder.
    """
    found: set[str] = set()
    waiting = list(entries)
    while waiting:
        name = waiting.pop()
        file = _file(package, name)
        if file is None or file in found:
            continue
        found.add(file)
        parts = name.split(".")
        # Importing a module imports the packages around it.
        waiting += [".".join(parts[:end]) for end in range(1, len(parts))]
        waiting += _imports(ast.parse((package / file).read_text(encoding="utf-8")))
    return found


def _of_head(record: RunRecord) -> list[str]:
    """The module of a head that has a file of its own, which no module imports."""
    kind = HEADS[(record.recipe.get("head") or {}).get("kind") or "bench"]
    if kind.file and kind.file.split(".")[0] != _PACKAGE.name:
        fix = "Publish the model alone; its card says how to load it."
        raise UserError(f"a Space does not hold {kind.file}, where the head {kind.name!r} is", fix=fix)
    return [kind.file] if kind.file else []


def _file(package: Path, name: str) -> str | None:
    if name.split(".")[0] != package.name:
        return None
    inside = "/".join(name.split(".")[1:])
    options = (f"{inside}.py", f"{inside}/__init__.py".lstrip("/"))
    return next((option for option in options if (package / option).is_file()), None)


def _imports(tree: ast.AST) -> Iterator[str]:
    """Names of what is imported; of ``from a import b`` both a and a.b, one of which may be no module."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from _imports(node)


def _notes(publication: Publication, repo: str, private: bool) -> Iterator[str]:
    facts = publication.record.checkpoint
    if facts and facts.parameters > MANY_PARAMETERS:
        yield (
            f"The model has {facts.parameters / 1e9:.1f} billion parameters: on the Hub's free hardware (2 cores, 16 GB) it "
            "may not fit, or take minutes. Choose larger hardware in the Space's settings."
        )
    if private:
        yield (
            f"The model is private, so the Space needs a token that may read it: add it in the settings of {repo}, as the "
            "secret HF_TOKEN."
        )


def _short(title: str) -> str:
    return title if len(title) <= TITLE_LENGTH else re.sub(r"\W+\w*$", "", title[: TITLE_LENGTH - 1]) + "…"
