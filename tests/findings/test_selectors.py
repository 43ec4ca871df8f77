"""What a user writes for some runs of a folder, and which arms of two sides are compared."""

from __future__ import annotations

from pathlib import Path

import pytest
from comparison_cases import ESM8, ESM650, write_runs_of
from sample_records import BASELINES, FULL, NATIVE, PEPTIDES, PROBE, SCRATCH, STRUCTURE

from hubtools.common.errors import UserError
from hubtools.findings.arms import Arm
from hubtools.findings.naming.named_runs import arms_at, run_named, runs_named
from hubtools.findings.naming.selectors import Selector, parse, suggested
from hubtools.findings.pairing import pair_arms
from hubtools.specs.lookup.content import shipped_root


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two checkpoints under two recipes, a baseline, and one arm of a share of the training data."""
    root = tmp_path_factory.mktemp("selectors") / "runs"
    for checkpoint in (ESM8, ESM650):
        write_runs_of(root, PEPTIDES, PROBE, checkpoint=checkpoint, seeds=(1, 2))
        write_runs_of(root, PEPTIDES, FULL, checkpoint=checkpoint, rows=50)
    write_runs_of(root, PEPTIDES, BASELINES["majority"], rows=50)
    fast = PROBE.model_copy(update={"learning_rate": 0.01})
    write_runs_of(root, PEPTIDES, fast, rows=50, fraction=0.1, overrides={"learning_rate": 0.01})
    return root


def named(where: str) -> list[tuple[str, list[int]]]:
    return [(arm.name, arm.seeds) for arm in arms_at(where)[0]]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("recipe=full,checkpoint=*8M*", [(f"{ESM8} · full", [1])]),
        ("checkpoint=*650m*,recipe=f*", [(f"{ESM650} · full", [1])]),
        ("checkpoint=esm2_t33_650M_UR50D,recipe=probe", [(f"{ESM650} · probe", [1, 2])]),
        ("recipe=probe,seed=2,checkpoint=*8M*", [(f"{ESM8} · probe", [2])]),
        ("recipe=majority", [("majority", [1])]),
        ("recipe=majority|full,checkpoint=*8M*", [(f"{ESM8} · full", [1])]),
        ("recipe=lora | f*", [(f"{ESM650} · full", [1]), (f"{ESM8} · full", [1])]),
        ("fraction=0.1", [(f"{ESM8} · probe, learning_rate=0.01", [1])]),
        ("learning_rate=0.01", [(f"{ESM8} · probe, learning_rate=0.01", [1])]),
        ("task=antimicrobial-*, recipe=majority", [("majority", [1])]),
    ],
)
def test_patterns_choose_among_the_runs_of_a_folder(
    runs: Path, selector: str, expected: list[tuple[str, list[int]]]
) -> None:
    assert named(f"{runs}:{selector}") == expected


def test_a_colon_without_a_key_belongs_to_the_path(tmp_path: Path, runs: Path) -> None:
    for name in ("a:b", "odd:recipe=full"):
        (tmp_path / name).symlink_to(runs)
        assert len(named(str(tmp_path / name))) == 6
    assert named(f"{tmp_path / 'a:b'}:recipe=majority") == [("majority", [1])]
    assert parse("C:\\runs")[0] == "C:\\runs"
    assert parse("hub://me/model@v1:seed=2") == ("hub://me/model@v1", parse("x:seed=2")[1])


def test_one_run_is_named_by_its_folder_or_its_record(runs: Path) -> None:
    folder = next(runs.glob("*majority*"))
    assert named(str(folder)) == named(str(folder / "run.json")) == named(f"{folder}:seed=1") == [("majority", [1])]


@pytest.mark.parametrize(
    ("selector", "line"),
    [
        (":recipe=lora", r"no complete run with results on test fits it\. There are: .*650M_UR50D · full; .*majority"),
        (":recpe=full", r"nothing is called recpe in a selector\. There are task, checkpoint, recipe, seed"),
        (":recipe=full,seed", r"'seed' is not key=pattern\. Write, for example, runs:recipe=lora"),
        (":recipe=full,recipe=probe", "recipe is there twice"),
        (
            "/nowhere",
            r"there is no folder .*nowhere\. Run something first: bench run .* or name another folder of runs",
        ),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(runs: Path, selector: str, line: str) -> None:
    with pytest.raises(UserError, match=line):
        arms_at(f"{runs}{selector}")


def test_options_are_selectors(runs: Path) -> None:
    records = [record for _, record in runs_named([runs]).found]
    assert all(Selector.of(task=(), checkpoint=()).fits(record) for record in records)
    chosen = [r for r in records if Selector.of(recipe=("full", "majority"), checkpoint=(ESM8,)).fits(r)]
    assert [record.identity.recipe.name for record in chosen] == ["full"]
    wanted = Selector.of(task=("antimicrobial-*", "localisation", "gb1-fitness"))
    assert wanted.unmet("task", records) == ["localisation", "gb1-fitness"]


def test_a_name_is_also_what_would_be_a_pattern(runs: Path) -> None:
    (_, record), _ = run_named(f"{runs}:recipe=full,checkpoint=*8M*")
    odd = record.model_copy(deep=True)
    odd.identity.checkpoint = record.identity.checkpoint.model_copy(update={"name": "lab/esm[1]"})
    assert Selector.of(checkpoint=["lab/esm[1]"]).fits(odd) and not Selector.of(checkpoint=["lab/esm[2]"]).fits(odd)


def test_one_run_is_one_run(runs: Path) -> None:
    (folder, record), _ = run_named(f"{runs}:recipe=probe,checkpoint=*8M*,seed=2")
    assert (record.identity.recipe.name, record.identity.seed, folder.parent) == ("probe", 2, runs)
    with pytest.raises(UserError, match=r": 2 runs are named, and one is wanted: .*; .*\. Name one, for ex"):
        run_named(f"{runs}:recipe=probe,seed=1,fraction=1")
    with pytest.raises(UserError, match=r"8 runs are named, and one is wanted: .* and 5 more"):
        run_named(runs)


def test_what_is_suggested_for_a_run_means_that_run_alone(runs: Path) -> None:
    records = [record for _, record in runs_named([runs]).found]
    for record in records:
        (_, found), _ = run_named(suggested(str(runs), record, records, by_seed=True))
        assert found.run_id == record.run_id


def test_runs_that_are_named_twice_are_there_once(runs: Path) -> None:
    assert len(runs_named([runs, f"{runs}:seed=1", next(runs.glob("*majority*"))]).found) == 8


def test_a_record_that_is_not_there_is_not_its_folder(runs: Path) -> None:
    with pytest.raises(UserError, match=r"there is no folder .*/run\.json"):
        runs_named([runs / "run.json"])


def test_a_split_that_was_not_scored_is_refused_with_those_that_were(runs: Path) -> None:
    with pytest.raises(UserError, match=r"no run has results on a split hpa\. There are results on test"):
        arms_at(str(runs), "hpa")


def test_what_is_suggested_for_an_arm_means_that_arm_alone(runs: Path) -> None:
    arms, _ = arms_at(str(runs))
    for arm in arms:
        (chosen,), _ = arms_at(suggested(str(runs), arm.record, [one.record for one in arms]))
        assert (chosen.name, chosen.seeds) == (arm.name, arm.seeds)


def pairs(a: str, b: str) -> list[tuple[str, str]]:
    return [(one.name, other.name) for one, other in pair_arms(arms_at(a)[0], arms_at(b)[0], (a, b)).pairs]


def test_one_arm_a_side_is_a_pair_whatever_it_is(runs: Path) -> None:
    assert pairs(f"{runs}:recipe=majority", f"{runs}:checkpoint=*8M*,recipe=full") == [("majority", f"{ESM8} · full")]


def test_arms_pair_by_the_checkpoint_or_the_recipe_that_they_share(runs: Path) -> None:
    by_checkpoint = pairs(f"{runs}:recipe=probe,fraction=1", f"{runs}:recipe=full")
    assert by_checkpoint == [(f"{ESM650} · probe", f"{ESM650} · full"), (f"{ESM8} · probe", f"{ESM8} · full")]
    by_recipe = pairs(f"{runs}:checkpoint=*8M*,fraction=1", f"{runs}:checkpoint=*650M*")
    assert by_recipe == [(f"{ESM8} · full", f"{ESM650} · full"), (f"{ESM8} · probe", f"{ESM650} · probe")]


def test_the_same_suite_made_twice_pairs_everything_and_lists_the_rest(tmp_path: Path, runs: Path) -> None:
    after = tmp_path / "after"
    for recipe in (PROBE, FULL, BASELINES["majority"]):
        write_runs_of(after, PEPTIDES, recipe, quality=2.0, rows=50)
    write_runs_of(after, STRUCTURE, FULL, rows=50)
    found = pair_arms(arms_at(str(runs))[0], arms_at(str(after))[0], ("before", "after"))
    assert [one.name for one, _ in found.pairs] == [f"{ESM8} · full", f"{ESM8} · probe", "majority"]
    assert [one.name for one, _ in found.pairs] == [other.name for _, other in found.pairs]
    assert len(found.left_out) == 4
    assert f"antimicrobial-peptide: {ESM650} · full is in before only" in found.left_out
    assert "secondary-structure: in after only" in found.left_out


def test_several_that_could_be_meant_are_refused_with_a_selector_to_write(tmp_path: Path, runs: Path) -> None:
    for recipe in (SCRATCH, NATIVE):
        write_runs_of(tmp_path, PEPTIDES, recipe, checkpoint="Rostlab/prot_bert", rows=50)
    a, b = f"{runs}:recipe=full", str(tmp_path)
    with pytest.raises(UserError, match=r"several arms of antimicrobial-peptide could be meant: A has") as refused:
        pairs(a, b)
    line = str(refused.value)
    assert (
        f"A has {ESM650} · full; {ESM8} · full; B has Rostlab/prot_bert · native; Rostlab/prot_bert · scratch" in line
    )
    # What it says to write works.
    first, second = line.rpartition("bench compare '")[2].rstrip("'.").split("' '")
    assert pairs(first, second) == [(f"{ESM650} · full", "Rostlab/prot_bert · native")]


def test_the_same_runs_on_both_sides_are_refused(runs: Path) -> None:
    arms = arms_at(str(runs))[0]
    with pytest.raises(
        UserError, match=r"are the same runs, and there is nothing to compare\. Name two different ones, f"
    ):
        pair_arms(arms, arms_at(str(runs))[0], (str(runs), str(runs)))
    with pytest.raises(UserError, match="are the same runs"):
        pairs(str(runs), f"{runs}:recipe=majority")


def test_sides_without_a_common_task_are_refused(tmp_path: Path, runs: Path) -> None:
    write_runs_of(tmp_path, STRUCTURE, FULL, rows=50)
    with pytest.raises(
        UserError, match="no task is on both sides: A has antimicrobial-peptide; B has secondary-structure"
    ):
        pair_arms(arms_at(str(runs))[0], arms_at(str(tmp_path))[0], ("A", "B"))


def test_arms_are_those_of_the_records(runs: Path) -> None:
    arms: list[Arm] = arms_at(str(runs))[0]
    assert sum(len(arm.runs) for arm in arms) == len(list(runs.iterdir())) == 8


def test_the_embedded_checkpoint_is_named_as_where_it_is_run() -> None:
    """Found by testers: runs:checkpoint=embedded fitted nothing, since records say bench/esm-mini."""
    golden = shipped_root() / "benchmarks" / "baselines" / "golden"
    assert runs_named([f"{golden}:checkpoint=embedded"]).found == runs_named([golden]).found
