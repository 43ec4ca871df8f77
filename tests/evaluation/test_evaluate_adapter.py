"""The metrics with the interface of the evaluate library, without any network."""

from __future__ import annotations

import subprocess
import sys

import cafa_by_definition
import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from hubtools.common.errors import UserError
from hubtools.evaluation import metric
from hubtools.specs.metric_names import METRICS

RNG = np.random.default_rng(0)
TRUTH, CALLED = RNG.integers(0, 3, size=80), RNG.integers(0, 3, size=80)
PROBABILITIES = RNG.dirichlet(np.ones(3), size=80).astype(np.float32)
HAS, SAID = RNG.integers(0, 2, size=(80, 4)), RNG.integers(0, 2, size=(80, 4))
POSITIVE, DETECTED = (TRUTH > 0).astype(int), (CALLED > 0).astype(int)
IS_ONE = (TRUTH == 1).astype(int)
RATES = RNG.random((80, 4), dtype=np.float32)
X, Y = RNG.random(80), RNG.random(80, dtype=np.float32)

CASES = [
    ("accuracy", {}, CALLED, TRUTH, sk.accuracy_score(TRUTH, CALLED)),
    ("balanced_accuracy", {}, CALLED, TRUTH, sk.balanced_accuracy_score(TRUTH, CALLED)),
    ("macro_f1", {}, CALLED, TRUTH, sk.f1_score(TRUTH, CALLED, average="macro")),
    ("macro_f1", {"labels": 4}, CALLED, TRUTH, sk.f1_score(TRUTH, CALLED, average="macro") * 3 / 4),
    ("micro_f1", {"labels": ["H", "E", "C"]}, CALLED, TRUTH, sk.f1_score(TRUTH, CALLED, average="micro")),
    ("f1", {}, DETECTED, POSITIVE, sk.f1_score(POSITIVE, DETECTED)),
    ("f1", {"positive": 0}, DETECTED, POSITIVE, sk.f1_score(POSITIVE, DETECTED, pos_label=0)),
    ("mcc", {}, CALLED, TRUTH, sk.matthews_corrcoef(TRUTH, CALLED)),
    ("auroc", {}, PROBABILITIES[:, 1], IS_ONE, sk.roc_auc_score(IS_ONE, PROBABILITIES[:, 1])),
    ("auroc", {"labels": 3}, PROBABILITIES, TRUTH, sk.roc_auc_score(TRUTH, PROBABILITIES, multi_class="ovr")),
    ("auprc", {}, PROBABILITIES[:, 1], IS_ONE, sk.average_precision_score(IS_ONE, PROBABILITIES[:, 1])),
    ("macro_f1", {"kind": "multilabel"}, SAID, HAS, sk.f1_score(HAS, SAID, average="macro")),
    ("auprc", {"kind": "multilabel"}, RATES, HAS, sk.average_precision_score(HAS, RATES, average="macro")),
    ("micro_auprc", {}, RATES, HAS, sk.average_precision_score(HAS, RATES, average="micro")),
    ("fmax", {}, SAID, HAS, cafa_by_definition.fmax(HAS, SAID)),
    # What a label tells is counted in training, of which the library hears nothing.
    ("smin", {}, RATES, HAS, None),
    ("jaccard", {}, SAID, HAS, sk.jaccard_score(HAS, SAID, average="samples", zero_division=1)),
    ("subset_accuracy", {}, SAID, HAS, sk.accuracy_score(HAS, SAID)),
    ("ndcg", {}, Y, X, sk.ndcg_score([(X - X.min()) / np.ptp(X)], [Y], k=8)),
    ("spearman", {}, Y, X, stats.spearmanr(X, Y).statistic),
    ("pearson", {}, Y, X, stats.pearsonr(X, Y.astype(float)).statistic),
    ("rmse", {}, Y, X, sk.root_mean_squared_error(X, Y)),
    ("mae", {}, Y, X, sk.mean_absolute_error(X, Y)),
    ("r2", {}, Y, X, sk.r2_score(X, Y)),
]


@pytest.mark.parametrize(("name", "settings", "predictions", "references", "expected"), CASES)
def test_results_are_scikit_learns(name, settings, predictions, references, expected):
    result = metric(name, **settings).compute(predictions=predictions, references=references)
    assert result == {name: None if expected is None else pytest.approx(expected, abs=1e-9)}


def test_every_metric_is_covered():
    assert {case[0] for case in CASES} == {
        name for name, known in METRICS.items() if not (known.needs_cleaved or known.level)
    }


def test_a_metric_of_proteins_and_their_residues_is_refused():
    with pytest.raises(UserError, match="'cleavage_recall_3' is about proteins and their residues"):
        metric("cleavage_recall_3")


def test_batches_add_up():
    whole = metric("mcc").compute(predictions=CALLED, references=TRUTH)
    collected = metric("mcc")
    for start in range(0, 80, 30):
        collected.add_batch(predictions=CALLED[start : start + 30], references=TRUTH[start : start + 30])
    assert collected.compute() == whole


def test_an_undefined_result_is_none():
    assert metric("auroc").compute(predictions=[0.1, 0.2], references=[1, 1]) == {"auroc": None}


def test_mistakes_are_one_line():
    with pytest.raises(UserError, match="there is no metric 'f2'"):
        metric("f2")
    with pytest.raises(UserError, match="'jaccard' is not for regression"):
        metric("jaccard", kind="regression")
    with pytest.raises(UserError, match="'auroc' of values needs a cutoff"):
        metric("auroc", kind="regression")


def test_the_room_imports_nothing_heavy():
    code = (
        "import sys, hubtools.evaluation;"
        "print(*{'torch', 'evaluate', 'datasets', 'sklearn', 'pandas', 'scipy', 'pyarrow'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == []
