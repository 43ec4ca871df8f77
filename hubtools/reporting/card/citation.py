"""Whom to cite for a published model: BibTeX of the model, of its checkpoint's family, and of the measurement."""

from __future__ import annotations

import re
from dataclasses import replace

from hubtools.models.families import Paper, papers
from hubtools.reporting.templates import own_asset
from hubtools.specs.record import RunRecord

# Entries of the user's own, in the folder of their templates: the key is that of the family's entry.
FILE = "citations.bib"


def paper_of(record: RunRecord) -> Paper | None:
    """The paper of the family that a run's checkpoint is of; None where it cannot be told.

    Only names on the Hub tell: a folder is called what its owner likes. Names of organisations are no proof of anything; a
    checkpoint that builds on another carries its name.
    """
    checkpoint = record.identity.checkpoint
    if checkpoint is None or checkpoint.source != "hub":
        return None
    name = checkpoint.name.split("/")[-1]
    paper = next((paper for paper in papers() if paper.matches(name)), None)
    return None if paper is None else _as_printed(paper)


def _as_printed(paper: Paper) -> Paper:
    """With the user's own entry, where they have one."""
    entry = re.search(rf"^@\w+{{{re.escape(paper.key)},$.*?^}}$", own_asset(FILE) or "", re.MULTILINE | re.DOTALL)
    return paper if entry is None else replace(paper, bibtex=entry[0])


def of_model(record: RunRecord, title: str, repo_id: str | None, author: str | None) -> str:
    """The entry of a model that a run made.

    Args:
        record: of the run.
        title: of the card.
        repo_id: where the model is published; None where it is not.
        author: as they wish to be cited; by default the owner of the repository, and nobody where there is none.
    """
    owner = author or (repo_id.split("/")[0] if repo_id else "")
    return _entry(
        "misc",
        f"{_key(owner.split(',')[0]) or 'model'}-{_key(record.identity.task.name)}-{record.run_id[:6]}",
        title=f"{{{_text(title)}}}",
        author=_text(author) if author else f"{{{_text(owner)}}}" if owner else "",
        year=str((record.finished or record.started).year),
        url=f"https://huggingface.co/{repo_id}" if repo_id else "",
        note=f"Run {record.run_id}, seed {record.identity.seed}, of the task {_text(record.identity.task.name)} "
        f"version {record.identity.task.version}; measured by its authors",
    )


def of_bench(record: RunRecord) -> str:
    """The entry of what measured it."""
    environment = record.environment
    commit = f", commit {environment.git_commit[:12]}" if environment.git_commit else ""
    return _entry(
        "misc",
        "plm-hubtools",
        title="{bench (plm-hubtools)}",
        year=str((record.finished or record.started).year),
        note=f"Software, version {_text(environment.bench)}{commit}",
    )


def plain_reference(key: str, title: str, note: str) -> str:
    """An entry of what has none of its own: a reference in words, or an address."""
    return _entry("misc", _key(key), title=f"{{{_text(title)}}}", note=_text(note))


def _entry(kind: str, key: str, **fields: str) -> str:
    """A BibTeX entry, one field a line."""
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@{kind}{{{key},", *lines, "}"])


def _key(text: str) -> str:
    """Letters, digits and hyphens: what every reader of BibTeX takes as a key."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _text(text: str) -> str:
    """Text that can break neither an entry nor LaTeX."""
    plain = " ".join(re.sub(r"[{}\\]", "", text).split())
    return re.sub(r"([&%$#_])", r"\\\1", plain)
