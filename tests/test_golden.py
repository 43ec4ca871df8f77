"""The golden check: bench held to its own predictions by its own tool, and what it catches."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hubtools.cli.main import main
from hubtools.evaluation.statistics.verdicts import Verdict
from hubtools.findings.frozen_baseline import open_baseline
from hubtools.findings.gate import Check, check, terms_of
from hubtools.findings.naming.named_runs import arms_at
from hubtools.specs.lookup.spec_files import load_recipe, load_suite, load_task

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "benchmarks" / "baselines" / "golden"
SUITE = ROOT / "benchmarks" / "golden.yaml"


def test_the_baseline_is_what_was_frozen_and_small() -> None:
    golden = open_baseline(GOLDEN)
    assert golden.altered() == []
    assert golden.bytes < 300_000
    assert golden.file.question == "weights" and golden.file.prediction_tolerance == 1e-4


def test_it_holds_every_task_and_recipe_of_the_suite_as_they_are_now() -> None:
    suite, golden = load_suite(str(SUITE)), open_baseline(GOLDEN)
    tasks = {task.name: task.hash for task in map(load_task, suite.tasks)}
    recipes = {recipe.name: recipe.hash for recipe in map(load_recipe, [suite.recipe, *suite.baselines])}
    assert {task.problem.value for task in map(load_task, suite.tasks)} >= {
        "sequence-classification",
        "sequence-multilabel",
        "sequence-regression",
        "residue-classification",
        "pair-classification",
    }
    identities = [record.identity for arm in golden.file.arms for _, record in golden.found(arm)]
    assert {(one.task.name, one.recipe.name) for one in identities} == {(t, r) for t in tasks for r in recipes}
    assert all(one.task.hash == tasks[one.task.name] for one in identities)
    assert all(one.recipe.hash == recipes[one.recipe.name] for one in identities)


def test_nothing_is_left_to_chance_or_to_the_machine() -> None:
    suite = load_suite(str(SUITE))
    for recipe in map(load_recipe, [suite.recipe, *suite.baselines]):
        # A choice between epochs can hang on the last bits of a score, dropout on how a batch is laid out, and auto on
        # the device.
        assert (recipe.epochs, recipe.head.dropout, recipe.precision) == (1, 0.0, "float32")


def test_the_proteins_are_those_of_the_script(tmp_path: Path) -> None:
    made = runpy.run_path(str(SUITE.parent / "golden" / "proteins.py"))
    made["main"].__globals__["FOLDER"] = tmp_path
    made["main"]()
    for name in ("proteins.csv", "pairs.csv"):
        assert (tmp_path / name).read_bytes() == (SUITE.parent / "golden" / "tasks" / name).read_bytes()
    lengths = [len(line.split(",")[1]) for line in (tmp_path / "proteins.csv").read_text().splitlines()[1:]]
    window = load_recipe(load_suite(str(SUITE)).recipe).window.residues
    assert min(lengths) < window < max(lengths)


def test_nothing_of_the_machine_that_made_it_is_told() -> None:
    texts = [path.read_text() for path in GOLDEN.rglob("*") if path.suffix in {".json", ".yaml"}]
    assert texts and not [text for text in texts if str(ROOT) in text or "/tmp/" in text or str(Path.home()) in text]


@pytest.fixture
def golden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Check]:
    """Runs one cell of the suite now, and checks it against what is frozen."""

    def rerun(task: str, recipe: str) -> Check:
        runs = tmp_path / "runs"
        files = [
            SUITE.parent / "golden" / "tasks" / f"{task}.yaml",
            SUITE.parent / "golden" / "recipes" / f"{recipe}.yaml",
        ]
        command = ["run", "--checkpoint", "embedded", "--seed", "1", "--no-embedding-cache", "--device", "cpu"]
        command += ["--task", str(files[0]), "--recipe", str(files[1]), "--runs", str(runs)]
        monkeypatch.setattr("sys.argv", ["bench", *command])
        with pytest.raises(SystemExit) as exited:
            main()
        assert not exited.value.code
        before = [
            arm
            for arm in arms_at(str(GOLDEN))[0]
            if (arm.record.identity.task.name, arm.record.identity.recipe.name) == (task, recipe)
        ]
        return check(before, arms_at(str(runs))[0], terms_of(before))

    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return rerun


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["golden-full", "golden-lora", "golden-probe"])
@pytest.mark.parametrize("task", ["golden-residues", "golden-class"])
def test_the_code_as_it_is_passes(golden: Callable[[str, str], Check], task: str, recipe: str) -> None:
    done = golden(task, recipe)
    assert ([item.verdict for item in done.items], done.problems) == ([Verdict.NO_LOSS], [])
    assert done.items[0].apart is not None and done.items[0].apart <= 1e-4


def labels_off_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The labels of training residues belong to their left neighbours; what is tested stays right."""
    from hubtools.runs import preparation

    encode = preparation.encode

    def shifted(dataset: Any, *arguments: Any) -> Any:
        encoded = encode(dataset, *arguments)
        if encoded.ids[0].startswith("train"):
            encoded.labels[:] = [np.roll(labels, 1) for labels in encoded.labels]
        return encoded

    monkeypatch.setattr(preparation, "encode", shifted)


def pooling_over_special_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean of a protein runs over its beginning and end marks, too."""
    from hubtools.models.modeling_protein_task import ProteinTaskModel

    sums = ProteinTaskModel.row_sums
    monkeypatch.setattr(
        ProteinTaskModel, "row_sums", lambda self, tokens, attended, mask: sums(self, tokens, attended, attended.bool())
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "recipe", "plant"),
    [
        ("golden-residues", "golden-full", labels_off_by_one),
        ("golden-residues", "golden-probe", labels_off_by_one),
        ("golden-class", "golden-full", pooling_over_special_tokens),
        ("golden-class", "golden-lora", pooling_over_special_tokens),
    ],
)
def test_a_planted_mistake_is_caught(
    golden: Callable[[str, str], Check],
    monkeypatch: pytest.MonkeyPatch,
    task: str,
    recipe: str,
    plant: Callable[[pytest.MonkeyPatch], None],
) -> None:
    plant(monkeypatch)
    done = golden(task, recipe)
    (item,) = done.items
    assert item.verdict is Verdict.OTHER
    assert item.apart is not None and item.apart > 1e-2
