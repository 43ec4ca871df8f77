"""Free text as each target takes it: the one place that escapes.

Titles, labels, ids and citations may come from anybody, and each target acts on something else. What is written into one goes
through its function here: :func:`markdown` (also in a cell of a table), :func:`code`, :func:`code_line` and :func:`fence`,
:func:`link`, :func:`python_literal` and :func:`python_comment`, :func:`spreadsheet_cell`, :func:`terminal`, :func:`latex`. Templates are
escaped by their target without being asked (``reporting/templates.py``), and so is what a command prints
(``cli/shared/guarded.py``). Of the rest Python's own are the one place: ``html.escape``, ``shlex``, ``yaml.safe_dump``, ``json``.
"""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from hubtools.common.texts import visible

# What begins code, emphasis, a link, a cell, struck text, a formula, an escape or a template's place anywhere in a line.
_ANYWHERE = re.compile(r"[\\`*\[\]|~$]|(?<=\{)[{%]")
# An underline inside a word means nothing, and names of checkpoints are full of them.
_UNDERLINE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
# A character reference stands for another character.
_REFERENCE = re.compile(r"&(?=#?\w+;)")
# At the start of a line: heading, list, line under a heading, quotation, numbered list.
_LINE_START = re.compile(r"^(\s*)(?:(#{1,6}(?=\s|$)|[+-](?=\s|$)|[=-]+\s*$|>)|(\d{1,9})([.)])(?=\s|$))")
_INDENTED = re.compile(r"^[ \t]{2,}")
# What a code span holds as it is, in a cell of a table too.
_PLAIN_CODE = re.compile(r"[^`|<>\s](?:[^`|<>]*[^`|<>\s])?")
_FENCE = re.compile(r"(?m)^ {0,3}(`{3,})")
# The marks of a card (reporting/card/card_edits.py): what stands in code is never one.
_MARK = re.compile(r"<!--(?=\s*/?bench:)")
# A spreadsheet takes a cell that begins so for a formula, in wide characters too.
_FORMULA = re.compile("[=+\\-@\t\r\n\uff0b\uff0d\uff1d\uff20]")
_NUMBER = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?%?|inf|nan)?")
# The runner of GitHub Actions takes commands from what a step prints: at the start of a line, in their older form anywhere.
_COMMAND = re.compile(r"(?m)(?:^|(?<=\r))(?P<space>[^\S\r\n]*):(?=:)|#(?=#\[)")


def markdown(text: object) -> str:
    """Text that Markdown shows as it is: inside a line, as a line of its own, in a cell of a table. Line breaks are spaces."""
    plain = " ".join(visible(line) for line in str(text).splitlines())
    plain = _ANYWHERE.sub(r"\\\g<0>", _REFERENCE.sub("&amp;", plain))
    plain = _INDENTED.sub(" ", _UNDERLINE.sub(r"\\_", plain).replace("<", "&lt;"))
    return _LINE_START.sub(lambda m: f"{m[1]}\\{m[2]}" if m[2] else f"{m[1]}{m[3]}\\{m[4]}", plain)


def code(text: object) -> str:
    """Text as code inside a line of Markdown, in a cell of a table too."""
    plain = " ".join(visible(line) for line in str(text).splitlines())
    if _PLAIN_CODE.fullmatch(plain):
        return f"`{plain}`"
    # A character reference never begins anything.
    referred = re.sub(r"[^\w ]|_", lambda found: f"&#{ord(found[0])};", plain)
    return f"<code>{referred}</code>" if plain else ""


def code_line(text: object) -> str:
    """A line inside a fenced block of Markdown: one, and none that ends the block."""
    line = _unmarked(" ".join(visible(line) for line in str(text).splitlines()))
    return f"    {line.lstrip()}" if _FENCE.match(line) or line.lstrip().startswith("~~~") else line


def fence(text: object, language: str = "") -> str:
    """A fenced block of Markdown that no line of the text ends."""
    plain = _unmarked("\n".join(visible(line, lines=True) for line in str(text).splitlines()))
    ticks = "`" * max(3, *(len(found) + 1 for found in _FENCE.findall(plain)), 3)
    return f"{ticks}{language}\n{plain}\n{ticks}"


def _unmarked(text: str) -> str:
    return _MARK.sub("<!- -", text)


def web_address(text: object) -> str | None:
    """An address of the web, with nothing in it that ends a link of Markdown or HTML; None where it is another thing.

    A page runs what stands behind ``javascript:``, and opens what stands behind ``file:``.
    """
    address = str(text).strip()
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    if parts.scheme.lower() not in {"http", "https"} or not parts.hostname:
        return None
    return quote(address, safe="%/:?#=&;,+~!$@.-_")


def link(text: object, address: object | None = None) -> str:
    """A link of Markdown; the text alone where the address is none of the web.

    Args:
        text: what is shown.
        address: where it leads; by default the text is the address.
    """
    target = web_address(text if address is None else address)
    if target is None:
        return markdown(text)
    return f"<{target}>" if address is None else f"[{markdown(text)}]({target})"


def python_literal(value: object) -> str:
    """A value as a Python literal, on one line and with nothing in it that cannot be seen."""
    if not isinstance(value, str):
        return repr(value)
    escapes = {'"': '\\"', "\\": "\\\\"}
    shown = (c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in value)
    # A card's marks are looked for in its code too.
    return '"' + "".join(escapes.get(c, c) for c in shown).replace("<!--", "\\x3c!--") + '"'


def python_comment(text: str) -> str:
    """A text as it may stand behind a #: on one line."""
    return _unmarked(" ".join("".join(c if c.isprintable() else " " for c in text).split()))


def spreadsheet_cell(value: object) -> object:
    """A cell of CSV or TSV: a text that a spreadsheet would compute stands behind an apostrophe, and what acts is visible.

    The way is OWASP's (CSV Injection); a number, or a sign alone, is no formula.
    """
    if not isinstance(value, str):
        return value
    formula = _FORMULA.match(value) is not None and _NUMBER.fullmatch(value) is None
    return terminal(visible(f"'{value}" if formula else value, lines=True))


def terminal(text: str, *, inside: bool = False) -> str:
    """Text that a terminal, a log and the runner of GitHub Actions show and do not act on.

    Args:
        text: any, with lines.
        inside: whether it goes on a line that has begun, with more than spaces.
    """
    # A bar goes back to the start of its line.
    shown = "\r".join(visible(part, lines=True) for part in text.split("\r"))
    if "::" not in shown and "##[" not in shown:
        return shown
    head, end, rest = shown.partition("\n") if inside else ("", "", shown)
    return head.replace("##[", "\\u0023#[") + end + _COMMAND.sub(_as_escape, rest)


def _as_escape(found: re.Match[str]) -> str:
    return "\\u0023" if found["space"] is None else f"{found['space']}\\u003a"


# What LaTeX acts on, and letters that its usual fonts lack.
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "×": r"$\times$",
    "→": r"$\rightarrow$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "●": r"$\bullet$",
    "†": r"$\dagger$",
    "ρ": r"$\rho$",
    "β": r"$\beta$",
    "α": r"$\alpha$",
    "Δ": r"$\Delta$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "–": "--",
    "·": r"$\cdot$",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def latex(text: object) -> str:
    """Text that LaTeX shows as it is, on one line."""
    plain = " ".join(visible(line) for line in str(text).splitlines())
    return "".join(_LATEX.get(letter, letter) for letter in plain)
