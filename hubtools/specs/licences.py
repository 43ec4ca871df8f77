"""Identifiers of licences: those of the Hub, and which of them is meant by what people write instead."""

from __future__ import annotations

import difflib
import re

# Of the Hub's documentation of licences (2026).
_LICENCES = """
    apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0
    bigcode-openrail-m afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0
    cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0
    cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0
    cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl
    gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc lppl-1.3c ms-pl mpl-2.0 odc-by odbl openrail++ osl-3.0 postgresql
    ofl-1.1 ncsa unlicense zlib pddl lgpl-lr deepfloyd-if-license llama2 gemma unknown other
"""
LICENCES = frozenset(_LICENCES.split())

# Parts of the names that licences have in full, and what identifiers have for them.
_PARTS = {
    r"\bcreative commons\b": "cc",
    r"\battribution\b": "by",
    r"\bnon-? ?commercial\b": "nc",
    r"\bshare-? ?alike\b": "sa",
    r"\bno-? ?deriv(ative|ativ)?e?s?\b": "nd",
    r"\bgnu\b": "",
    r"\b(lesser|library) general public\b": "lgpl",
    r"\baffero general public\b": "agpl",
    r"\bgeneral public\b": "gpl",
    r"\bmozilla public\b": "mpl",
    r"\beclipse public\b": "epl",
    r"\bacademic free\b": "afl",
    r"\bboost software\b": "bsl",
    r"\bzero\b": "0",
    # What says nothing about which it is.
    r"\b(the|licen[sc]ed?|version|international|universal|unported|public domain dedication|only|or later|or any later|v)\b": "",
    r"\bv(?=\d)": "",
}
# What is said without a version has one alone.
_ALIASES = {"apache": "apache-2.0", "cc0": "cc0-1.0", "cczero": "cc0-1.0", "mpl": "mpl-2.0", "afl": "afl-3.0"}


def hub_licence(licence: str) -> str | None:
    """The Hub's identifier of a licence given by that or by its SPDX identifier; None where it has none.

    >>> hub_licence("GPL-3.0-only"), hub_licence("MIT License")
    ('gpl-3.0', None)
    """
    identifier = re.sub(r"-(only|or-later)$", "", licence.strip().lower())
    return identifier if identifier in LICENCES and identifier != "other" else None


def meant_licence(text: str) -> str | None:
    """The Hub's identifier that is plainly meant by a text which is none; None of an identifier, and where it is not plain.

    >>> meant_licence("MIT License"), meant_licence("CC BY-NC 4.0"), meant_licence("mit"), meant_licence("our own")
    ('mit', 'cc-by-nc-4.0', None, None)
    """
    if hub_licence(text) is not None:
        return None
    return _SPELT.get(_spelt(text))


def misspelt_licence(text: str) -> str | None:
    """The identifier of the Hub that a text is a slip of, its version the same; None of an identifier, and of what is like none.

    >>> misspelt_licence("mitt"), misspelt_licence("apach-2.0"), misspelt_licence("cc-by-1.0")
    ('mit', 'apache-2.0', None)
    """
    if hub_licence(text) is not None:
        return None
    version = re.findall(r"\d", text)
    alike = [name for name in sorted(LICENCES - {"other", "unknown"}) if re.findall(r"\d", name) == version]
    return next(iter(difflib.get_close_matches(text.strip().lower(), alike, n=1, cutoff=0.8)), None)


def _spelt(text: str) -> str:
    """Letters and digits of a name without what does not tell licences apart."""
    found = re.sub(r"[_,()]+", " ", text.strip().lower())
    found = re.sub(r"([a-z])v(?=\d)", r"\1 ", found)
    for part, short in _PARTS.items():
        found = re.sub(part, f" {short} ", found)
    return re.sub(r"[^a-z0-9+]+", "", found)


def _spellings() -> dict[str, str]:
    """How each identifier is spelt, also without the .0 of its version; not those that are words."""
    known = {_spelt(name): name for name in sorted(LICENCES - {"other", "unknown", "cc"})}
    short = {_spelt(name.removesuffix(".0")): name for name in sorted(LICENCES) if name.endswith(".0")}
    return {**short, **known, **_ALIASES}


_SPELT = _spellings()
