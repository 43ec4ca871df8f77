"""``bench submissions``: results that others hand in for a leaderboard."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hubtools.cli.shared.commands import StrictGroup
from hubtools.cli.shared.terminal import MIRRORS, PROJECT, note

if TYPE_CHECKING:
    from hubtools.findings.verification import Verification

MARKS = {True: "✓", False: "✗", None: "?"}


@click.group(cls=StrictGroup, short_help="Hand in results, and check what is handed in.")
def submissions() -> None:
    """Hand in results for a leaderboard, and check what others hand in."""


@submissions.command(short_help="Make a submission of a run.")
@click.argument("run")
@click.option("--to", "folder", metavar="DIR", type=click.Path(path_type=Path), help="Folder of submissions.")
@click.option("--repo", metavar="OWNER/NAME", help="Results repository: a pull request is opened in it.")
def add(run: str, folder: Path | None, repo: str | None) -> None:
    """Copy of a run what a submission holds: the record as others may see it, and the predictions.

    RUN is one run, named as for bench board.

    \b
    bench submissions add runs/RUN --to submissions
    bench submissions add runs/RUN --repo lab/results
    """
    import hubtools

    done = hubtools.hand_in(run, to=folder, repo=repo, on_note=note)
    if isinstance(done, Path):
        click.echo(done)
        click.echo(f"next: bench submissions check {done}", err=True)
        return
    click.echo(f"{'opened a pull request' if done.changed else 'it is there already'}: {done.url}")


@submissions.command(short_help="Recompute what is claimed.")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("--json", "report", metavar="FILE", type=click.Path(path_type=Path), help="Also write the findings here.")
@PROJECT
@MIRRORS
def check(paths: tuple[str, ...], report: Path | None, owner: Path | None, mirrors: tuple[Path, ...]) -> None:
    """Check submissions: schema, checksums, rows and labels of the data, and every score recomputed from the predictions.

    PATH is a submission, a folder of them, or hub://owner/name@refs/pr/N, a pull request in a results repository.

    Tasks, recipes and suites are those of bench and of the folder that --project names, compared by their hash: never those
    of the current folder, which may be what is checked.

    Exit code 0: all are accepted. 1: one is refused. 3: something could not be looked at here.
    What cannot be recomputed is that the predictions come from the checkpoint: bench reproduce makes a run again.
    """
    import hubtools
    from hubtools.common.files import write_atomic

    verdicts = []
    for verdict in hubtools.check_submissions(paths, project=owner, mirrors=mirrors):
        verdicts.append(verdict)
        _show(verdict)
    if report is not None:
        write_atomic(
            report, json.dumps([_as_json(verdict) for verdict in verdicts], indent=2, ensure_ascii=False) + "\n"
        )
    refused = [verdict for verdict in verdicts if verdict.accepted is False]
    open_ = [verdict for verdict in verdicts if verdict.accepted is None]
    click.echo(
        f"{len(verdicts) - len(refused) - len(open_)} accepted, {len(refused)} refused, {len(open_)} not wholly checked"
    )
    sys.exit(1 if refused else 3 if open_ else 0)


def _show(verdict: Verification) -> None:
    click.echo(verdict.folder.name)
    for finding in verdict.findings:
        fix = f" {finding.fix}" if finding.fix and finding.holds is False else ""
        end = "" if finding.detail.endswith(".") or not fix else "."
        click.echo(f"  {MARKS[finding.holds]} {finding.title}: {finding.detail}{end}{fix}")
    if verdict.record is not None and verdict.accepted is not False:
        click.echo(f"  not checked: that these are its predictions. {verdict.record.command}")


def _as_json(verdict: Verification) -> dict[str, Any]:
    return {
        "submission": verdict.folder.name,
        "accepted": verdict.accepted,
        "findings": [{"title": f.title, "detail": f.detail, "holds": f.holds} for f in verdict.findings],
    }
