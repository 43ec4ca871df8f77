"""What determines a run's result, and so names it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_serializer, model_validator

from hubtools.common.hashing import digest
from hubtools.common.texts import ONE_LINE, endless_in, hidden_in
from hubtools.specs.base import SpecError
from hubtools.specs.names import Commit, Name, Sha256

# Raised when a change of code changes results for the same specs, so that old runs are not taken for new ones.
PROTOCOL_VERSION = 6

# One line of text, which can be shown.
Line = Annotated[str, Field(pattern=ONE_LINE)]


class RecordPart(BaseModel):
    """What a record is made of: a key that is not known is an error, and so is a number that is not finite."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=(), allow_inf_nan=False)


class OpenPart(RecordPart):
    """A part with values of any kind, in which texts and numbers are looked for. Elsewhere the types see to it, which is faster."""

    @model_validator(mode="after")
    def _shows(self) -> OpenPart:
        if (found := hidden_in(self, typed=False)) is not None:
            raise ValueError(f"{'.'.join(found[0])} holds the character {found[1]}, which may not be shown")
        if (place := endless_in(self)) is not None:
            raise SpecError("it is not a finite number", *place)
        return self


class CheckpointIdentity(RecordPart):
    """Which weights. A Hub checkpoint is its commit; a folder is the sha256 of its files."""

    name: Line = Field(description="Hub id, or the folder's name.")
    source: Literal["hub", "local"]
    commit: Commit | None = None
    sha256: Sha256 | None = Field(default=None, description="Of weights, config and tokenizer files of a folder.")
    trust_remote_code: bool = False
    family: Line | None = Field(
        default=None, description="Of a checkpoint whose family is not one of bench's: its name and a digest of it."
    )

    @model_serializer(mode="wrap")
    def _leave_out(self, dump: Any) -> dict[str, Any]:
        """Nothing of a family of bench's own: hashes of before stay."""
        values: dict[str, Any] = dump(self)
        if values.get("family", "") is None:
            del values["family"]
        return values


class TaskIdentity(RecordPart):
    """Which question."""

    name: Name
    version: int
    hash: Line


class RecipeIdentity(RecordPart):
    """Which procedure."""

    name: Name
    hash: Line


class Identity(RecordPart):
    """Everything that determines a result, and nothing else. Its hash is the run's id."""

    protocol: int = PROTOCOL_VERSION
    checkpoint: CheckpointIdentity | None = Field(description="None for baselines without one.")
    task: TaskIdentity
    data: Line = Field(description="Digest of the source files, package version or data set commit.")
    subset: int | None = Field(
        default=None, description="At most this many proteins (pairs, in pair tasks) of each split were used."
    )
    fraction: float | None = Field(
        default=None, description="Share of the training proteins (or pairs) that was learnt from, where not all."
    )
    recipe: RecipeIdentity
    seed: int
    precision: Literal["float32", "bf16"] | None = Field(
        default=None,
        description="In which the model computed, which a recipe may leave to the device; None of baselines, and in records "
        "of before protocol 4.",
    )
    batches: Line | None = Field(
        default=None,
        description="How batches were cut, and where they were computed, of a recipe with encoder_dropout: what the encoder drops "
        "depends on it.",
    )

    @property
    def run_id(self) -> str:
        """Twelve hex digits that name the run."""
        content = self.model_dump(mode="json")
        # A folder is what is in it, wherever it lies; a Hub checkpoint is its name at a commit.
        if content["checkpoint"] and content["checkpoint"]["source"] == "local":
            del content["checkpoint"]["name"]
        # Came after the first runs, whose ids stay.
        for name in ("fraction", "precision", "batches"):
            if content[name] is None:
                del content[name]
        return digest(content)[:12]


def procedure(recipe: str, fraction: float | None, overrides: Mapping[str, Any] | None = None) -> str:
    """What a run does, for tables: the recipe's name, and what sets runs of a learning curve apart."""
    random = " with random weights" if (overrides or {}).get("weights") == "random" else ""
    share = "" if fraction is None else f" · {100 * fraction:g} % of train"
    return f"{recipe}{random}{share}"
