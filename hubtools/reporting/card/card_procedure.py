"""How a run came about, in words for its card: the adapter, the recipe, and what was chosen on validation."""

from __future__ import annotations

from typing import Any

from hubtools.common.escaping import markdown
from hubtools.findings.wording import number
from hubtools.models.families import PLAIN, CanonicalForm
from hubtools.reporting.templates import written
from hubtools.specs.head_kinds import HEADS
from hubtools.specs.recipe import Adapter
from hubtools.specs.record import Energy, RunRecord

MAX_LABELS_IN_PROSE = 12
_POOLED = {"mean": "the mean over all", "last": "the last one, which has seen all"}


def adapter_in_words(adapter: Adapter | None) -> str | None:
    """The adapter of a recipe in words, None where it has none."""
    if adapter is None:
        return None
    name = {"lora": "LoRA", "dora": "DoRA", "rslora": "rank-stabilised LoRA", "ia3": "IA3", "qlora": "QLoRA"}
    rank = "" if adapter.kind == "ia3" else f" of rank {adapter.rank}"
    bits = " (on weights of four bits)" if adapter.kind == "qlora" else ""
    return f"{name[adapter.kind]}{rank}{bits}"


def head_in_words(record: RunRecord) -> str:
    """What the head is; by its name alone where no package here knows it."""
    name = str((record.recipe.get("head") or {}).get("kind") or "bench")
    kind = HEADS.get(name)
    return kind.words if kind else f"{name}, of a package"


def context_in_words(record: RunRecord) -> str | None:
    """Of a decoder: what follows from that a residue does not see what follows it; None of others, and where nobody measured."""
    context = record.context
    if context is None or context.follows:
        return None
    measured = "the states before the last residue do not change with it"
    if not context.precedes:
        return f"{measured}. Nor does it see what comes before it: no residue is read in its context"
    if context.read:
        ways = " and ".join(context.read)
        mean = ", and the score is the mean of the two" if len(context.read) > 1 else ""
        first = (
            ""
            if context.first_scored
            else "; the residue that is read first has no likelihood, as nothing is before it"
        )
        return f"{measured}. Proteins were read {ways}{mean}{first}"
    if record.task_spec.problem.level.by_residue:
        return f"{measured}. Each label is predicted from the residue and what comes before it"
    head = record.recipe_spec.head
    chosen = record.training.choices.get("pooling") if record.training else None
    if "last" in (chosen, head.pooling):
        by = ", which was chosen on validation" if chosen else ""
        return f"{measured}. The head reads the last residue, which has seen all the others{by}"
    if head.what.pools and head.pooling in {"mean", "auto"}:
        by = ", which was chosen on validation" if chosen else ""
        return f"{measured}. The head reads the mean over residues that have each seen what comes before them{by}"
    return measured


def pieces_in_words(record: RunRecord) -> str:
    """How a tokenizer whose tokens are not residues was given proteins, where not as they are; empty else."""
    tokens = record.tokens
    if record.alignment is not None or tokens is None or not (tokens.rendering or tokens.protocol):
        return ""
    return f"Proteins were written {CanonicalForm.recorded(None, tokens, CanonicalForm(PLAIN)).title}."


def settings(record: RunRecord) -> dict[str, Any]:
    """Every field of the recipe that is set, as the record has it, nested ones with a dot."""
    flat: dict[str, Any] = {}
    for key, value in record.recipe.items():
        if key in {"name", "title", "summary"}:
            continue
        inner = {f"{key}.{name}": part for name, part in value.items()} if isinstance(value, dict) else {key: value}
        flat |= {name: part for name, part in inner.items() if part is not None}
    if record.recipe_spec.adaptation == "zero-shot":
        # The rest of a recipe is about training.
        read = {"adaptation", "scoring", "weights", "window.residues", "window.overlap"}
        flat = {name: part for name, part in flat.items() if name in read}
    elif record.recipe_spec.head.kind == "attention-regression":
        read = {"adaptation", "weights", "window.residues", "window.overlap"}
        flat = {name: part for name, part in flat.items() if name in read or name.startswith(("head.kind", "head.opt"))}
    return flat


def choices(record: RunRecord, labels: list[str]) -> dict[str, str]:
    """What was chosen on validation, in words."""
    chosen: dict[str, str] = {}
    if record.training is None:
        return chosen
    if record.training.best_epoch is not None:
        chosen["epoch"] = f"{record.training.best_epoch} of {record.training.epochs_run}"
    for key, value in record.training.choices.items():
        if key == "thresholds" and isinstance(value, list):
            positive = record.task_spec.metrics.positive
            names = [positive] if positive else labels
            shown = list(zip(names, value, strict=False))[:MAX_LABELS_IN_PROSE]
            more = [f"and {len(value) - len(shown):,} more, in run.json"] if len(value) > len(shown) else []
            chosen["decision thresholds"] = ", ".join([*(f"{n} {threshold:.3g}" for n, threshold in shown), *more])
        elif key == "pool_positions" and isinstance(value, list):
            chosen["residues pooled, those that vary in train"] = _listed(value)
        elif key == "temperature_log_loss" and isinstance(value, dict):
            chosen["log loss on validation"] = (
                f"{value['before']:.4f} before, {value['after']:.4f} with the temperature"
            )
        elif key == "temperature_bound":
            chosen["temperature, why there"] = f"at {value}"
        elif key == "pooling":
            chosen["what of its residues is read of a protein"] = _POOLED.get(str(value), str(value))
        elif key == "pooling_validation" and isinstance(value, dict):
            read = {"mean": "the mean", "last": "the last residue"}
            told = (
                f"{number(score)} from {read.get(name, name)}" for name, score in value.items() if score is not None
            )
            chosen["the same metric with either"] = ", ".join(told)
        elif key == "candidates" and isinstance(value, list):
            chosen["candidates compared"] = f"{len(value):,}, their scores in run.json"
        else:
            chosen[key] = f"{value:.6g}" if isinstance(value, float) else str(value)
    return chosen


def _listed(positions: list[int]) -> str:
    """Positions with runs of neighbours as ranges: 3, 7 to 12, 40."""
    runs: list[list[int]] = []
    for position in positions:
        if runs and position == runs[-1][-1] + 1:
            runs[-1].append(position)
        else:
            runs.append([position])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)


def energy_in_words(energy: Energy) -> Any:
    """Electricity and emissions of a run, and whether they were measured or estimated, as Markdown."""
    said = f"{_quantity(1000 * energy.kwh)} Wh" if energy.kwh < 1 else f"{number(energy.kwh)} kWh"
    if energy.co2_grams is None:
        said += ", CO₂ not known"
    else:
        said += (
            f", {_quantity(energy.co2_grams)} g CO₂"
            if energy.co2_grams < 1000
            else f", {number(energy.co2_grams / 1000)} kg CO₂"
        )
    place = f" (electricity of {energy.place})" if energy.place else ""
    if energy.source == "estimate":
        how = markdown(f": {energy.how}" if energy.how else "")
        return written(f"{markdown(said + place)}, **estimated, not measured**{how}")
    return written(markdown(f"{said}{place}, measured by {energy.how or 'codecarbon'}"))


def _quantity(value: float) -> str:
    """Two digits that count."""
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"
