"""A card where only its text is shown, as in a notebook."""

from __future__ import annotations

import re

_HEAD = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->\n*", re.DOTALL)
_FIGURE = re.compile(r"!\[([^\]\n]*)\]\([^)\n]*\)|<img\b[^>\n]*?\balt=\"([^\"\n]*)\"[^>\n]*>")


def shown_text(text: str) -> str:
    """A card without its metadata and marks, and with the words of its figures in their place: their files lie elsewhere.

    >>> shown_text("---\\nlicence: mit\\n---\\n# A\\n<!-- mark -->\\n![a map](figures/map.png)\\n")
    '# A\\n*Figure: a map*'
    """
    plain = _COMMENT.sub("", _HEAD.sub("", text))
    return _FIGURE.sub(lambda found: f"*Figure: {(found[1] or found[2] or '').strip()}*", plain).strip()
