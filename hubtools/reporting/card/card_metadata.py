"""The front matter of a model card: what the Hub reads."""

from __future__ import annotations

import math
import re
from typing import Any, Literal

import yaml

from hubtools.common.errors import UserError
from hubtools.common.escaping import web_address
from hubtools.findings.wording import metric_title
from hubtools.reporting.card.licence import choose_licence
from hubtools.specs.licences import hub_licence
from hubtools.specs.metric_names import METRICS
from hubtools.specs.record import RunRecord

Library = Literal["transformers", "peft"] | None


def metadata(
    record: RunRecord,
    name: str,
    licence: str | None = None,
    library: Library = "transformers",
) -> dict[str, Any]:
    """The front matter as plain values.

    Args:
        record: of a complete run.
        name: of the model, for ``model-index``.
        licence: the publisher's decision; by default what base model and data imply.
        library: that loads the model; ``peft`` where an adapter is what is published; None where there is no model.
    """
    checkpoint = record.identity.checkpoint
    values: dict[str, Any] = licence_fields(record, licence)
    if checkpoint and checkpoint.source == "hub" and not record.from_scratch:
        values["base_model"] = checkpoint.name
        if record.recipe_spec.adaptation != "zero-shot":
            values["base_model_relation"] = "adapter" if library == "peft" else "finetune"
    if library is not None:
        values["library_name"] = library
    values["pipeline_tag"] = pipeline_tag(record)
    if record.data and record.data.source == "hub" and record.data.dataset:
        values["datasets"] = [record.data.dataset]
    values["metrics"] = list(dict.fromkeys(_hub_metric(name) for name in metric_names(record)))
    values["tags"] = ["biology", "protein", "protein-language-model", "plm-hubtools", record.identity.task.name]
    if emissions := _emissions(record):
        values["co2_eq_emissions"] = emissions
    if results := _index_results(record):
        values["model-index"] = [{"name": name, "results": results}]
    return values


def front_matter(values: dict[str, Any]) -> str:
    """The values between their two lines of dashes."""
    return f"---\n{yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=1000)}---\n"


def metric_names(record: RunRecord) -> list[str]:
    """Metrics of the task, primary first."""
    return record.task_spec.metrics.names


def test_splits(record: RunRecord) -> list[str]:
    """Test splits that the run has results on, ``test`` first."""
    return sorted(record.test_splits, key=lambda s: s != "test")


def pipeline_tag(record: RunRecord) -> str:
    """The Hub's name for the kind of task; it has none for regression, which transformers serves as classification."""
    if record.recipe_spec.scoring == "log-likelihood":
        return "text-generation"
    return record.task_spec.problem.level.hub_task


def licence_fields(record: RunRecord, licence: str | None = None) -> dict[str, str]:
    """``license``, with name and link where the Hub has no identifier for it."""
    chosen = licence or inherited_licence(
        record.checkpoint.licence if record.checkpoint else None,
        record.task_spec.licence or "unknown",
        from_scratch=record.from_scratch,
    )
    identifier = hub_licence(chosen)
    if identifier is not None:
        return {"license": identifier}
    checkpoint = record.identity.checkpoint
    hub = f"https://huggingface.co/{checkpoint.name}" if checkpoint and checkpoint.source == "hub" else None
    link = hub or web_address(record.task_spec.homepage or "")
    name = re.sub(r"[^a-z0-9.]+", "-", chosen.lower()).strip("-.") or "unnamed"
    return {"license": "other", "license_name": name} | ({"license_link": link} if link else {})


def inherited_licence(base: str | None, data: str, from_scratch: bool = False) -> str:
    """What base model and data imply where that is plain, else ``unknown``: no licence is ever made up.

    Args:
        base: licence of the base model, or None.
        data: licence of the data, or ``unknown``.
        from_scratch: whether nothing of the base model but its architecture was used.
    """
    try:
        return choose_licence(data if from_scratch else base, data, None)
    except UserError:
        return "unknown"


def _hub_metric(name: str) -> str:
    metric = METRICS.get(name)
    return name if metric is None else metric.hub_name


def _emissions(record: RunRecord) -> dict[str, Any] | None:
    """What the run's electricity emitted, in grams of CO2; None where that is not known."""
    energy = record.cost.energy if record.cost else None
    if energy is None or energy.co2_grams is None or not math.isfinite(energy.co2_grams):
        return None
    source = "codecarbon" if energy.source == "codecarbon" else "estimated by bench from hours and rated power"
    pretrained = record.checkpoint is None or record.checkpoint.weights == "pretrained"
    return {
        "emissions": float(energy.co2_grams),
        "source": source,
        "training_type": "fine-tuning" if pretrained else "training from scratch",
        **({"geographical_location": energy.place} if energy.place else {}),
        "hardware_used": record.environment.device_name,
    }


def _index_results(record: RunRecord) -> list[dict[str, Any]]:
    """One result a test split: the Hub merges results of the same task, data set, config, split and revision."""
    results = []
    revision = (record.data.revision if record.data else None) or record.identity.data
    for split in test_splits(record):
        scores = record.results[split].scores
        metrics = [
            {"type": _hub_metric(name), "value": float(score.value), "name": f"{metric_title(name)} on {split}"}
            # Nobody but those who trained it has evaluated it.
            | {"verified": False}
            for name in metric_names(record)
            if (score := scores.get(name)) and score.value is not None and math.isfinite(score.value)
        ]
        if metrics:
            results.append(
                {
                    "task": {"type": pipeline_tag(record), "name": record.title},
                    "dataset": {
                        "type": (record.data.dataset if record.data else None) or record.identity.task.name,
                        "name": record.title,
                        "config": f"{record.identity.task.name}-v{record.identity.task.version}"
                        + (f"-subset-{record.identity.subset}" if record.identity.subset else "")
                        + (f"-fraction-{record.identity.fraction:g}" if record.identity.fraction else ""),
                        "split": split,
                        "revision": revision,
                    },
                    "metrics": metrics,
                }
            )
    return results
