"""The Jinja templates of ``reports/``: the user's folder first, then the shipped ones."""

from __future__ import annotations

import re
from typing import Any

from hubtools.reporting import wording
from hubtools.specs.content import roots
from hubtools.specs.errors import UserError


def render(name: str, **context: Any) -> str:
    """Fill a template. A variable that is not given is an error, never an empty place.

    Args:
        name: file name inside ``reports/``; what it writes is escaped as HTML where the name says so.
        context: its variables.

    Raises:
        UserError: the template (the user may have an own one) names an unknown variable or is not valid.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([root / "reports" for root in roots()]),
        undefined=jinja2.StrictUndefined,
        autoescape=name.endswith(".html.j2"),
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
        cell=cell,
    )
    try:
        return environment.get_template(name).render(**context)
    except jinja2.TemplateNotFound as error:
        raise UserError(f"there is no template {error.name}", where="reports/", fix="Reinstall bench.") from None
    except jinja2.TemplateSyntaxError as error:
        raise UserError(f"not a valid template ({error.message})", where=f"{error.filename}:{error.lineno}") from None
    except jinja2.UndefinedError as error:
        raise UserError(f"{error.message}", where=f"reports/{name}", fix="Correct the template.") from None


def asset(name: str) -> str:
    """A file of ``reports/`` that goes out as it is: a script, a style sheet.

    Raises:
        UserError: it is not there.
    """
    for root in roots():
        path = root / "reports" / name
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise UserError(f"there is no file {name}", where="reports/", fix="Reinstall bench.")


def cell(value: object) -> str:
    """Text that cannot break a Markdown table. Spaces at which no line is to break stay such."""
    return " ".join(re.split(r"[ \t\r\n\f\v]+", str(value).strip())).replace("|", "\\|")
