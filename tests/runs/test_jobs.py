"""A plan cut into jobs: every run in one of them, one checkpoint each, the longest not so long that it decides the end."""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_tasks import tiny_task

from hubtools.data.sources.file_cache import DataCache
from hubtools.runs.jobs import PlanJob, Sizes, in_order, jobs, planned_alike
from hubtools.runs.plan import AskedRecipe, PlannedRun, expand
from hubtools.specs.lookup.spec_files import load_recipe, load_task

SMALL, LARGE = "lab/esm2_8M", "lab/esm2_650M"


def plan_of(checkpoints: list[str], recipes: list[str], seeds: int = 3, baselines: tuple[str, ...] = ()) -> list:
    tasks = [tiny_task("residue-classification"), tiny_task("sequence-regression")]
    asked = [AskedRecipe(load_recipe(name)) for name in recipes]
    return expand({task.name: task for task in tasks}, checkpoints, asked, range(1, seeds + 1), baselines)


def end(made: list[PlanJob], workers: int) -> float:
    free = [0.0] * workers
    for job in made:
        free[free.index(min(free))] += job.cost
    return max(free)


def test_every_run_is_in_one_job_and_a_job_is_of_one_checkpoint() -> None:
    planned = plan_of([SMALL, LARGE], ["probe", "full"], baselines=("majority", "random-probe"))
    for workers in (1, 2, 3, 16):
        made = jobs(planned, workers=workers)
        assert sorted(number for job in made for number in job.numbers) == list(range(len(planned)))
        for job in made:
            assert {planned[number].checkpoint for number in job.numbers} == {job.checkpoint}
        assert [job.cost for job in made] == sorted((job.cost for job in made), reverse=True)
    assert [job.checkpoint for job in jobs(planned)] == [LARGE, SMALL, None]


def test_a_job_goes_task_by_task() -> None:
    planned = plan_of([SMALL, LARGE], ["probe", "full"], baselines=("majority",))
    # As another part of a program may give them: mixed up.
    planned = planned[::2] + planned[1::2]
    order = in_order(planned)
    assert sorted(order) == list(range(len(planned)))
    met = [(planned[number].checkpoint, planned[number].task.name) for number in order]
    changes = [met[0], *(after for before, after in itertools.pairwise(met) if before != after)]
    assert len(changes) == len(set(changes)) == 6
    assert [checkpoint for checkpoint, _ in changes] == [None, None, SMALL, SMALL, LARGE, LARGE]


def test_who_reads_all_layers_reads_for_all() -> None:
    planned = plan_of([SMALL], ["probe", "full", "probe-layers"], seeds=2)
    recipes = [planned[number].recipe.name for number in in_order(planned)]
    assert recipes == ["probe-layers", "probe-layers", "probe", "probe", "full", "full"] * 2


def test_the_longest_does_not_decide_the_end() -> None:
    planned = plan_of([SMALL, LARGE], ["full"], seeds=6)
    whole, cut = jobs(planned), jobs(planned, workers=2)
    assert len(whole) == 2
    assert len(cut) > 2
    assert end(whole, 2) > 1.8 * end(cut, 2)
    assert end(cut, 2) <= 1.1 * sum(job.cost for job in cut) / 2 + 1e-9


def test_what_is_even_is_not_cut() -> None:
    planned = plan_of([f"lab/model{letter}_8M" for letter in "abcd"], ["full"])
    assert len(jobs(planned, workers=2)) == 4


def test_heads_that_are_trained_at_once_stay_together() -> None:
    planned = plan_of([SMALL], ["probe"], seeds=8)
    made = jobs(planned, workers=8)
    assert sorted(len(job.numbers) for job in made) == [8, 8]
    # With random weights each seed is another encoder, and is done by itself.
    alone = [replace(run, recipe=run.recipe.model_copy(update={"weights": "random"})) for run in planned]
    assert max(len(job.numbers) for job in jobs(alone, workers=8)) < 8


def test_a_protein_is_read_once_for_all_probes_of_a_task() -> None:
    one, full = (jobs(plan_of([LARGE], [recipe], seeds=1)) for recipe in ("probe", "full"))
    with_both = jobs(plan_of([LARGE], ["probe", "probe-mlp"], seeds=1))
    assert with_both[0].cost < 1.5 * one[0].cost < full[0].cost


def test_sizes_of_checkpoints(tmp_path: Path) -> None:
    sizes = Sizes()
    names = ("facebook/esm2_t6_8M_UR50D", "facebook/esm2_t36_3B_UR50D", "lab/esmc-300m", "lab/model@8Me0")
    assert [sizes.parameters(name) for name in names] == [8e6, 3e9, 3e8, 1e8]
    (tmp_path / "model.safetensors").write_bytes(bytes(4000))
    assert sizes.parameters(str(tmp_path)) == 1000
    assert 1e5 < sizes.parameters("embedded") < 1e8


def test_sizes_of_data(tmp_path: Path) -> None:
    cache = DataCache(tmp_path)
    task = load_task("secondary-structure")
    run = PlannedRun(task, load_recipe("full"), SMALL, 1)
    unknown = Sizes(cache).residues(run)
    files = tmp_path / "files"
    files.mkdir()
    for file in task.data.files:
        (files / file.sha256).write_bytes(bytes(30_000_000))
    assert Sizes(cache).residues(run) > 2 * unknown
    assert Sizes(cache).residues(replace(run, subset=10)) == 10 * 3 * 350


def test_alike_are_those_that_differ_in_the_seed_alone() -> None:
    planned = plan_of([SMALL, LARGE], ["probe", "full"], seeds=2)
    found = planned_alike(planned)
    for first, one in zip(planned, found, strict=True):
        for second, other in zip(planned, found, strict=True):
            assert (one == other) == (replace(first, seed=second.seed) == second)


@pytest.mark.slow
def test_no_large_library_is_needed() -> None:
    code = (
        "import sys, hubtools; from hubtools.runs.jobs import jobs; jobs(hubtools.plan(['lab/8M'], suite='core'), workers=2);"
        "assert not {'torch', 'pandas', 'transformers', 'datasets'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
