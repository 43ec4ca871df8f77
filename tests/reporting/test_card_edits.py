"""What a user writes into the marked places of a card survives; what is lost is named."""

from __future__ import annotations

import pytest

from hubtools.common.errors import UserError
from hubtools.reporting.card.card_edits import changed_by_hand, edits, keep_edits, sign

NEW = """---
license: mit
---
# A model

## Uses

For research.

<!-- bench:edit uses -->
<!-- Write here what it is for. -->
<!-- /bench:edit -->

## Results

0.9

<!-- bench:edit contact -->
<!-- Whom to write to. -->
<!-- /bench:edit -->
"""


def edited(text: str, name: str, content: str) -> str:
    """The card after a user wrote something into a marked place."""
    start = text.index(f"<!-- bench:edit {name} -->") + len(f"<!-- bench:edit {name} -->")
    return text[:start] + f"\n{content}\n" + text[text.index("<!-- /bench:edit -->", start) :]


def test_what_was_written_between_marks_is_kept_and_the_rest_is_new() -> None:
    old = edited(NEW.replace("0.9", "0.8"), "uses", "For **peptides** of frogs.\n\n- and toads")
    kept = keep_edits(NEW, old)
    assert "<!-- bench:edit uses -->\nFor **peptides** of frogs.\n\n- and toads\n<!-- /bench:edit -->" in kept
    assert "0.9" in kept and "0.8" not in kept
    assert "Write here what it is for" not in kept and "Whom to write to" in kept
    assert edits(kept) == {"uses": "For **peptides** of frogs.\n\n- and toads"}
    assert keep_edits(NEW, kept) == kept


def test_an_untouched_card_is_the_new_one() -> None:
    assert keep_edits(NEW, sign(NEW)) == sign(NEW)
    assert keep_edits(NEW, "") == keep_edits(NEW, "# Some card\n\nof another tool") == sign(NEW)


def test_a_place_that_is_no_more_goes_to_the_additional_notes_and_stays_there() -> None:
    old = NEW + "\n<!-- bench:edit history -->\nTrained in March.\n<!-- /bench:edit -->\n"
    kept = keep_edits(NEW, old)
    assert (
        "## Additional notes\n\n<!-- bench:edit history -->\nTrained in March.\n<!-- /bench:edit -->\n"
        in kept.split("## Results")[1]
    )
    assert keep_edits(NEW, kept) == kept


def test_a_name_that_stands_there_twice_loses_neither() -> None:
    place = "<!-- bench:edit uses -->\n{}\n<!-- /bench:edit -->\n"
    assert edits(place.format("one") + place.format("two")) == {"uses": "one\n\ntwo"}


def test_an_editor_of_windows_changes_nothing() -> None:
    old = edited(sign(NEW), "uses", "For peptides.")
    assert keep_edits(NEW, old.replace("\n", "\r\n")) == keep_edits(NEW, old)
    assert changed_by_hand(sign(NEW).replace("\n", "\r\n")) == []


def test_marks_and_words_like_a_pattern_are_only_words() -> None:
    old = edited(NEW, "uses", r"\1 \g<name> $& {{ x }} <!-- a comment of mine --> 100 %")
    assert r"\1 \g<name> $& {{ x }} <!-- a comment of mine --> 100 %" in keep_edits(NEW, old)


@pytest.mark.parametrize(
    ("old", "words"),
    [
        ("# A\n<!-- bench:edit uses -->\nMine.\n", "line 2: .*is not closed.*|is not closed.*line 2"),
        (
            "<!-- bench:edit uses -->\nMine.\n<!-- bench:edit contact -->\nMe.\n<!-- /bench:edit -->",
            "bench:edit uses --> is not closed",
        ),
        ("Mine.\n<!-- /bench:edit -->\n", "closes nothing"),
    ],
)
def test_marks_that_do_not_match_are_an_error_not_a_loss(old: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        keep_edits(NEW, old)


def test_what_was_changed_elsewhere_is_named() -> None:
    written = sign(NEW)
    assert changed_by_hand(written) == []
    assert changed_by_hand(edited(written, "uses", "For peptides.\n\n## With a heading")) == []
    assert changed_by_hand(written.replace("0.9", "0.99")) == ["Results"]
    assert changed_by_hand(written.replace("mit", "cc0-1.0").replace("# A model", "# My model")) == [
        "front matter",
        "what stands above the first heading",
    ]
    assert changed_by_hand(written.replace("## Results", "## My section\n\nx\n\n## Results")) == ["My section"]
    assert changed_by_hand(NEW.replace("0.9", "0.99")) == []


def test_the_signature_is_seen_by_nobody_and_moves_with_the_text() -> None:
    lines = keep_edits(sign(NEW), sign(NEW.replace("0.9", "1.0"))).splitlines()
    assert lines[-1].startswith("<!-- bench:wrote ") and lines[-1].endswith(" -->")
    assert sum("bench:wrote" in line for line in lines) == 1
