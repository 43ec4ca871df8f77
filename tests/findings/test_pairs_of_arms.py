"""Which arm of a candidate answers to which of a baseline."""

from __future__ import annotations

from pathlib import Path

from sample_records import BASELINES, FITNESS, FULL, PEPTIDES, PROBE, make_record

from hubtools.findings.arms import Arm, arms_of
from hubtools.findings.pairing import answers
from hubtools.specs.recipe import Recipe
from hubtools.specs.task import Task

SLOW = FULL.model_copy(update={"learning_rate": 2e-5})
A, B, C = "facebook/esm2_t6_8M_UR50D", "facebook/esm2_t33_650M_UR50D", "Rostlab/prot_bert"


def arms(*wanted: tuple[Task, Recipe, str | None], **more) -> list[Arm]:
    records = [
        make_record(task, recipe, 0.5, checkpoint=checkpoint, seed=seed, **more)
        for task, recipe, checkpoint in wanted
        for seed in ((1, 2, 3) if checkpoint else (1,))
    ]
    return arms_of([(Path(record.run_id), record) for record in records])


def names(baseline: list[Arm], candidate: list[Arm]) -> list[tuple[str, str]]:
    found = answers(baseline, candidate)
    assert found.problems == []
    return [(before.name, after.name) for before, after in found.pairs]


def test_the_same_checkpoint_and_recipe_answer_to_each_other() -> None:
    side = arms((FITNESS, FULL, A), (FITNESS, PROBE, A), (FITNESS, FULL, B), (PEPTIDES, FULL, A))
    assert all(before == after for before, after in names(side, side[::-1]))
    assert len(names(side, side)) == 4


def test_one_arm_on_each_side_is_the_change_under_test() -> None:
    assert names(arms((FITNESS, FULL, A)), arms((FITNESS, PROBE, B))) == [(f"{A} · full", f"{B} · probe")]


def test_a_changed_recipe_is_known_by_its_name() -> None:
    before = arms((FITNESS, FULL, A), (FITNESS, FULL, B))
    after = arms((FITNESS, SLOW, A), (FITNESS, SLOW, B))
    assert names(before, after) == [(f"{name} · full",) * 2 for name in sorted([A, B])]


def test_shares_of_the_training_data_are_kept_apart() -> None:
    side = arms((FITNESS, FULL, A)) + arms((FITNESS, FULL, A), fraction=0.1)
    found = answers(side, side).pairs
    shares = [(one.record.identity.fraction, other.record.identity.fraction) for one, other in found]
    assert sorted(shares, key=str) == [(0.1, 0.1), (None, None)]


def test_what_nothing_answers_to_is_a_problem_with_a_remedy() -> None:
    before = arms((FITNESS, FULL, A), (FITNESS, FULL, B))
    found = answers(before, arms((FITNESS, FULL, A), (FITNESS, FULL, C)))
    assert [(one.name, other.name) for one, other in found.pairs] == [(f"{A} · full",) * 2]
    (line,) = found.problems
    assert line.startswith(f"gb1-fitness: no run of the candidate answers to {B} · full; it has {C} · full")
    assert "FOLDER:recipe=NAME" in line
    assert answers(before, arms((PEPTIDES, FULL, A))).problems == ["gb1-fitness: the candidate has no run of this task"]


def test_trivial_baselines_and_new_arms_are_left_out_aloud() -> None:
    before = arms((FITNESS, FULL, A), (FITNESS, BASELINES["composition"], None))
    after = arms((FITNESS, FULL, A), (FITNESS, PROBE, A), (PEPTIDES, FULL, A))
    found = answers(before, after)
    assert found.problems == [] and len(found.pairs) == 1
    assert found.notes == [
        "antimicrobial-peptide: not in the baseline, not compared",
        "gb1-fitness: composition is in the baseline only, left out",
        f"gb1-fitness: {A} · probe is not in the baseline, not compared",
    ]
