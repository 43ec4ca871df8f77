"""Sidess as numbers, in words and drawn, against numpy, scipy and scikit-learn."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from comparison_cases import CLUSTER, predictions, write_runs_of
from rich.console import Console
from sample_records import BASELINES, FITNESS, FULL, LOCALISATION, PEPTIDES, PROBE, STRUCTURE
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef, root_mean_squared_error

from hubtools.common.errors import UserError
from hubtools.evaluation.statistics.difference import Question
from hubtools.evaluation.statistics.verdicts import Verdict, holm
from hubtools.findings.arm_comparison import judged
from hubtools.findings.naming.named_runs import arms_at
from hubtools.findings.pairing import pair_arms
from hubtools.findings.side_by_side import Pair, SideBySide, compare
from hubtools.reporting.comparison.comparison_text import as_json, markdown, print_comparison
from hubtools.reporting.figures.forest import alt_text, forest_figure
from hubtools.specs.task import Task

THREE = (1, 2, 3)


def compared(a: Path, b: Path, **options: object) -> SideBySide:
    found = pair_arms(arms_at(str(a))[0], arms_at(str(b))[0], ("before", "after"))
    options.setdefault("replicates", 400)
    return compare(found.pairs, ("before", "after"), left_out=found.left_out, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> SideBySide:
    """Four tasks with three seeds an arm: better, worse, the same quality, and an error that shrinks."""
    root = tmp_path_factory.mktemp("suite")
    for task, before, after in (
        (PEPTIDES, 1.0, 2.5),
        (STRUCTURE, 2.0, 1.0),
        (LOCALISATION, 1.2, 1.21),
        (RMSE, 0.9, 1.0),
    ):
        write_runs_of(root / "a", task, FULL, quality=before, seeds=THREE)
        write_runs_of(root / "b", task, PROBE, quality=after, seeds=THREE)
    write_runs_of(root / "b", FITNESS, PROBE)
    return compared(root / "a", root / "b")


RMSE = Task.model_validate(
    FITNESS.model_dump(mode="json") | {"name": "error", "metrics": {"primary": "rmse", "also": ["pearson"]}}
)


def pair(comparison: SideBySide, task: Task) -> Pair:
    return next(pair for pair in comparison.pairs if pair.label == task.name)


def decided(task: Task, quality: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    made = predictions(task, quality, seed)
    return made.truth, made.scores.argmax(axis=1) if made.truth.ndim == 1 else made.scores >= 0.5


def test_scores_are_those_of_scikit_learn_and_their_deviation_that_of_numpy(suite: SideBySide) -> None:
    found = pair(suite, STRUCTURE)
    expected = [accuracy_score(*decided(STRUCTURE, 2.0, seed)) for seed in THREE]
    assert found.found.values[0] == pytest.approx(expected)
    assert found.found.means[0] == pytest.approx(np.mean(expected))
    assert found.found.deviations[0] == pytest.approx(np.std(expected, ddof=1))
    after = np.mean([accuracy_score(*decided(STRUCTURE, 1.0, seed)) for seed in THREE])
    assert found.found.difference.value == pytest.approx(after - np.mean(expected))
    macro, mcc = found.found.others
    assert (macro.metric, mcc.metric) == ("macro_f1", "mcc")
    assert macro.baseline == pytest.approx(
        np.mean([f1_score(*decided(STRUCTURE, 2.0, s), average="macro") for s in THREE])
    )
    assert mcc.candidate == pytest.approx(np.mean([matthews_corrcoef(*decided(STRUCTURE, 1.0, s)) for s in THREE]))


def test_positive_is_better_also_of_an_error(suite: SideBySide) -> None:
    found = pair(suite, RMSE)
    errors = [
        np.mean([root_mean_squared_error(p.truth, p.scores) for p in (predictions(RMSE, q, s) for s in THREE)])
        for q in (0.9, 1.0)
    ]
    assert found.found.difference.value == pytest.approx(errors[0] - errors[1], rel=1e-5)


def test_the_verdicts_are_what_was_put_in(suite: SideBySide) -> None:
    verdicts = {found.label: found.found.verdict for found in suite.pairs}
    assert verdicts["antimicrobial-peptide"] is Verdict.BETTER and verdicts["secondary-structure"] is Verdict.WORSE
    assert verdicts["localisation"] is Verdict.CANNOT_TELL
    assert all(found.found.question is Question.RECIPE for found in suite.pairs)
    assert [one.found.judgement.adjusted_p for one in suite.pairs] == holm(
        [one.found.difference.p_value for one in suite.pairs]
    )
    assert suite.left_out == ("gb1-fitness: in after only",)


def test_an_open_verdict_says_how_many_seeds_would_close_it(suite: SideBySide) -> None:
    found = pair(suite, LOCALISATION).found
    assert found.seeds_needed == found.difference.seeds_needed(found.task.margin)
    assert pair(suite, PEPTIDES).found.seeds_needed is None and pair(suite, PEPTIDES).found.remedy == ""


def test_rows_on_which_the_two_disagree_are_counted_within_a_seed(suite: SideBySide) -> None:
    seen = pair(suite, STRUCTURE).agreement
    truth = decided(STRUCTURE, 2.0, 1)[0]
    a = [decided(STRUCTURE, 2.0, seed)[1] for seed in THREE]
    b = [decided(STRUCTURE, 1.0, seed)[1] for seed in THREE]
    both = list(zip(a, b, strict=True))
    assert seen.rows == 400 and seen.differing == pytest.approx(np.mean([(x != y).sum() for x, y in both]))
    assert seen.a_right == pytest.approx(np.mean([((x == truth) & (y != truth)).sum() for x, y in both]))
    among = [(arm[i] != arm[j]).sum() for arm in (a, b) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert seen.among_seeds == pytest.approx(np.mean(among))
    means = [np.mean([predictions(RMSE, q, s).scores for s in THREE], axis=0) for q in (0.9, 1.0)]
    assert pair(suite, RMSE).agreement.correlation == pytest.approx(stats.pearsonr(*means).statistic, rel=1e-5)


@pytest.mark.slow
def test_fewer_seeds_ask_about_weights_and_say_so(tmp_path: Path) -> None:
    for side, quality in (("a", 1.0), ("b", 1.6)):
        write_runs_of(tmp_path / side, PEPTIDES, PROBE, quality=quality, seeds=(1, 2))
    found = compared(tmp_path / "a", tmp_path / "b").pairs[0]
    made = found.found.difference
    assert made.question is Question.WEIGHTS
    assert any("fewer than 3 seeds an arm this is about these very weights" in note for note in found.notes)
    # The interval is that of the bootstrap over clusters, redone here with plain loops.
    rng, truth = np.random.default_rng(0), predictions(PEPTIDES, 1.0, 1).truth
    calls = {q: [(predictions(PEPTIDES, q, s).scores[:, 1] >= 0.5).astype(int) for s in (1, 2)] for q in (1.0, 1.6)}
    gains = []
    for _ in range(400):
        drawn = rng.integers(0, 400 // CLUSTER, size=400 // CLUSTER)
        rows = (drawn[:, None] * CLUSTER + np.arange(CLUSTER)).ravel()
        score = {q: np.mean([matthews_corrcoef(truth[rows], run[rows]) for run in runs]) for q, runs in calls.items()}
        gains.append(score[1.6] - score[1.0])
    assert made.low is not None and made.high is not None
    assert (made.low, made.high) == pytest.approx(np.quantile(gains, [0.025, 0.975]), abs=0.02)


def test_the_recipe_cannot_be_told_from_fewer_than_three_seeds(tmp_path: Path) -> None:
    for side, quality in (("a", 1.0), ("b", 2.6)):
        write_runs_of(tmp_path / side, PEPTIDES, PROBE, quality=quality, seeds=(1, 2))
    found = compared(tmp_path / "a", tmp_path / "b", question=Question.RECIPE).pairs[0]
    assert found.found.verdict is Verdict.CANNOT_TELL and found.found.seeds_needed == 3
    assert found.found.judgement.reason == "needs at least 3 seeds an arm, there are 2 and 2"


def test_where_nothing_is_random_one_seed_is_all_there_is(tmp_path: Path) -> None:
    write_runs_of(tmp_path / "a", STRUCTURE, BASELINES["majority"], quality=0.5)
    write_runs_of(tmp_path / "b", STRUCTURE, BASELINES["composition"], quality=2.0)
    found = compared(tmp_path / "a", tmp_path / "b", question=Question.RECIPE).pairs[0]
    assert found.found.question is Question.WEIGHTS and found.found.verdict is Verdict.BETTER
    assert "nothing in these runs is random" in found.notes[0]


def test_the_same_predictions_are_no_loss_without_a_test(tmp_path: Path) -> None:
    for side in "ab":
        write_runs_of(tmp_path / side, PEPTIDES, PROBE)
    comparison = compared(tmp_path / "a", tmp_path / "b")
    found = comparison.pairs[0]
    assert found.found.verdict is Verdict.NO_LOSS and found.found.same and found.agreement.differing == 0
    assert found.notes[-1] == "the same runs made twice"
    assert comparison.headline == (
        "B is not worse by what counts: MCC as it was; the same predictions, apart by 0 at most"
    )


def test_an_interval_above_the_margin_is_no_loss_that_counts(tmp_path: Path) -> None:
    wide = PEPTIDES.model_copy(update={"margin": 0.3})
    for side, quality in (("a", 2.0), ("b", 2.01)):
        write_runs_of(tmp_path / side, wide, PROBE, quality=quality)
    found = compared(tmp_path / "a", tmp_path / "b").pairs[0].found
    assert found.verdict is Verdict.NO_LOSS and found.judgement.reason == "a loss of 0.3 or more is excluded"
    # The margin is about the primary metric; of another one nothing is said.
    other = compared(tmp_path / "a", tmp_path / "b", metric="accuracy").pairs[0].found
    assert other.margin is None and other.verdict is Verdict.CANNOT_TELL and other.metric == "accuracy"


def test_what_may_differ_is_noted(tmp_path: Path) -> None:
    write_runs_of(tmp_path / "a", PEPTIDES, PROBE)
    write_runs_of(tmp_path / "b", PEPTIDES, PROBE, fraction=0.1, quality=1.2)
    found = compared(tmp_path / "a", tmp_path / "b").pairs[0]
    assert "learnt from 100 % and 10 % of the training data" in found.notes


@pytest.mark.parametrize(
    ("task", "options", "line"),
    [
        (PEPTIDES.model_copy(update={"version": 2}), {}, "task version: 1 and 2"),
        (PEPTIDES, {"subset": 100}, "subset: all and 100; rows of test: "),
        (PEPTIDES, {"rows": 399}, "prediction ids: 400 and 399 rows"),
    ],
)
def test_other_data_versions_and_rows_are_refused(
    tmp_path: Path, task: Task, options: dict[str, int], line: str
) -> None:
    write_runs_of(tmp_path / "a", PEPTIDES, PROBE)
    write_runs_of(tmp_path / "b", task, PROBE, **options)
    with pytest.raises(UserError, match=f"these cannot be compared: .*{re.escape(line)}"):
        compared(tmp_path / "a", tmp_path / "b")


def test_a_metric_that_a_task_lacks_is_refused(suite: SideBySide) -> None:
    found = pair(suite, PEPTIDES)
    with pytest.raises(UserError, match=r"the task antimicrobial-peptide has no metric macro_f1\. It has mcc, auroc"):
        compare([(found.found.baseline, found.found.candidate)], ("a", "b"), metric="macro_f1")


def printed(comparison: SideBySide, width: int, **options: bool) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_comparison(comparison, console, **options)
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [72, 80, 160])
def test_the_terminal_shows_verdicts_first_and_loses_no_digit(suite: SideBySide, width: int) -> None:
    text = printed(suite, width, per_class=True)
    assert all(len(line) <= width for line in text.splitlines())
    first = " ".join(text.split())
    headline = (
        "4 comparisons of B with A: worse 1, cannot tell 2, better 1; the largest loss: secondary-structure, loss of"
    )
    assert first.index(headline) < first.index("antimicrobial-peptide")
    gain = pair(suite, PEPTIDES).found.difference
    assert f"+{gain.value:.3f}" in text and f"{gain.low:.3f} to {gain.high:.3f}" in text
    for words in (
        "to tell",
        "B is the better",
        "detectable",
        "100 homology clusters",
        "Mitochondrion",
        "in after only",
    ):
        assert words in text
    assert "…" not in text


def test_markdown_has_a_row_a_pair_and_every_run(suite: SideBySide) -> None:
    text = markdown(suite, figure=("forest.png", alt_text(suite)))
    assert text.startswith("# 4 comparisons of B with A") and "![Forest plot of B against A on test" in text
    table = [line for line in text.splitlines() if line.startswith("| antimicrobial-peptide | MCC ↑")]
    assert len(table) == 1 and "**better**" in table[0] and "(3)" in table[0]
    for found in suite.pairs:
        for _, record in (*found.found.baseline.runs, *found.found.candidate.runs):
            assert f"`{record.run_id}`" in text and f"`{record.command}`" in text
    # A cell that opens a column in one row opens it in every row of the table.
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in rows)


def test_json_has_everything_and_is_strict(suite: SideBySide) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    content = json.loads(as_json(suite), parse_constant=refuse)
    found, row = pair(suite, PEPTIDES), content["pairs"][0]
    assert (row["value"], row["low"], row["high"]) == (
        found.found.difference.value,
        found.found.difference.low,
        found.found.difference.high,
    )
    assert (
        row["verdict"] == "better"
        and row["question"] == "recipe"
        and row["adjusted_p"] == found.found.judgement.adjusted_p
    )
    assert [one["metric"] for one in row["secondary"]] == ["auroc", "accuracy"]
    assert [one["name"] for one in row["classes"]] == PEPTIDES.label_names
    runs = row["b"]["runs"]
    assert [one["seed"] for one in runs] == [1, 2, 3] and runs[0]["command"].startswith("bench run")
    assert runs[0]["environment"]["packages"]["torch"] and runs[0]["run_id"] == found.found.candidate.record.run_id
    assert content["left_out"] == list(suite.left_out)


def test_an_undefined_metric_is_no_number_anywhere(suite: SideBySide) -> None:
    found = pair(suite, PEPTIDES)
    undefined = replace(found.found.difference, value=float("nan"), candidate=float("nan"), low=None, high=None)
    (judged_again,) = judged([replace(found.found, difference=undefined)])
    broken = replace(suite, pairs=(replace(found, found=judged_again),))
    assert json.loads(as_json(broken))["pairs"][0]["value"] is None
    assert "nan" not in printed(broken, 120).lower().replace("nanmean", "") and "NaN" not in markdown(broken)
    assert "nan" not in alt_text(broken)
    assert forest_figure(broken).png


@pytest.mark.slow
def test_the_forest_plot_grows_with_its_rows_and_says_in_words_what_it_shows(suite: SideBySide) -> None:
    figure = forest_figure(suite)
    assert all(f"{found.label}: " in figure.alt and f", {found.found.verdict}" in figure.alt for found in suite.pairs)
    one = suite.pairs[0]
    many = replace(suite, pairs=tuple(replace(one, label=f"task number {i}") for i in range(20)))
    sizes = [matplotlib.image.imread(io.BytesIO(f.png)).shape for f in (figure, forest_figure(many))]
    assert sizes[0][1] == sizes[1][1] and sizes[1][0] > 2 * sizes[0][0]
    assert forest_figure(suite).png == figure.png
    assert len(forest_figure(suite, per_class=True).png) > len(figure.png)
