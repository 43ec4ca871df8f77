"""All models of a suite: a repository each, and a collection that holds them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import partial

from hubtools.common.errors import UserError
from hubtools.common.hub import hub_api, hub_errors
from hubtools.common.secrets import scrub
from hubtools.findings.arms import arms_of
from hubtools.publishing.patience import patiently
from hubtools.publishing.tags import tag_name
from hubtools.runs.store import OpenRun
from hubtools.specs.record import RunRecord

# What a name may be made of.
FIELDS = ("checkpoint", "task", "recipe", "seed")
DEFAULT_NAME = "{checkpoint}-{task}"


def models_of(found: Sequence[OpenRun], suite: str, seed: int | None = None, where: str = "runs") -> list[OpenRun]:
    """One run of each checkpoint, task and recipe of a suite that has a model to publish.

    Which seed is decided before any score is looked at: the one asked for, else the first.

    Args:
        found: runs.
        suite: its name, as the records have it.
        seed: which seed; by default the lowest of each.
        where: what the user named, for messages.

    Raises:
        UserError: there is none.
    """
    of_suite = [run for run in found if run.record.suite == suite]
    if not of_suite:
        known = sorted({record.suite for _, record in found if record.suite})
        raise UserError(
            f"no run in {where} is of the suite {suite!r}",
            fix=f"There are runs of: {', '.join(known)}." if known else "Run it first: bench run --suite NAME …",
        )
    chosen: list[OpenRun] = []
    splits = sorted({split for _, record in of_suite for split in record.test_splits}, key=lambda name: name != "test")
    seen: set[str] = set()
    for split in splits:
        for arm in arms_of(of_suite, split):
            first = arm.runs[0] if seed is None else None
            run = next((run for run in arm.runs if run.record.identity.seed == seed), first)
            if run is None or run.record.run_id in seen or not _has_a_model(run):
                continue
            seen.add(run.record.run_id)
            chosen.append(run)
    if not chosen:
        which = "" if seed is None else f" of seed {seed}"
        raise UserError(
            f"no complete run{which} of the suite {suite!r} has a model", fix="Finish it: bench run --suite …"
        )
    return chosen


def _has_a_model(run: OpenRun) -> bool:
    """Random weights are there to be compared with, not to be used."""
    trained = run.record.identity.checkpoint is not None and not run.record.from_scratch
    return trained and (run.model / "config.json").is_file()


def repository_names(records: Sequence[RunRecord], owner: str, template: str | None = None) -> list[str]:
    """A repository for each run.

    Args:
        records: of the runs.
        owner: of the repositories.
        template: the name, with ``{checkpoint}``, ``{task}``, ``{recipe}`` and ``{seed}``; by default checkpoint and
            task, and the recipe where these do not tell the runs apart.

    Raises:
        UserError: the template names something else, or two runs would have one repository.
    """
    for form in [template] if template else [DEFAULT_NAME, f"{DEFAULT_NAME}-{{recipe}}"]:
        try:
            names = [f"{owner}/{_slug(form.format(**_fields(record)))}" for record in records]
        except (KeyError, IndexError, ValueError):
            raise UserError(
                f"the name {form!r} cannot be filled",
                where="--name",
                fix=f"Use {', '.join(f'{{{f}}}' for f in FIELDS)}.",
            ) from None
        twice = [name for name, n in Counter(names).items() if n > 1]
        if not twice:
            return names
    raise UserError(
        f"{twice[0]} would be the repository of several runs",
        where="--name",
        fix="Add {recipe} or {checkpoint} to the name.",
    )


def _fields(record: RunRecord) -> dict[str, str]:
    return {
        "checkpoint": record.subject.rstrip("/").split("/")[-1],
        "task": record.identity.task.name,
        "recipe": record.identity.recipe.name,
        "seed": str(record.identity.seed),
    }


def _slug(text: str) -> str:
    """As the Hub allows it: letters, digits, dots, hyphens and underscores, at most 96."""
    return re.sub(r"-{2,}|\.{2,}", "-", re.sub(r"[^A-Za-z0-9._-]+", "-", text)).strip("-.")[:96]


def is_published(repo: str, record: RunRecord) -> bool:
    """Whether a repository has this run already: it then has the run's tag."""
    from huggingface_hub.errors import RepositoryNotFoundError

    api = hub_api()
    with hub_errors(f"repository {repo}"):
        try:
            refs = patiently(lambda: api.list_repo_refs(repo))
        except RepositoryNotFoundError:
            return False
    return tag_name(record) in {tag.name for tag in refs.tags}


def collect(owner: str, suite: str, repos: Sequence[str], *, private: bool = False) -> str:
    """Put repositories into the suite's collection, which is made where it is not there; the address of its page.

    Raises:
        UserError: the Hub refuses.
    """
    api = hub_api()
    with hub_errors(f"collection of {suite}"):
        about = f"Models of the suite {suite}, measured and published by bench."
        collection = patiently(
            lambda: api.create_collection(
                f"{suite} (bench)", namespace=owner, description=about, private=private, exists_ok=True
            )
        )
        there = {item.item_id for item in collection.items}
        for repo in repos:
            if repo not in there:
                patiently(partial(api.add_collection_item, collection.slug, repo, "model", exists_ok=True))
    return f"{scrub(api.endpoint)}/collections/{collection.slug}"
