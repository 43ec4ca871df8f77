"""The Jinja templates of ``reports/``: those that bench ships, and over them a folder's that the user names.

What lies in the current folder is never used by itself: in CI that folder is what a stranger proposes. And no template
reaches Python, whosever it is: it computes with what it is given.

What a template writes is escaped by its target, which its name says, without being asked: HTML, Markdown, or a literal of
Python. What a filter of :mod:`hubtools.common.escaping` has made, a macro or the template's own text is left as it is, as
is what a program marks by :func:`written`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

from hubtools.common import escaping
from hubtools.common.errors import UserError
from hubtools.common.files import is_file, is_folder
from hubtools.common.readers import reads
from hubtools.findings import wording
from hubtools.specs.lookup.content import shipped_root

_named: ContextVar[Path | None] = ContextVar("templates", default=None)


@contextlib.contextmanager
def templates_of(folder: Path | None) -> Iterator[None]:
    """Inside the block, a folder's templates and assets come before those of bench, each by its path in ``reports/``.

    Raises:
        UserError: there is no such folder.
    """
    if folder is not None and not is_folder(folder):
        raise UserError("there is no such folder", where=str(folder), fix="Name a folder of templates.")
    token = _named.set(folder)
    try:
        yield
    finally:
        _named.reset(token)


def _folders() -> list[Path]:
    own = _named.get()
    shipped = shipped_root() / "reports"
    return [shipped] if own is None else [own, shipped]


@reads("template")
def render(name: str, **context: Any) -> str:
    """Fill a template. A variable that is not given is an error, never an empty place.

    Args:
        name: file name inside ``reports/``; what it writes is escaped as the name says: ``.html.j2``, ``.md.j2``, ``.py.j2``.
        context: its variables.

    Raises:
        UserError: the template (the user may have an own one) names an unknown variable, is not valid, or asks for what no
            template may have.
    """
    import jinja2
    from jinja2.sandbox import SecurityError

    target = name.removesuffix(".j2").rpartition(".")[2]
    if target not in _TARGETS:
        raise UserError("its name does not say what it writes", where=name, fix=f"End it in {', '.join(_ENDINGS)}.")
    try:
        return str(_environment(tuple(_folders()), target).get_template(name).render(**context))
    except jinja2.TemplateNotFound as error:
        raise UserError(f"there is no template {error.name}", where="reports/", fix="Reinstall bench.") from None
    except jinja2.TemplateSyntaxError as error:
        raise UserError(f"not a valid template ({error.message})", where=f"{error.filename}:{error.lineno}") from None
    except SecurityError as error:
        raise UserError(f"a template may not do this ({error})", where=name, fix="Correct the template.") from None
    except jinja2.UndefinedError as error:
        raise UserError(f"{error.message}", where=name, fix="Correct the template.") from None
    except Exception as error:
        # A filter of a value that it is not for, a file that is no text. Of bench's own it would be a mistake of bench.
        if _named.get() is None:
            raise
        raise UserError(
            f"the template stops ({type(error).__name__}: {error})", where=name, fix="Correct the template."
        ) from None


@cache
def _environment(folders: tuple[Path, ...], target: str) -> Any:
    """What templates of some folders are filled by; each is compiled once, and again where its file has changed."""
    import jinja2

    environment = _sandbox()(
        loader=jinja2.FileSystemLoader(folders),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        finalize=_TARGETS[target],
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        number=wording.number,
        count=wording.count,
        duration=wording.duration,
        took=wording.took,
        size=wording.size,
        plural=wording.plural,
        share=wording.share,
        metric_title=wording.metric_title,
        best_of=wording.best_of,
        cell=cell,
        **{name: _writing(made) for name, made in _MAKING.items()},
    )
    return environment


def _sandbox() -> Any:
    """Jinja's sandbox, closed to what touches the disk as well: records come with the paths of their folders."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Sandbox(ImmutableSandboxedEnvironment):
        def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
            return not isinstance(obj, os.PathLike) and super().is_safe_attribute(obj, attr, value)

    return Sandbox


def asset(name: str) -> str:
    """A file of ``reports/`` that goes out as it is: a script, a style sheet.

    Raises:
        UserError: it is not there.
    """
    for folder in _folders():
        path = folder / name
        if is_file(path):
            return path.read_text(encoding="utf-8")
    raise UserError(f"there is no file {name}", where="reports/", fix="Reinstall bench.")


def inline_json(value: Any) -> str:
    """JSON that may stand inside a script element: nothing in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def own_asset(name: str) -> str | None:
    """A file of the folder that the user names; None where they name none, or it holds no such file."""
    path = None if (own := _named.get()) is None else own / name
    return path.read_text(encoding="utf-8") if path is not None and is_file(path) else None


def cell(value: object) -> Any:
    """Text for a cell of a Markdown table. Spaces at which no line is to break stay such."""
    if hasattr(value, "__html__"):
        return value
    return written(escaping.markdown(" ".join(re.split(r"[ \t\r\n\f\v]+", str(value).strip()))))


def written(text: str) -> Any:
    """A text that a template writes as it is: it is in the language of the template's target already."""
    from markupsafe import Markup

    return Markup(text)


def _writing(made: Callable[..., str]) -> Callable[..., Any]:
    return lambda *values: written(made(*values))


def _escaped_by(escape: Callable[[object], str]) -> Callable[[Any], Any]:
    def finalize(value: Any) -> Any:
        return value if hasattr(value, "__html__") else written(escape(value))

    return finalize


# What a template may write, by the end of its name, and how each value in it is escaped: HTML by Jinja itself.
_TARGETS: dict[str, Callable[[Any], Any] | None] = {
    "html": None,
    "md": _escaped_by(escaping.markdown),
    "py": _escaped_by(escaping.python_literal),
}
_ENDINGS = [f".{target}.j2" for target in _TARGETS]
# Filters that escape for a place of its own inside a target.
_MAKING: dict[str, Callable[..., str]] = {
    "code": escaping.code,
    "code_line": escaping.code_line,
    "fence": escaping.fence,
    "link": escaping.link,
    "python": escaping.python_literal,
}
