"""What a repository held before: an earlier publication, a user's edits of its card, somebody else's model."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from hubtools.common.bounds import json_values, yaml_values
from hubtools.common.errors import UserError
from hubtools.common.files import write_atomic
from hubtools.common.hub import hub_api, hub_errors
from hubtools.common.readers import reads
from hubtools.models.checkpoint import TOKENIZER_FILES
from hubtools.publishing.commit import PublishedFile, Target
from hubtools.publishing.contents import README, SHIPPED_CODE, UNSAFE, Publication
from hubtools.publishing.patience import patiently
from hubtools.reporting.card.card_edits import keep_edits, sign
from hubtools.runs.store import ADAPTER, CARD, MODEL, RECORD

# Keys of a card that say what a model is: of the earlier model they are wrong now. All others are the user's.
_DESCRIBES = frozenset(
    [
        "base_model",
        "base_model_relation",
        "co2_eq_emissions",
        "datasets",
        "eval_results",
        "inference",
        "language",
        "library_name",
        "license",
        "license_link",
        "license_name",
        "metrics",
        "model-index",
        "model_name",
        "model_type",
        "pipeline_tag",
        "quantized_by",
        "tags",
    ]
)
_FRONT_MATTER = re.compile(r"\A---\n(.*?\n?)---\n", re.DOTALL)


@dataclass(frozen=True)
class PreviousPublication:
    """What lies in the repository already.

    Attributes:
        run: id of the run that bench published there, or None.
        files: what that publication consisted of.
        card: the text of its README.md, or None.
    """

    run: str | None = None
    files: frozenset[str] = frozenset()
    card: str | None = None


def look_back(target: Target) -> PreviousPublication:
    """Read the record and the card at the target's commit.

    Raises:
        UserError: the Hub does not give them, or there is no room to put them.
    """
    if target.head is None:
        return PreviousPublication()
    card, text = _read(target, README), _read(target, RECORD)
    run, outputs = _published(text or "null")
    files = [RECORD, README, *(name for path in outputs for name in _published_as(path))] if run is not None else []
    return PreviousPublication(run, frozenset(files), card)


@reads("record of an earlier publication", refuses=())
def _published(text: str) -> tuple[str | None, list[str]]:
    """The run that a record is of, and the files that it wrote; None and nothing where it is no record."""
    try:
        record: Any = json_values(text)
        return str(record["run_id"]), [str(output["path"]) for output in record["outputs"]]
    except (ValueError, KeyError, TypeError):
        return None, []


def _published_as(path: str) -> Iterable[str]:
    """Names in a repository of a file of the run folder."""
    yield path
    folder, _, rest = path.partition("/")
    if rest and folder in {MODEL, CARD, ADAPTER}:
        yield rest


def _read(target: Target, name: str) -> str | None:
    if name not in target.held:
        return None
    api = hub_api()
    try:
        with hub_errors(f"repository {target.repo}"), tempfile.TemporaryDirectory(prefix="bench-publish-") as scratch:
            place: dict[str, Any] = {"repo_type": target.kind, "revision": target.head, "local_dir": scratch}
            path = patiently(lambda: api.hf_hub_download(target.repo, name, **place))
            return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(
            f"cannot read {name} of the repository ({error.strerror or error})",
            where=tempfile.gettempdir(),
            fix="Make room there, or set TMPDIR.",
        ) from None


def stale(publication: Publication, target: Target, earlier: PreviousPublication | None = None) -> list[str]:
    """What goes: files of an earlier publication that are no longer part of it, and what would be loaded with the model.

    All other files are the user's, and stay.
    """
    new, ours = {file.path for file in publication.files}, earlier.files if earlier else frozenset()
    return [name for name in target.files if name not in new and (name in ours or _is_of_a_model(name))]


def foreign_model(target: Target, earlier: PreviousPublication) -> list[str]:
    """Files of a model that bench did not publish there, and that a publication would replace or remove."""
    if earlier.run is not None or target.kind != "model":
        return []
    return [name for name in target.files if "/" not in name and _is_of_a_model(name)]


def _is_of_a_model(name: str) -> bool:
    """Whether transformers or peft would load it, or the old card shows it."""
    path = Path(name)
    if "/" in name:
        return name.startswith(("figures/", f"{ADAPTER}/"))
    weights = path.suffix in UNSAFE | {".safetensors"} or name.endswith((".safetensors.index.json", ".bin.index.json"))
    return weights or name in {*SHIPPED_CODE, *TOKENIZER_FILES, "adapter_config.json"}


def with_edits(publication: Publication, earlier: PreviousPublication) -> Publication:
    """The same with the card as a user edited it on the Hub, where there is one of an earlier publication.

    Raises:
        UserError: the card cannot be written.
    """
    path = publication.run.card / README
    if earlier.card is None or not path.is_file():
        return publication
    new = path.read_text(encoding="utf-8")
    merged = merged_card(new, earlier.card, ours=earlier.run is not None)
    if merged == new:
        return publication
    write_atomic(path, merged)
    files = [PublishedFile.of(README, path) if file.path == README else file for file in publication.files]
    return replace(publication, files=tuple(files))


@reads("card on the Hub")
def merged_card(new: str, old: str, *, ours: bool) -> str:
    """A new card with what a user added to the old one.

    Args:
        new: as bench writes it.
        old: as it is on the Hub.
        ours: whether the old one was written by bench, so that it can hold edits of sections; else only settings of
            the repository are kept, such as ``extra_gated_prompt``, ``thumbnail`` or ``widget``.
    """
    text = _with_settings(new, old)
    # Signed last, so that what was kept is not taken for something that a user wrote elsewhere.
    return keep_edits(text, old) if ours else text if text == new else sign(text)


def _with_settings(new: str, old: str) -> str:
    now, before = _FRONT_MATTER.match(new), _FRONT_MATTER.match(old)
    if not now or not before:
        return new
    try:
        values, there = yaml_values(before[1]), yaml_values(now[1])
    except yaml.YAMLError:
        return new
    if not isinstance(values, dict) or not isinstance(there, dict):
        return new
    kept = {key: value for key, value in values.items() if key not in _DESCRIBES and key not in there}
    if not kept:
        return new
    added = yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=110)
    return f"---\n{now[1].rstrip()}\n{added}---\n{new[now.end() :]}"
