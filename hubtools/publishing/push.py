"""A run goes to the Hub: one atomic commit, in which what an earlier model left behind is removed."""

from __future__ import annotations

from pathlib import Path

from hubtools.models.checkpoint import TOKENIZER_FILES
from hubtools.publishing.commit import Published, Target, send
from hubtools.publishing.contents import SHIPPED_CODE, UNSAFE, Publication
from hubtools.runs.store import ADAPTER
from hubtools.specs.errors import UserError


def stale(publication: Publication, target: Target) -> list[str]:
    """What lies in the repository, would be loaded or shown with the model, and is not part of it."""
    new = {file.path for file in publication.files}
    return [name for name in target.files if name not in new and _belongs_to_a_model(name)]


def push(publication: Publication, target: Target) -> Published:
    """Make the one commit, and check what the Hub then has.

    Args:
        publication: a plan whose checks all hold.
        target: from :func:`hubtools.publishing.commit.look`, taken before the checks.

    Raises:
        UserError: a check failed, or as :func:`hubtools.publishing.commit.send`.
    """
    if failed := publication.failed:
        raise failed[0].error or UserError(failed[0].title)
    removed = stale(publication, target)
    return send(target, publication.files, removed, _title(publication), _description(publication))


def _belongs_to_a_model(name: str) -> bool:
    """Whether transformers would load it, or the old card shows it."""
    path = Path(name)
    weights = path.suffix in UNSAFE | {".safetensors"} or name.endswith((".safetensors.index.json", ".bin.index.json"))
    at_root = "/" not in name and (weights or name in {*SHIPPED_CODE, *TOKENIZER_FILES, "adapter_config.json"})
    return at_root or name.startswith(("figures/", f"{ADAPTER}/"))


def _title(publication: Publication) -> str:
    identity = publication.record.identity
    return f"{identity.task.name}: {publication.record.subject}, {identity.recipe.name}, seed {identity.seed}"


def _description(publication: Publication) -> str:
    record = publication.record
    version = f"{record.identity.task.name} version {record.identity.task.version}"
    return f"bench run {record.run_id} of {version}, published by bench {record.environment.bench}."
