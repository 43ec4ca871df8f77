"""Under which licence a fine-tuned model may go out: at least as strict as its base model and its data."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hubtools.common.errors import UserError
from hubtools.specs.licences import meant_licence, misspelt_licence

_PERMISSIVE = {"mit", "apache-2.0", "isc", "zlib", "unlicense", "wtfpl", "cc0-1.0", "pddl", "ncsa", "ecl-2.0"} | {
    "afl-3.0",
    "artistic-2.0",
    "bsl-1.0",
    "postgresql",
}


@dataclass(frozen=True)
class LicenceTerms:
    """What a licence demands of what is made from the licensed work.

    Attributes:
        noncommercial: no commercial use.
        family: name of the licences that a share-alike licence accepts for derived works, or None.
        derivatives: whether derived works may be passed on at all.
        understood: False for a licence whose terms are not known here.
    """

    noncommercial: bool = False
    family: str | None = None
    derivatives: bool = True
    understood: bool = True


def terms_of(licence: str) -> LicenceTerms:
    """The terms of a licence by its identifier on the Hub, or its SPDX identifier."""
    name = licence.lower()
    if match := re.fullmatch(r"cc-by(-nc)?(-nd|-sa)?(-\d\.\d)?", name):
        noncommercial, kind = bool(match[1]), match[2]
        family = None if kind != "-sa" else "cc-by-nc-sa" if noncommercial else "cc-by-sa"
        return LicenceTerms(noncommercial, family, derivatives=kind != "-nd")
    if re.match(r"(l|a)?gpl(-|$)", name):
        return LicenceTerms(family=name.split("-")[0])
    if re.match(r"(odbl|mpl|epl|eupl|osl|cdla-sharing)(-|$)", name):
        return LicenceTerms(family=name.split("-")[0])
    if name in _PERMISSIVE or re.match(r"(bsd|odc-by|cdla-permissive|lppl)(-|$)", name):
        return LicenceTerms()
    noncommercial = bool(re.search(r"\bnc\b|non-?commercial", name))
    return LicenceTerms(noncommercial=noncommercial, understood=False)


def choose_licence(base: str | None, data: str | None, stated: str | None) -> str:
    """The licence for the card.

    Base model and data are not the publisher's: names of theirs that plainly mean an identifier are read as it.

    Args:
        base: licence of the base model; None where it is not known.
        data: licence of the task's data; None or ``unknown`` where it is not known.
        stated: what the publisher says, or None.

    Raises:
        UserError: a licence is not known and none is stated, the licences do not allow the stated one, or that is the name
            of a licence where the Hub has an identifier.
    """
    spelt = None if stated is None or stated in (base, data) else meant_licence(stated) or misspelt_licence(stated)
    if spelt is not None:
        raise UserError(f"{stated!r} is no id of the Hub", where="--licence", fix=f"Did you mean {spelt}?")
    base, data = (licence and (meant_licence(licence) or licence) for licence in (base, data))
    base, data, stated = (None if licence in {"unknown", "other", ""} else licence for licence in (base, data, stated))
    if stated is None and (base is None or data is None):
        lacking = " and ".join(name for name, known in (("the base model", base), ("the data", data)) if known is None)
        raise UserError(
            f"the licence of {lacking} is not known",
            fix="Find out under which terms the model may be passed on and state them: --licence ID.",
        )
    known = [licence.lower() for licence in (base, data) if licence]
    candidates = [stated.lower()] if stated else known
    problems = [_objection(candidate, known) for candidate in candidates]
    for candidate, problem in zip(candidates, problems, strict=True):
        if problem is None:
            return candidate
    raise UserError(str(problems[0]), fix="State a licence that all of them allow (--licence ID), or do not publish.")


def _objection(licence: str, sources: list[str]) -> str | None:
    """Why a work under the sources' licences cannot go out under this one, or None."""
    mine = terms_of(licence)
    for source in sources:
        theirs = terms_of(source)
        if not theirs.derivatives:
            return f"{source} does not allow derived works to be passed on"
        if source == licence:
            continue
        if not theirs.understood:
            return f"{source} is not a licence whose terms bench knows, so only {source} itself can be inherited"
        if theirs.noncommercial and not mine.noncommercial:
            return f"{source} forbids commercial use and {licence} does not"
        if theirs.family and theirs.family != mine.family:
            return f"{source} demands that derived works keep it, and {licence} is another licence"
    return None
