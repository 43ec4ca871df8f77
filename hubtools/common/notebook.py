"""What objects show of themselves in a notebook: small tables, with every text escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

# Rows that are shown; the others are counted.
SHOWN = 40
# Cells of no more letters than this are not broken into lines.
_SHORT = 24


def table_html(columns: Sequence[str], rows: Sequence[Sequence[object]], *, numbers: Iterable[str] = ()) -> str:
    """A table, cut to its first rows.

    Args:
        columns: headings.
        rows: cells, each written as text.
        numbers: headings of columns that are set to the right.

    >>> table_html(["name", "score"], [["<b>", "0.5"]], numbers=["score"]).count("&lt;b&gt;")
    1
    """
    right = set(numbers)
    sides = ["right" if column in right else "left" for column in columns]

    def line(tag: str, cells: Sequence[object]) -> str:
        inside = (
            f'<{tag} style="text-align:{side}{_kept_whole(cell)}">{escape(str(cell))}</{tag}>'
            for side, cell in zip(sides, cells, strict=True)
        )
        return f"<tr>{''.join(inside)}</tr>"

    body = "".join(line("td", row) for row in rows[:SHOWN])
    more = f"<p>… and {len(rows) - SHOWN:,} more</p>" if len(rows) > SHOWN else ""
    return f"<table><thead>{line('th', columns)}</thead><tbody>{body}</tbody></table>{more}"


def _kept_whole(cell: object) -> str:
    return ";white-space:nowrap" if len(str(cell)) <= _SHORT else ""


def facts_html(facts: Iterable[tuple[str, object]]) -> str:
    """Names and what is said of them, a line each; line breaks are kept."""
    rows = "".join(
        f'<tr><th style="text-align:left;vertical-align:top">{escape(name)}</th>'
        f'<td style="text-align:left;white-space:pre-line;overflow-wrap:anywhere">{escape(str(text))}</td></tr>'
        for name, text in facts
    )
    return f"<table><tbody>{rows}</tbody></table>"


def line_html(text: str, *, strong: bool = False) -> str:
    """A line of text; nothing where it is empty."""
    if not text:
        return ""
    return f"<p><b>{escape(text)}</b></p>" if strong else f"<p>{escape(text)}</p>"


def lines_html(title: str, lines: Sequence[str]) -> str:
    """A list under a title; nothing where it is empty."""
    if not lines:
        return ""
    shown = "".join(f"<li>{escape(line)}</li>" for line in lines[:SHOWN])
    more = f"<li>… and {len(lines) - SHOWN:,} more</li>" if len(lines) > SHOWN else ""
    return f"<p><b>{escape(title)}</b></p><ul>{shown}{more}</ul>"
