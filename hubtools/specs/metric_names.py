"""Every metric's name, direction and bounds. The formulas are in ``hubtools.evaluation.metrics.formulas``."""

from __future__ import annotations

from dataclasses import dataclass

INF = float("inf")


@dataclass(frozen=True)
class MetricInfo:
    """What a score of this name means.

    Attributes:
        title: name for people.
        kinds: kinds of problem it is defined for (classification, multilabel, regression).
        higher_is_better: direction.
        low, high: bounds of the score.
        needs_positive: whether a two-class task must say which class is detected.
        zero_shot_only: of measured values, only where the task says which of them count as functional.
    """

    title: str
    kinds: frozenset[str]
    low: float
    high: float
    higher_is_better: bool = True
    needs_positive: bool = False
    zero_shot_only: bool = False


_CLASSES, _BOTH, _VALUES = (
    frozenset({"classification"}),
    frozenset({"classification", "multilabel"}),
    frozenset({"regression"}),
)

METRICS: dict[str, MetricInfo] = {
    "accuracy": MetricInfo("Accuracy", _CLASSES, 0, 1),
    "balanced_accuracy": MetricInfo("Balanced accuracy", _CLASSES, 0, 1),
    "macro_f1": MetricInfo("Macro F1", _BOTH, 0, 1),
    "micro_f1": MetricInfo("Micro F1", _BOTH, 0, 1),
    "f1": MetricInfo("F1", _CLASSES, 0, 1, needs_positive=True),
    "mcc": MetricInfo("MCC", _BOTH, -1, 1),
    "auroc": MetricInfo("AUROC", _BOTH | _VALUES, 0, 1, needs_positive=True, zero_shot_only=True),
    "auprc": MetricInfo("AUPRC", _BOTH, 0, 1, needs_positive=True),
    "jaccard": MetricInfo("Jaccard", frozenset({"multilabel"}), 0, 1),
    "subset_accuracy": MetricInfo("Subset accuracy", frozenset({"multilabel"}), 0, 1),
    "ndcg": MetricInfo("NDCG", _VALUES, 0, 1),
    "spearman": MetricInfo("Spearman ρ", _VALUES, -1, 1),
    "pearson": MetricInfo("Pearson r", _VALUES, -1, 1),
    "rmse": MetricInfo("RMSE", _VALUES, 0, INF, higher_is_better=False),
    "mae": MetricInfo("MAE", _VALUES, 0, INF, higher_is_better=False),
    "r2": MetricInfo("R²", _VALUES, -INF, 1),
}
