"""The model card of a run, from its record, its predictions and the records beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hubtools.common.errors import UserError
from hubtools.common.files import write_atomic
from hubtools.common.secrets import scrub
from hubtools.findings import wording
from hubtools.findings.arms import require_known_metrics
from hubtools.findings.board.board_rows import Row, Table
from hubtools.findings.board.leaderboard import table_of
from hubtools.findings.wording import SHORT_INTERVAL_MEANING
from hubtools.reporting.card import card_leakage, card_procedure, card_results, citation, tried_versions
from hubtools.reporting.card.card_comparison import beside, comparisons, recipe_rows
from hubtools.reporting.card.card_edits import keep_edits
from hubtools.reporting.card.card_lint import lint_card
from hubtools.reporting.card.card_metadata import Library, front_matter, metadata, metric_names, test_splits
from hubtools.reporting.card.eval_results import eval_results, eval_results_name
from hubtools.reporting.card.snippet import Weights, has_model, needs_custom_code, pipeline_snippet, usage_snippet
from hubtools.reporting.figures.calibration_figure import verdict
from hubtools.reporting.templates import render, written
from hubtools.runs.public_record import public_record
from hubtools.runs.repeating import Repeating, repeating
from hubtools.runs.store import ADAPTER, CARD, OpenRun, find_records, open_run
from hubtools.runs.whole_model import has_whole_model
from hubtools.specs.record import RunRecord

if TYPE_CHECKING:
    from hubtools.reporting.figures.plots import CardFigure

__all__ = ["build_card", "existing_card", "lint_card"]

README, FIGURES = "README.md", "figures"
MAX_ROWS_BESIDE = 30


@dataclass(frozen=True)
class ModelPage:
    """A page on which a model can be tried.

    Attributes:
        space: ``owner/name`` of the Space.
        weights: a sentence on those that it computes with in the browser; empty where the Hub computes.
    """

    space: str
    weights: str = ""


def build_card(
    run: OpenRun | Path,
    *,
    repo_id: str | None = None,
    licence: str | None = None,
    author: str | None = None,
    weights: Weights = "merged",
    page: ModelPage | None = None,
    beside: Sequence[OpenRun] = (),
) -> Path:
    """Write ``card/README.md`` and ``card/figures/*.png`` into a run's folder.

    What a user wrote into the marked places of the card that is there stays (:mod:`hubtools.reporting.card.card_edits`).

    Args:
        run: that is complete, as it was opened, or its folder.
        repo_id: where the model will be on the Hub; by default the card loads it from the folder.
        licence: under which it is published; by default what base model and data imply.
        author: of the model, for its citation; by default the owner of the repository.
        weights: what of a run with an adapter is published.
        page: where it can be tried.
        beside: runs that are open already, in the same folder perhaps; they are not read again.

    Returns:
        The path of the card.

    Raises:
        UserError: there is no such run, it is not complete, the folder cannot be written, or a mark in the old card is
            not closed.
    """
    from hubtools.reporting.card.card_figures import figures_of

    run = open_run(run)
    record, target = run.record, run.card
    if record.status != "complete":
        raise UserError(
            f"this run is {record.status}: there is no result to put on a card",
            where=str(run.folder),
            fix=f"Finish it first: {record.command}",
        )
    run.require_unaltered()
    require_known_metrics(run)
    table, row = _board_of(run, beside)
    shown = table.around(record.run_id, MAX_ROWS_BESIDE)
    figures = figures_of(run, shown)
    public = OpenRun(run.folder, public_record(record))
    text = _text(public, (table, shown, row), figures, CardOptions(repo_id, licence, author, weights, page))
    text = keep_edits(text, existing_card(run.folder))
    for figure in figures.values():
        write_atomic(target / FIGURES / figure.name, figure.png)
    write_atomic(target / README, text)
    _write_eval_results(record, target, repo_id)
    for stale in set((target / FIGURES).glob("*.png")) - {
        target / FIGURES / figure.name for figure in figures.values()
    }:
        stale.unlink(missing_ok=True)
    return target / README


def _write_eval_results(record: RunRecord, target: Path, repo_id: str | None) -> None:
    """Beside the card, what the Hub's benchmarks read, where the task is one of them and the repository is known."""
    path = target / eval_results_name(record)
    text = eval_results(record, repo_id) if repo_id else None
    if text is None:
        path.unlink(missing_ok=True)
    else:
        write_atomic(path, text)


def existing_card(folder: Path) -> str:
    """The card that lies in a run's folder; empty where there is none."""
    path = folder / CARD / README
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _board_of(run: OpenRun, known: Sequence[OpenRun]) -> tuple[Table, Row]:
    """The board's table that the run stands in, of the runs in the same folder, and its row."""
    record = run.record
    found, _ = find_records([run.folder.resolve().parent], record.identity.task.name, [*known, run])
    others = [other for other in found if other.record.run_id != record.run_id]
    table = table_of([*others, run], record, split=test_splits(record)[0])
    row = next(row for row in table.rows if any(other.run_id == record.run_id for _, other in row.runs))
    return table, row


def _title(record: RunRecord) -> str:
    checkpoint = record.identity.checkpoint
    if checkpoint is None:
        return f"{record.title}: the baseline {record.identity.recipe.name}"
    random = " (random weights)" if record.from_scratch else ""
    return f"{record.title} with {checkpoint.name.split('/')[-1]}{random}"


def _repeating(record: RunRecord) -> Repeating:
    """How the run is made again; what it needs is in Markdown already."""
    found = repeating(record)
    return replace(found, needs=tuple(written(need) for need in found.needs))


def _findings(record: RunRecord) -> list[str]:
    """What was found in the data and is not said elsewhere: that it is a part of the data, and what was left out, is."""
    found = record.data.findings if record.data else []
    return [f for f in found if not f.startswith(("subset:", "fraction:")) and " rows removed: " not in f]


@dataclass(frozen=True)
class CardOptions:
    """What whoever publishes decides; see :func:`build_card`."""

    repo_id: str | None
    licence: str | None
    author: str | None
    weights: Weights
    page: ModelPage | None


def _snippets(record: RunRecord, model: Path, location: str, weights: Weights) -> dict[str, str]:
    """How to load what is published: by the heading above it, empty for the first."""
    if weights == "adapter":
        return {"": usage_snippet(record, model, location, adapter="")}
    found = {"": usage_snippet(record, model, location)}
    if (short := pipeline_snippet(record, model, location)) is not None:
        found["In a pipeline"] = short
    if weights == "both":
        found["The adapter on its base model, with peft"] = usage_snippet(record, model, location, adapter=ADAPTER)
    return found


def _text(
    run: OpenRun,
    places: tuple[Table, Table, Row],
    figures: Mapping[str, CardFigure],
    wanted: CardOptions,
) -> str:
    """The card. ``places``: the whole table, the part of it that is shown, and the row of the run."""
    table, shown, row = places
    repo_id, weights = wanted.repo_id, wanted.weights
    record, model = run.record, run.model
    loadable = has_model(model)
    subject = record.subject.rstrip("/").split("/")[-1]
    name = repo_id.split("/")[-1] if repo_id else f"{record.identity.task.name}-{subject}"
    library: Library = ("peft" if weights == "adapter" else "transformers") if loadable else None
    values = metadata(record, name, wanted.licence, library)
    task, splits, title = record.task_spec, test_splits(record), _title(record)
    labels = task.label_names
    measured = {split: record.results[split].calibration for split in splits}
    calibrations = {split: found for split, found in measured.items() if found is not None}
    compared = comparisons(row, table)
    body = render(
        "model_card.md.j2",
        title=title,
        record=record,
        task=task,
        problem=task.problem,
        labels=labels,
        shown_labels=labels[: card_procedure.MAX_LABELS_IN_PROSE],
        splits=splits,
        primary=record.primary_metric,
        metrics=metric_names(record),
        averages=wording.averages(task),
        score=card_results.score_text,
        calibrations=calibrations,
        calibration_verdict="".join(verdict(found, split) for split, found in list(calibrations.items())[:1]),
        trust=wording.trust(task),
        findings=_findings(record),
        leakage=card_leakage.statement(record, splits[0]),
        pretraining=card_leakage.pretraining(record, splits[0]),
        not_looked_for=card_leakage.not_looked_for(record, splits[0]),
        residues={split: card_results.residues_scored(record, split) for split in splits},
        strata={split: card_results.strata_shown(record, split) for split in splits},
        largest_classes=card_results.largest_classes,
        headline=record.results[splits[0]].scores[record.primary_metric],
        folds=record.results[splits[0]].folds,
        fold_mean=card_results.mean_of_folds(record, splits[0]),
        row=row,
        mean=row.scores[table.primary],
        sweep=row.sweep,
        repeating=_repeating(record),
        seeds=card_results.seeds_of(row, table, record.run_id),
        table=shown,
        comparison=beside(shown, record) if len(shown.rows) > 1 else None,
        rows_on_board=len(table.rows),
        baseline=compared.baseline,
        recipes=recipe_rows(row, table, compared),
        figures=figures,
        snippets=_snippets(record, model, repo_id or model.as_posix(), weights) if loadable else {},
        weights=weights,
        page=wanted.page,
        put_together=None if repo_id or has_whole_model(run) else run.folder.as_posix(),
        custom_code=needs_custom_code(model),
        tried=tried_versions.oldest_tried(record, peft=weights != "merged"),
        in_keras=tried_versions.loads_in_keras(record),
        adapted=card_procedure.adapter_in_words(record.recipe_spec.adapter),
        head=card_procedure.head_in_words(record),
        context=card_procedure.context_in_words(record),
        pieces=card_procedure.pieces_in_words(record),
        chains=task.chains_told,
        settings=card_procedure.settings(record),
        choices=card_procedure.choices(record, labels),
        energy=card_procedure.energy_in_words(record.cost.energy) if record.cost and record.cost.energy else None,
        licence=values["license"] if values["license"] != "other" else values["license_name"],
        hub_checkpoint=values.get("base_model"),
        citation=(task.citation or "").strip(),
        cite_model=citation.of_model(record, title, repo_id, wanted.author) if loadable else None,
        cite_paper=citation.paper_of(record),
        cite_bench=citation.of_bench(record),
        repo_id=repo_id,
        short_interval_meaning=SHORT_INTERVAL_MEANING,
    )
    plain = re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+$", "", body, flags=re.MULTILINE)).rstrip()
    # Whatever the record holds: an earlier version of bench may have written it.
    return scrub(front_matter(values) + "\n" + plain.lstrip("\n") + "\n")
