"""What a command was asked to fold, kept beside the structures: other processes read it, and fold their part of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, ValidationError, model_validator

from hubtools.common.bounds import LARGEST_JSON, json_values, read_bounded
from hubtools.common.errors import UserError
from hubtools.common.files import human, is_file, write_atomic
from hubtools.common.hashing import digest
from hubtools.common.inside import inside
from hubtools.common.readers import reads
from hubtools.inference.asking import Protein
from hubtools.runs.kept_plan import PLANS
from hubtools.specs.lookup.spec_files import first_mistake
from hubtools.specs.names import Name, RunId
from hubtools.specs.record.identities import Line, OpenPart, RecordPart

# Plans of runs are JSON by their names, too; whoever looks for those passes over these.
_ENDING = ".folds"
_Place = Annotated[int, Field(ge=0)]
_Number = Annotated[int, Field(ge=1)]


class KeptProtein(RecordPart):
    """A protein that is to be folded, and what its files are called, without ending."""

    id: Line
    stem: Line
    sequence: Annotated[str, Field(pattern=r"^[A-Z]+(:[A-Z]+)*$")]


class KeptFolds(OpenPart):
    """What was asked for at once.

    Attributes:
        id: digest of what is folded and how; the same command again has the same.
        begun: when.
        engine: what folds: ``workers``, ``slurm``, ``ray`` or one that a package brings.
        jobs: of the engine: its name for a job -> numbers of the job's proteins, from 0.
        checkpoint: a folder, or a name on the Hub at its commit.
        form, seed, samples, chunk_size, max_length: as of :func:`hubtools.fold`.
        proteins: in order.
    """

    id: RunId
    begun: AwareDatetime
    engine: Name
    jobs: dict[Line, list[_Place]] = Field(default_factory=dict)
    checkpoint: Line
    form: Literal["pdb", "mmcif"]
    seed: _Place = 0
    samples: _Number | None = None
    chunk_size: _Number | None = None
    max_length: _Number | None = None
    proteins: list[KeptProtein] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits_together(self) -> KeptFolds:
        if any(number >= len(self.proteins) for numbers in self.jobs.values() for number in numbers):
            raise ValueError("a job is of a protein that is not there")
        return self

    @property
    def given(self) -> list[Protein]:
        """The proteins."""
        return [Protein(one.id, one.sequence) for one in self.proteins]

    @property
    def stems(self) -> list[str]:
        """What the files of each are called, without ending."""
        return [one.stem for one in self.proteins]

    def keys(self) -> list[tuple[str, ...]]:
        """By which it is known, of each protein, whether two commands ask for the same."""
        how = self.model_dump_json(include={"checkpoint", "form", "seed", "samples", "chunk_size"})
        return [(how, one.stem, one.sequence) for one in self.proteins]

    def with_jobs(self, jobs: Mapping[str, Sequence[int]]) -> KeptFolds:
        """The same with further jobs of its engine."""
        return self.model_copy(update={"jobs": {**self.jobs, **{job: list(numbers) for job, numbers in jobs.items()}}})


def folds_of(proteins: Sequence[Protein], stems: Sequence[str], engine: str, **how: object) -> KeptFolds:
    """What is to be kept of proteins that are to be folded.

    Args:
        proteins, stems: the proteins, and what their files are called.
        engine: who folds them.
        how: the other attributes of :class:`KeptFolds`.
    """
    kept = KeptFolds.model_validate(
        {
            "id": "0" * 12,
            "begun": datetime.now(UTC),
            "engine": engine,
            "proteins": [
                KeptProtein(id=protein.id, stem=stem, sequence=protein.sequence)
                for protein, stem in zip(proteins, stems, strict=True)
            ],
            **how,
        }
    )
    return kept.model_copy(update={"id": _id(kept)})


def _id(kept: KeptFolds) -> str:
    """Of what is to be folded and how; not of who does it."""
    passing = {"id", "begun", "engine", "jobs"}
    return digest(kept.model_dump(mode="json", exclude=passing, exclude_defaults=True))[:12]


def keep_folds(root: Path, kept: KeptFolds) -> KeptFolds:
    """Keep what was asked for in the folder of its structures; jobs that the same engine was given before stay known.

    Returns:
        What is kept.

    Raises:
        UserError: it is too large, or cannot be written.
    """
    try:
        before = read_folds(root, kept.id)
    except UserError:
        before = None
    if before is not None and (before.engine == kept.engine or kept.engine == "workers"):
        kept = before.with_jobs(kept.jobs)
    text = json.dumps(kept.model_dump(mode="json", exclude_defaults=True), ensure_ascii=False, allow_nan=False)
    if len(text.encode()) > LARGEST_JSON:
        raise UserError(
            f"{len(kept.proteins):,} proteins are more than {human(LARGEST_JSON)}, which other processes read at once",
            fix="Divide them, or fold them by one process.",
        )
    write_atomic(_path(root, kept.id), text + "\n")
    return kept


def has_folds(root: Path, kept_id: str) -> bool:
    """Whether proteins are kept by this id, and not runs."""
    return is_file(_path(root, kept_id))


def _path(root: Path, kept_id: str) -> Path:
    return inside(root / PLANS, f"{kept_id}{_ENDING}")


@reads("proteins that are to be folded")
def read_folds(root: Path, kept_id: str) -> KeptFolds:
    """What was kept in a folder of structures.

    Raises:
        UserError: there is none of that name, or it is not what this version of bench wrote.
    """
    path = _path(root, kept_id)
    try:
        kept = KeptFolds.model_validate(json_values(read_bounded(path, LARGEST_JSON)))
    except FileNotFoundError:
        raise UserError("there is no such plan", where=str(path), fix=_AGAIN) from None
    except OSError as error:
        raise UserError(f"cannot read it ({error.strerror})", where=str(path)) from None
    except ValidationError as error:
        why = first_mistake(error, KeptFolds)[1]
        raise UserError(f"not of this version of bench ({why})", where=str(path), fix=_AGAIN) from None
    except ValueError:
        raise UserError("bench fold did not write it (not JSON)", where=str(path), fix=_AGAIN) from None
    if not kept.id == kept_id == _id(kept):
        raise UserError("not what bench kept: its proteins are others", where=str(path), fix=_AGAIN)
    return kept


_AGAIN = "The command that made it makes it again."


def all_folds(root: Path) -> list[KeptFolds]:
    """All that was kept in a folder of structures, the earliest first; what cannot be read is passed over."""
    found = []
    for path in sorted((root / PLANS).glob(f"[!.]*{_ENDING}")):
        try:
            found.append(read_folds(root, path.stem))
        except UserError:
            continue
    return sorted(found, key=lambda kept: (kept.begun, kept.id))
