"""bench explain: what a word means; and tables that lose whole columns, never letters."""

from __future__ import annotations

import io

import pytest

from hubtools.cli.shared.terminal import new_table, print_fitting
from hubtools.common.errors import UserError
from hubtools.findings.glossary import GLOSSARY, explained, words
from hubtools.specs.metric_names import METRICS


def test_every_metric_and_every_word_is_explained() -> None:
    assert all(METRICS[name].means for name in METRICS)
    assert {explained(word)[1] for word in words()} >= {*GLOSSARY.values()}
    assert explained("Clusters") == explained("cluster") and explained("Spearman ρ") == explained("spearman")
    assert explained("trust")[0] == "trust"


def test_a_word_that_nobody_knows_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"nothing is said of 'macc'\. Did you mean mcc\?"):
        explained("macc")


@pytest.mark.parametrize("width", [20, 80])
def test_a_table_loses_whole_columns_and_says_which(width: int) -> None:
    from rich.console import Console

    held = io.StringIO()
    table = new_table("split", "proteins", "residues", "longest", numbers_from=1)
    table.add_row("train", "180", "38,474", "399")
    print_fitting(Console(file=held, width=width), table, "longest", "residues", complete="--json")
    shown = held.getvalue()
    assert "…" not in shown and ("38,474" in shown) == ("Not shown" not in shown) == (width == 80)
