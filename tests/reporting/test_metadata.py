"""The front matter of a card: what the Hub reads, and what it would refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results
from sample_records import BASELINES, FULL, LOCALISATION, PEPTIDES, PHOSPHO, SCRATCH, STRUCTURE, TASKS, make_record

from hubtools.reporting.card.card_lint import lint_card
from hubtools.reporting.card.card_metadata import front_matter, inherited_licence, licence_fields, metadata
from hubtools.specs.licences import hub_licence
from hubtools.specs.record import Energy, RunRecord

ESM8 = "facebook/esm2_t6_8M_UR50D"


def card_of(values: dict[str, Any]) -> str:
    return front_matter(values) + "\n# A title\n\nWords.\n"


def sound() -> dict[str, Any]:
    return metadata(make_record(LOCALISATION, FULL, 0.5, checkpoint=ESM8), "localisation-esm2")


@pytest.mark.parametrize("name", list(TASKS))
def test_the_hubs_own_library_reads_it_back(name: str) -> None:
    record = make_record(TASKS[name], FULL, 0.5, checkpoint=ESM8)
    values = metadata(record, "my-model")
    card = ModelCard(card_of(values))
    assert card.data.base_model == ESM8
    assert card.data.model_name == "my-model"
    results = card.data.eval_results
    assert results is not None
    splits = TASKS[name].data.test_splits
    assert len(results) == len(splits) * len(TASKS[name].metrics.names)
    primary = record.results["test"].scores[record.primary_metric].value
    assert results[0].metric_value == primary
    assert {result.dataset_split for result in results} == set(splits)


def test_the_index_survives_a_round_trip_unchanged() -> None:
    """The Hub's library merges results that share a key: then something would be missing after a round trip."""
    index = sound()["model-index"]
    name, results = model_index_to_eval_results(index)
    assert eval_results_to_model_index(name, results) == index


def test_numbers_are_plain() -> None:
    record = make_record(LOCALISATION, FULL, 0.5, checkpoint=ESM8)
    record.results["test"].scores["macro_f1"].value = np.float64(0.123456789)  # type: ignore[assignment]
    text = front_matter(metadata(record, "m"))
    assert "0.123456789" in text and "numpy" not in text
    assert yaml.safe_load(text.strip("-\n"))


def test_what_is_not_defined_is_left_out() -> None:
    record = make_record(LOCALISATION, FULL, 0.5, checkpoint=ESM8)
    record.results["test"].scores["mcc"].value = None
    record.results["hpa"].scores["mcc"].value = float("nan")
    results = metadata(record, "m")["model-index"][0]["results"]
    assert [len(result["metrics"]) for result in results] == [3, 3]


def test_a_folder_is_not_a_base_model() -> None:
    values = metadata(make_record(LOCALISATION, FULL, 0.5, checkpoint="mine", local=True), "m")
    assert "base_model" not in values and "base_model_relation" not in values


def test_random_weights_are_fine_tuned_from_nothing() -> None:
    assert "base_model" not in metadata(make_record(LOCALISATION, SCRATCH, 0.2, checkpoint=ESM8), "m")


def test_only_data_sets_of_the_hub_are_listed() -> None:
    record = make_record(LOCALISATION, FULL, 0.5, checkpoint=ESM8)
    assert "datasets" not in metadata(record, "m")
    assert record.data is not None
    record.data.source, record.data.dataset, record.data.revision = "hub", "org/data", "b" * 40
    values = metadata(record, "m")
    assert values["datasets"] == ["org/data"]
    assert values["model-index"][0]["results"][0]["dataset"]["revision"] == "b" * 40


def test_tags_and_kind() -> None:
    assert metadata(make_record(STRUCTURE, FULL, 0.5, checkpoint=ESM8), "m")["pipeline_tag"] == "token-classification"
    values = sound()
    assert values["pipeline_tag"] == "text-classification"
    assert {"biology", "protein", "protein-language-model", "plm-hubtools", "localisation"} <= set(values["tags"])
    assert "language" not in values


def test_a_subset_is_another_configuration() -> None:
    values = metadata(make_record(LOCALISATION, FULL, 0.5, checkpoint=ESM8, subset=500), "m")
    assert values["model-index"][0]["results"][0]["dataset"]["config"] == "localisation-v1-subset-500"


@pytest.mark.parametrize(
    ("base", "data", "scratch", "expected"),
    [
        ("mit", "CC-BY-4.0", False, "mit"),
        ("cc-by-nc-sa-4.0", "CC-BY-4.0", False, "cc-by-nc-sa-4.0"),
        ("mit", "CC-BY-NC-SA-4.0", False, "cc-by-nc-sa-4.0"),
        ("gpl-3.0", "CC-BY-NC-4.0", False, "unknown"),
        (None, "CC-BY-4.0", False, "unknown"),
        ("mit", "unknown", False, "unknown"),
        (None, "CC-BY-4.0", True, "cc-by-4.0"),
        ("cambrian-non-commercial", "CC-BY-4.0", False, "cambrian-non-commercial"),
    ],
)
def test_licences_are_inherited_and_never_made_up(base: str | None, data: str, scratch: bool, expected: str) -> None:
    assert inherited_licence(base, data, scratch) == expected


def test_licences_of_the_hub_are_named_as_it_names_them() -> None:
    assert hub_licence("GPL-3.0-or-later") == "gpl-3.0"
    assert hub_licence("Apache-2.0") == "apache-2.0"
    assert hub_licence("my own") is None
    record = make_record(PHOSPHO, FULL, 0.5, checkpoint=ESM8)
    assert licence_fields(record) == {"license": "cc-by-nc-sa-4.0"}
    assert licence_fields(record, "Cambrian Non-Commercial") == {
        "license": "other",
        "license_name": "cambrian-non-commercial",
        "license_link": f"https://huggingface.co/{ESM8}",
    }


def test_our_own_cards_have_nothing_to_find() -> None:
    records: list[RunRecord] = [make_record(task, FULL, 0.5, checkpoint=ESM8) for task in TASKS.values()]
    records.append(make_record(PEPTIDES, FULL, 0.5, checkpoint="mine", local=True))
    for record in records:
        assert lint_card(card_of(metadata(record, "m"))) == []
    assert lint_card(card_of(metadata(make_record(PEPTIDES, BASELINES["majority"], 0.1), "m", library=None))) == []


def _index(**dataset: Any) -> list[dict[str, Any]]:
    results = sound()["model-index"][0]["results"]
    results[0]["dataset"] |= dataset
    return [{"name": "m", "results": results}]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"base_model": "/home/me/model"}, "not a Hub id"),
        ({"base_model": "./model"}, "not a Hub id"),
        ({"base_model": ["a/b/c"]}, "not a Hub id"),
        ({"datasets": [None]}, "not a Hub id"),
        ({"datasets": ["/data/x"]}, "not a Hub id"),
        ({"datasets": "org/data"}, "must be a list"),
        ({"license": "free-for-all"}, "not an identifier"),
        ({"license": None}, "not an identifier"),
        ({"license": "other"}, "license_name"),
        ({"license": "other", "license_name": "x"}, "license_link"),
        ({"base_model_relation": "child"}, "base_model_relation"),
        ({"base_model": None}, "without base_model"),
        ({"pipeline_tag": "protein-classification"}, "pipeline_tag"),
        ({"language": "protein"}, "ISO 639"),
        ({"widget": {"text": "MKV"}}, "widget"),
        ({"widget": ["MKV"]}, "widget"),
        ({"tags": [1]}, "tags"),
        ({"thumbnail": "me.png"}, "thumbnail"),
        ({"language": None}, "has no value"),
        ({"language": "es-ES"}, "ISO 639"),
        ({"new_version": "./next"}, "not a Hub id"),
        ({"library_name": "bench"}, "library_name"),
        ({"base_model_relation": "adapter"}, "library_name: peft"),
        ({"license": "other", "license_name": "My Own", "license_link": "LICENSE"}, "license_name"),
        ({"license": "other", "license_name": "own", "license_link": "see below"}, "license_link"),
        ({"license_name": "own"}, "belong to license: other"),
        ({"co2_eq_emissions": "little"}, "co2_eq_emissions"),
        ({"co2_eq_emissions": {"emissions": -1}}, "co2_eq_emissions"),
        ({"co2_eq_emissions": {"emissions": 1.0, "source": 2}}, "source must be a text"),
        ({"extra_gated_fields": ["name"]}, "extra_gated_fields"),
        ({"extra_gated_prompt": 1}, "extra_gated_prompt"),
        ({"model-index": _index(config=1)}, "config must be a text"),
        ({"model-index": _index(name=None)}, "dataset.name is missing"),
        ({"model-index": _index(split="hpa")}, "would be merged"),
        ({"model-index": [{"name": "a"}, {"name": "b"}]}, "one model"),
    ],
)
def test_known_refusals_are_found(change: dict[str, Any], said: str) -> None:
    problems = lint_card(card_of(sound() | change))
    assert any(said in problem for problem in problems), problems


@pytest.mark.parametrize("value", [float("nan"), "0.5", True, None])
def test_a_value_that_is_no_number_is_found(value: Any) -> None:
    values = sound()
    values["model-index"][0]["results"][0]["metrics"][0]["value"] = value
    assert any("not a finite number" in problem for problem in lint_card(card_of(values)))


def test_only_the_hub_verifies() -> None:
    metrics = sound()["model-index"][0]["results"][0]["metrics"]
    assert metrics and all(metric["verified"] is False for metric in metrics)
    values = sound()
    values["model-index"][0]["results"][0]["metrics"][0]["verified"] = True
    assert any("only the Hub verifies" in problem for problem in lint_card(card_of(values)))


def test_a_source_without_an_address_is_found() -> None:
    values = sound()
    values["model-index"][0]["results"][0]["source"] = {"name": "somewhere"}
    assert any("source needs a url" in problem for problem in lint_card(card_of(values)))


def test_a_key_that_stands_twice_is_found() -> None:
    text = "---\nlicense: mit\ntags: [a]\ntags: [b]\n---\n\n# T\n"
    assert any("'tags' stands twice" in problem for problem in lint_card(text))


def test_an_adapter_is_one_for_the_hub_too() -> None:
    values = metadata(make_record(LOCALISATION, FULL, 0.5, checkpoint=ESM8), "m", library="peft")
    assert (values["library_name"], values["base_model_relation"]) == ("peft", "adapter")
    assert lint_card(card_of(values)) == []


def test_emissions_are_stated_with_their_source() -> None:
    record = make_record(LOCALISATION, FULL, 0.5, checkpoint=ESM8)
    assert record.cost is not None
    assert "co2_eq_emissions" not in metadata(record, "m")
    record.cost.energy = Energy(source="estimate", kwh=0.5)
    assert "co2_eq_emissions" not in metadata(record, "m"), "grams are not made up where the grid is not known"
    record.cost.energy = Energy(source="codecarbon", kwh=0.5, co2_grams=190.0, place="DEU")
    values = metadata(record, "m")
    assert values["co2_eq_emissions"]["emissions"] == 190.0
    assert values["co2_eq_emissions"]["source"] == "codecarbon"
    assert values["co2_eq_emissions"]["geographical_location"] == "DEU"
    assert lint_card(card_of(values)) == []
    # The Hub's library keeps it.
    assert ModelCard(card_of(values)).data.to_dict()["co2_eq_emissions"] == values["co2_eq_emissions"]


def test_a_result_without_a_task_is_found() -> None:
    values = sound()
    del values["model-index"][0]["results"][0]["task"]
    assert any("task.type is missing" in problem for problem in lint_card(card_of(values)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# No front matter\n", "no front matter"),
        ("---\na: [\n---\n# T\n", "not YAML"),
        ("---\nlicense: mit\n---\n# T\n[More Information Needed]\n", "more information is needed"),
        ("---\nlicense: mit\n---\n# T\n{{ value }}\n", "unfilled place"),
        ("---\nlicense: mit\n---\nNo title\n", "no title"),
        ("---\nlicense: mit\n---\n# T\n```python\n", "not closed"),
    ],
)
def test_a_poor_card_is_found(text: str, said: str) -> None:
    assert any(said in problem for problem in lint_card(text))


def test_double_braces_of_bibtex_are_no_unfilled_place() -> None:
    text = "---\nlicense: mit\n---\n# T\n\n```bibtex\n@article{a,\n  title = {{modlAMP}: peptides}\n}\n```\n"
    assert lint_card(text) == []
