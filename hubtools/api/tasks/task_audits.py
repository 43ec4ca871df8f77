"""Do the splits of a task leak, and do its labels agree?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubtools.api.asked import Names, Say, names_of, silent, task_of
from hubtools.common.errors import UserError
from hubtools.common.notebook import line_html, table_html

if TYPE_CHECKING:
    import pandas

    from hubtools.data.splits.split_audit import Audit
    from hubtools.specs.task import Task

# Similarity that is counted unless others are named.
IDENTITIES = (0.9, 0.5)


@dataclass(frozen=True)
class AuditedTask:
    """What an audit found.

    Attributes:
        found: all of it (:class:`hubtools.data.splits.split_audit.Audit`).
    """

    found: Audit

    @property
    def verdict(self) -> str:
        """``ok``, ``look`` or ``problem``: the worst of the findings."""
        return self.found.verdict

    def count(self, level: str) -> int:
        """How many findings are of that level."""
        return sum(finding.level == level for finding in self.found.findings)

    def rows(self) -> list[dict[str, Any]]:
        """One row a finding: what :meth:`to_pandas` makes its table of."""
        return [finding.model_dump() for finding in self.found.findings]

    def to_pandas(self) -> pandas.DataFrame:
        """One row a finding: level (``ok``, ``look``, ``problem``), about, text."""
        import pandas as pd

        return pd.DataFrame(self.rows(), columns=["level", "about", "text"])

    def json(self) -> str:
        """All of it for programs; stable within a ``schema_version``."""
        return self.found.model_dump_json()

    def html(self, path: str | PathLike[str]) -> Path:
        """Write one page with plots, which needs no other file; its path."""
        from hubtools.common.files import write_atomic
        from hubtools.reporting.audit_page import audit_page

        target = Path(path)
        write_atomic(target, audit_page(self.found))
        return target

    def __repr__(self) -> str:
        return f"{self.found.task}: {self.verdict}, {self.count('problem')} problems, {self.count('look')} to look at"

    def _repr_html_(self) -> str:
        rows = [(finding.level, finding.about, finding.text) for finding in self.found.findings]
        by = f"Searched with {self.found.method}." if self.found.method else ""
        return line_html(repr(self), strong=True) + table_html(("level", "about", "text"), rows) + line_html(by)


def audit(
    task: str | PathLike[str] | Task,
    *,
    identities: Sequence[float] = IDENTITIES,
    clusters: bool | None = None,
    mirrors: Sequence[str | PathLike[str]] = (),
) -> AuditedTask:
    """Look for leakage between splits and for labels that conflict.

    Args:
        task: name, file, folder, ``hub://user/repo[@revision][/name]``, or what :func:`hubtools.load_task` gave.
        identities: similarity that is counted, each from 0.2 to 1. Below 0.5 MMseqs2 is needed.
        clusters: whether all splits are clustered together at each identity; None where that takes seconds.
        mirrors: folders of data, files named by their sha256.

    Returns:
        Findings, most of them a line, and the counts behind them.

    Raises:
        UserError: there is no such task, its data cannot be loaded, or an identity is none.

    >>> import hubtools
    >>> audited = hubtools.audit("benchmarks/golden/tasks/golden-class.yaml")
    >>> audited.verdict in ("ok", "look", "problem"), list(audited.to_pandas().columns)
    (True, ['level', 'about', 'text'])
    """
    return _Auditor(identities, clusters, mirrors).of(task)


class _Auditor:
    """How tasks are audited, with one cache for all of them.

    Raises:
        UserError: an identity is none, or a mirror is no folder.
    """

    def __init__(
        self, identities: Sequence[float], clusters: bool | None, mirrors: Sequence[str | PathLike[str]]
    ) -> None:
        from hubtools.data import DataCache

        for identity in identities:
            if not 0.2 <= identity <= 1:
                raise UserError(f"{identity!r} is no identity", where="identities", fix="Give numbers from 0.2 to 1.")
        self._identities, self._clusters = sorted(set(identities), reverse=True), clusters
        self._cache = DataCache.default([Path(mirror) for mirror in mirrors])

    def of(self, task: str | PathLike[str] | Task) -> AuditedTask:
        """One task."""
        from hubtools.data import load_task_data
        from hubtools.data.splits.split_audit import audit_task

        data = load_task_data(task_of(task)[1], self._cache)
        return AuditedTask(audit_task(data, self._identities, self._cache, clusters=self._clusters))


def audit_all(
    tasks: Names | None = None,
    *,
    identities: Sequence[float] = IDENTITIES,
    clusters: bool | None = None,
    mirrors: Sequence[str | PathLike[str]] = (),
    on_audit: Callable[[AuditedTask], None] | None = None,
    on_note: Say = silent,
) -> list[AuditedTask]:
    """The same of several tasks.

    Args:
        tasks: names, files, folders or addresses; None for all tasks but templates; those that do not load here are left out.
        identities, clusters, mirrors: as for :func:`hubtools.audit`.
        on_audit: takes each audit when it is done.
        on_note: takes a line on each task that is left out.

    Raises:
        UserError: a task that is named cannot be loaded, or an identity is none.
    """
    from hubtools.api.listings import tasks as listed

    asked, auditor = names_of(tasks), _Auditor(identities, clusters, mirrors)
    done = []
    for name in asked or tuple(str(place.path) for place in listed().places):
        try:
            audited = auditor.of(name)
        except UserError as error:
            if asked:
                raise
            on_note(f"left out: {error}")
            continue
        done.append(audited)
        if on_audit is not None:
            on_audit(audited)
    return done
