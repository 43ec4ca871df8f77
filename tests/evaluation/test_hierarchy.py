"""Labels below one another: what is above them, propagation by hand and by networkx, and metrics of thousands of them."""

from __future__ import annotations

import hashlib
import importlib.util
import tracemalloc
from dataclasses import replace

import cafa_by_definition
import networkx
import numpy as np
import pytest
from datasets import Dataset
from evaluation_cases import a_task
from sklearn import metrics as sk

from hubtools.common.bounds import LABELS_LISTED, MOST_LABELS_LISTED
from hubtools.common.errors import UserError
from hubtools.evaluation import Predictions, primary_score, read_predictions, score_and_resample, write_predictions
from hubtools.evaluation.metrics.hierarchy import as_read, information_of, terms_of
from hubtools.evaluation.metrics.scoring import unseen_labels
from hubtools.evaluation.metrics.weighing import replicates, value
from hubtools.evaluation.statistics.by_class import class_differences
from hubtools.findings.wording import averages
from hubtools.specs.problem import Problem
from hubtools.specs.task import Task

ENZYMES = ["1.1.1.1", "1.1.1.2", "1.2.1.n1", "2.7.-.-"]
TERMS = ("1", "1.1", "1.1.1", "1.1.1.1", "1.1.1.2", "1.2", "1.2.1", "1.2.1.n1", "2", "2.7")
CAFA = ["fmax", "micro_auprc", "auprc", "smin"]

needs_fastobo = pytest.mark.skipif(
    importlib.util.find_spec("fastobo") is None, reason='fastobo is not installed: pip install "plm-hubtools[ontology]"'
)


def enzymes(labels=ENZYMES, also=(), **changes) -> Task:
    task = a_task(Problem("sequence-multilabel"), primary="fmax", also=[*CAFA[1:], *also], n_labels=len(labels))
    return Task.model_validate(
        task.model_dump(mode="json", exclude_defaults=True) | {"labels": list(labels), "hierarchy": "ec"} | changes
    )


def said(truth, scores, **more) -> Predictions:
    ids = [f"P{i}" for i in range(len(truth))]
    return Predictions(Problem("sequence-multilabel"), ids, None, None, np.array(truth), np.array(scores), **more)


def random(n=60, n_labels=4, seed=0, **more) -> Predictions:
    rng = np.random.default_rng(seed)
    truth = (rng.random((n, n_labels)) < 0.3).astype(np.int8)
    return said(truth, (rng.integers(0, 101, size=truth.shape) / 100).astype(np.float32), **more)


def test_numbers_of_the_enzyme_commission_bring_what_is_above_them():
    terms = terms_of(enzymes())
    assert terms.names == TERMS
    labels = terms.propagate(np.array([[1, 0, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]], dtype=np.int8))
    assert [{TERMS[j] for j in np.flatnonzero(row)} for row in labels] == [
        {"1", "1.1", "1.1.1", "1.1.1.1"},
        {"1", "1.2", "1.2.1", "1.2.1.n1", "2", "2.7"},
        set(),
    ]
    scores = terms.propagate(np.array([[0.2, 0.5, 0.3, 0.1]], dtype=np.float32))[0]
    assert dict(zip(TERMS, scores.tolist(), strict=True)) == pytest.approx(
        {"1": 0.5, "1.1": 0.5, "1.1.1": 0.5, "1.1.1.1": 0.2, "1.1.1.2": 0.5}
        | {"1.2": 0.3, "1.2.1": 0.3, "1.2.1.n1": 0.3, "2": 0.1, "2.7": 0.1}
    )


def test_propagation_is_reachability():
    """Against networkx, on a random tree of numbers."""
    rng = np.random.default_rng(1)
    labels = sorted({".".join(map(str, rng.integers(1, 4, size=rng.integers(1, 5)))) for _ in range(60)})
    terms = terms_of(enzymes(labels))
    graph = networkx.DiGraph()
    for name in terms.names:
        graph.add_node(name)
        if "." in name:
            graph.add_edge(name, name.rpartition(".")[0])
    assert set(graph) == set(terms.names)
    for label, row in zip(labels, terms.propagate(np.eye(len(labels), dtype=np.int8)), strict=True):
        assert {terms.names[j] for j in np.flatnonzero(row)} == networkx.descendants(graph, label) | {label}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"labels": ["1.1.1.1", "kinase"]}, "'kinase' is no number of the Enzyme Commission"),
        ({"labels": ["1.1.1.1", "1.-.1.1"]}, "'1.-.1.1' is no number of the Enzyme Commission"),
        ({"metrics": {"primary": "smin"}}, r"smin is not for choosing by\. List it under metrics\.also"),
        (
            {"problem": "sequence-classification", "metrics": {"primary": "accuracy"}},
            "this is for several labels, not for sequence-classification",
        ),
    ],
)
def test_what_is_no_hierarchy_is_refused(changes, line):
    with pytest.raises(ValueError, match=line):
        enzymes(**changes)


@pytest.mark.parametrize("seed", range(3))
def test_fmax_and_smin_of_a_hierarchy_are_those_of_the_definition(seed):
    task = enzymes()
    information = np.linspace(0.5, 4, len(TERMS))
    predictions = random(seed=seed, information=information)
    terms = terms_of(task)
    truth, scores = terms.propagate(predictions.truth), terms.propagate(predictions.scores)
    result, drawn, units = score_and_resample(task, predictions, [0.5] * 4, replicates=25)
    found = {name: score.value for name, score in result.scores.items()}
    assert found["fmax"] == pytest.approx(cafa_by_definition.fmax(truth, scores), abs=1e-12)
    assert found["smin"] == pytest.approx(cafa_by_definition.smin(truth, scores, information), abs=1e-9)
    assert found["micro_auprc"] == pytest.approx(sk.average_precision_score(truth, scores, average="micro"), abs=1e-9)
    assert found["auprc"] == pytest.approx(sk.average_precision_score(truth, scores, average="macro"), abs=1e-9)
    assert primary_score(task, predictions) == pytest.approx(found["fmax"], abs=1e-12)
    fmax = result.scores["fmax"]
    assert fmax.low < fmax.value < fmax.high and units.n_units == 60
    assert drawn["fmax"].std() > 0 and not np.isnan(drawn["smin"]).any()


def test_what_the_metrics_are_of_is_said():
    assert averages(enzymes(also=["micro_f1"])) == (
        "Fmax and Smin: means over proteins at the threshold that is best on the very split, as CAFA defines it; "
        "AUPRC: the mean over labels, each against the rest (macro); "
        "Fmax, Micro AUPRC, AUPRC, Smin: of the labels and of all that is above them"
    )


def test_fmax_of_one_label_each_is_an_accuracy():
    """Where each protein has one label and one prediction, precision and recall are both the share that is right."""
    rng = np.random.default_rng(0)
    truth, called = np.eye(5, dtype=np.int8)[rng.integers(0, 5, 80)], np.eye(5)[rng.integers(0, 5, 80)]
    assert value("fmax", said(truth, called), None) == pytest.approx(
        sk.f1_score(truth, called, average="samples"), abs=1e-12
    )


def test_fmax_leaves_out_who_has_no_label_and_counts_who_has_no_prediction_in_recall_alone():
    truth = [[1, 0], [0, 1], [0, 0]]
    assert value("fmax", said(truth, [[0.9, 0], [0, 0], [1, 1]]), None) == pytest.approx(2 * 1 * 0.5 / 1.5)
    assert value("fmax", said([[0, 0]], [[0.9, 0.1]]), None) is None
    assert value("fmax", said(truth, np.zeros((3, 2))), None) == 0
    # A score of exactly the threshold reaches it, at each of the hundred.
    for percent in range(1, 101):
        scores = np.array([[percent / 100, percent / 100 - 0.005]], dtype=np.float32)
        assert value("fmax", said([[1, 0]], scores), None) == 1


def test_replicates_draw_whole_clusters():
    predictions = replace(random(), clusters=np.array([f"c{i // 2}" for i in range(60)]))
    weights = np.random.default_rng(5).integers(0, 3, size=(20, 30))
    for row, found in zip(weights, replicates("fmax", predictions, None, weights), strict=True):
        rows = np.repeat(np.arange(60), row[np.arange(60) // 2])
        plain = cafa_by_definition.fmax(predictions.truth[rows], predictions.scores[rows])
        assert found == pytest.approx(plain, abs=1e-12)


def test_information_is_counted_in_training():
    """Of four proteins three have 1, two of these 1.1, and of those one 1.1.1.1: by hand."""
    task = enzymes(["1.1.1.1", "1.1.1.2", "1.2.1.1", "2.1.1.1"])
    rows = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    found = dict(
        zip(terms_of(task).names, information_of(task, Dataset.from_dict({"label": rows})).tolist(), strict=True)
    )
    assert found["1"] == pytest.approx(-np.log2(4 / 5)) and found["1.1"] == pytest.approx(-np.log2(3 / 4))
    assert found["1.1.1"] == pytest.approx(0) and found["1.1.1.1"] == pytest.approx(-np.log2(2 / 3))
    # What nobody has in training is rare, and its parts are told by it.
    assert found["2"] == pytest.approx(-np.log2(1 / 5)) and found["2.1.1.1"] == pytest.approx(0)
    flat = Task.model_validate(task.model_dump(mode="json", exclude_defaults=True, exclude={"hierarchy"}))
    assert information_of(flat, Dataset.from_dict({"label": rows})) == pytest.approx(-np.log2([2 / 5] * 3 + [1 / 5]))


def test_predictions_keep_the_information(tmp_path):
    predictions = random(information=np.array([0.1, 1 / 3, 2, 7]))
    write_predictions(tmp_path / "p.parquet", {"validation": predictions, "test": predictions}, ENZYMES)
    for split in read_predictions(tmp_path / "p.parquet").values():
        assert np.array_equal(split.information, predictions.information)
    assert value("smin", replace(predictions, information=None), None) is None


def test_labels_that_training_never_has_are_counted():
    predictions = said([[1, 0, 0, 1], [0, 0, 0, 1], [1, 0, 0, 0]], np.zeros((3, 4)))
    found = unseen_labels(enzymes(), predictions, {"1.1.1.1": 5, "1.1.1.2": 3})
    assert str(found) == "1 of its 2 labels are not in train; 2 rows have one of them, 1 no other label"
    assert unseen_labels(enzymes(), predictions, dict.fromkeys(ENZYMES, 1)) is None


def test_four_thousand_labels_are_bounded():
    """Table, comparison and memory, with a thousand replicates."""
    n_labels, n = 4000, 110
    labels = [f"{a}.{b}.{c}.{d}" for a in range(1, 5) for b in range(1, 11) for c in range(1, 11) for d in range(1, 11)]
    assert len(labels) == n_labels > MOST_LABELS_LISTED
    rng = np.random.default_rng(0)
    truth = np.zeros((n, n_labels), dtype=np.int8)
    truth[np.arange(n), np.arange(n)] = 1
    scores = (rng.random((n, n_labels), dtype=np.float32) * 0.5 + truth * 0.3) * (rng.random((n, n_labels)) < 0.01)
    predictions = said(truth, scores, information=np.ones(4000 + 444))
    task = enzymes(labels, also=["micro_f1"])
    tracemalloc.start()
    result, drawn, _ = score_and_resample(task, predictions, [0.5] * n_labels, replicates=1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The counts of all replicates at once would be 1000 x 3 x 4000 numbers, and decisions of each far more.
    assert peak < 256 << 20
    assert len(drawn["fmax"]) == 1000
    assert len(result.per_class) == LABELS_LISTED
    present = int((truth.sum(axis=0) > 0).sum())
    shown = sum(row["support"] > 0 for row in result.per_class)
    assert result.not_listed.labels == n_labels - LABELS_LISTED and result.not_listed.present == present - shown
    least = min(row["support"] for row in result.per_class)
    assert least >= np.sort(truth.sum(axis=0))[::-1][LABELS_LISTED]
    args = [predictions], [[0.5] * n_labels]
    rows = class_differences(task, *args, *args, replicates=20)
    assert [row.name for row in rows] == [row["name"] for row in result.per_class]
    assert all(row.candidate == pytest.approx(table["f1"]) for row, table in zip(rows, result.per_class, strict=True))


OBO = """format-version: 1.2

[Term]
id: GO:1
name: process
namespace: p

[Term]
id: GO:2
name: a
namespace: p
is_a: GO:1

[Term]
id: GO:3
name: b
namespace: p
is_a: GO:1

[Term]
id: GO:4
name: c
namespace: p
alt_id: GO:40
is_a: GO:2
relationship: part_of GO:3

[Term]
id: GO:5
name: d
namespace: p
is_a: GO:4
relationship: regulates GO:6

[Term]
id: GO:6
name: e
namespace: p
is_a: GO:1

[Term]
id: GO:10
name: withdrawn
namespace: p
is_obsolete: true

[Term]
id: GO:7
name: function
namespace: f

[Term]
id: GO:8
name: g
namespace: f
is_a: GO:7
relationship: part_of GO:6

[Typedef]
id: part_of
name: part of

[Typedef]
id: regulates
name: regulates
"""


@needs_fastobo
def test_terms_of_an_ontology(tmp_path):
    path = tmp_path / "go.obo"
    path.write_text(OBO)
    pinned = {"obo": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    task = enzymes(["GO:5", "GO:3", "GO:40", "GO:8"], hierarchy=pinned)
    terms = terms_of(task)
    graph = networkx.DiGraph([("4", "2"), ("4", "3"), ("5", "4")])
    graph.add_node("8")
    assert {name.removeprefix("GO:") for name in terms.names} == set(graph)
    for label, row in zip("5348", terms.propagate(np.eye(4, dtype=np.int8)), strict=True):
        assert {terms.names[j].removeprefix("GO:") for j in np.flatnonzero(row)} == networkx.descendants(
            graph, label
        ) | {label}
    # 4 is told by both that are above it: of three that have 2 and 3, three have it.
    train = Dataset.from_dict({"label": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]})
    found = dict(zip(terms.names, information_of(task, train).tolist(), strict=True))
    assert found["GO:4"] == 0 and found["GO:3"] == 0 and found["GO:5"] == pytest.approx(-np.log2(2 / 4))
    assert as_read("fmax", task, random()).scores.shape == (60, 5)
    assert as_read("micro_f1", task, random()).scores.shape == (60, 4)
    # What the task is does not hang on where the file lies, but on what is in it.
    moved = enzymes(["GO:5", "GO:3", "GO:40", "GO:8"], hierarchy=pinned | {"obo": "elsewhere.obo"})
    other = enzymes(["GO:5", "GO:3", "GO:40", "GO:8"], hierarchy=pinned | {"sha256": "0" * 64})
    assert task.hash == moved.hash != other.hash
    assert moved.located_at(tmp_path).hierarchy.obo == tmp_path / "elsewhere.obo"
    for changed, line in [
        (other, "its sha256 is .*, and not the one of the task"),
        (moved, "cannot read the ontology"),
        (enzymes(["GO:9"], hierarchy=pinned), "label 'GO:9' is not in the ontology"),
        (enzymes(["GO:10"], hierarchy=pinned), "label 'GO:10' is not in the ontology, or obsolete"),
        (enzymes(["GO:1"], hierarchy=pinned), "label 'GO:1' is a root"),
    ]:
        with pytest.raises(UserError, match=line):
            terms_of(changed)
