"""What would go to the Hub, and whether it may: decided from the run folder alone, without any network."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hubtools.common.errors import UserError
from hubtools.common.secrets import scrub
from hubtools.models.checkpoint import ENCODER, HEAD
from hubtools.publishing.commit import PublishedFile
from hubtools.reporting.card.card_metadata import licence_fields
from hubtools.reporting.card.eval_results import FOLDER as EVAL_RESULTS
from hubtools.reporting.card.licence import choose_licence
from hubtools.reporting.card.snippet import Weights
from hubtools.runs.public_record import public_record
from hubtools.runs.store import (
    ADAPTER,
    CARD,
    MODEL,
    PREDICTIONS,
    RECORD,
    TRAINING_LOG,
    OpenRun,
    open_run,
    write_record,
)
from hubtools.runs.whole_model import make_whole
from hubtools.specs.record import RunRecord

if TYPE_CHECKING:
    from hubtools.reporting.card.model_card import ModelPage

README = "README.md"
# Formats that run code when they are read.
UNSAFE = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".h5", ".msgpack", ".dill"}
SHIPPED_CODE = {"modeling_protein_task.py"}
# What a repository holds, by what was asked for: parts of the run's folder, and where they lie in the repository.
# transformers takes a repository with an adapter at its root for the adapter: beside a merged model it lies in a folder.
_LAYOUT: dict[str, dict[str, str]] = {
    "merged": {MODEL: ""},
    "adapter": {ADAPTER: ""},
    "both": {MODEL: "", ADAPTER: f"{ADAPTER}/"},
}


@dataclass(frozen=True)
class PublishingCheck:
    """One condition of publishing. ``error`` is None where it holds."""

    title: str
    detail: str = ""
    error: UserError | None = None


@dataclass(frozen=True)
class Publication:
    """A run, the repository it would go to, the exact files, and what was checked."""

    run: OpenRun
    repo: str
    licence: str | None
    files: tuple[PublishedFile, ...]
    checks: tuple[PublishingCheck, ...]

    @property
    def folder(self) -> Path:
        """Of the run."""
        return self.run.folder

    @property
    def record(self) -> RunRecord:
        """Of the run."""
        return self.run.record

    @property
    def failed(self) -> list[PublishingCheck]:
        """The conditions that do not hold."""
        return [check for check in self.checks if check.error]

    @property
    def bytes(self) -> int:
        """Total size."""
        return sum(file.bytes for file in self.files)

    def with_check(self, title: str, examine: Callable[[], str]) -> Publication:
        """The same with one more condition examined."""
        return replace(self, checks=(*self.checks, _examine(title, examine)))


def plan_publication(
    run: OpenRun | Path,
    repo: str,
    *,
    licence: str | None = None,
    weights: Weights | None = None,
    author: str | None = None,
    page: ModelPage | None = None,
) -> Publication:
    """Collect the files of a run and check everything that needs no network and no model.

    Writes the card for this repository into the run folder, and where the run names its encoder, the whole model.

    Args:
        run: as it was opened, or its folder.
        repo: ``owner/name`` on the Hub.
        licence: the publisher's statement, where base model or data have no known licence, or a stricter one.
        weights: of a run that trained an adapter: the merged model, the adapter with its head, or both. By default
            both where the adapter's base is on the Hub, else the merged model.
        author: of the model, for its citation; by default the owner of the repository.
        page: where it can be tried.

    Raises:
        UserError: there is no finished run of a checkpoint in the folder, or the name is not a Hub id.
            All other conditions are in ``checks``.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
        if repo.count("/") != 1:
            raise HFValidationError
    except HFValidationError:
        raise UserError(f"{repo!r} is not a Hub id", where="--repo", fix="Write it as owner/name.") from None
    run = open_run(run)
    folder, record = run
    _require_publishable(run)
    weights = _weights(run, weights)
    if weights != "adapter":
        run = make_whole(run)
        record = run.record
    chosen: list[str] = []

    def check_licence() -> str:
        facts, data = record.checkpoint, record.task_spec.licence or "unknown"
        if facts and facts.weights == "random":
            # Nothing of the base model but its architecture is in there.
            found, said = choose_licence(data, data, licence), "trained from scratch"
        else:
            base = facts.licence if facts else None
            found, said = choose_licence(base, data, licence), f"base model: {base or 'not known'}"
        fields = licence_fields(record, found)
        if fields["license"] == "other" and "license_link" not in fields:
            raise UserError(
                f"{found!r} is no id of the Hub, which then needs the address of its text: neither base model nor task has one",
                where="--licence",
                fix="State one of the Hub's ids, such as apache-2.0 or cc-by-4.0.",
            )
        chosen.append(found)
        return f"{found} ({said}, data: {data})"

    checks = [_examine("licence", check_licence)]
    if chosen:
        checks.append(_examine("card", lambda: _write_card(run, repo, chosen[0], weights, author, page)))
    # Beside the card, for the same reason: it is the run as others may see it.
    write_record(run.card, public_record(record))
    files = collect_files(folder, weights)
    checks += [
        _examine("files are those of the run", lambda: _unchanged(run, files)),
        _examine("safe formats", lambda: _safe(files)),
        _examine("no secrets", lambda: _no_secrets(files)),
    ]
    return Publication(run, repo, chosen[0] if chosen else None, files, tuple(checks))


def collect_files(folder: Path, weights: Weights = "merged") -> tuple[PublishedFile, ...]:
    """The files as they would lie in the repository: the model at its root, the card, the record, the predictions.

    Args:
        folder: of the run.
        weights: which of merged model and adapter; with both the adapter is in a folder of its own.
    """
    found: dict[str, Path] = {}
    for part, place in [*_LAYOUT[weights].items(), (CARD, "")]:
        root = folder / part
        for path in sorted(root.rglob("*")):
            relative = path.relative_to(root)
            named = relative.parts[1:] if relative.parts[0] == EVAL_RESULTS else relative.parts
            # Also what a process that was killed left half written.
            hidden = any(name.startswith(".") for name in named)
            # transformers and peft may have left a README of their own: the card takes its place. And the model is whole.
            left_out = part != CARD and relative.as_posix() in {README, ENCODER, HEAD}
            if path.is_file() and not hidden and not left_out:
                found[f"{place}{relative.as_posix()}"] = path
    if weights == "both":
        # transformers looks for the code of a model in a folder at the root.
        for name in SHIPPED_CODE - set(found):
            found[name] = folder / ADAPTER / name
    for name in (RECORD, PREDICTIONS, TRAINING_LOG):
        if (folder / name).is_file() and name not in found:
            found[name] = folder / name
    first = [README, "config.json"]
    order = sorted(found, key=lambda name: (first.index(name) if name in first else 2, "/" in name, name))
    return tuple(PublishedFile.of(name, found[name]) for name in order)


def lay_out(files: tuple[PublishedFile, ...]) -> tempfile.TemporaryDirectory[str]:
    """A temporary folder that looks as the repository will: what a stranger gets, and nothing else of the run."""
    stage = tempfile.TemporaryDirectory(prefix="bench-publish-")
    for file in files:
        target = Path(stage.name) / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(file.source.resolve())
    return stage


def _examine(title: str, examine: Callable[[], str]) -> PublishingCheck:
    try:
        return PublishingCheck(title, examine())
    except UserError as error:
        return PublishingCheck(title, error=error)


def _require_publishable(run: OpenRun) -> None:
    folder, record = run
    where = str(folder)
    if record.status != "complete":
        raise UserError(f"this run is {record.status}", where=where, fix=f"Finish it first: {record.command}")
    if record.identity.checkpoint is None:
        raise UserError("this is a baseline, which has no model", where=where, fix="Name a run of a checkpoint.")
    if record.task_spec.data.folds is not None:
        raise UserError(
            "each fold of this run had a model of its own, and none was kept, so there is none to publish",
            where=where,
            fix="Publish a run of a task with splits; the record of this one goes on a board: bench board.",
        )
    if record.learns and not record.task_spec.problem.level.trained:
        raise UserError(
            "what was learnt of contacts is no model that transformers loads",
            where=where,
            fix="contacts.safetensors in the run's folder holds it; share the folder, or put the run on a board: bench board.",
        )
    if record.recipe_spec.adaptation == "zero-shot":
        raise UserError(
            "nothing was trained, so there is no new model to publish",
            where=where,
            fix="The checkpoint is what was measured; share the run folder, or put it on a board: bench board.",
        )
    if record.run_id != record.identity.run_id:
        raise UserError(
            "run.json was changed: its run_id is not that of its identity", where=where, fix="Run it again."
        )
    for needed in (f"{MODEL}/config.json", PREDICTIONS):
        if not (folder / needed).is_file():
            raise UserError(f"{needed} is missing", where=where, fix=f"Run it again: {record.command} --force")


def _weights(run: OpenRun, asked: Weights | None) -> Weights:
    """Which weights of the run go out.

    Raises:
        UserError: the adapter is asked for, and there is none that others could use.
    """
    why = _no_adapter(run)
    if asked is None:
        return "merged" if why else "both"
    if asked != "merged" and why:
        raise UserError(f"the adapter cannot be published: {why}", where=str(run.folder), fix="Use --weights merged.")
    return asked


def _no_adapter(run: OpenRun) -> str | None:
    """Why a run has no adapter that a stranger could put on its base; None where it has one."""
    checkpoint, adapter = run.record.identity.checkpoint, run.recipe.adapter
    if not adapter:
        return "the run trained none"
    if adapter.kind == "qlora":
        return "it was learnt on weights of four bits, and on others gives other predictions"
    if checkpoint is None or checkpoint.source != "hub":
        return "its base model is a folder of this machine"
    if checkpoint.trust_remote_code:
        return "its base model runs code of its own"
    if not (run.adapter / "tokenizer_config.json").is_file():
        return "an earlier version of bench wrote it, without what is needed to load it (run it again with --force)"
    return None


def _write_card(
    run: OpenRun, repo: str, licence: str, weights: Weights, author: str | None, page: ModelPage | None
) -> str:
    from hubtools.reporting.card.model_card import build_card, lint_card

    build_card(run, repo_id=repo, licence=licence, weights=weights, author=author, page=page)
    problems = lint_card((run.card / README).read_text(encoding="utf-8"))
    if problems:
        more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UserError(
            f"{problems[0]}{more}", where=f"{CARD}/{README}", fix="The Hub would refuse it: correct what it names."
        )
    return "no problem found"


def _unchanged(run: OpenRun, files: tuple[PublishedFile, ...]) -> str:
    """Every file but card and record is one that the run wrote, bit for bit, and none is missing."""
    folder, record = run
    ours = {file.source.relative_to(folder).as_posix(): file for file in files}
    ours = {name: file for name, file in ours.items() if name != RECORD and not name.startswith(f"{CARD}/")}
    for name, file in ours.items():
        run.require_recorded(file.source, name, sha256=file.sha256)
    parts = {file.source.relative_to(folder).parts[0] for file in files} & {MODEL, ADAPTER}
    for output in record.outputs:
        if output.path not in ours and output.path.split("/")[0] in parts and not output.path.endswith(f"/{README}"):
            run.file(output.path)
    return f"{len(ours)} match their recorded checksums"


def _safe(files: tuple[PublishedFile, ...]) -> str:
    from safetensors import SafetensorError, safe_open

    weights = [file for file in files if file.path.endswith(".safetensors")]
    for file in files:
        suffix = Path(file.path).suffix.lower()
        if suffix in UNSAFE:
            raise UserError(
                f"{file.path} can run code when it is loaded",
                where=str(file.source),
                fix="Only safetensors are published: remove it, or run it again with --force.",
            )
        if suffix == ".py" and file.path.removeprefix(f"{ADAPTER}/") not in SHIPPED_CODE:
            raise UserError(f"{file.path} is code that bench did not write", where=str(file.source), fix="Remove it.")
    if not weights:
        raise UserError("there are no safetensors weights", where=MODEL, fix="Run it again with --force.")
    for file in weights:
        try:
            with safe_open(file.source, framework="np"):
                pass
        except OSError as error:
            raise UserError(f"cannot read it ({error.strerror or error})", where=str(file.source)) from None
        except SafetensorError:
            raise UserError(
                "damaged weights (the header does not describe this file)",
                where=str(file.source),
                fix="Run it again with --force.",
            ) from None
    return "weights are safetensors"


def _no_secrets(files: tuple[PublishedFile, ...]) -> str:
    texts = [file for file in files if Path(file.path).suffix in {".json", ".jsonl", ".md", ".py", ".txt", ".yaml"}]
    for file in texts:
        text = file.source.read_text(encoding="utf-8", errors="replace")
        if scrub(text) != text:
            raise UserError(
                f"{file.path} holds what looks like a token", where=str(file.source), fix="Remove it, and revoke it."
            )
    return f"{len(texts)} text files hold no token"
