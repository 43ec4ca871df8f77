"""The families that are known: bench's own, and those that packages and the user bring.

A package says ``[project.entry-points."bench.families"]`` and below it ``any-name = "its_module:OBJECT"``, a
:class:`Family` or several. A file of the user's calls :func:`register`; for the command line the option ``--family`` or the
variable ``BENCH_FAMILIES`` names such files. Nothing else is run: what lies in the current folder is not looked at.
"""

from __future__ import annotations

import os
import runpy
from pathlib import Path
from typing import Any

from hubtools.common.errors import UserError
from hubtools.common.hashing import file_sha256
from hubtools.common.registry import announced
from hubtools.models.families.bert import BERT, DEBERTA, ELECTRA, ROBERTA, ROFORMER
from hubtools.models.families.decoder_types import GPT2, LLAMA, MAMBA, PROTGPT2
from hubtools.models.families.esm import ESM
from hubtools.models.families.esmc import ESMC
from hubtools.models.families.family import Family, entry
from hubtools.models.families.modernbert import MODERNBERT
from hubtools.models.families.own_code import OWN_CODE
from hubtools.models.families.paper import Paper
from hubtools.models.families.prottrans import ALBERT, XLNET
from hubtools.models.families.published.published_kind import Published
from hubtools.models.families.published.without_family import WITHOUT_FAMILY
from hubtools.models.families.spelling import Spelling
from hubtools.models.families.t5 import T5

GROUP, VARIABLE = "bench.families", "BENCH_FAMILIES"
# A family with settings stands before the one that takes the rest of its model type.
OWN = (
    *(ESM, ESMC, T5, BERT, MODERNBERT, ELECTRA, ALBERT, XLNET, ROFORMER, ROBERTA, DEBERTA),
    *(PROTGPT2, GPT2, LLAMA, MAMBA),
    *OWN_CODE,
)

_brought: list[Family] = []
_looked: list[bool] = []
_bringers: dict[str, str] = {}


def register(family: Family) -> Family:
    """Make a family known, which then goes before bench's own; again is harmless.

    Raises:
        UserError: it is no family, or another one has its name.
    """
    if not isinstance(family, Family):
        raise UserError(f"{family!r} is no Family", where="register", fix="Give hubtools.models.families.Family(…).")
    same = next((one for one in (*OWN, *_brought) if one.name == family.name), None)
    if same is not None and same != family:
        raise UserError(
            f"there is a family {family.name} already",
            where="register",
            fix="Records tell by the name: choose another.",
        )
    if same is None:
        for spelling in family.spellings:
            if any(
                one.name == spelling.name and one != spelling for known in (*OWN, *_brought) for one in known.spellings
            ):
                raise UserError(
                    f"another family has a spelling {spelling.name}, which writes otherwise",
                    where=f"family {family.name}",
                    fix="Records tell by the name: choose another.",
                )
        _brought.append(family)
    return family


def name_file(path: Path) -> None:
    """Have a file run that brings families, here and in the processes that this one starts, as ``BENCH_FAMILIES`` does.

    Raises:
        UserError: there is no such file, or its name cannot stand in the variable.
    """
    if not path.is_file() or os.pathsep in str(path.absolute()):
        what = f"there is no file {path}" if not path.is_file() else f"{os.pathsep!r} in the name of {path}"
        raise UserError(
            what, where="--family", fix="Name the file of Python that brings the family (docs/extending.md)."
        )
    named = list(filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)))
    if str(path.absolute()) not in named:
        os.environ[VARIABLE] = os.pathsep.join([*named, str(path.absolute())])
        _looked.clear()


def family_of(config: Any) -> Family:
    """The family of a configuration (config.json, or transformers' object of it); unknown ones get the cautious defaults.

    Raises:
        UserError: two families that were brought both recognise it, or one cannot be brought.
    """
    if len(mine := [family for family in brought() if family.recognises(config)]) > 1:
        raise UserError(
            f"the families {' and '.join(family.name for family in mine)} both recognise it",
            where="checkpoint",
            fix="Register one of them, or tell them apart by their settings.",
        )
    found = next((family for family in (*mine, *OWN) if family.recognises(config)), None)
    if found is not None:
        return found
    return Family(f"other ({entry(config, 'model_type') or ''})")


def family_named(name: str) -> Family:
    """The family that a record names; with the cautious defaults where it is not known here."""
    return next((family for family in (*brought(), *OWN) if family.name == name), Family(name))


def identity_of(config: Any) -> str | None:
    """What a run's identity says of a configuration's family: nothing of bench's own, else its name and digest."""
    family = family_of(config)
    return f"{family.name} {family.digest[:12]}" if family in brought() else None


def bringer(name: str) -> str | None:
    """What brings a family, in words: a package, or a file of the user's; None of bench's own, and where nobody does."""
    brought()
    return _bringers.get(name)


def spelling_named(name: str, protocol: tuple[str, ...] = ()) -> tuple[Spelling, tuple[str, ...]]:
    """What a record says of how residues were written, and after which tokens of a protocol.

    Raises:
        UserError: no family that is known writes so.
    """
    for family in (*OWN, *brought()):
        if name in family.earlier:
            return family.earlier[name]
        for spelling in family.spellings:
            if spelling.name == name:
                return spelling, protocol
    raise UserError(
        f"its residues are written {name!r}, as no family does that is known here",
        fix=f"Install the package that brings its family, or name the file in {VARIABLE}.",
    )


def papers() -> list[Paper]:
    """Those of all families, what was brought first: the first whose pattern is in a name is its."""
    return list(dict.fromkeys(paper for family in (*brought(), *OWN) for paper in family.papers))


def published_kinds(*, own: bool = False) -> list[Published]:
    """Kinds of checkpoints that people use: those of all families, what was brought first, then those that need no family.

    Args:
        own: those that bench knows by itself, whatever packages and the user bring.
    """
    families = OWN if own else (*brought(), *OWN)
    return [*(kind for family in families for kind in family.published), *WITHOUT_FAMILY]


def published_as(name: str) -> Published | None:
    """The kind that a checkpoint of this name on the Hub is; None where nothing is known of it."""
    return next((kind for kind in published_kinds() if kind.matches(name)), None)


def brought() -> tuple[Family, ...]:
    """Families that are not bench's own; packages and files are asked for theirs the first time.

    Raises:
        UserError: what a package or a file brings is no family, or cannot be read.
    """
    if not _looked:
        before = list(_brought)
        # A file that asks for families itself must not begin again.
        _looked.append(True)
        try:
            _from_packages()
            _from_files()
        except BaseException:
            _looked.clear()
            _brought[:] = before
            raise
    return tuple(_brought)


def _from_packages() -> None:
    for point in sorted(announced(GROUP), key=lambda point: (point.value, point.name)):
        where = f"entry point {point.name} of {point.dist.name if point.dist is not None else GROUP}"
        try:
            found = point.load()
            families = [found] if isinstance(found, Family) else list(found)
        except Exception as error:
            raise _not_to_be_had(where, error, "Upgrade or remove the package.") from error
        for family in families:
            register(family)
            if point.dist is not None:
                _bringers[family.name] = f"the package `{point.dist.name}` {point.dist.version}"


def _from_files() -> None:
    for named in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        path = Path(named).expanduser()
        if not path.is_file():
            raise UserError(f"there is no file {named}", where=VARIABLE, fix=f"Correct {VARIABLE}.")
        told = f"the file `{path.name}` that brings it, named in `{VARIABLE}`, sha256 `{file_sha256(path)}`"
        if any(_bringers.get(family.name) == told for family in _brought):
            continue
        before = len(_brought)
        try:
            made = runpy.run_path(str(path), run_name=path.stem)
        except UserError:
            raise
        except Exception as error:
            raise _not_to_be_had(named, error, "Correct the file.") from error
        if not any(isinstance(one, Family) and one in _brought for one in (*made.values(), *_brought[before:])):
            raise UserError(
                "it brings no family", where=named, fix="Let it call register(Family(…)): docs/extending.md."
            )
        for family in _brought[before:]:
            _bringers[family.name] = told


def _not_to_be_had(where: str, error: Exception, fix: str) -> UserError:
    said = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return UserError(f"it brings no family ({said})", where=where, fix=fix)
