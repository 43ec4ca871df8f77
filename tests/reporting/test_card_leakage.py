"""The leakage statement says what the audit found, and what it did not look for."""

from __future__ import annotations

from pathlib import Path

import pytest
from sample_records import BASELINES, FULL, LOCALISATION, SCRATCH, enriched, make_record, write_full_run

from hubtools.reporting.card.card_leakage import not_looked_for, pretraining, statement
from hubtools.reporting.card.model_card import build_card
from hubtools.specs.recipe import Recipe
from hubtools.specs.record import PretrainingFacts, RunRecord, SplitOverlap

pytestmark = pytest.mark.usefixtures("blank_figures")


def audited(similar: dict[str, int | None], identical: int = 0, recipe: Recipe = FULL) -> RunRecord:
    record = make_record(LOCALISATION, recipe, 0.5, checkpoint="a/b")
    assert record.data is not None
    record.data.splits["test"].proteins = 1_234
    record.data.audit = [
        SplitOverlap(first="validation", second="test", identical=0, similar={"0.9": 999, "0.5": 999}),
        SplitOverlap(first="train", second="test", identical=identical, similar=similar),
    ]
    return record


@pytest.mark.parametrize(
    ("similar", "identical", "words"),
    [
        (
            {"0.9": 3, "0.5": 12},
            0,
            "12 of 1,234 test proteins (under 1 %) have a relative of at least 50 % identity in train, 3 one of at "
            "least 90 %.",
        ),
        (
            {"0.9": 0, "0.5": 1, "0.3": 617},
            0,
            "617 of 1,234 test proteins (50 %) have a relative of at least 30 % identity in train, 1 one of at least "
            "50 %, none one of at least 90 %.",
        ),
        (
            {"0.5": 1_233},
            0,
            "1,233 of 1,234 test proteins (over 99 %) have a relative of at least 50 % identity in train.",
        ),
        ({"0.5": 1}, 0, "1 of 1,234 test proteins (under 1 %) has a relative of at least 50 % identity in train."),
        ({"0.9": 0, "0.5": 0}, 0, "No protein of test (of 1,234) has a relative of at least 50 % identity in train."),
        (
            {"0.9": 0, "0.5": None},
            0,
            "No protein of test (of 1,234) has a relative of at least 90 % identity in train.",
        ),
        (
            {"0.9": None, "0.5": None},
            0,
            "Whether test proteins have relatives in train is not known: this was not looked for. No sequence of test is "
            "also in train.",
        ),
        (
            {"0.9": 2, "0.5": 2},
            2,
            "2 of 1,234 test proteins (under 1 %) have a relative of at least 50 % identity in train, 2 one of at least "
            "90 %. 2 sequences of test are also in train: read the score with that in mind.",
        ),
    ],
)
def test_the_statement_counts_what_the_audit_counted(
    similar: dict[str, int | None], identical: int, words: str
) -> None:
    assert statement(audited(similar, identical)) == words


def test_a_split_that_was_not_audited_is_not_called_clean() -> None:
    assert statement(audited({"0.5": 0}), "hpa") == "Whether proteins of hpa resemble those of train was not recorded."


def test_what_was_not_looked_for_is_said() -> None:
    pretrained = not_looked_for(audited({"0.9": 0, "0.5": None}))
    assert "relatives of less than 90 % identity" in pretrained and "pre-training" in pretrained
    assert "relatives of any identity" in not_looked_for(audited({"0.5": None}))
    assert "pre-training" not in not_looked_for(audited({"0.5": 0}, recipe=SCRATCH))
    assert "pre-training" not in not_looked_for(make_record(LOCALISATION, BASELINES["majority"], 0.1))


def test_it_stands_at_the_top_of_the_card_and_of_its_section(tmp_path: Path) -> None:
    text = build_card(enriched(write_full_run(tmp_path, LOCALISATION))).read_text(encoding="utf-8")
    words = (
        "41 of 2,068 test proteins (2 %) have a relative of at least 50 % identity in train, 3 one of at least 90 %."
    )
    assert text.index(f"| Leakage | {words} |") < text.index("## How to use it")
    assert f"### Leakage\n\n{words} Not looked for: " in text
    assert "| train | test | 2,068 | 0 | 3 | 41 | 0 |" in text


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (
            {"data": "UniRef50/D 2021_04", "until": "2021-11-17", "source": "README", "newer": {"test": 12}},
            "12 of 1,234 test proteins (under 1 %) are newer than the checkpoint's pre-training data, which end with "
            "2021-11-17 (UniRef50/D 2021_04; README).",
        ),
        (
            {"data": "BFD", "until": "2018", "newer": {"test": 1}, "undated": {"test": 3}},
            "1 of 1,234 test proteins (under 1 %) is newer than the checkpoint's pre-training data, which end with 2018 "
            "(BFD). Of 3 no date is known.",
        ),
        (
            {"data": "BFD", "source": "its card", "newer": {"test": None}},
            "How many test proteins are newer than the checkpoint's pre-training data is not known: until when these go is "
            "not told (BFD; its card).",
        ),
        (
            {"newer": {"test": None}},
            "How many test proteins are newer than the checkpoint's pre-training data is not known: what these were is not "
            "told.",
        ),
        ({"newer": {"hpa": None}}, ""),
        (None, ""),
    ],
)
def test_how_many_are_newer_than_what_was_learnt_before(facts: dict[str, object] | None, words: str) -> None:
    record = audited({"0.5": 0})
    if facts is not None:
        record.pretraining = PretrainingFacts.model_validate({"undated": {}, **facts})
    assert pretraining(record) == words
