"""A record's copy of task and recipe, whichever version of bench wrote it: typed, in full or as far as it is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sample_records import FULL, LOCALISATION, PHOSPHO, make_record

from hubtools.common.errors import UserError
from hubtools.specs import base
from hubtools.specs.data_sources import UrlData
from hubtools.specs.problem import Problem
from hubtools.specs.record import RunRecord

Change = Callable[[dict[str, Any]], Any]


def record(change: Change = lambda task: None, task: Any = PHOSPHO) -> RunRecord:
    """A record that holds a task as another version of bench might have written it."""
    made = make_record(task, FULL, 0.7, checkpoint="lab/esm")
    change(made.task)
    return RunRecord.model_validate_json(made.model_dump_json())


def test_what_is_known_in_full_is_the_very_spec() -> None:
    for task in (PHOSPHO, LOCALISATION):
        read = record(task=task)
        assert (read.task_spec, read.recipe_spec) == (task, FULL)
        assert (read.exact_task().hash, read.exact_recipe().hash) == (task.hash, FULL.hash)


@pytest.mark.parametrize(
    "change",
    [
        lambda task: task.update(ensembles=3),
        lambda task: task["metrics"].update(weighting="by cluster"),
        lambda task: task["data"].update(mirror="https://example.org"),
        lambda task: task["data"]["files"][0].update(compression="zstd"),
        lambda task: task["metrics"].update(primary="q3"),
        lambda task: task.update(margin=-1),
        lambda task: task.pop("title"),
    ],
    ids=["key", "metric's key", "data's key", "file's key", "no metric here", "no margin here", "no title"],
)
def test_of_another_version_what_is_known_is_read(change: Change) -> None:
    read = record(change)
    task = read.task_spec
    assert task.problem is Problem("residue-classification")
    assert (task.label_names, task.metrics.positive) == (PHOSPHO.label_names, "Phosphorylated")
    assert isinstance(task.data, UrlData) and task.data.files[0].url.startswith("https://example.org/")
    assert read.primary_metric == read.task["metrics"]["primary"]
    assert read.title == read.task.get("title", "phosphotyrosine")
    with pytest.raises(UserError, match="cannot read the task in the record"):
        read.exact_task()


def test_of_a_kind_that_is_not_known_what_all_kinds_share_is_read() -> None:
    read = record(lambda task: task["data"].update(source="database", files=[], candidates="Y"))
    assert (read.task_spec.data.source, read.task_spec.data.candidates) == ("database", "Y")


def test_a_recipe_is_read_likewise() -> None:
    made = make_record(PHOSPHO, FULL, 0.7, checkpoint="lab/esm")
    made.recipe |= {"weights": "random", "optimiser": "muon"}
    assert made.from_scratch and made.recipe_spec.learning_rate == FULL.learning_rate
    with pytest.raises(UserError, match=r"cannot read the recipe in the record \(optimiser\)"):
        made.exact_recipe()


def test_a_task_is_read_once_for_all_its_records(monkeypatch: pytest.MonkeyPatch) -> None:
    first, *others = [record(lambda task: task.update(summary="read once")) for _ in range(3)]
    read = first.task_spec
    monkeypatch.setattr(base, "_read_in_part", None)
    monkeypatch.setattr(type(read), "model_validate", None)
    assert all(other.task_spec is read for other in others)


def test_two_texts_under_one_hash_are_two_tasks() -> None:
    """A hash in a record is what somebody wrote there."""
    one, other = record(), record(lambda task: task["metrics"].update(primary="mcc"))
    assert one.identity.task.hash == other.identity.task.hash
    assert [r.primary_metric for r in (one, other, one)] == ["auprc", "mcc", "auprc"]


def test_a_record_that_is_altered_is_read_again() -> None:
    altered = record()
    assert altered.task_spec.trust is None
    altered.task["trust"] = {"colour": "red", "reason": "Composition alone does as well."}
    assert altered.task_spec.trust is not None
    assert altered.model_copy(update={"task": LOCALISATION.model_dump(mode="json")}).primary_metric == "macro_f1"


def test_trust_is_read_by_its_earlier_name() -> None:
    old = record()
    del old.task["trust"]
    old.task["semaphore"] = {"colour": "red", "reason": "Composition alone does as well."}
    assert old.task_spec.trust is not None and old.task_spec.trust.colour == "red"
    assert old.task_spec.hash == record().task_spec.hash
