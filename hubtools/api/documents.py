"""What is written of runs: model cards, and learning curves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubtools.api.asked import Names, Say, names_of, silent
from hubtools.api.found_runs import said_of
from hubtools.common.notebook import line_html, lines_html, table_html

if TYPE_CHECKING:
    import pandas

    from hubtools.findings.board.learning_curve import Curve
    from hubtools.reporting.figures.plots import CardFigure
    from hubtools.specs.record import RunRecord


@dataclass(frozen=True)
class WrittenCard:
    """A model card that was written.

    Attributes:
        path: of the card; its figures are in ``figures/`` beside it.
        folder, record: of the run.
        lost: places outside the marked ones that were changed by hand, and were written anew.
    """

    path: Path
    folder: Path
    record: RunRecord
    lost: tuple[str, ...]

    def __repr__(self) -> str:
        return f"{self.path}"

    def _repr_markdown_(self) -> str:
        """The text of the card, for a notebook: without its head, and with the words of its figures in their place."""
        from hubtools.reporting.card.card_shown import shown_text

        return shown_text(self.path.read_text(encoding="utf-8"))


def write_cards(names: Names, *, author: str | None = None, on_note: Say = silent) -> Iterator[WrittenCard]:
    """Write the model card of each run into its folder, one as each is asked for.

    Args:
        names: as for :func:`hubtools.results`. Where several runs are named, those that did not finish are left out.
        author: who made the model, for its citation, as in BibTeX.
        on_note: as for :func:`hubtools.results`.

    Raises:
        UserError: there is no such run, or it did not finish.
    """
    from hubtools.findings.naming.named_runs import Needs, no_run, runs_named
    from hubtools.reporting.card.card_edits import changed_by_hand
    from hubtools.reporting.card.model_card import build_card, existing_card

    asked = names_of(names)
    named = runs_named(asked, Needs.FOLDER)
    if not named.found:
        raise no_run(asked, named)
    said_of([named], on_note)
    for run in named.found:
        folder, record = run
        if record.status != "complete" and len(named.found) > 1:
            on_note(f"left out: {folder} is {record.status}")
            continue
        lost = changed_by_hand(existing_card(folder))
        yield WrittenCard(build_card(run, author=author, beside=named.found), folder, record, tuple(lost))


def methods(names: Names, *, on_note: Say = silent) -> list[str]:
    """A paragraph for the methods section of a paper, one for the seeds of a checkpoint under a recipe on a task.

    Args:
        names, on_note: as for :func:`hubtools.results`; runs that did not finish are left out.

    Returns:
        Plain text, in which ``[@key]`` names an entry of :func:`hubtools.cite`.

    Raises:
        UserError: there is no such run, or none that finished.

    >>> import hubtools
    >>> hubtools.methods("benchmarks/baselines/golden")[0].startswith("We used bench [@plm-hubtools] version")
    True
    """
    from hubtools.findings.arms import arms_of
    from hubtools.findings.naming.named_runs import no_run, runs_named
    from hubtools.reporting.paper.methods import methods_of

    asked = names_of(names)
    named = runs_named(asked)
    said_of([named], on_note)
    arms = arms_of(named.found)
    if not arms:
        raise no_run(asked, named)
    return [methods_of(arm) for arm in arms]


def cite(names: Names, *, on_note: Say = silent) -> str:
    """BibTeX of all that runs used: checkpoints, data, methods of their recipes, and bench; each entry once.

    Args:
        names, on_note: as for :func:`hubtools.results`.

    Raises:
        UserError: there is no such run.

    >>> import hubtools
    >>> "@misc{plm-hubtools," in hubtools.cite("benchmarks/baselines/golden")
    True
    """
    from hubtools.findings.naming.named_runs import no_run, runs_named
    from hubtools.reporting.paper.literature import bibtex_of

    asked = names_of(names)
    named = runs_named(asked)
    if not named.found:
        raise no_run(asked, named)
    said_of([named], on_note)
    return bibtex_of(record for _, record in named.found)


@dataclass(frozen=True)
class LearningCurves:
    """Score against training data, pretrained beside random weights.

    Attributes:
        curves: one a task.
        notes: on what is missing.
    """

    curves: tuple[Curve, ...]
    notes: tuple[str, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """One row a point: what :meth:`to_pandas` makes its table of."""
        return [
            {
                "task": curve.title,
                "metric": curve.metric,
                "split": curve.split,
                "series": series.name,
                "weights": weights,
                "fraction": point.fraction,
                "n": point.n,
                "value": point.estimate.value,
                "low": point.estimate.low,
                "high": point.estimate.high,
                "seeds": len(point.seeds),
            }
            for curve in self.curves
            for series in curve.series
            for pair in series.pairs()
            for weights, point in zip(("pretrained", "random"), pair, strict=True)
            if point is not None
        ]

    def to_pandas(self) -> pandas.DataFrame:
        """One row a point: task, metric, split, series, weights (pretrained or random), fraction, n (proteins, pairs), value, low,
        high (95 %), seeds.
        """
        import pandas as pd

        return pd.DataFrame(self.rows())

    def figure(self) -> CardFigure:
        """One panel a task: ``.png`` are its bytes, ``.alt`` says it in words; a notebook shows it."""
        from hubtools.reporting.figures.curve_figure import curves_shown

        return curves_shown(self.curves)

    def write(self, path: str | PathLike[str]) -> list[Path]:
        """Draw them as PNG, the numbers beside it as .json and .tsv; the files."""
        from hubtools.common.files import write_atomic
        from hubtools.findings.board.learning_curve import as_json, as_tsv
        from hubtools.reporting.figures.curve_figure import curve_figure

        curves, target = list(self.curves), Path(path)
        files: dict[Path, str | bytes] = {
            target: curve_figure(curves),
            target.with_suffix(".json"): as_json(curves, list(self.notes)),
            target.with_suffix(".tsv"): as_tsv(curves),
        }
        for file, content in files.items():
            write_atomic(file, content)
        return list(files)

    def _repr_html_(self) -> str:
        from hubtools.findings.board.learning_curve import score_text
        from hubtools.findings.wording import SHORT_INTERVAL_MEANING, share

        columns = ("task", "series", "share", "pretrained", "random weights")
        rows = [
            (curve.title, series.name, share(point.fraction), *map(score_text, pair))
            for curve in self.curves
            for series in curve.series
            for pair in series.pairs()
            if (point := pair[0] or pair[1]) is not None
        ]
        return table_html(columns, rows) + line_html(SHORT_INTERVAL_MEANING) + lines_html("Notes", self.notes)


def curves(
    names: Names = "runs", *, task: str | None = None, split: str = "test", on_note: Say = silent
) -> LearningCurves:
    """Learning curves: score against training data, pretrained beside random weights.

    Args:
        names, on_note: as for :func:`hubtools.results`: runs of the suite ``learning-curve``, or any with ``fractions``.
        task: only this one.
        split: a test split.

    Raises:
        UserError: no question was answered from at least two shares of the training data.
    """
    from hubtools.findings.board.learning_curve import build_curves
    from hubtools.findings.naming.named_runs import runs_named

    named = runs_named(names_of(names))
    said_of([named], on_note)
    found, notes = build_curves(named.found, task=task, split=split)
    return LearningCurves(tuple(found), tuple(notes))
