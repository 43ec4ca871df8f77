"""The base of every spec."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, model_validator

from hubtools.common.texts import PROSE, hidden_in, joined


class Spec(BaseModel):
    """Immutable; a key that is not known is an error instead of being ignored, and so is a text that cannot be shown.

    Lines of prose are joined; elsewhere a line break is refused, as any control character is
    (:mod:`hubtools.common.texts`).
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, protected_namespaces=(), allow_inf_nan=False
    )

    @model_validator(mode="after")
    def _shows(self) -> Spec:
        for name in PROSE & type(self).model_fields.keys():
            object.__setattr__(self, name, joined(getattr(self, name)))
        if (found := hidden_in(self)) is not None:
            raise SpecError(f"it holds the character {found[1]}, which may not be shown. Remove it", *found[0])
        return self


class SpecError(ValueError):
    """What a validator raises about a key below the one it is called for, so that the message can name its line.

    Args:
        what: the problem, a full stop, and the remedy.
        key: path to the key, from the model that is validated.
    """

    def __init__(self, what: str, *key: str) -> None:
        self.key = key
        super().__init__(what)
