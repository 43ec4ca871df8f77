"""The figures that fit a run, by the place in its card that they go to."""

from __future__ import annotations

from hubtools.findings.board.board_rows import Table
from hubtools.reporting.card.card_metadata import test_splits
from hubtools.reporting.figures import plots
from hubtools.reporting.figures.calibration_figure import reliability_figure
from hubtools.reporting.figures.contact_map import contact_map_figure
from hubtools.reporting.figures.plots import CardFigure
from hubtools.reporting.figures.predicted_structures import predicted_structures_figure
from hubtools.reporting.figures.strata_figure import strata_figure
from hubtools.runs.store import OpenRun
from hubtools.specs.level import STRUCTURE

MAX_CLASSES_IN_MATRIX = 30


def figures_of(run: OpenRun, table: Table) -> dict[str, CardFigure]:
    """Draw what there is to draw of a run.

    Args:
        run: that is complete.
        table: the rows of the board that the card shows.

    Raises:
        UserError: the predictions cannot be read.
    """
    record = run.record
    split = test_splits(record)[0]
    figures = _of_predictions(run, split)
    if (calibration := record.results[split].calibration) is not None:
        figures["reliability"] = reliability_figure(calibration, split)
    strata = strata_figure(record.results[split], record.primary_metric, split)
    if strata is not None:
        figures["strata"] = strata
    if len(table.rows) > 1:
        figures["comparison"] = plots.comparison_figure(table, record.run_id)
    best_epoch = record.training.best_epoch if record.training else None
    # Of folds there is a course for each, and none of them is that of the run.
    log = [] if record.results[split].folds else run.training_log
    training = plots.training_figure(log, record.primary_metric, best_epoch)
    if training:
        figures["training"] = training
    return figures


def _of_predictions(run: OpenRun, split: str) -> dict[str, CardFigure]:
    """Confusion matrix, precision and recall, or predicted against true: what the problem asks for."""
    figures: dict[str, CardFigure] = {}
    task, confusion = run.task, run.record.results[split].confusion
    problem, labels, positive = task.problem, task.label_names, task.metrics.positive
    readable = len(labels) <= MAX_CLASSES_IN_MATRIX
    if problem.kind == "classification" and confusion and readable and not (positive and len(labels) == 2):
        figures["confusion"] = plots.confusion_figure(confusion, labels, split)
    if problem.kind != "classification" or positive:
        predictions = run.predictions[split]
        if problem.level is STRUCTURE:
            if (drawn := predicted_structures_figure(predictions, split)) is not None:
                figures["structures"] = drawn
        elif problem.level.within == "protein":
            figures["map"] = contact_map_figure(predictions, task.metrics.primary, split)
        elif problem.level.within:
            figures["scatter"] = plots.variants_figure(predictions, task.unit, split)
        elif problem.kind == "regression":
            figures["scatter"] = plots.regression_figure(predictions, task.unit, split)
        else:
            outputs = [labels.index(positive)] if positive else list(range(len(labels)))
            figures["curve"] = plots.precision_recall_figure(predictions, labels, outputs, split)
    return figures
