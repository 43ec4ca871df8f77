"""Every metric: its name, direction, bounds, formula and name on the Hub. One object each; docs/extending.md adds one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hubtools.common.registry import Registry, named
from hubtools.specs.level import RESIDUE_PAIR, STRUCTURE

INF = float("inf")
CLASSES, LABELS, VALUES = (frozenset({kind}) for kind in ("classification", "multilabel", "regression"))


@dataclass(frozen=True)
class Metric:
    """One metric: what a score of this name means, and how it is computed.

    Attributes:
        name: in task files and records.
        title: name for people.
        kinds: kinds of problem it is defined for (classification, multilabel, regression).
        formula: from :class:`hubtools.evaluation.metrics.weighing.Rows` to a function of the bootstrap's weights; or
            where that is, as ``module:function``, so that a task can be read without numpy.
        low, high: bounds of the score.
        higher_is_better: direction.
        needs_positive: whether it is about one class of two, which a task must then name.
        averaged: what it is the mean of, of labels or of more than two classes, or of labels, where ``needs_positive`` is for two classes alone;
            empty where more than two classes have no such metric.
        reads_scores: of classes and labels, whether it reads probabilities and not decisions.
        informed: whether it weighs labels by how rare they are in training, which no epoch can be chosen by.
        needs_cleaved: whether it is of residues, and about where a stretch of some labels ends, which a task must then
            name; `evaluate` has no such metric, for it knows no proteins.
        zero_shot_only: of measured values, only where the task says which of them count as functional.
        level: the one level of prediction that it is for, whose tasks have no other metrics; empty for all others.
        hub: name of its page on the Hub, where that differs.
        means: what a score says, in a sentence or two for somebody who meets it for the first time.
    """

    name: str
    title: str
    kinds: frozenset[str]
    formula: str | Callable[[Any], Any]
    low: float = 0
    high: float = 1
    higher_is_better: bool = True
    needs_positive: bool = False
    averaged: str = ""
    reads_scores: bool = False
    informed: bool = False
    zero_shot_only: bool = False
    needs_cleaved: bool = False
    hub: str = ""
    level: str = ""
    means: str = ""

    @property
    def hub_name(self) -> str:
        """What the Hub calls it."""
        return self.hub or self.name

    def fits(self, kind: str, level: str) -> bool:
        """Whether a problem of this kind, at the level of this name, can be scored by it."""
        return kind in self.kinds and self.level == (level if level in _OWN_METRICS else "")

    def load(self) -> Callable[[Any], Any]:
        """The formula."""
        return named(self.formula) if isinstance(self.formula, str) else self.formula


_SITES = "hubtools.evaluation.metrics.cleavage:"
# Levels that have metrics of their own and no others.
_OWN_METRICS = frozenset({RESIDUE_PAIR.name, STRUCTURE.name})
# How far apart in the sequence two residues are, ends included, by the name of the range.
RANGES = {"short": (6, 11), "medium": (12, 23), "long": (24, None)}
_CONTACTS = "hubtools.evaluation.metrics.contact_precision:"
_STRUCTURES = "hubtools.evaluation.metrics.structure_scores:"
_OURS = "hubtools.evaluation.metrics.formulas:"
_CAFA = "hubtools.evaluation.metrics.protein_centric:"
# Of AUROC the other average in use is that over pairs of classes (Hand and Till 2001).
_ONE_AGAINST_REST = "the mean over classes, each against the rest (macro)"

_BEST_THRESHOLD = "means over proteins at the threshold that is best on the very split, as CAFA defines it"

METRICS = Registry(
    "metric",
    Metric,
    "bench.metrics",
    [
        Metric(
            "accuracy",
            "Accuracy",
            CLASSES,
            _OURS + "accuracy",
            means="The share of all answers that are right. Where one class is most of the data, always naming it scores high: look at MCC then.",
        ),
        Metric(
            "balanced_accuracy",
            "Balanced accuracy",
            CLASSES,
            _OURS + "balanced_accuracy",
            means="The share of right answers within each class, averaged over classes, so that a rare class counts as much as a frequent one. Guessing scores 1 divided by the number of classes.",
        ),
        Metric(
            "macro_f1",
            "Macro F1",
            CLASSES | LABELS,
            _OURS + "macro_f1",
            hub="f1",
            means="F1 of each class or label, averaged, so that a rare one counts as much as a frequent one.",
        ),
        Metric(
            "micro_f1",
            "Micro F1",
            CLASSES | LABELS,
            _OURS + "micro_f1",
            hub="f1",
            means="F1 over all decisions together, so that a frequent label counts more than a rare one.",
        ),
        Metric(
            "f1",
            "F1",
            CLASSES,
            _OURS + "f1",
            needs_positive=True,
            means="The harmonic mean of precision (how many of those called positive are) and recall (how many of the positives are called so). 1 is perfect, 0 is nothing found.",
        ),
        Metric(
            "mcc",
            "MCC",
            CLASSES | LABELS,
            _OURS + "mcc",
            low=-1,
            hub="matthews_correlation",
            means="Matthews correlation coefficient: how far right and wrong answers of all classes agree with the truth, also where one class is rare. 1 is perfect, 0 is no better than chance, −1 is always wrong.",
        ),
        Metric(
            "auroc",
            "AUROC",
            CLASSES | LABELS | VALUES,
            _OURS + "auroc",
            needs_positive=True,
            averaged=_ONE_AGAINST_REST,
            reads_scores=True,
            zero_shot_only=True,
            hub="roc_auc",
            means="Area under the ROC curve: how often a random positive scores above a random negative. 0.5 is chance, 1 is perfect.",
        ),
        Metric(
            "auprc",
            "AUPRC",
            CLASSES | LABELS,
            _OURS + "auprc",
            needs_positive=True,
            averaged=_ONE_AGAINST_REST,
            reads_scores=True,
            hub="average_precision",
            means="Area under the precision-recall curve (average precision): how pure the top of a ranking is, over all cuts. Chance is the share of positives, 1 is perfect.",
        ),
        Metric(
            "micro_auprc",
            "Micro AUPRC",
            LABELS,
            _CAFA + "micro_auprc",
            reads_scores=True,
            hub="average_precision",
            means="Average precision over all decisions of all labels together. Chance is the share of labels that hold, 1 is perfect.",
        ),
        Metric(
            "fmax",
            "Fmax",
            LABELS,
            _CAFA + "fmax",
            averaged=_BEST_THRESHOLD,
            reads_scores=True,
            means="The best F1 over proteins at any one threshold, as CAFA defines it for functions of proteins.",
        ),
        Metric(
            "smin",
            "Smin",
            LABELS,
            _CAFA + "smin",
            high=INF,
            higher_is_better=False,
            averaged=_BEST_THRESHOLD,
            reads_scores=True,
            informed=True,
            means="The least semantic distance at any one threshold, as CAFA defines it: missed and wrong labels, each weighed by how rare it is. Less is better, 0 is perfect.",
        ),
        *(
            Metric(
                f"cleavage_{what}{f'_{window}' if window else ''}",
                f"Cleavage site {what}{f' (±{window})' if window else ''}",
                CLASSES,
                f"{_SITES}{what}_{window}",
                needs_cleaved=True,
                hub=what,
                means=f"{what.capitalize()} of predicted cleavage sites, which count as right within {window} residues.",
            )
            for window in range(4)
            for what in ("precision", "recall")
        ),
        Metric(
            "jaccard",
            "Jaccard",
            LABELS,
            _OURS + "jaccard",
            means="Of each protein, the labels that are right divided by those that are predicted or true, averaged.",
        ),
        Metric(
            "subset_accuracy",
            "Subset accuracy",
            LABELS,
            _OURS + "subset_accuracy",
            means="The share of proteins of which every label is right.",
        ),
        Metric(
            "ndcg",
            "NDCG",
            VALUES,
            _OURS + "ndcg",
            means="Normalised discounted cumulative gain: how good the top of a ranking is, where the first places count most. 1 is the ideal order.",
        ),
        Metric(
            "spearman",
            "Spearman ρ",
            VALUES,
            _OURS + "spearman",
            low=-1,
            hub="spearmanr",
            means="Spearman's rank correlation: whether predictions put things in the right order, whatever their scale. 1 is the right order, 0 is none, −1 the reverse.",
        ),
        Metric(
            "pearson",
            "Pearson r",
            VALUES,
            _OURS + "pearson",
            low=-1,
            hub="pearsonr",
            means="Pearson's correlation: how far predictions lie on a line with the true values. 1 is a perfect line, 0 is none.",
        ),
        Metric(
            "rmse",
            "RMSE",
            VALUES,
            _OURS + "rmse",
            high=INF,
            higher_is_better=False,
            means="Root mean squared error, in the unit of the values: how far predictions are off, large errors counting most. Less is better, 0 is perfect.",
        ),
        Metric(
            "mae",
            "MAE",
            VALUES,
            _OURS + "mae",
            high=INF,
            higher_is_better=False,
            means="Mean absolute error, in the unit of the values: how far predictions are off on average. Less is better, 0 is perfect.",
        ),
        Metric(
            "r2",
            "R²",
            VALUES,
            _OURS + "r2",
            low=-INF,
            hub="r_squared",
            means="The share of the variance of the values that predictions explain. 1 is perfect, 0 is as good as the mean, below 0 is worse.",
        ),
        *(
            Metric(
                f"precision_l{part if part > 1 else ''}_{name}",
                f"P@L{f'/{part}' if part > 1 else ''}, {name} range",
                VALUES,
                f"{_CONTACTS}precision_l{part if part > 1 else ''}_{name}",
                level=RESIDUE_PAIR.name,
                means=f"Of the {f'L/{part}' if part > 1 else 'L'} pairs of residues that are scored highest, the share that touch, where L is the length of the protein.",
            )
            for name in RANGES
            for part in (1, 2, 5)
        ),
        *(
            Metric(name, title, VALUES, _STRUCTURES + name, level=STRUCTURE.name, means=means)
            for name, title, means in (
                (
                    "lddt",
                    "lDDT-Cα",
                    "Of a predicted structure: the share of distances to near residues that it keeps, so that a domain that turned away costs little. 1 is perfect.",
                ),
                (
                    "tm_score",
                    "TM-score",
                    "Of a predicted structure: how much of the whole fold lies right, 0 to 1, whatever the length. Above 0.5 two structures have the same fold.",
                ),
                (
                    "gdt_ts",
                    "GDT-TS",
                    "Of a predicted structure: the share of residues that can be laid within 1, 2, 4 and 8 Å of where they are, averaged over the four. 1 is perfect.",
                ),
            )
        ),
        Metric(
            "rmsd",
            "RMSD (Å)",
            VALUES,
            _STRUCTURES + "rmsd",
            high=INF,
            higher_is_better=False,
            level=STRUCTURE.name,
            means="Of a predicted structure: how far α carbons are off, in Å, root mean squared, after the best superposition. One end that lies elsewhere makes it large. Less is better, 0 is perfect.",
        ),
    ],
)
