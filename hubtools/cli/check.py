"""``bench check``: the gate of a CI job: no loss that counts, worse, or cannot tell."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from hubtools.cli.shared.commands import StrictCommand
from hubtools.cli.shared.guarded import workflow_command
from hubtools.cli.shared.terminal import PROJECT, TEMPLATES, note
from hubtools.common.bounds import MOST_REPLICATES
from hubtools.common.errors import UserError
from hubtools.common.readers import reads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hubtools.api.comparing import RunCheck

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(
    cls=StrictCommand, short_help="Check a candidate against a baseline: no loss that counts, worse, or cannot tell."
)
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
@click.option(
    "--replicates",
    type=click.IntRange(100, MOST_REPLICATES),
    default=10_000,
    show_default=True,
    help="Of the bootstrap.",
)
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
    question: Literal["weights", "recipe"] | None,
    margins: tuple[str, ...],
    split: str,
    cannot_tell: Literal["fail", "warn"],
    cost: Literal["fail", "warn", "ignore"],
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
    import hubtools

    files = {summary: "markdown", json_file: "json", junit_file: "junit"}
    try:
        done = hubtools.check(
            baseline,
            candidate,
            question,
            suite=suite,
            split=split,
            baseline_sha256=baseline_sha256,
            project=owner,
            on_note=note,
            margins=_margins(margins),
            tolerance=tolerance,
            cannot_tell=cannot_tell,
            cost=cost,
            replicates=replicates,
        )
        _tell(done, form)
        for path, kind in files.items():
            if path is not None:
                _write(path, done, kind)
        _tell_github(done, {"report": summary, "json": json_file, "junit": junit_file})
    except UserError as error:
        _tell_github_of(error)
        raise
    raise SystemExit(done.exit_code)


@reads("option --margin")
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


def _tell(done: RunCheck, form: str) -> None:
    from hubtools.cli.shared.terminal import new_console
    from hubtools.reporting.comparison import check_report

    if form == "table":
        check_report.print_check(done.check, new_console())
    else:
        click.echo(_text(done, form), nl=False)
    for problem in done.problems:
        click.echo(f"error: {problem}", err=True)
    for line in done.check.notes:
        click.echo(f"note: {line}", err=True)
    if done.verdict == "cannot tell" and done.exit_code == 0:
        click.echo("warning: cannot tell; --cannot-tell warn lets it pass", err=True)


def _text(done: RunCheck, kind: str) -> str | bytes:
    if kind == "junit":
        return done.junit()
    return done.json() if kind == "json" else done.markdown()


def _write(path: Path, done: RunCheck, kind: str) -> None:
    from hubtools.common.files import write_atomic

    write_atomic(path, _text(done, kind))
    click.echo(f"wrote {path}", err=True)


def _tell_github(done: RunCheck, files: Mapping[str, Path | None]) -> None:
    """The step's summary, outputs and annotations, each where the runner asks for it."""
    from hubtools.reporting.comparison import ci_outputs

    found = done.check
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        ci_outputs.append_summary(Path(path), done.markdown())
    if path := os.environ.get("GITHUB_OUTPUT"):
        values: dict[str, object] = {"verdict": done.verdict, "exit-code": done.exit_code}
        for name, items in (("n-worse", found.worse), ("n-cannot-tell", found.unclear), ("n-passed", found.passed)):
            values[name] = len(items)
        values["n-over-budget"] = len(found.over_budget)
        values |= {name: file for name, file in files.items() if file is not None}
        ci_outputs.append_outputs(Path(path), values)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for annotation in ci_outputs.annotate(found, Path(os.environ.get("GITHUB_WORKSPACE") or ".")):
            workflow_command(str(annotation))


def _tell_github_of(error: UserError) -> None:
    """A mistake is said where a reader of the job looks, too."""
    from hubtools.reporting.comparison import ci_outputs

    if path := os.environ.get("GITHUB_OUTPUT"):
        ci_outputs.append_outputs(Path(path), {"verdict": "error", "exit-code": 2})
    if os.environ.get("GITHUB_ACTIONS") == "true":
        workflow_command(str(ci_outputs.WorkflowAnnotation("error", "bench check", str(error))))
