"""What GitHub Actions reads of a check: the step's summary, its outputs, and annotations.

Each is written only where the runner asks for it by its environment variable. Names of tasks and checkpoints may come
from a stranger's pull request, so all that is written is escaped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hubtools.common.errors import UserError
from hubtools.common.files import append_whole
from hubtools.findings.gate import Check
from hubtools.findings.wording import lost
from hubtools.reporting.comparison.check_report import headline
from hubtools.specs.lookup.content import find
from hubtools.specs.lookup.spec_files import line_of_key

# Of a step's summary; GitHub refuses one that is larger.
LARGEST_SUMMARY = 1024 * 1024
# GitHub shows ten of a kind per step.
MOST_ANNOTATIONS = 10
_CUT = "\n\n*Cut: the rest is in the report that --summary or --json wrote.*\n"


Level = Literal["error", "warning", "notice"]


@dataclass(frozen=True)
class WorkflowAnnotation:
    """One line beside the code.

    Attributes:
        level: error, warning or notice.
        title, message: text, unescaped.
        file, line: where in the checkout, if anywhere.
    """

    level: Level
    title: str
    message: str
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        place = {"file": self.file, "line": self.line, "title": self.title}
        shown = ",".join(f"{key}={_property(str(value))}" for key, value in place.items() if value is not None)
        return f"::{self.level} {shown}::{_data(self.message)}"


def annotate(check: Check, workspace: Path) -> list[WorkflowAnnotation]:
    """At most ten, worst first, each at the line of its task's file where that lies in the checkout.

    Args:
        check: what to say.
        workspace: the checkout.
    """
    found = [WorkflowAnnotation("error", "bench check", problem) for problem in check.problems]
    for items, level in ((check.worse, _level("fail")), (check.unclear, _level(check.terms.cannot_tell))):
        for item in items:
            file, line = _anchor(item.task_name, workspace)
            text = f"{item.name}: {lost(item)}: {item.judgement.reason}"
            found.append(WorkflowAnnotation(level, f"{item.verdict}: {item.task_name}", text, file, line))
    for item in check.over_budget:
        file, line = _anchor(item.task_name, workspace)
        text = f"{item.name}: {'; '.join(map(str, item.cost.over))}"
        found.append(WorkflowAnnotation(_level(check.terms.cost), f"cost: {item.task_name}", text, file, line))
    found.sort(key=lambda annotation: annotation.level != "error")
    if not found:
        return [WorkflowAnnotation("notice", "bench check", headline(check))]
    if len(found) > MOST_ANNOTATIONS:
        more = len(found) - MOST_ANNOTATIONS + 1
        last = WorkflowAnnotation(found[0].level, "bench check", f"and {more} more: see the summary of this step")
        found = [*found[: MOST_ANNOTATIONS - 1], last]
    return found


def _level(severity: str) -> Level:
    return "error" if severity == "fail" else "warning"


def _anchor(task: str, workspace: Path) -> tuple[str | None, int | None]:
    """The task's file and the line of its margin, else of its name; nothing where it is not in the checkout."""
    try:
        path = find("task", task).resolve()
        inside = path.relative_to(workspace.resolve())
        return inside.as_posix(), line_of_key(path, "margin") or line_of_key(path, "name") or 1
    except (UserError, ValueError, OSError):
        return None, None


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def append_summary(path: Path, text: str) -> None:
    """Append to the step's summary, cut so that the file stays below what GitHub takes.

    Raises:
        UserError: it cannot be written.
    """
    there = path.stat().st_size if path.exists() else 0
    # What is appended next begins after a blank line, or GitHub takes its heading for a part of the last <details>.
    append_whole(path, cut_to(text, LARGEST_SUMMARY - there - 2) + "\n\n")


def cut_to(text: str, size: int) -> str:
    """The text if it has at most so many bytes, else whole lines of it, with every ``<details>`` closed, and a note.

    Args:
        text: Markdown.
        size: bytes.
    """
    if len(text.encode()) <= size:
        return text
    closing = "\n\n</details>"
    room = size - len(_CUT.encode()) - len(closing)
    kept = text.encode()[: max(0, room)].decode(errors="ignore").rpartition("\n")[0]
    if kept.count("<details>") > kept.count("</details>"):
        kept += closing
    return kept + _CUT if room > 0 else ""


def append_outputs(path: Path, values: Mapping[str, object]) -> None:
    """Set outputs of the step, whatever characters and lines they have.

    Raises:
        UserError: it cannot be written.
    """
    blocks = []
    for name, value in values.items():
        text = str(value)
        # No line of the text can be its own hash.
        end = f"end_{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:32]}"
        blocks.append(f"{name}<<{end}\n{text}\n{end}\n")
    append_whole(path, "".join(blocks))
