"""A model goes out under terms at least as strict as those it is made from."""

from __future__ import annotations

import pytest

from hubtools.common.errors import UserError
from hubtools.reporting.card.licence import choose_licence


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
