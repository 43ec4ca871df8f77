"""An answer as HTML: probabilities as bars, residues coloured by their label. Plain markup, escaped, without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from hubtools.data.rows.chain_breaks import chains_of, residues_in
from hubtools.findings.wording import metric_title, number, plural
from hubtools.reporting.answer_style import PALETTE

if TYPE_CHECKING:
    from hubtools.inference.decisions import Decided, Decider
    from hubtools.inference.predictor import Predictor

# More labels than this are read in the table.
SHOWN_LABELS = 12
SHOWN_RESIDUES = 3000
SHOWN_SITES = 15
BLOCK = 10


def message(text: str) -> str:
    """Something to put right, kindly."""
    return f'<div class="b-message" role="alert">{escape(text)}</div>'


def headline(predictor: Predictor) -> str:
    """What the page is about: the question, the model, how good it was, and what it is not for."""
    record, task = predictor.record, predictor.task
    facts = [f"{record.subject}, {record.identity.recipe.name}"]
    for split in record.test_splits[:1]:
        score = record.score(split)
        if score is not None and score.value is not None:
            bounds = f" (95 % interval {number(score.low)} to {number(score.high)})" if score.low is not None else ""
            name = metric_title(record.primary_metric)
            facts.append(
                f"{name} {number(score.value)}{bounds} on {plural(record.results[split].n_proteins, 'protein')}"
            )
    if predictor.problem.kind != "regression":
        measured = record.results[record.test_splits[0]].calibration if record.test_splits else None
        facts.append(
            f"calibration error of its probabilities {number(measured.ece)}"
            if measured
            else "the calibration of its probabilities was not checked"
        )
    if record.structure is not None and record.structure.source != "none":
        facts.append("it learnt with structures and is shown none here: that was not measured")
    return (
        f'<div class="b-page"><h1>{escape(task.title)}</h1><p>{escape(task.summary)}</p>'
        f'<p class="b-facts">{escape(" · ".join(facts))}<br>A prediction, not a measurement. Not for diagnosis or '
        "treatment.</p></div>"
    )


def answer_html(decider: Decider, decided: Decided) -> str:
    """One protein's answer."""
    protein, windows = decided.answer.protein, decided.answer.windows
    length = plural(residues_in(protein.sequence), "residue")
    if protein.partner is not None:
        length += f" and {plural(len(protein.partner), 'residue')}"
    chains = len(chains_of(protein.sequence))
    length += f" in {chains} chains, each read alone" if chains > 1 else ""
    read = f", read in {windows} overlapping windows" if windows > chains else ""
    body = _residues(decider, decided) if decided.positions is not None else _protein(decider, decided)
    return f'<div class="b-answer"><h2>{escape(protein.id)}</h2><p class="b-small">{length}{read}</p>{body}</div>'


def _protein(decider: Decider, decided: Decided) -> str:
    if decider.problem.kind == "regression":
        unit = f" {escape(decider.task.unit)}" if decider.task.unit else ""
        return f'<p class="b-said">Predicted value: <strong>{number(float(decided.scores[0, 0]))}</strong>{unit}</p>'
    labels = decided.labels[0]
    said = ", ".join(labels) if labels else "none of the labels"
    scores, names = decided.scores[0], decider.names
    order = np.argsort(-scores, kind="stable")
    limits = _limits(decider)
    rows = "".join(
        _bar(names[i], float(scores[i]), names[i] in labels, limits.get(names[i])) for i in order[:SHOWN_LABELS]
    )
    left = f'<p class="b-small">The {SHOWN_LABELS} likeliest of {len(names):,} labels; all are in the table.</p>'
    mark = ", the mark is the decision threshold" if limits else ""
    return (
        f'<p class="b-said">Predicted: <strong>{escape(said)}</strong></p>'
        f'<table class="b-bars"><caption class="b-small">Probability of each label{mark}</caption><tbody>{rows}</tbody></table>'
        + (left if len(names) > SHOWN_LABELS else "")
    )


def _limits(decider: Decider) -> dict[str, float]:
    if not decider.thresholds:
        return {}
    positive = decider.task.metrics.positive
    return dict(zip([positive] if positive else decider.names, decider.thresholds, strict=True))


def _bar(name: str, probability: float, decided: bool, limit: float | None) -> str:
    mark = (
        ""
        if limit is None
        else f'<div class="b-limit" style="left:{100 * min(limit, 1):.1f}%" title="threshold {limit:.3g}"></div>'
    )
    shown = f"{100 * probability:.1f} %"
    return (
        f'<tr class="{"b-yes" if decided else "b-no"}"><th scope="row">{escape(name)}{"<span class=b-small> ✓</span>" if decided else ""}</th>'
        f'<td><div class="b-track"><div class="b-fill" style="width:{100 * probability:.1f}%"></div>{mark}</div></td><td>{shown}</td></tr>'
    )


def codes(names: Sequence[str]) -> list[str]:
    """One letter for each label, its own first letter where that is free."""
    taken: list[str] = []
    for name in names:
        letters = [letter.upper() for letter in name if letter.isalnum()] + list(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789*"
        )
        taken.append(next(letter for letter in [*letters, "?"] if letter not in taken or letter == "?"))
    return taken


def _residues(decider: Decider, decided: Decided) -> str:
    if not len(decided.scores):
        asked = ", ".join(decider.candidates or "")
        return f'<p class="b-said">It has no residue that this is about ({escape(asked)}).</p>'
    if decider.problem.kind == "regression":
        return _values(decider, decided)
    names, only = decider.names, decider.task.metrics.positive
    letters = codes(names)
    shown = [name for name in names if only is None or name == only]
    colours = {name: PALETTE[index % len(PALETTE)] for index, name in enumerate(shown)}
    sequence = decided.answer.protein.sequence
    assert decided.positions is not None
    at = {int(position): index for index, position in enumerate(decided.positions)}
    cells = []
    for place, residue in enumerate(sequence[:SHOWN_RESIDUES], start=1):
        row = at.get(place)
        label = next((name for name in decided.labels[row] if name in colours), None) if row is not None else None
        tip = f"{residue}{place}"
        if row is not None:
            tip += ": " + ", ".join(
                f"{name} {100 * float(p):.0f} %" for name, p in zip(names, decided.scores[row], strict=True)
            )
        if label is None:
            cells.append(f'<span class="b-r b-none" title="{escape(tip)}"><b>{residue}</b><span>·</span></span>')
        else:
            code = letters[names.index(label)]
            cells.append(
                f'<span class="b-r" style="background:{colours[label]}" title="{escape(tip)}"><b>{residue}</b><span>{code}</span></span>'
            )
    counts = {name: sum(name in labels for labels in decided.labels) for name in shown}
    legend = "".join(
        f'<li><i style="background:{colours[name]}">{letters[names.index(name)]}</i>{escape(name)} ({counts[name]:,})</li>'
        for name in shown
    )
    said = "; ".join(f"{name}: {_spans(decided, name)}" for name in shown)
    text = f'<p class="b-small">In words: {escape(said)}.</p>' if len(said) < 4000 else ""
    more = len(sequence) - SHOWN_RESIDUES
    rest = (
        f'<p class="b-small">The first {SHOWN_RESIDUES:,} residues are shown; {more:,} more are in the table.</p>'
        if more > 0
        else ""
    )
    return (
        f'<ul class="b-legend">{legend}</ul><div class="b-sequence">{_blocks(cells)}</div>{rest}'
        + (_sites(decider, decided) if only is not None else _plot(decided, shown, colours, names))
        + text
    )


def _blocks(cells: list[str]) -> str:
    return "".join(
        f'<span class="b-block"><small>{start + 1}</small>{"".join(cells[start : start + BLOCK])}</span>'
        for start in range(0, len(cells), BLOCK)
    )


def _spans(decided: Decided, name: str) -> str:
    """The residues with a label: 3, 7 to 12."""
    assert decided.positions is not None
    held = [int(p) for p, labels in zip(decided.positions, decided.labels, strict=True) if name in labels]
    runs: list[list[int]] = []
    for position in held:
        if runs and position == runs[-1][-1] + 1:
            runs[-1].append(position)
        else:
            runs.append([position])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs) or "nowhere"


def _sites(decider: Decider, decided: Decided) -> str:
    """The likeliest residues of a task that detects one class."""
    positive = decider.names.index(str(decider.task.metrics.positive))
    assert decided.positions is not None
    order = np.argsort(-decided.scores[:, positive], kind="stable")[:SHOWN_SITES]
    sequence = decided.answer.protein.sequence
    rows = "".join(
        f"<tr><td>{sequence[decided.positions[i] - 1]}{decided.positions[i]}</td><td>{100 * decided.scores[i, positive]:.1f} %</td>"
        f"<td>{'yes' if decider.names[positive] in decided.labels[i] else 'no'}</td></tr>"
        for i in order
    )
    limit = f", decided at {100 * decider.thresholds[0]:.3g} %" if decider.thresholds else ""
    caption = f"The {len(order)} likeliest of {len(decided.scores):,} residues{limit}"
    return (
        f'<table class="b-sites"><caption class="b-small">{caption}</caption><thead><tr><th scope="col">Residue</th>'
        f'<th scope="col">Probability</th><th scope="col">{escape(decider.names[positive])}</th></tr></thead><tbody>{rows}</tbody></table>'
    )


def _plot(decided: Decided, shown: list[str], colours: dict[str, str], names: list[str]) -> str:
    """Probabilities along the sequence."""
    assert decided.positions is not None
    series = [(colours[name], decided.scores[:, names.index(name)]) for name in shown[: len(PALETTE)]]
    return _lines(decided.positions, series, 0.0, 1.0, "Probabilities along the sequence", ("0 %", "100 %"))


def _values(decider: Decider, decided: Decided) -> str:
    values = decided.scores[:, 0]
    assert decided.positions is not None
    low, high = float(values.min()), float(values.max())
    span = high - low or 1.0
    at = {int(position): float(value) for position, value in zip(decided.positions, values, strict=True)}
    cells = []
    for place, residue in enumerate(decided.answer.protein.sequence[:SHOWN_RESIDUES], start=1):
        value = at.get(place)
        # From nearly white to blue; the letters stay dark on both.
        share = 0 if value is None else (value - low) / span
        tip = f"{residue}{place}" + (f": {number(value)}" if value is not None else "")
        cells.append(
            f'<span class="b-r" style="background:hsl(205 70% {95 - 40 * share:.0f}%)" title="{escape(tip)}"><b>{residue}</b></span>'
        )
    unit = f" {escape(decider.task.unit)}" if decider.task.unit else ""
    said = f"Mean {number(float(values.mean()))}{unit}, from {number(low)} to {number(high)}"
    plot = _lines(
        decided.positions, [("#2b7bba", values)], low, high, "Values along the sequence", (number(low), number(high))
    )
    return f'<p class="b-said">{said}</p><div class="b-sequence">{_blocks(cells)}</div>{plot}'


def _lines(
    positions: np.ndarray,
    series: list[tuple[str, np.ndarray]],
    low: float,
    high: float,
    title: str,
    ends: tuple[str, str],
) -> str:
    """A small plot: one line for each series, residues from left to right."""
    width, height, left = 720, 110, 46
    first, last, span = int(positions[0]), int(positions[-1]), high - low or 1.0
    across = (width - left - 6) / max(last - first, 1)
    paths = []
    for colour, values in series:
        points = " ".join(
            f"{left + (p - first) * across:.1f},{8 + (height - 30) * (1 - (v - low) / span):.1f}"
            for p, v in zip(positions.tolist(), values.tolist(), strict=True)
        )
        paths.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
    return (
        f'<svg class="b-plot" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">'
        f'<text x="{left - 6}" y="14" text-anchor="end">{escape(ends[1])}</text>'
        f'<text x="{left - 6}" y="{height - 20}" text-anchor="end">{escape(ends[0])}</text>'
        f'<line x1="{left}" x2="{width - 6}" y1="{height - 22}" y2="{height - 22}" stroke="currentColor" opacity=".3"/>'
        f'<text x="{left}" y="{height - 5}">{first:,}</text><text x="{width - 6}" y="{height - 5}" text-anchor="end">residue {last:,}</text>'
        f"{''.join(paths)}</svg>"
    )
