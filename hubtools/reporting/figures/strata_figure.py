"""The score by identity to the training set and by length: whether it is as good on what is unlike anything learnt from."""

from __future__ import annotations

from hubtools.findings.wording import metric_title, number
from hubtools.reporting.figures.plots import BLUE, GREY, PALE, WIDTH, CardFigure, panels, png
from hubtools.specs.record import SplitResult, Stratum

TITLES = {"identity": "by identity to train", "length": "by length in residues"}


def strata_figure(result: SplitResult, metric: str, split: str) -> CardFigure | None:
    """A panel for each kind of strata that has at least two scores; None where none has.

    Args:
        result: on the split.
        metric: the primary one, which strata are scored by.
        split: its name.
    """
    kinds = {kind: _scored(strata) for kind, strata in result.strata.items()}
    kinds = {kind: strata for kind, strata in kinds.items() if len(strata) > 1}
    if not kinds:
        return None
    whole = result.scores[metric].value
    rows = max(len(strata) for strata in kinds.values())
    figure, grid = panels(1, len(kinds), (WIDTH if len(kinds) > 1 else WIDTH * 0.66, 0.95 + 0.34 * rows))
    said = []
    for axes, (kind, strata) in zip(grid, kinds.items(), strict=True):
        for place, stratum in enumerate(strata):
            score = stratum.score
            assert score is not None and score.value is not None
            if score.low is not None and score.high is not None:
                axes.plot([score.low, score.high], [place] * 2, color=BLUE, linewidth=4, alpha=0.35, zorder=2)
            axes.plot([score.value], [place], "o", color=BLUE, markersize=6, zorder=3)
            said.append(f"{stratum.name} {number(score.value)}")
        if whole is not None:
            axes.axvline(whole, color=GREY, linewidth=1, linestyle=(0, (2, 2)), zorder=1)
        axes.set_yticks(range(len(strata)), [f"{stratum.name}\n{stratum.n_proteins:,} proteins" for stratum in strata])
        axes.set_ylim(len(strata) - 0.4, -0.6)
        axes.set_title(TITLES.get(kind, f"by {kind}"), fontsize=9.5, loc="left")
        axes.set_xlabel(metric_title(metric, arrow=True))
        axes.grid(axis="x", color=PALE, linewidth=0.6)
        axes.tick_params(axis="y", length=0, labelsize=8.5)
        axes.spines["left"].set_visible(False)
    return CardFigure(
        "strata.png",
        png(figure),
        f"{metric_title(metric)} on parts of {split}: {'; '.join(said)}.",
        f"{metric_title(metric)} on parts of {split} with 95 % intervals; the dotted line is the whole of it. Parts differ in "
        "more than one respect, so that a difference need not come from the one named.",
    )


def _scored(strata: list[Stratum]) -> list[Stratum]:
    return [stratum for stratum in strata if stratum.score is not None and stratum.score.value is not None]
