"""The table by which residues become tokens, as JSON: that of the tokeniser itself, for programs that have none."""

from __future__ import annotations

from typing import Any

from hubtools.models.families.canonical_form import EVERY_LETTER
from hubtools.models.tokenisation import ResidueTokeniser

TOKENS = "tokens.json"


def token_table(tokeniser: ResidueTokeniser) -> dict[str, Any]:
    """What a program needs to write a protein as tokens.

    Args:
        tokeniser: whose tokens are residues.

    Returns:
        ``letters``: the token of each upper-case letter that has one; ``before``, ``after``: tokens around every window;
        ``padding``: the token that fills rows; ``unknown``: letters that are read as a residue that is not known; ``written``: how
        the checkpoint's own tokenizer is given residues, in words.
    """
    table = tokeniser.table
    assert table is not None
    return {
        "letters": {letter: int(table[ord(letter)]) for letter in EVERY_LETTER if table[ord(letter)] >= 0},
        "before": list(tokeniser.prefix),
        "after": list(tokeniser.suffix),
        "padding": int(tokeniser.pad_id),
        "unknown": "".join(sorted(tokeniser.unknown)),
        "written": tokeniser.form.title,
    }
