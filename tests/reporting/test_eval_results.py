"""Results for the Hub's benchmarks: written and read by huggingface_hub's own code."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml, parse_eval_result_entries
from sample_records import FULL, LOCALISATION, make_record

from hubtools.reporting.card.eval_results import eval_results, eval_results_name
from hubtools.specs.record import RunRecord
from hubtools.specs.task import Task

REPO = "me/localisation"


def record_of(benchmark: dict[str, Any] | None, **options: Any) -> RunRecord:
    record = make_record(LOCALISATION, FULL, 0.5, checkpoint="facebook/esm2_t6_8M_UR50D", **options)
    if benchmark is not None:
        record.task["hub_benchmark"] = benchmark
    return record


def entries(text: str) -> list[EvalResultEntry]:
    return parse_eval_result_entries(yaml.safe_load(text))


def test_what_is_written_is_read_back_without_loss() -> None:
    record = record_of({"dataset": "org/localisation-benchmark", "task_id": "localisation"})
    text = eval_results(record, REPO)
    assert text is not None
    (entry,) = entries(text)
    assert eval_result_entries_to_yaml([entry]) == yaml.safe_load(text)
    assert (entry.dataset_id, entry.task_id) == ("org/localisation-benchmark", "localisation")
    assert entry.value == record.results["test"].scores["macro_f1"].value
    # A bare date would become an object of another type when YAML is read.
    assert isinstance(entry.date, str) and record.finished and entry.date == record.finished.date().isoformat()
    assert entry.source_url and entry.source_url.endswith(f"/{REPO}/blob/main/run.json")
    assert entry.notes and "95 % interval" in entry.notes and "seed 1" in entry.notes
    assert entry.verify_token is None, "nobody but the Hub's own jobs can verify"


def test_another_split_and_metric() -> None:
    benchmark = {"dataset": "org/b", "task_id": "hpa", "split": "hpa", "metric": "mcc"}
    record = record_of(benchmark)
    (entry,) = entries(eval_results(record, REPO) or "")
    assert entry.value == record.results["hpa"].scores["mcc"].value


def test_without_a_benchmark_there_is_nothing_to_write() -> None:
    assert eval_results(record_of(None), REPO) is None


def test_a_part_of_the_task_is_no_result_of_the_benchmark() -> None:
    benchmark = {"dataset": "org/b", "task_id": "t"}
    assert eval_results(record_of(benchmark, subset=500), REPO) is None


def test_one_file_a_task() -> None:
    assert eval_results_name(record_of(None)) == ".eval_results/bench-localisation.yaml"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"metric": "auroc"}, "is not measured"),
        ({"split": "validation"}, "no test split"),
        ({"dataset": "/home/me/data"}, "dataset"),
    ],
)
def test_a_benchmark_must_fit_its_task(change: dict[str, str], said: str) -> None:
    content = LOCALISATION.model_dump(mode="json", exclude_defaults=True)
    content["hub_benchmark"] = {"dataset": "org/b", "task_id": "t"} | change
    with pytest.raises(ValueError, match=said):
        Task.model_validate(content)


def test_where_the_results_are_shown_does_not_change_the_task() -> None:
    content = LOCALISATION.model_dump(mode="json", exclude_defaults=True)
    content["hub_benchmark"] = {"dataset": "org/b", "task_id": "t"}
    assert Task.model_validate(content).hash == LOCALISATION.hash
