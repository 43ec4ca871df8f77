"""Results for the Hub's benchmarks: ``.eval_results/*.yaml``, which model pages and leaderboards there read.

The format is huggingface_hub's (``EvalResultEntry``) and holds one number, without interval, seeds or direction: what
it lacks is said in its notes, and the record that it points to has everything.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import yaml

from hubtools.findings.wording import interval, metric_title, number

if TYPE_CHECKING:
    from hubtools.specs.record import RunRecord

FOLDER = ".eval_results"


def eval_results_name(record: RunRecord) -> str:
    """The file's path in the repository: one a task, so that files of others and of other tasks are never touched."""
    return f"{FOLDER}/bench-{record.identity.task.name}.yaml"


def eval_results(record: RunRecord, repo_id: str) -> str | None:
    """The file's text; None where the task names no benchmark of the Hub, or has no score for it.

    Only runs on the whole task count: a subset or a share of the training data is another question.

    Args:
        record: of a complete run.
        repo_id: where the model goes, and the record with it.
    """
    from huggingface_hub import EvalResultEntry, constants, eval_result_entries_to_yaml

    benchmark = record.task_spec.hub_benchmark
    identity = record.identity
    if benchmark is None or identity.subset is not None or identity.fraction is not None:
        return None
    metric = benchmark.metric or record.primary_metric
    score = record.score(benchmark.split, metric)
    if score is None or score.value is None or not math.isfinite(score.value):
        return None
    bounds = interval(score.low, score.high)
    notes = [
        f"{metric_title(metric)} {number(score.value)}" + (f", 95 % interval {bounds}" if bounds else ""),
        f"{identity.recipe.name}, seed {identity.seed}",
        f"{identity.task.name} version {identity.task.version}",
        f"bench {record.environment.bench}",
        "evaluated by its authors",
    ]
    done = record.finished or record.started
    entry = EvalResultEntry(
        dataset_id=benchmark.dataset,
        task_id=benchmark.task_id,
        value=float(score.value),
        date=done.date().isoformat(),
        source_url=f"{constants.ENDPOINT}/{repo_id}/blob/main/run.json",
        source_name="run record",
        notes="; ".join(notes),
    )
    return yaml.safe_dump(eval_result_entries_to_yaml([entry]), sort_keys=False, allow_unicode=True, width=1000)
