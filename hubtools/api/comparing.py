"""Two sides of runs against each other: compared, and held to what must not get worse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from hubtools.api.asked import Say, refuse_unknown, silent
from hubtools.api.found_runs import said_of
from hubtools.common.bounds import MOST_REPLICATES, at_most
from hubtools.common.errors import UserError
from hubtools.common.notebook import line_html, lines_html, table_html

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas

    from hubtools.findings.arm_comparison import Comparison
    from hubtools.findings.arms import Arm
    from hubtools.findings.gate import Check, Terms
    from hubtools.findings.side_by_side import SideBySide
    from hubtools.reporting.comparison.check_report import Sides
    from hubtools.reporting.figures.plots import CardFigure
    from hubtools.specs.suite import Suite

Where = str | PathLike[str]
Asked = Literal["weights", "recipe"]
# What a bootstrap draws unless told otherwise.
REPLICATES = 10_000
_COLUMNS = ("task", "metric", "A", "B", "difference (95 %)", "margin", "verdict")


@dataclass(frozen=True)
class RunComparison:
    """What came of comparing two sides; everything is said of B against A, and positive is better.

    Attributes:
        sides: pair by pair, with what is known beside.
        notes: what addresses were resolved to, and what was left out.
    """

    sides: SideBySide
    notes: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        """The largest loss, and the verdicts in one sentence."""
        return self.sides.headline

    @property
    def verdicts(self) -> dict[str, str]:
        """Of each pair, by its label: the task, and more where a task has several pairs."""
        return {pair.label: str(pair.found.verdict) for pair in self.sides.pairs}

    def to_pandas(self) -> pandas.DataFrame:
        """One row a pair: pair, and the columns of :meth:`RunCheck.to_pandas`."""
        import pandas as pd

        rows = [{"pair": pair.label, **_row(pair.found)} for pair in self.sides.pairs]
        return pd.DataFrame(rows)

    def figure(self, *, per_class: bool = False) -> CardFigure:
        """A forest plot: ``.png`` are its bytes, ``.alt`` says it in words."""
        from hubtools.reporting.figures.forest import forest_figure

        return forest_figure(self.sides, per_class=per_class)

    def markdown(self, *, per_class: bool = False, figure: tuple[str, str] | None = None) -> str:
        """All of it as a page; ``figure`` is path and alt text of a forest plot to show."""
        from hubtools.reporting.comparison.comparison_text import markdown

        return markdown(self.sides, per_class=per_class, figure=figure)

    def json(self) -> str:
        """All of it, for programs."""
        from hubtools.reporting.comparison.comparison_text import as_json

        return as_json(self.sides)

    def __repr__(self) -> str:
        return f"{self.headline}."

    def _repr_html_(self) -> str:
        facts = [("A", self.sides.a), ("B", self.sides.b)]
        said_of = f"Differences are B against A on {self.sides.split}; positive is better."
        rows = [_cells(pair.label, pair.found) for pair in self.sides.pairs]
        reasons = [f"{pair.label}: {pair.found.judgement.reason}" for pair in self.sides.pairs]
        return "".join(
            [
                line_html(repr(self), strong=True),
                *(line_html(f"{letter}: {name}") for letter, name in facts),
                line_html(said_of),
                table_html(_COLUMNS, rows),
                lines_html("Why", reasons),
                lines_html("Left out", self.sides.left_out),
                lines_html("Notes", self.notes),
            ]
        )


@dataclass(frozen=True)
class RunCheck:
    """What came of holding a candidate to a baseline.

    Attributes:
        check: all comparisons, worst first.
        sides: what was named.
        notes: what addresses were resolved to, and what was left out.
    """

    check: Check
    sides: Sides
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """On all: ``pass``, ``worse``, ``over budget``, ``cannot tell`` or ``error`` (the sides cannot be compared)."""
        return self.check.outcome

    @property
    def exit_code(self) -> int:
        """0 pass, 1 worse or over budget, 2 not comparable, 3 cannot tell (0 where that is to warn only)."""
        return self.check.exit_code

    @property
    def problems(self) -> list[str]:
        """Why nothing could be judged, a line each."""
        return self.check.problems

    @property
    def headline(self) -> str:
        """The verdict, how many, and the largest loss, in one sentence."""
        from hubtools.reporting.comparison.check_report import headline

        return headline(self.check)

    def to_pandas(self) -> pandas.DataFrame:
        """One row a comparison: task, metric, verdict, baseline, candidate (means), difference, low, high (95 %), p, adjusted_p,
        margin, question, baseline_arm, candidate_arm, seeds (of both).
        """
        import pandas as pd

        return pd.DataFrame([_row(item) for item in self.check.items])

    def markdown(self) -> str:
        """The report as a page."""
        from hubtools.reporting.comparison.check_report import markdown

        return markdown(self.check, self.sides)

    def json(self) -> str:
        """All of it, for programs."""
        from hubtools.reporting.comparison.check_report import as_json

        return as_json(self.check, self.sides)

    def junit(self) -> bytes:
        """A test report, as CI systems read it."""
        from hubtools.reporting.comparison.junit import junit

        return junit(self.check, self.sides)

    def __repr__(self) -> str:
        return f"{self.headline}."

    def _repr_html_(self) -> str:
        from hubtools.reporting.comparison.check_report import cost_lines, reasons

        columns = ("task", "metric", "baseline", "candidate", *_COLUMNS[4:])
        rows = [_cells(f"{item.task_name}, {item.name}", item) for item in self.check.items]
        return "".join(
            [
                line_html(repr(self), strong=True),
                line_html(f"baseline: {self.sides.baseline}"),
                line_html(f"candidate: {self.sides.candidate}"),
                table_html(columns, rows) if rows else "",
                lines_html("Why", reasons(self.check)),
                lines_html("Cost", cost_lines(self.check)),
                lines_html("Not comparable", self.problems),
                lines_html("Notes", [*self.notes, *self.check.notes]),
            ]
        )


def _cells(label: str, one: Comparison) -> list[str]:
    from hubtools.findings.wording import MISSING, metric_title, number
    from hubtools.reporting.comparison.check_report import difference_text

    before, after = one.means
    margin = MISSING if one.margin is None else f"{one.margin:g}"
    metric = metric_title(one.metric, arrow=True)
    return [label, metric, number(before), number(after), difference_text(one), margin, str(one.verdict)]


def _row(one: Comparison) -> dict[str, Any]:
    found, (before, after) = one.difference, one.means
    return {
        "task": one.task_name,
        "metric": one.metric,
        "verdict": str(one.verdict),
        "baseline": before,
        "candidate": after,
        "difference": found.value,
        "low": found.low,
        "high": found.high,
        "p": found.p_value,
        "adjusted_p": one.judgement.adjusted_p,
        "margin": one.margin,
        "question": str(one.question),
        "baseline_arm": one.baseline.name,
        "candidate_arm": one.candidate.name,
        "seeds": f"{len(one.baseline.seeds)} and {len(one.candidate.seeds)}",
    }


def compare(
    a: Where,
    b: Where,
    question: Asked | None = None,
    *,
    metric: str | None = None,
    split: str = "test",
    replicates: int = REPLICATES,
    on_note: Say = silent,
) -> RunComparison:
    """Better, worse or cannot tell: two sides of runs, task by task.

    Within a task, arms are paired that share checkpoint and recipe, else checkpoint, else recipe.

    Args:
        a, b: runs, named as for :func:`hubtools.results`: with selectors, two arms of one folder can be compared.
        question: ``weights``: are these very weights different? ``recipe``: would training again differ? Needs three seeds an
            arm. By default ``recipe`` where both have them.
        metric: of the tasks; by default the primary one of each.
        split: a test split.
        replicates: of the bootstrap, at least 200.
        on_note: as for :func:`hubtools.results`.

    Raises:
        UserError: nothing is there, or the two do not answer the same question on the same rows.

    >>> import hubtools
    >>> golden = "benchmarks/baselines/golden:task=golden-value,recipe="
    >>> told = hubtools.compare(golden + "golden-probe", golden + "golden-full", replicates=200)
    >>> list(told.verdicts), told.to_pandas().shape[0]
    (['golden-value'], 1)
    """
    from hubtools.evaluation.statistics.difference import Question
    from hubtools.findings.naming.named_runs import arms_at
    from hubtools.findings.pairing import pair_arms
    from hubtools.findings.side_by_side import compare as compared

    _refuse_question(question)
    at_most(replicates, MOST_REPLICATES, "replicates", "replicates")
    if split in {"train", "validation"}:
        raise UserError(f"nothing is compared on {split}: choices were made on it", fix="Name a test split.")
    names = (fspath(a), fspath(b))
    (of_a, named), (of_b, other) = (arms_at(name, split) for name in names)
    notes = said_of([named, other], on_note)
    paired = pair_arms(of_a, of_b, names)
    done = compared(
        paired.pairs,
        names,
        question=Question(question) if question else None,
        metric=metric,
        split=split,
        replicates=replicates,
        left_out=paired.left_out,
    )
    return RunComparison(done, notes)


def _refuse_question(question: str | None) -> None:
    if question not in {None, "weights", "recipe"}:
        raise UserError(f"there is no question {question!r}", where="question", fix="Ask weights or recipe.")


class CheckTerms(TypedDict, total=False):
    """What a check is held to, where it is not what the baseline says.

    Attributes:
        margins: task -> the loss that counts as worse; else the baseline's, else the task's.
        tolerance: predictions that differ by no more are the same and pass: of probabilities, or of values in SD.
        cannot_tell: what an open verdict does: ``fail`` or ``warn``.
        cost: what a cost over its budget does: ``fail``, ``warn`` or ``ignore``.
        replicates: of the bootstrap.
    """

    margins: Mapping[str, float]
    tolerance: float | None
    cannot_tell: Literal["fail", "warn"]
    cost: Literal["fail", "warn", "ignore"]
    replicates: int


def check(
    baseline: Where,
    candidate: Where,
    question: Asked | None = None,
    *,
    suite: str | None = None,
    split: str = "test",
    baseline_sha256: str | None = None,
    project: Where | None = None,
    on_note: Say = silent,
    **terms: Unpack[CheckTerms],
) -> RunCheck:
    """Check a candidate against a baseline, task by task: no loss beyond the margin, worse, or cannot tell.

    Args:
        baseline, candidate: runs, named as for :func:`hubtools.results`.
        question: ``weights`` or ``recipe``; by default what a frozen baseline says, else ``recipe``.
        suite: tasks that must be there on both sides, by the name of a suite of bench or of ``project``, or a file.
        split: the test split that is compared.
        baseline_sha256: of its ``baseline.yaml``: refused where it is another.
        project: folder whose suites are held to be right beside those of bench; what is checked never brings its own.
        on_note: as for :func:`hubtools.results`.
        terms: fields of :class:`CheckTerms`.

    Returns:
        ``verdict``, ``exit_code``, and every comparison.

    Raises:
        UserError: nothing is there, or it cannot be read. What cannot be compared is the verdict ``error``, and ``problems``.

    >>> import hubtools
    >>> done = hubtools.check("benchmarks/baselines/golden", "benchmarks/baselines/golden", cost="ignore")
    >>> done.verdict, done.exit_code, len(done.to_pandas())
    ('pass', 0, 15)
    """
    from hubtools.findings.gate import check as checked
    from hubtools.findings.naming.named_runs import arms_at
    from hubtools.reporting.comparison.check_report import Sides

    refuse_unknown(terms, CheckTerms, "check")
    _refuse_question(question)
    at_most(terms.get("replicates") or 0, MOST_REPLICATES, "replicates", "replicates")
    sides = Sides(fspath(baseline), fspath(candidate))
    wanted = _suite(suite, project) if suite else None
    margins = dict(terms.get("margins") or {})
    for task, margin in margins.items():
        if not 0 < margin < float("inf"):
            raise UserError(f"{margin} is no loss of {task}", where="margins", fix="Give a number above 0.")
    (before, named), (after, other) = arms_at(sides.baseline, split), arms_at(sides.candidate, split)
    notes = said_of([named, other], on_note)
    if baseline_sha256 is not None:
        _pinned(before, baseline_sha256)
    held = _terms(before, question, margins, terms)
    if unknown := set(margins) - {arm.record.identity.task.name for arm in before}:
        raise UserError(f"the baseline has no task {min(unknown)}", where="--margin", fix="Correct the name.")
    return RunCheck(checked(before, after, held, split, wanted), sides, notes)


def _suite(name: str, project: Where | None) -> Suite:
    from hubtools.specs.lookup.content import is_path
    from hubtools.specs.lookup.spec_files import load_suite
    from hubtools.specs.lookup.trusted import TrustedSpecs

    if is_path(name):
        return load_suite(name)
    return TrustedSpecs(None if project is None else Path(project)).suite(name)


def _pinned(arms: Sequence[Arm], sha256: str) -> None:
    """Its file names the checksum of everything else in it, which was looked at when it was read."""
    from hubtools.findings.frozen_baseline import open_baseline

    found = open_baseline(arms[0].runs[0][0].parent).sha256
    if found != sha256.strip().lower():
        raise UserError(
            f"this is another baseline: the sha256 of its baseline.yaml is {found}",
            where="--baseline-sha256",
            fix="See what changed in it; then correct the pin.",
        )


def _terms(arms: Sequence[Arm], question: str | None, margins: Mapping[str, float], given: CheckTerms) -> Terms:
    """What the baseline's file says, and over it what the caller says."""
    from hubtools.evaluation.statistics.difference import Question
    from hubtools.findings.gate import terms_of

    terms = terms_of(arms)
    changed: dict[str, Any] = {} if question is None else {"question": Question(question)}
    for name, field in (("tolerance", "same"), ("cannot_tell", "cannot_tell"), ("cost", "cost"), ("replicates",) * 2):
        if (value := given.get(name)) is not None:
            changed[field] = value
    return replace(terms, margins={**terms.margins, **margins}, **changed)
