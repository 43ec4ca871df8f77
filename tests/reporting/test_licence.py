"""A model goes out under terms at least as strict as those it is made from."""

from __future__ import annotations

import pytest

from hubtools.common.errors import UserError
from hubtools.reporting.card.licence import choose_licence
from hubtools.specs.licences import meant_licence


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("The MIT License", "mit"),
        ("MIT_License", "mit"),
        ("Apache 2", "apache-2.0"),
        ("GPLv3", "gpl-3.0"),
        ("GNU Lesser General Public License v3.0", "lgpl-3.0"),
        ("CC BY-NC-SA 4.0", "cc-by-nc-sa-4.0"),
        ("Creative Commons Attribution-NonCommercial 4.0 International", "cc-by-nc-4.0"),
        ("Creative Commons Zero v1.0 Universal", "cc0-1.0"),
        ("BSD 3-Clause License", "bsd-3-clause"),
        # Identifiers of the Hub and of SPDX are as they should be, whether or not the Hub has them, and so is an own name.
        *((name, None) for name in ("mit", "GPL-3.0-or-later", "ODbL-1.0", "MIT-0", "0BSD", "Apache-1.1")),
        *((name, None) for name in ("unknown", "other", "", "CC BY", "our own", "Non-commercial", "cambrian-open")),
    ],
)
def test_a_name_that_plainly_means_an_identifier_is_told_from_one_that_does_not(
    written: str, meant: str | None
) -> None:
    assert meant_licence(written) == meant


@pytest.mark.parametrize(
    ("base", "data", "stated", "licence"),
    [
        ("mit", "CC-BY-4.0", None, "mit"),
        ("apache-2.0", "CC0-1.0", None, "apache-2.0"),
        # The stricter of the two is inherited.
        ("mit", "CC-BY-NC-4.0", None, "cc-by-nc-4.0"),
        ("cc-by-nc-sa-4.0", "CC-BY-4.0", None, "cc-by-nc-sa-4.0"),
        ("mit", "CC-BY-SA-4.0", None, "cc-by-sa-4.0"),
        ("gpl-3.0", "CC-BY-4.0", None, "gpl-3.0"),
        # The publisher may be stricter, and speaks where nothing is known.
        ("mit", "CC-BY-4.0", "CC-BY-NC-4.0", "cc-by-nc-4.0"),
        (None, "CC-BY-4.0", "afl-3.0", "afl-3.0"),
        ("mit", "unknown", "mit", "mit"),
        # What base model and data call theirs is read as what it plainly means.
        ("mit license", "CC BY 4.0", None, "mit"),
        # A licence that bench does not know is passed on as it is.
        ("cambrian-open", "CC-BY-4.0", None, "cambrian-open"),
    ],
)
def test_what_is_inherited(base: str | None, data: str, stated: str | None, licence: str) -> None:
    assert choose_licence(base, data, stated) == licence


@pytest.mark.parametrize(
    ("base", "data", "stated", "message"),
    [
        (None, "CC-BY-4.0", None, "licence of the base model is not known.*--licence"),
        ("mit", "CC-BY-4.0", "MIT License", r"^--licence: 'MIT License' is no id of the Hub\. Did you mean mit\?$"),
        ("mit", "CC-BY-4.0", "Apache License, Version 2.0", r"Did you mean apache-2\.0\?$"),
        ("mit", "unknown", None, "licence of the data is not known"),
        (None, None, None, "the base model and the data"),
        (None, "CC-BY-4.0", "other", "licence of the base model is not known"),
        ("cc-by-nc-4.0", "CC-BY-4.0", "mit", "forbids commercial use"),
        ("mit", "CC-BY-NC-4.0", "apache-2.0", "forbids commercial use"),
        ("cc-by-nc-sa-4.0", "CC-BY-4.0", "cc-by-nc-4.0", "demands that derived works keep it"),
        ("gpl-3.0", "CC-BY-4.0", "mit", "demands that derived works keep it"),
        ("cc-by-sa-4.0", "CC-BY-NC-SA-4.0", None, "demands|forbids"),
        ("cc-by-nc-nd-4.0", "CC-BY-4.0", None, "does not allow derived works"),
        ("cambrian-open", "CC-BY-4.0", "mit", "only cambrian-open itself"),
        ("something-non-commercial", "CC-BY-4.0", "mit", "only something-non-commercial itself"),
    ],
)
def test_what_is_refused(base: str | None, data: str | None, stated: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        choose_licence(base, data, stated)
    assert caught.value.fix
