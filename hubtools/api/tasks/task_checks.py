"""Whether a task file and its data are in order, and whether a checkpoint can read them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubtools.api.asked import Say, silent, task_of
from hubtools.api.computing import quiet
from hubtools.api.tasks.task_contents import TaskContents
from hubtools.common.errors import UserError
from hubtools.common.notebook import lines_html

if TYPE_CHECKING:
    from hubtools.data import TaskData
    from hubtools.models.checkpoint import Checkpoint
    from hubtools.models.tokenisation import ResidueTokeniser
    from hubtools.specs.task import Task


@dataclass(frozen=True)
class CheckedTask(TaskContents):
    """The data of a task that is in order; :class:`TaskContents` says what they hold.

    Attributes:
        proofs: what was proven of a checkpoint, a line each.
    """

    proofs: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        return super()._repr_html_() + lines_html("Proven", self.proofs)


def check_task(
    task: str | PathLike[str] | Task,
    checkpoint: str | None = None,
    *,
    trust_remote_code: bool = False,
    mirrors: Sequence[str | PathLike[str]] = (),
    on_data: Callable[[TaskContents], None] | None = None,
    on_proof: Say = silent,
) -> CheckedTask:
    """Load a task's data as a run would and verify them: columns, labels, lengths, letters, splits.

    Args:
        task: name, file, folder, ``hub://user/repo[@revision][/name]``, or what :func:`hubtools.load_task` gave.
        checkpoint: also prove that this one can read them: alignment of its tokens, tokens unknown to it, and that batches
            change nothing.
        trust_remote_code: allow code of a folder, or of the Hub as ``name@<commit>``.
        mirrors: folders of data, files named by their sha256.
        on_data: is called when the data are in order, before the checkpoint is tried.
        on_proof: takes each line of ``proofs`` as it is proven.

    Returns:
        What the data hold, and what was proven.

    Raises:
        UserError: the first thing that is wrong: with file, line and key where the task file is to be changed.

    >>> import hubtools
    >>> checked = hubtools.check_task("benchmarks/golden/tasks/golden-class.yaml")
    >>> [row["split"] for row in checked.splits()], list(checked.to_pandas().columns)[:4]
    (['train', 'validation', 'test'], ['split', 'proteins', 'residues', 'scored'])
    """
    # The file first: a wrong key should not wait for the import of the data libraries.
    reference, spec = task_of(task)
    from hubtools.data import DataCache, load_task_data

    def load() -> TaskContents:
        try:
            contents = TaskContents(load_task_data(spec, DataCache.default([Path(mirror) for mirror in mirrors])))
        except UserError as error:
            raise (error if reference is None else _pointing_at(error, spec, reference)) from None
        if on_data is not None:
            on_data(contents)
        return contents

    if checkpoint is None:
        return CheckedTask(load().data)
    proofs = []
    with quiet():
        opened = _opened(checkpoint, trust_remote_code)
        data = load().data
        for line in _proofs(data, *opened):
            on_proof(line)
            proofs.append(line)
    return CheckedTask(data, tuple(proofs))


def _pointing_at(error: UserError, task: Task, name: str) -> UserError:
    """The error with the line of the task file that it is about, where it names a key."""
    from hubtools.data.sources.task_repositories import task_path
    from hubtools.specs.lookup.spec_files import line_of_key

    text = f"{error.what} {error.fix or ''}"
    named = [
        key
        for key in re.findall(r"\bdata\.[a-z_]+(?:\.[a-z_]+)*", text)
        if key.split(".")[1] in type(task.data).model_fields
    ]
    if "under labels" in text or "sha256 in the task file" in text:
        named.append("labels" if "under labels" in text else "data.files.0.sha256")
    if not named:
        return error
    path = task_path(name)
    rest = (error.where or "").removeprefix(f"task {task.name}").removeprefix(", ")
    place = f"{path}:{line_of_key(path, named[0])}{f', {rest}' if rest else ''}"
    return UserError(error.what, where=place, fix=error.fix)


def _opened(name: str, trust_remote_code: bool) -> tuple[Checkpoint, ResidueTokeniser]:
    """A checkpoint and its tokeniser: what is wrong with these is said before data are fetched."""
    from hubtools.models import ResidueTokeniser, resolve_checkpoint

    checkpoint = resolve_checkpoint(name, trust_remote_code=trust_remote_code)
    return checkpoint, ResidueTokeniser.from_checkpoint(checkpoint)


def _proofs(data: TaskData, checkpoint: Checkpoint, tokeniser: ResidueTokeniser) -> Iterator[str]:
    """What a run proves of a checkpoint before it computes anything, a line each."""
    from types import SimpleNamespace

    from hubtools.common.telling import step
    from hubtools.findings.wording import newer_text
    from hubtools.models.encoder import load_encoder, pretraining_facts
    from hubtools.runs.preparation import shown, structure_read
    from hubtools.specs.recipe import Window
    from hubtools.training.compute.device import Execution
    from hubtools.training.compute.engine import engine
    from hubtools.training.compute.together import chosen
    from hubtools.training.encoding import effective_window, proven, read_chains

    level = data.task.problem.level
    sequences, structures = shown(data)
    if tokeniser.aligned or level.by_residue or not level.trained:
        facts = proven(tokeniser, sequences, structures)
        shown_as_x = ", ".join(f"{letter} {count:,}" for letter, count in facts.replaced.items())
        yield f"alignment with {checkpoint.name}: {facts}{f'; shown as X: {shown_as_x}' if shown_as_x else ''} ({facts.method})"
    window = effective_window(Window(), checkpoint, tokeniser)
    with step("reading tokens"):
        read, windows = read_chains(tokeniser, window, sequences, structures)
    tokens = tokeniser.count_unknown(read)
    yield f"tokens of {checkpoint.name}: {tokens.total:,}, {tokens.unknown:,} of them unknown to its vocabulary"
    if (learnt := pretraining_facts(checkpoint.identity, data.dates)) is not None:
        for split, days in data.dates.items():
            yield newer_text(learnt, split, len(days))
    if (structure := structure_read(tokeniser, data, sequences, structures)) is not None:
        yield f"structure read by {checkpoint.name}: {structure}"
    yield f"window of {checkpoint.name}: {window.residues:,} residues"
    proteins = chosen(read, windows)
    with step(f"loading {checkpoint.name}"):
        if data.task.learns:
            encoder, said = load_encoder(checkpoint), None
        else:
            # What is asked of variants is the whole language model.
            model, said = _language_model(checkpoint, tokeniser)
            encoder = model.base_model
    if said is not None:
        yield said
    body, execution = SimpleNamespace(encoder=encoder), Execution.choose("cpu")
    with engine(body, tokeniser, execution, bf16=False, trains=False, proteins=proteins, faster=False) as made:
        yield f"batches of {checkpoint.name}: {made.together}"
        yield f"context with {checkpoint.name}: {made.context}"
        yield from made.reasons


def _language_model(checkpoint: Checkpoint, tokeniser: ResidueTokeniser) -> tuple[Any, str | None]:
    """A checkpoint under the head that it has, and what of the scores of variants is not to be had from it.

    Raises:
        UserError: it has none.
    """
    from hubtools.models.decoders.causal_lm import load_causal_lm
    from hubtools.models.masked_lm import load_masked_lm, require_mask

    try:
        model: Any = load_masked_lm(checkpoint)
    except UserError as masked:
        try:
            model = load_causal_lm(checkpoint)
        except UserError:
            raise masked from None
        return (
            model,
            f"marginals with {checkpoint.name}: not to be had ({masked.what}); log-likelihoods are, of a decoder",
        )
    try:
        require_mask(tokeniser, checkpoint.name)
    except UserError as error:
        said = f"masked marginals with {checkpoint.name}: not to be had ({error.what}); wild-type marginals are"
        return model, said
    return model, None
