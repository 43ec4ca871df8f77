"""``bench check``: the gate of a CI job: no loss that counts, worse, or cannot tell."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hubtools.cli.terminal import PROJECT, TEMPLATES, tell
from hubtools.common.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hubtools.reporting.comparison.check_report import Sides
    from hubtools.results.arms import Arm
    from hubtools.results.gate import Check, Terms
    from hubtools.specs.suite import Suite

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(short_help="Check a candidate against a baseline: no loss that counts, worse, or cannot tell.")
@click.option("--baseline", required=True, metavar="RUNS", help="What it must not be worse than.")
@click.option("--baseline-sha256", metavar="HEX", help="sha256 of its baseline.yaml, as bench baseline show prints it.")
@click.option("--candidate", required=True, metavar="RUNS", help="Runs to check.")
@click.option("--suite", metavar="NAME", help="Tasks that must be there, on both sides; others are left aside.")
@click.option(
    "--question",
    type=click.Choice(["weights", "recipe"]),
    help="weights: are these models different? recipe: does training again give another result? By default what a "
    "frozen baseline says, else recipe.",
)
@click.option(
    "--margin",
    "margins",
    multiple=True,
    metavar="TASK=VALUE",
    help="Loss that counts as worse; else the baseline's, else the task's. May be repeated.",
)
@click.option("--split", default="test", show_default=True, metavar="NAME", help="Test split that is compared.")
@click.option(
    "--cannot-tell", type=click.Choice(["fail", "warn"]), default="fail", show_default=True, help="fail: exit code 3."
)
@click.option(
    "--cost",
    type=click.Choice(["fail", "warn", "ignore"]),
    default="fail",
    show_default=True,
    help="What a cost over its budget does.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    metavar="NUMBER",
    help="Predictions that differ by no more are the same and pass: of probabilities, or of values in SD. "
    "[default: what a frozen baseline says, else 0.0001]",
)
@click.option("--replicates", type=click.IntRange(min=100), default=10_000, show_default=True, help="Of the bootstrap.")
@click.option("--format", "form", type=click.Choice(["table", "markdown", "json"]), default="table", show_default=True)
@click.option("--summary", metavar="FILE", type=FILE, help="Also write the report as Markdown.")
@click.option("--json", "json_file", metavar="FILE", type=FILE, help="Also write it as JSON.")
@click.option("--junit", "junit_file", metavar="FILE", type=FILE, help="Also write it as JUnit XML.")
@PROJECT
@TEMPLATES
def check(
    baseline: str,
    baseline_sha256: str | None,
    candidate: str,
    suite: str | None,
    owner: Path | None,
    question: str | None,
    margins: tuple[str, ...],
    split: str,
    cannot_tell: str,
    cost: str,
    tolerance: float | None,
    replicates: int,
    form: str,
    summary: Path | None,
    json_file: Path | None,
    junit_file: Path | None,
) -> None:
    """Check a candidate against a baseline, task by task: no loss beyond the margin, worse, or cannot tell.

    The rule is where the 95 % interval of the difference lies: above the margin of loss is a pass (also where it lies below
    0: worse, within the margin); below 0 and not above the margin is worse; else the data cannot tell.

    Exit codes: 0 pass, 1 worse (or over the budget of cost), 2 not comparable or a mistake, 3 cannot tell.

    Both sides are runs, named as for bench board, on the same rows, paired by task, checkpoint and recipe; a task that has one arm on each side
    pairs these although checkpoint or recipe differ. Chance is told from change by a bootstrap over homology clusters
    and, for the question recipe, by at least three seeds an arm; several tasks are corrected by Holm's method.

    A suite is one of bench, of the folder that --project names, or a file: its name is not looked up in the current folder,
    which may be what is checked.

    In GitHub Actions it also writes the summary and the outputs of the step, and annotations.

    \b
    bench check --baseline benchmarks/baselines/main --candidate runs
    bench check --baseline hub://me/my-model@1f0c9d2 --candidate runs --question weights
    """
    from hubtools.reporting.comparison import check_report

    sides = check_report.Sides(baseline, candidate)
    files = {summary: "markdown", json_file: "json", junit_file: "junit"}
    try:
        options = {"question": question, "cannot_tell": cannot_tell, "cost": cost, "same": tolerance}
        wanted = _suite(suite, owner) if suite else None
        done = _checked(sides, wanted, baseline_sha256, split, margins, options | {"replicates": replicates})
        _tell(done, sides, form)
        for path, kind in files.items():
            if path is not None:
                _write(path, done, sides, kind)
        _tell_github(done, sides, {"report": summary, "json": json_file, "junit": junit_file})
    except UserError as error:
        _tell_github_of(error)
        raise
    raise SystemExit(done.exit_code)


def _suite(name: str, owner: Path | None) -> Suite:
    from hubtools.specs.lookup.content import is_path
    from hubtools.specs.lookup.spec_files import load_suite
    from hubtools.specs.lookup.trusted import TrustedSpecs

    return load_suite(name) if is_path(name) else TrustedSpecs(owner).suite(name)


def _checked(
    sides: Sides,
    wanted: Suite | None,
    sha256: str | None,
    split: str,
    margins: Sequence[str],
    options: Mapping[str, Any],
) -> Check:
    from hubtools.results.gate import check as checked
    from hubtools.results.naming.named_runs import arms_at

    given = _margins(margins)
    (before, baseline), (after, candidate) = arms_at(sides.baseline, split), arms_at(sides.candidate, split)
    tell(baseline, candidate)
    if sha256 is not None:
        _pinned(before, sha256)
    terms = _terms(before, given, options)
    if unknown := set(given) - {arm.record.identity.task.name for arm in before}:
        raise UserError(f"the baseline has no task {min(unknown)}", where="--margin", fix="Correct the name.")
    return checked(before, after, terms, split, wanted)


def _pinned(arms: Sequence[Arm], sha256: str) -> None:
    """Its file names the checksum of everything else in it, which was looked at when it was read."""
    from hubtools.results.frozen_baseline import open_baseline

    found = open_baseline(arms[0].runs[0][0].parent).sha256
    if found != sha256.strip().lower():
        raise UserError(
            f"this is another baseline: the sha256 of its baseline.yaml is {found}",
            where="--baseline-sha256",
            fix="See what changed in it; then correct the pin.",
        )


def _margins(given: Sequence[str]) -> dict[str, float]:
    found = {}
    for entry in given:
        task, _, value = entry.rpartition("=")
        try:
            found[task] = float(value)
        except ValueError:
            found[task] = -1
        if not task or not 0 < found[task] < float("inf"):
            raise UserError(f"{entry!r} is not TASK=VALUE", where="--margin", fix="Write --margin my-task=0.02.")
    return found


def _terms(arms: Sequence[Arm], margins: Mapping[str, float], options: Mapping[str, Any]) -> Terms:
    """What the baseline's file says, and over it what the command line says."""
    from dataclasses import replace

    from hubtools.evaluation.statistics.difference import Question
    from hubtools.results.gate import terms_of

    terms = terms_of(arms)
    set_here = {name: value for name, value in options.items() if value is not None}
    if "question" in set_here:
        set_here["question"] = Question(set_here["question"])
    return replace(terms, margins={**terms.margins, **margins}, **set_here)


def _tell(done: Check, sides: Sides, form: str) -> None:
    from hubtools.cli.terminal import new_console
    from hubtools.reporting.comparison import check_report

    if form == "table":
        check_report.print_check(done, new_console())
    else:
        click.echo(_text(done, sides, form), nl=False)
    for problem in done.problems:
        click.echo(f"error: {problem}", err=True)
    for note in done.notes:
        click.echo(f"note: {note}", err=True)
    if done.outcome == "cannot tell" and done.exit_code == 0:
        click.echo("warning: cannot tell; --cannot-tell warn lets it pass", err=True)


def _text(done: Check, sides: Sides, kind: str) -> str | bytes:
    from hubtools.reporting.comparison import check_report
    from hubtools.reporting.comparison.junit import junit

    if kind == "junit":
        return junit(done, sides)
    return check_report.as_json(done, sides) if kind == "json" else check_report.markdown(done, sides)


def _write(path: Path, done: Check, sides: Sides, kind: str) -> None:
    from hubtools.common.files import write_atomic

    write_atomic(path, _text(done, sides, kind))
    click.echo(f"wrote {path}", err=True)


def _tell_github(done: Check, sides: Sides, files: Mapping[str, Path | None]) -> None:
    """The step's summary, outputs and annotations, each where the runner asks for it."""
    from hubtools.reporting.comparison import check_report, ci_outputs

    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        ci_outputs.append_summary(Path(path), check_report.markdown(done, sides))
    if path := os.environ.get("GITHUB_OUTPUT"):
        values: dict[str, object] = {"verdict": done.outcome, "exit-code": done.exit_code}
        for name, items in (("n-worse", done.worse), ("n-cannot-tell", done.unclear), ("n-passed", done.passed)):
            values[name] = len(items)
        values["n-over-budget"] = len(done.over_budget)
        values |= {name: file for name, file in files.items() if file is not None}
        ci_outputs.append_outputs(Path(path), values)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for annotation in ci_outputs.annotate(done, Path(os.environ.get("GITHUB_WORKSPACE") or ".")):
            click.echo(str(annotation), err=True)


def _tell_github_of(error: UserError) -> None:
    """A mistake is said where a reader of the job looks, too."""
    from hubtools.reporting.comparison import ci_outputs

    if path := os.environ.get("GITHUB_OUTPUT"):
        ci_outputs.append_outputs(Path(path), {"verdict": "error", "exit-code": 2})
    if os.environ.get("GITHUB_ACTIONS") == "true":
        click.echo(str(ci_outputs.WorkflowAnnotation("error", "bench check", str(error))), err=True)
