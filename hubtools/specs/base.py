"""The base of every spec."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """Immutable, and a key that is not known is an error instead of being ignored."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, protected_namespaces=(), allow_inf_nan=False
    )


class SpecError(ValueError):
    """What a validator raises about a key below the one it is called for, so that the message can name its line.

    Args:
        what: the problem, a full stop, and the remedy.
        key: path to the key, from the model that is validated.
    """

    def __init__(self, what: str, *key: str) -> None:
        self.key = key
        super().__init__(what)
