"""The base of every spec, and how a record's copy of one is read, whichever version of bench wrote it."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, model_validator

from hubtools.common.errors import UserError
from hubtools.common.readers import reads
from hubtools.common.secrets import holds_secret
from hubtools.common.texts import PROSE, hidden_in, joined, text_fields


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
        for name in text_fields(type(self)):
            if (value := getattr(self, name)) is not None and holds_secret(repr(value)):
                raise SpecError(
                    "it holds a password or a token, which every record and card would show. Leave it out of the address: "
                    "a log-in for a server goes into ~/.netrc, what has a signed address onto this machine",
                    name,
                )
        return self


class SpecError(ValueError):
    """What a validator raises about a key below the one it is called for, so that the message can name its line.

    Args:
        what: the problem, a full stop, and the remedy.
        key: path to the key, from the model that is validated.
    """

    def __init__(self, what: str, *key: str | int) -> None:
        self.key = key
        super().__init__(what)


AnySpec = TypeVar("AnySpec", bound=Spec)

# What was read, by the hash that a record names: thousands of records are of a few tasks. A hash proves nothing, so that
# the text counts, and it leaves prose out, so that there may be several.
_READ: defaultdict[tuple[type[Spec], str], list[tuple[dict[str, Any], Spec]]] = defaultdict(list)
_VARIANTS, _MOST = 8, 4096


@reads("spec in a record", refuses=())
def read_recorded(model: type[AnySpec], written: dict[str, Any], named: str) -> AnySpec:
    """The spec that a record holds, as far as this version of bench knows it.

    A record may be of an earlier or a later version, or from anybody: a key that is not known is left out, a value that
    is not allowed stays as it was written, and what has no default and is missing is None. No data are read by it, and
    nothing is run: for that there is :func:`read_exactly`.

    Args:
        model: what it is.
        written: as the record has it.
        named: the hash that the record gives it.
    """
    known = _READ[model, named]
    for text, spec in known:
        if text == written:
            return spec  # type: ignore[return-value]
    try:
        found = model.model_validate(written)
    except ValidationError:
        found = _read_in_part(model, written)
    if len(_READ) > _MOST:
        _READ.clear()
    # A copy: whoever alters a record alters the text that counts.
    _READ[model, named] = [(copy.deepcopy(written), found), *known[: _VARIANTS - 1]]
    return found


@reads("spec in a record")
def read_exactly(model: type[AnySpec], written: dict[str, Any], what: str) -> AnySpec:
    """The spec that a record holds, for what must know all of it: to run it again, or to hold it against another.

    Args:
        model: what it is.
        written: as the record has it.
        what: that is, for messages: ``task``.

    Raises:
        UserError: this version of bench does not know all of it.
    """
    try:
        return model.model_validate(written)
    except ValidationError as error:
        first = error.errors()[0]
        why = ".".join(map(str, first["loc"])) or first["msg"].removeprefix("Value error, ")
        raise UserError(
            f"this version of bench cannot read the {what} in the record ({why})",
            fix="Use the version of bench that the record names.",
        ) from None


def _read_in_part(model: type[AnySpec], written: Mapping[str, Any]) -> AnySpec:
    values = {
        name: _value(field.annotation, written.get(name))
        for name, field in model.model_fields.items()
        if name in written or field.is_required()
    }
    return model.model_construct(**values)  # type: ignore[return-value]


def _value(kind: Any, written: Any) -> Any:
    try:
        return TypeAdapter(kind).validate_python(written)
    except ValidationError:
        pass
    if isinstance(written, list) and get_origin(kind) is list:
        return [_value(get_args(kind)[0], one) for one in written]
    if choices := [one for one in (kind, *get_args(kind)) if isinstance(one, type) and issubclass(one, Spec)]:
        content = written if isinstance(written, Mapping) else {}
        # Of a kind that is not known, what all kinds share can be read.
        return _read_in_part(next((one for one in choices if _is_of(one, content)), choices[0]), content)
    return str(written) if kind is str and written is not None else written


def _is_of(model: type[Spec], written: Mapping[str, Any]) -> bool:
    """Whether the words that tell models of a kind apart, such as the source of data, are those of this one."""
    told = {name: f.annotation for name, f in model.model_fields.items() if f.is_required()}
    return all(written.get(name) in get_args(kind) for name, kind in told.items() if get_origin(kind) is Literal)
