"""A tag for each run, so that ``from_pretrained(repository, revision="run-…")`` finds it for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubtools.common.hub import hub_api, hub_errors
from hubtools.publishing.patience import patiently

if TYPE_CHECKING:
    from hubtools.publishing.commit import Target
    from hubtools.specs.record import RunRecord


def tag_name(record: RunRecord) -> str:
    """The tag of a run."""
    return f"run-{record.run_id}"


def tag_run(target: Target, record: RunRecord, commit: str, title: str) -> str:
    """Tag the commit, once: a tag that is there stays where it is.

    Returns:
        The commit that the tag names: an earlier one, where the run was published before.

    Raises:
        UserError: the Hub refuses.
    """
    api, repo, kind, name = hub_api(), target.repo, target.kind, tag_name(record)
    score = record.score()
    result = f", {record.primary_metric} {score.value:.4f}" if score and score.value is not None else ""
    with hub_errors(f"tag {name} of {repo}"):
        tags = {tag.name: tag.target_commit for tag in patiently(lambda: api.list_repo_refs(repo, repo_type=kind)).tags}
        if name in tags:
            return tags[name]
        message = f"{title}{result}"
        patiently(
            lambda: api.create_tag(repo, tag=name, tag_message=message, revision=commit, repo_type=kind, exist_ok=True)
        )
    return commit
