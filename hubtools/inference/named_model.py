"""The model that somebody names: a run's folder, a repository as published, or its name on the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hubtools.common.errors import UserError
from hubtools.common.files import is_folder
from hubtools.common.hub import download_files, full_commit, hub_api, hub_errors
from hubtools.findings.naming.selectors import parse
from hubtools.inference.predictor import Predictor
from hubtools.models.checkpoint import TOKENIZER_FILES
from hubtools.runs.store import MODEL, RECORD, OpenRun, open_run
from hubtools.specs.references import Reference, is_address, read_address, read_id

if TYPE_CHECKING:
    from hubtools.training.compute.device import Execution

_WEIGHTS = (".safetensors", ".safetensors.index.json")


def open_predictor(name: str | OpenRun, execution: Execution | None = None) -> Predictor:
    """Load a model by its name. No code that lies beside it is run: bench has its own copy of the one file it ships.

    Args:
        name: a run that is open already, or a run's folder, a downloaded repository, or ``owner/name[@revision]`` on the Hub, also behind ``hub://`` and
            with a selector that its run must fit.
        execution: where and how it computes; by default on the best device there is.

    Raises:
        UserError: there is no such model, or it is none that predicts.
    """
    run = name if isinstance(name, OpenRun) else _named(name)
    refuse_without_model(run, str(run.folder) if isinstance(name, OpenRun) else name)
    return Predictor.open(run, execution)


def _named(name: str) -> OpenRun:
    folder = Path(name)
    if folder.name == RECORD:
        folder = folder.parent
    return open_run(folder) if is_folder(folder) else _from_hub(name)


def _from_hub(name: str) -> OpenRun:
    place, selector = parse(name)
    asked = read_address(place, "a model") if is_address(place) else read_id(place)
    if asked is None:
        raise UserError(
            "there is no such folder", where=place, fix="Name a run's folder, or a model on the Hub as owner/name."
        )
    run = open_run(_download(asked, place))
    selector.check([run.record], name)
    if not selector.fits(run.record):
        raise UserError("no run fits it", where=name, fix=f"It is run {run.record.run_id}.")
    return run


def _download(asked: Reference, name: str) -> Path:
    repo, shown = asked.repo, f"model {asked.repo}{f'@{asked.revision}' if asked.revision else ''}"
    with hub_errors(shown):
        api = hub_api()
        commit = full_commit(api.model_info(repo, revision=asked.revision).sha, shown)
        listed = api.list_repo_files(repo, revision=commit)
    if RECORD not in listed:
        raise UserError(
            f"it has no {RECORD}: bench did not publish it, so what its outputs mean is not known",
            where=name,
            fix=f"Fine-tune it first: bench run --checkpoint {repo} --task …",
        )
    wanted = [RECORD, "config.json", "adapter_config.json", *TOKENIZER_FILES]
    files = [file for file in listed if "/" not in file and (file in wanted or file.endswith(_WEIGHTS))]
    return download_files(repo, "model", commit, files, shown)


def refuse_without_model(run: OpenRun, name: str) -> None:
    """Make sure that a run has a model.

    Args:
        run: as it was opened.
        name: under which it was asked for.

    Raises:
        UserError: it has none.
    """
    folder, record = run
    if record.recipe_spec.adaptation == "zero-shot":
        raise UserError(
            f"it scored {record.task_spec.problem.level.names} with the checkpoint as it is, and has no model of its own",
            where=name,
            fix="Name a run that trained something.",
        )
    if record.identity.checkpoint is not None and not record.task_spec.problem.level.trained:
        raise UserError(
            "what it learnt of contacts is no model that can be asked",
            where=name,
            fix="contacts.safetensors in its folder holds it.",
        )
    if record.task_spec.data.folds is not None:
        raise UserError(
            "each fold of this run had a model of its own, and none was kept",
            where=name,
            fix="Name a run of a task with splits.",
        )
    if record.identity.checkpoint is None:
        raise UserError("this is a baseline, which keeps no model", where=name, fix="Name a run of a checkpoint.")
    if record.status != "complete":
        raise UserError(f"this run is {record.status}", where=name, fix=f"Finish it first: {record.command}")
    if not any((folder / part / "config.json").is_file() for part in (MODEL, ".")):
        raise UserError("there is no model in it", where=name, fix="Name a run's folder, or a repository as published.")
