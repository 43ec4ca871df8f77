"""Learning curves: the numbers of the figure, worked out by hand, and what is said of what is missing."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sample_records import BASELINES, FITNESS, LOCALISATION, PROBE, Found, make_record

from hubtools.common.errors import UserError
from hubtools.evaluation.statistics.arm_interval import ArmScore, arm_score
from hubtools.evaluation.statistics.difference import Question, difference
from hubtools.evaluation.statistics.resampled import Resampled, Units
from hubtools.findings.board.learning_curve import (
    Curve,
    Factor,
    Gain,
    Point,
    as_json,
    as_tsv,
    build_curves,
    efficiency,
    gain,
)
from hubtools.reporting.figures.curve_figure import apart, curve_figure
from hubtools.specs.record import RunRecord, Score
from hubtools.specs.task import Task

ESM8, ESM650 = "facebook/esm2_t6_8M_UR50D", "facebook/esm2_t33_650M_UR50D"
TWIN = PROBE.model_copy(update={"weights": "random"})
# All 7,900 training proteins of the sample records, and shares of them.
N = {0.01: 79, 0.1: 790, None: 7900}


def found(*records: RunRecord) -> list[Found]:
    return [(Path("runs") / record.run_id, record) for record in records]


def runs(
    scores: dict[float | None, list[float]], *, random: bool = False, task: Task = LOCALISATION, checkpoint: str = ESM8
) -> list[RunRecord]:
    overrides = {"weights": "random"} if random else {}
    return [
        make_record(task, TWIN if random else PROBE, score, checkpoint=checkpoint, seed=seed, fraction=fraction, overrides=overrides)
        for fraction, by_seed in scores.items()
        for seed, score in enumerate(by_seed, start=1)
    ]  # fmt: skip


PRETRAINED: dict[float | None, list[float]] = {0.01: [0.30, 0.34], 0.1: [0.40, 0.44], None: [0.50, 0.52]}
RANDOM: dict[float | None, list[float]] = {0.01: [0.20, 0.22], 0.1: [0.30, 0.30], None: [0.38, 0.42]}


def one(*records: RunRecord) -> Curve:
    (curve,), _ = build_curves(found(*records))
    return curve


@pytest.fixture(scope="module")
def curve() -> Curve:
    lines = [
        make_record(LOCALISATION, BASELINES[name], score) for name, score in (("majority", 0.1), ("composition", 0.3))
    ]
    return one(*runs(PRETRAINED), *runs(RANDOM, random=True), *lines)


def test_points_are_means_over_seeds_at_the_numbers_learnt_from(curve: Curve) -> None:
    (series,) = curve.series
    assert series.name == "facebook/esm2_t6_8M_UR50D, probe"
    for points, scores in ((series.pretrained, PRETRAINED), (series.random, RANDOM)):
        assert [(p.fraction, p.n) for p in points] == [(0.01, 79), (0.1, 790), (1.0, 7900)]
        assert [p.estimate.value for p in points] == pytest.approx([sum(s) / 2 for s in scores.values()])
        assert all(p.seeds == (1, 2) for p in points)
    # The interval is the board's: bootstrap half-width 0.015, joined with t (1 degree) × spread of the seeds.
    first = series.pretrained[0].estimate
    half = math.hypot(0.015, 12.7062 * np.std([0.30, 0.34], ddof=1) / math.sqrt(2))
    assert (first.low, first.high) == pytest.approx((0.32 - half, 0.32 + half), abs=1e-6)


def test_baselines_are_lines_best_first(curve: Curve) -> None:
    assert [(name, estimate.value) for name, estimate in curve.baselines] == [("composition", 0.3), ("majority", 0.1)]


def test_the_gain_is_the_difference_of_every_comparison(curve: Curve) -> None:
    pairs = curve.series[0].pairs()
    # These records kept no resamplings: there is no interval, and the seeds' least and most are not taken for one.
    for place in (0, 2):
        found = gain(*pairs[place])
        assert found is not None and found.value == pytest.approx(0.11)
        assert (found.low, found.high, str(found)) == (None, None, "0.110")
    assert gain(pairs[0][0], None) is None
    rng = np.random.default_rng(0)
    units = Units(60, None, "60 clusters", "x")

    def drawn(scores: list[float]) -> tuple[Resampled, ArmScore]:
        values, shared = np.array(scores), rng.normal(scale=0.02, size=500)
        kept = Resampled(
            "mcc", (1, 2, 3), values, values[:, None] + shared + rng.normal(scale=0.01, size=(3, 500)), units
        )
        return kept, arm_score([(s + 1, Score(value=v)) for s, v in enumerate(scores)], kept, "mcc")

    (one, mine), (two, other) = drawn([0.5, 0.52, 0.51]), drawn([0.4, 0.42, 0.41])
    found = gain(Point(0.1, 100, mine, one), Point(0.1, 100, other, two))
    expected = difference(two, one, Question.RECIPE)
    assert found == Gain(found.value, expected.low, expected.high, of_weights=False)
    assert found.value == pytest.approx(0.1) and expected.low < 0.1 < expected.high
    few = gain(
        Point(0.1, 100, mine, replace(one, seeds=(1,), values=one.values[:1], drawn=one.drawn[:1])),
        Point(0.1, 100, other, two),
    )
    assert few is not None and few.of_weights and str(few).endswith("†)")


def test_where_less_is_better_the_gain_is_still_positive_for_the_better() -> None:
    def point(value: float) -> Point:
        return Point(0.1, 100, ArmScore(value, None, None, False, ((1, value),)))

    assert gain(point(0.8), point(1.0)) == Gain(pytest.approx(0.2), None, None, of_weights=True)
    curve = [Point(0.1, 100, point(1.0).estimate), Point(1.0, 1000, point(0.6).estimate)]
    factor = efficiency(point(0.8), curve)
    assert factor is not None and factor.value == pytest.approx(10**0.5) and factor.bound == ""


def test_the_data_factor_is_read_off_the_random_curve() -> None:
    """Against numpy's interpolation of log n over the score."""
    (series,) = one(
        *runs({0.01: [0.32], 0.1: [0.39], None: [0.5]}), *runs({0.01: [0.2], 0.1: [0.3], None: [0.4]}, random=True)
    ).series
    for point in series.pretrained[:2]:
        reached = math.exp(np.interp(point.estimate.value, [0.2, 0.3, 0.4], np.log([79, 790, 7900])))
        factor = series.factor(point)
        assert factor is not None and factor.bound == "" and factor.value == pytest.approx(reached / point.n)
    # 0.5 is more than random weights ever reach, with all the data there are.
    assert series.factor(series.pretrained[2]) == Factor(1.0, ">")


def test_a_score_below_the_random_curve_has_only_an_upper_bound() -> None:
    (series,) = one(*runs({0.01: [0.3], 0.1: [0.15]}), *runs({0.01: [0.2], 0.1: [0.3]}, random=True)).series
    assert series.factor(series.pretrained[1]) == Factor(0.1, "<")
    assert (
        str(Factor(0.1, "<")) == "< 0.1 ×" and str(Factor(12.34)) == "12 ×" and str(Factor(1234.0, ">")) == "> 1,234 ×"
    )


def test_a_random_curve_that_dips_counts_where_it_first_gets_there() -> None:
    (series,) = one(
        *runs({0.01: [0.25], 0.1: [0.3]}), *runs({0.01: [0.2], 0.1: [0.3], None: [0.22]}, random=True)
    ).series
    factor = series.factor(series.pretrained[0])
    assert factor is not None and factor.value == pytest.approx(10**0.5)


def test_other_questions_other_panels_and_other_checkpoints_other_series() -> None:
    records = [
        *runs(PRETRAINED),
        *runs(PRETRAINED, checkpoint=ESM650),
        *runs(PRETRAINED, task=FITNESS),
        *(make_record(LOCALISATION, PROBE, 0.3, checkpoint=ESM8, fraction=f, subset=500) for f in (0.1, None)),
        # One share alone is no curve.
        make_record(LOCALISATION, PROBE.model_copy(update={"learning_rate": 0.5}), 0.3, checkpoint=ESM8, fraction=0.1),
    ]
    curves, _ = build_curves(found(*records))
    assert [(c.question.task, c.question.subset, len(c.series)) for c in curves] == [
        ("gb1-fitness", None, 1),
        ("localisation", 500, 1),
        ("localisation", None, 2),
    ]
    assert [c.question.task for c in build_curves(found(*records), task="gb1-fitness")[0]] == ["gb1-fitness"]


def test_the_shipped_random_probe_is_the_probes_twin() -> None:
    random_probe = TWIN.model_copy(update={"name": "random-probe", "title": "other words"})
    records = [make_record(LOCALISATION, random_probe, 0.2, checkpoint=ESM8, fraction=f) for f in (0.1, None)]
    (series,) = one(*runs(PRETRAINED), *records).series
    assert len(series.random) == 2


def test_what_is_missing_is_said() -> None:
    records = [
        *runs({0.01: [0.3, 0.31], 0.1: [0.4], None: [0.5, 0.52]}),
        *runs({0.01: [0.2, 0.2], 0.1: [0.3, 0.31]}, random=True),
    ]
    failed = make_record(LOCALISATION, TWIN, 0.0, checkpoint=ESM8, seed=9, fraction=0.1, status="failed")
    _, notes = build_curves(found(*records, failed))
    where = "localisation, facebook/esm2_t6_8M_UR50D, probe"
    assert notes == [
        "1 run of a learning curve did not finish and is not drawn.",
        f"{where}: only one of pretrained and random weights at 100 %.",
        f"{where}: pretrained at 10 % has seeds 1, others 1, 2.",
    ]
    _, notes = build_curves(found(*runs({0.1: [0.4], None: [0.5]})))
    assert notes == [
        f"{where}: no run with random weights (--set weights=random), so there is no gain to tell.",
        f"{where}: one seed; what another draw of the training proteins would change was not measured.",
    ]


def test_a_score_that_is_not_defined_is_no_point() -> None:
    records = runs(PRETRAINED)
    records[0].results["test"].scores["macro_f1"].value = None
    curve = one(*records)
    assert curve.series[0].pretrained[0].estimate.value is None
    assert curve_figure([curve])[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("records", "options", "message"),
    [
        ([make_record(LOCALISATION, PROBE, 0.5, checkpoint=ESM8)], {}, "no run learnt from a share of the training data"),
        (runs(PRETRAINED), {"task": "gb1-fitness"}, "no run of the task gb1-fitness learnt from a share"),
        (runs(PRETRAINED), {"split": "validation"}, "curves are not drawn on validation"),
        (runs(PRETRAINED), {"split": "other"}, "no run learnt from a share"),
    ],
)  # fmt: skip
def test_nothing_to_draw_is_one_clear_line(records: list[RunRecord], options: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_curves(found(*records), **options)


def test_the_numbers_are_beside_the_figure(curve: Curve) -> None:
    points = json.loads(as_json([curve], ["a note"]))["points"]
    assert [(p["weights"], p["fraction"], p["n"]) for p in points[:3]] == [
        ("pretrained", 0.01, 79), ("pretrained", 0.1, 790), ("pretrained", 1.0, 7900),
    ]  # fmt: skip
    assert points[0]["seeds"] == {"1": 0.30, "2": 0.34} and points[0]["gain"] == pytest.approx(0.11)
    assert [p["weights"] for p in points[6:]] == ["baseline", "baseline"]
    lines = list(csv.DictReader(io.StringIO(as_tsv([curve])), delimiter="\t"))
    assert len(lines) == len(points) and lines[0]["seeds"] == "1:0.3 2:0.34"
    assert [float(line["value"]) for line in lines] == [p["value"] for p in points]


@pytest.mark.slow
def test_the_figure_is_the_same_every_time(curve: Curve) -> None:
    assert curve_figure([curve]) == curve_figure([curve]) != curve_figure([curve, curve])


def test_labels_are_moved_apart_as_little_as_needed() -> None:
    assert apart([0.1, 0.5]) == [0.1, 0.5]
    assert apart([0.50, 0.52], 0.1) == pytest.approx([0.46, 0.56])
    assert apart([0.52, 0.50, 0.51], 0.1) == pytest.approx([0.61, 0.41, 0.51])
    moved = sorted(apart([0.5, 0.5, 0.5, 0.2, 0.58], 0.1))
    assert min(np.diff(moved)) >= 0.1 - 1e-9 and moved[0] == 0.2
