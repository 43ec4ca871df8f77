"""Results as a data set on the Hub: one long table, the records themselves, and what others hand in by pull request."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hubtools.common.errors import UserError
from hubtools.common.files import replacing, write_atomic
from hubtools.common.hub import download_files, full_commit, hub_api, hub_errors
from hubtools.common.inside import inside
from hubtools.common.secrets import scrubbed
from hubtools.findings.arms import without_copies
from hubtools.findings.naming.hub_runs import read_results
from hubtools.findings.verification import FILES, FOLDER
from hubtools.publishing.commit import PublishedFile, PushedCommit, look, send
from hubtools.reporting.card.card_metadata import front_matter
from hubtools.reporting.templates import render
from hubtools.runs.public_record import public_record
from hubtools.runs.store import OpenRun, read_record
from hubtools.specs.record import RunRecord
from hubtools.specs.references import RESULT_RECORDS, Reference, read_address

RESULTS, README = "data/results.parquet", "README.md"
_WHAT = "a results repository"
_SUBMITTED = re.compile(rf"{FOLDER}/[0-9a-f]+/[\w.-]+")
_SCHEMA: dict[str, str] = {
    "run_id": "string",
    "task": "string",
    "task_version": "int32",
    "task_hash": "string",
    "data": "string",
    "problem": "string",
    "checkpoint": "string",
    "commit": "string",
    "parameters": "int64",
    "recipe": "string",
    "recipe_hash": "string",
    "adaptation": "string",
    "seed": "int32",
    "precision": "string",
    "subset": "int32",
    "fraction": "float64",
    "protocol": "int32",
    "split": "string",
    "metric": "string",
    "primary": "bool",
    "value": "float64",
    "low": "float64",
    "high": "float64",
    "higher_is_better": "bool",
    "proteins": "int64",
    "labelled": "int64",
    "wall_seconds": "float64",
    "kwh": "float64",
    "device": "string",
    "bench": "string",
    "finished": "string",
}


def result_rows(found: Sequence[OpenRun]) -> list[dict[str, Any]]:
    """One row a run, test split and metric, in the order of run ids; runs that did not finish have none."""
    rows = []
    for _, record in sorted(without_copies(found)[0], key=lambda pair: pair[1].run_id):
        if record.status != "complete":
            continue
        identity, checkpoint, cost = record.identity, record.identity.checkpoint, record.cost
        about = {
            "run_id": record.run_id,
            "task": identity.task.name,
            "task_version": identity.task.version,
            "task_hash": identity.task.hash,
            "data": identity.data,
            "problem": record.task_spec.problem,
            "checkpoint": record.subject,
            "commit": (checkpoint.commit or checkpoint.sha256) if checkpoint else None,
            "parameters": record.checkpoint.parameters if record.checkpoint else None,
            "recipe": identity.recipe.name,
            "recipe_hash": identity.recipe.hash,
            "adaptation": record.recipe_spec.adaptation,
            "seed": identity.seed,
            "precision": record.precision,
            "subset": identity.subset,
            "fraction": identity.fraction,
            "protocol": identity.protocol,
            "wall_seconds": cost.wall_seconds if cost else None,
            "kwh": cost.energy.kwh if cost and cost.energy else None,
            "device": record.environment.device_name,
            "bench": record.environment.bench,
            "finished": record.finished.isoformat() if record.finished else None,
        }
        for split in record.test_splits:
            result = record.results[split]
            for metric, score in result.scores.items():
                rows.append(
                    about
                    | {"split": split, "metric": metric, "primary": metric == record.primary_metric}
                    | {"value": score.value, "low": score.low, "high": score.high}
                    | {"higher_is_better": score.higher_is_better}
                    | {"proteins": result.n_proteins, "labelled": result.n_labelled}
                )
    return rows


def write_results(found: Sequence[OpenRun], folder: Path, repo: str | None) -> tuple[PublishedFile, ...]:
    """Write the data set into a folder: the same records give the same files.

    Args:
        found: records with their folders.
        folder: where to; what is in it already of these files is replaced.
        repo: ``owner/name``, for the card; None where the folder itself is what is shown.

    Raises:
        UserError: no run is complete.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = result_rows(found)
    if not rows:
        raise UserError("no run is complete, so there are no results", fix="Run something first: bench run …")
    schema = pa.schema([(name, getattr(pa, "bool_" if kind == "bool" else kind)()) for name, kind in _SCHEMA.items()])
    with replacing(folder / RESULTS) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), temporary, compression="zstd")
    complete = {record.run_id: record for _, record in without_copies(found)[0] if record.status == "complete"}
    records = [
        {
            "run_id": name,
            "record": json.dumps(scrubbed(public_record(complete[name]).model_dump(mode="json")), ensure_ascii=False),
        }
        for name in sorted(complete)
    ]
    with replacing(folder / RESULT_RECORDS) as temporary:
        pq.write_table(pa.Table.from_pylist(records), temporary, compression="zstd")
    tasks = sorted({row["task"] for row in rows})
    values = {
        "pretty_name": "Results of protein language models, measured by bench",
        "tags": ["biology", "protein", "protein-language-model", "benchmark", "plm-hubtools"],
        "configs": [
            {"config_name": "results", "data_files": RESULTS, "default": True},
            {"config_name": "records", "data_files": RESULT_RECORDS},
        ],
    }
    body = render("results.md.j2", repo=repo, runs=len(records), rows=len(rows), tasks=tasks, columns=list(_SCHEMA))
    write_atomic(folder / README, front_matter(values) + body)
    return tuple(PublishedFile.of(name, folder / name) for name in (README, RESULTS, RESULT_RECORDS))


def push_results(found: Sequence[OpenRun], repo: str, *, private: bool = False) -> PushedCommit:
    """Publish the data set in one commit; submissions and whatever else lies in the repository stay.

    Raises:
        UserError: as :func:`write_results`, or the Hub refuses.
    """
    target = look(repo, kind="dataset", private=private)
    with tempfile.TemporaryDirectory(prefix="bench-results-") as scratch:
        files = write_results(found, Path(scratch), repo)
        return send(target, files, [], "Results", "Written by bench board --results.")


def accepted_records(address: str) -> dict[str, RunRecord]:
    """By run id, what the repository of a pull request already holds on main; nothing where it has no results yet."""
    main = str(Reference(read_address(address, _WHAT).repo))
    try:
        repo, commit = _resolved(main)
        folder = download_files(repo, "dataset", commit, [RESULT_RECORDS], f"results {repo}")
        return {record.run_id: record for _, record in read_results(folder, main)[0]}
    except (UserError, FileNotFoundError):
        return {}


def submit(folder: Path, repo: str) -> PushedCommit:
    """Open a pull request with one submission.

    Args:
        folder: of the submission.
        repo: results repository.

    Raises:
        UserError: the Hub refuses.
    """
    record = read_record(folder)
    target = look(repo, kind="dataset", pull_request=True)
    files = [PublishedFile.of(f"{FOLDER}/{folder.name}/{path.name}", path) for path in sorted(folder.iterdir())]
    title = f"Submission: {record.identity.task.name}, {record.subject}, seed {record.identity.seed}"
    text = f"bench run {record.run_id}. To check it: bench submissions check hub://{repo}@refs/pr/N"
    return send(target, files, [], title, text)


def fetch_submissions(address: str) -> Path:
    """Download what a revision has under ``submissions/`` and main has not.

    Args:
        address: ``hub://owner/name@refs/pr/N``.

    Raises:
        UserError: there is no such revision, or it adds nothing.
    """
    repo, commit = _resolved(address)
    api = hub_api()
    with hub_errors(f"results {repo}"):
        there = set(api.list_repo_files(repo, repo_type="dataset", revision="main"))
        listed = api.list_repo_files(repo, repo_type="dataset", revision=commit)
    new = [name for name in listed if name.startswith(f"{FOLDER}/") and name not in there]
    if not new:
        raise UserError(f"it adds nothing under {FOLDER}/", where=address)
    wanted = [name for name in new if _SUBMITTED.fullmatch(name) and name.rsplit("/", 1)[1] in FILES]
    if strange := [name for name in new if name not in wanted]:
        raise UserError(f"it adds {strange[0]}, which does not belong to a submission", where=address)
    source = download_files(repo, "dataset", commit, wanted, f"results {repo}")
    # Files in huggingface_hub's cache are links to their content, and a submission may hold none.
    copied = Path(tempfile.mkdtemp(prefix="bench-submissions-"))
    for name in wanted:
        write_atomic(inside(copied, name), inside(source, name).read_bytes())
    return copied


def _resolved(address: str) -> tuple[str, str]:
    asked = read_address(address, _WHAT)
    with hub_errors(f"results {asked.repo}"):
        info: Any = hub_api().dataset_info(asked.repo, revision=asked.revision)
    return asked.repo, full_commit(info.sha, f"results {asked.repo}")
