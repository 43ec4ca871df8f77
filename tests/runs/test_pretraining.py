"""How many scored proteins are newer than what the checkpoint was pre-trained on: in the record, and on the card."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
import torch
from tiny_project import write_task

import hubtools
from hubtools.data import DataCache
from hubtools.models.encoder import pretraining_facts
from hubtools.reporting.card.model_card import build_card
from hubtools.runs.execute import execute
from hubtools.runs.plan import PlannedRun
from hubtools.runs.session import Session
from hubtools.specs.lookup.spec_files import load_recipe, load_task
from hubtools.specs.record import CheckpointIdentity, PretrainingFacts
from hubtools.training.compute.device import Execution

DATES: dict[str, list[date | None]] = {
    "test": [date(2018, 5, 1), date(2021, 11, 17), date(2021, 11, 18), None],
    "far": [date(2024, 1, 1)],
}


def known(name: str, source: str = "hub") -> PretrainingFacts:
    pinned = {"commit": "0" * 40} if source == "hub" else {"sha256": "0" * 64}
    identity = CheckpointIdentity.model_validate({"name": name, "source": source, **pinned})
    found = pretraining_facts(identity, DATES)
    assert found is not None
    assert found.undated == {"test": 1, "far": 0}
    return found


def test_what_is_known_of_a_checkpoint_on_the_hub_is_counted_by() -> None:
    esm2 = known("facebook/esm2_t6_8M_UR50D")
    assert (esm2.data, esm2.until, esm2.newer) == ("UniRef50/D 2021_04", "2021-11-17", {"test": 1, "far": 1})
    # A year is read to its end.
    assert known("facebook/esm1b_t33_650M_UR50S").newer == {"test": 2, "far": 1}


def test_what_is_not_known_is_never_zero() -> None:
    protbert = known("Rostlab/prot_bert")
    assert protbert.data is not None and protbert.until is None
    nameless = [known("somebody/esm2_t6_8M_UR50D-tuned"), known("esm2_t6_8M_UR50D", "local")]
    assert [facts.data for facts in nameless] == [None, None]
    for facts in (protbert, *nameless):
        assert facts.newer == {"test": None, "far": None}


def test_a_task_without_dates_says_nothing() -> None:
    identity = CheckpointIdentity(name="facebook/esm2_t6_8M_UR50D", source="hub", commit="0" * 40)
    assert pretraining_facts(identity, {}) is None


@pytest.mark.slow
@pytest.mark.usefixtures("blank_figures")
def test_a_run_counts_them_and_its_card_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    path = write_task(tmp_path, "sequence-classification", n=12)
    path.write_text(path.read_text().replace("    id: id\n", "    id: id\n    date: day\n"))
    table = tmp_path / "tasks" / "sequence-classification.csv"
    header, *rows = table.read_text().splitlines()
    dated = [f"{row},{'2022-05-01' if number % 3 else ''}" for number, row in enumerate(rows)]
    table.write_text("\n".join([f"{header},day", *dated]) + "\n")
    checked = hubtools.check_task(path, "embedded")
    assert "dates of test: 2022-05-01 to 2022-05-01, 4 of 12 without" in checked.remarks
    assert any(proof.startswith("8 of 12 test proteins (67 %) are newer than") for proof in checked.proofs)
    session = Session(tmp_path / "runs", DataCache(tmp_path / "cache"), Execution(torch.device("cpu"), 512))
    outcome = execute(PlannedRun(load_task(str(path)), load_recipe("probe", {"epochs": 1}), "embedded", 1), session)
    facts = outcome.record.pretraining
    assert outcome.record.status == "complete" and facts is not None
    assert (facts.until, facts.newer, facts.undated) == ("2022-04-30", {"test": 8}, {"test": 4})
    card = build_card(outcome.folder).read_text(encoding="utf-8")
    words = "8 of 12 test proteins (67 %) are newer than the checkpoint's pre-training data, which end with 2022-04-30"
    assert words in card and "Of 4 no date is known." in card
