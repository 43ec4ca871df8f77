"""What a card says of seeds, of parts of the test set, and of residues."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import stdev

import pytest
from sample_records import FULL, LOCALISATION, PEPTIDES, PHOSPHO, enriched, make_record, scored_worse, write_full_run

from hubtools.findings.arms import arms_of
from hubtools.findings.board.leaderboard import table_of
from hubtools.reporting.card.card_results import residues_scored, seeds_of
from hubtools.reporting.card.model_card import build_card
from hubtools.runs.store import find_records, read_record, write_record
from hubtools.specs.record import RunRecord, Score, SplitResult

pytestmark = pytest.mark.usefixtures("blank_figures")

ESM = "facebook/esm2_t6_8M_UR50D"


def seeds(test: list[float], validation: list[float]) -> list[RunRecord]:
    """Runs of one arm with these scores."""
    records = []
    for seed, (score, chosen_by) in enumerate(zip(test, validation, strict=True), start=1):
        record = make_record(PEPTIDES, FULL, score, checkpoint=ESM, seed=seed)
        record.results["validation"].scores["mcc"] = Score(value=chosen_by, low=0.1, high=0.9)
        records.append(record)
    return records


def told(records: list[RunRecord], seed: int) -> str:
    own = records[seed - 1]
    table = table_of([(Path(record.run_id), record) for record in records], own)
    found = seeds_of(table.rows[0], table, own.run_id)
    assert found is not None and [row[0] for row in found.rows if row[3]] == [seed]
    return found.why


def test_every_seed_stands_there_with_the_mean_of_the_board(tmp_path: Path) -> None:
    folders = [write_full_run(tmp_path, PEPTIDES)]
    folders += [scored_worse(write_full_run(tmp_path, PEPTIDES, seed=n), PEPTIDES, 0.05 * n, n) for n in (2, 3)]
    section = build_card(folders[0]).read_text(encoding="utf-8").split("### All seeds")[1].split("\n#")[0]
    scores = [(record.identity.seed, record.score()) for record in map(read_record, folders)]
    values = [score.value for _, score in scores if score and score.value is not None]
    assert len(set(values)) == 3
    for seed, score in scores:
        assert score is not None
        cell = f"{score.value:.3f} ({score.low:.3f} to {score.high:.3f})"
        assert f"| {seed} | {cell} |" in section or f"| **{seed} (this model)** | **{cell}** |" in section
    (arm,) = arms_of(find_records([tmp_path])[0])
    mean = arm.score()
    assert f"Mean over the seeds {mean.value:.3f} ({mean.low:.3f} to {mean.high:.3f})" in section
    assert f"standard deviation {stdev(values):.3f}" in section


def test_a_single_seed_has_no_table_of_seeds(tmp_path: Path) -> None:
    assert "### All seeds" not in build_card(write_full_run(tmp_path, PEPTIDES)).read_text(encoding="utf-8")


def test_many_seeds_fold(tmp_path: Path) -> None:
    for seed in range(1, 11):
        folder = write_full_run(tmp_path, PEPTIDES, seed=seed)
    section = build_card(folder).read_text(encoding="utf-8").split("### All seeds")[1].split("\n#")[0]
    assert "<details><summary>The scores of 10 seeds</summary>\n\n| Seed |" in section
    assert section.count("<details>") == section.count("\n\n</details>") == 1


def test_why_this_seed_is_said_as_far_as_it_can_be_told() -> None:
    runs = seeds([0.5, 0.6, 0.4, 0.45], [0.5, 0.4, 0.7, 0.45])
    assert told(runs, 1) == "This model is the first seed: that choice needs no look at a score."
    assert told(runs, 3) == "This model is the best seed on validation: that choice needs no look at test."
    assert "It is the best on test, so that its own score is probably too good: expect the mean." in told(runs, 2)
    assert told(runs, 4).endswith("why it was taken is not recorded. Expect the mean.")


def test_parts_of_the_test_set_have_a_table_and_a_figure(tmp_path: Path) -> None:
    folder = enriched(write_full_run(tmp_path, LOCALISATION))
    text = build_card(folder).read_text(encoding="utf-8")
    section = text.split("### By identity to the training set and by length on test")[1].split("\n#")[0]
    for kind, strata in read_record(folder).results["test"].strata.items():
        assert kind in {"identity", "length"}
        for part in strata:
            score = part.score
            cell = "too few to say" if score is None else f"{score.value:.3f} ({score.low:.3f} to {score.high:.3f})"
            assert f"| {part.name} | {part.n_proteins} | {cell} |" in section
    assert '<img src="figures/strata.png"' in section and (folder / "card" / "figures" / "strata.png").is_file()
    (alt,) = re.findall(r'strata.png"[^>]*alt="(.*?)"', text)
    assert "90 % and more" in alt and "over 1,000" not in alt, "a part without a score is in the table alone"
    assert "### By identity to the training set and by length on hpa" in text


def test_records_without_strata_have_no_such_section(tmp_path: Path) -> None:
    folder = write_full_run(tmp_path, LOCALISATION)
    text = build_card(folder).read_text(encoding="utf-8")
    assert "### By identity" not in text and "strata.png" not in text


@pytest.mark.parametrize(
    ("task", "scored", "words"),
    [
        (
            PHOSPHO,
            9_000,
            "Residues scored on test: 9,000 of 527,340 in 2,068 proteins; the other 518,340 carry no label.",
        ),
        (PHOSPHO, 527_340, "Residues scored on test: 527,340 of 527,340 in 2,068 proteins."),
        (PEPTIDES, 2_068, "Residues read on test: 527,340 of 527,340 in 2,068 proteins; nothing was truncated."),
    ],
    ids=["some residues", "all residues", "proteins"],
)
def test_how_many_residues_of_how_many_is_always_said(task: object, scored: int, words: str) -> None:
    record = make_record(task, FULL, 0.5, checkpoint=ESM)  # type: ignore[arg-type]
    result: SplitResult = record.results["test"]
    result.n_labelled = scored
    assert residues_scored(record, "test") == words


def test_energy_is_marked_as_estimate_or_as_measured_and_absent_where_unknown(tmp_path: Path) -> None:
    folder = write_full_run(tmp_path, PEPTIDES)
    assert "| Energy |" not in build_card(folder).read_text(encoding="utf-8")
    record = read_record(enriched(folder))
    assert record.cost is not None and record.cost.energy is not None
    assert (
        "| Energy | 4.8 Wh, 1.9 g CO₂ (electricity of Germany), **estimated, not measured**: 4 min of one NVIDIA L4 at "
        "72 W, 0.4 kg CO₂ a kWh |"
    ) in build_card(folder).read_text(encoding="utf-8")
    how = "codecarbon 3.0: CPU 100%"
    measured = {"source": "codecarbon", "kwh": 2.5, "co2_grams": None, "how": how, "place": None}
    record.cost.energy = record.cost.energy.model_copy(update=measured)
    write_record(folder, record)
    assert "| Energy | 2.500 kWh, CO₂ not known, measured by codecarbon 3.0: CPU 100% |" in build_card(
        folder
    ).read_text(encoding="utf-8")
