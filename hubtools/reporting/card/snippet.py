"""The lines of Python that a stranger copies from a card: plain transformers, runnable as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from hubtools.common.escaping import python_comment, python_literal
from hubtools.models.families import CanonicalForm, Family, family_named
from hubtools.models.families.canonical_form import STANDARD
from hubtools.models.foreign import read_json
from hubtools.specs.problem import Problem
from hubtools.specs.record import RunRecord
from hubtools.specs.task import Task

# Human ubiquitin: short, real, and with a tyrosine for tasks about those.
EXAMPLE = "MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEGIPPDQQRLIFAGKQLEDGRTLSDYNIQKESTLHLVLRLRGG"
# The two chains of human insulin, which are held together by disulfide bonds.
EXAMPLE_PAIR = ("GIVEQCCTSICSLYQLENYCN", "FVNQHLCGSHLVEALYLVCGERGFFYTPKT")
CUSTOM_CODE = "modeling_protein_task.py"
# What of a run with an adapter is published: the merged model, the adapter with its head, or both.
Weights = Literal["merged", "adapter", "both"]
# More than these are read from the model's configuration, and the likeliest shown.
MAX_LABELS_IN_CODE, SHOWN = 30, 10


def has_model(folder: Path) -> bool:
    """Whether the run kept a model (baselines have none)."""
    return (folder / "config.json").is_file()


def needs_custom_code(folder: Path) -> bool:
    """Whether the model is loaded through the modelling file beside it rather than a class of transformers."""
    return (folder / CUSTOM_CODE).is_file()


def usage_snippet(record: RunRecord, folder: Path, location: str, adapter: str | None = None) -> str:
    """Python that loads the model and prints labels with probabilities, or values, for one sequence, one pair, or the chains of one protein.

    Args:
        record: of the run.
        folder: the model's folder on this machine.
        location: where readers find the model: a Hub id, or a path.
        adapter: of the adapter, put on its base by peft: its folder in there, empty at the root. None for the merged
            model.
    """
    task, form = record.task_spec, _form(record)
    problem = task.problem
    custom = needs_custom_code(folder)
    loader = "AutoModel" if custom else problem.level.auto_class or "AutoModel"
    theirs = record.identity.checkpoint is not None and record.identity.checkpoint.trust_remote_code
    # The tokenizer asks too: it reads the model's configuration, whose class is in the shipped file.
    trust = ", trust_remote_code=True" if custom or theirs else ""
    loading = [
        f"tokenizer = AutoTokenizer.from_pretrained(MODEL{trust})",
        f"model = {loader}.from_pretrained(MODEL{trust}).eval()",
    ]
    imports = [f"from transformers import {', '.join(sorted([loader, 'AutoTokenizer']))}"]
    if adapter is not None:
        loading, imports = (
            _with_adapter(record, adapter),
            [
                "from peft import PeftModel",
                "from transformers import AutoConfig, AutoModel, AutoTokenizer",
            ],
        )
    lines = [
        *(["import re", ""] if form.as_x else []),
        "import torch",
        *imports,
        "",
        f"MODEL = {python_literal(location)}",
        *_labels(record, problem),
        *form.lines(examples(task), task.data.chain_names),
        *_without_structure(record),
        "",
        *loading,
        *(["LABELS = list(model.config.id2label.values())"] if _many(record) else []),
        "",
        f'tokens = tokenizer({form.arguments(problem.level.proteins, task.chains)}, return_tensors="pt")',
        "with torch.no_grad():",
        '    logits = model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).logits[0]',
        *(_of_residues(record, problem) if problem.level.by_residue else _of_one(record, problem)),
    ]
    return "\n".join(lines)


def _without_structure(record: RunRecord) -> list[str]:
    """A line of Python that says what a model that learnt with structures is not shown here."""
    if record.structure is None or record.structure.source == "none":
        return []
    return ["# The model learnt with 3Di letters of structures. Here # stands in their place: structure not known."]


def pipeline_snippet(record: RunRecord, folder: Path, location: str) -> str | None:
    """The same through ``pipeline``, in few lines; None where that would read sequences in another way than bench.

    Args:
        record, folder, location: as for :func:`usage_snippet`.
    """
    problem, form = record.task_spec.problem, _form(record)
    theirs = record.identity.checkpoint is not None and record.identity.checkpoint.trust_remote_code
    # Whoever calls it writes the sequence themselves: nothing but spaces is asked of them.
    if (
        problem.level.auto_class is None
        or record.task_spec.chains > 1
        or theirs
        or form.spelling.name not in {"plain", "spaced"}
        or form.protocol
        or form.ending
    ):
        return None
    if problem.level.by_residue and problem.kind != "classification":
        # It gives the likeliest label of each token, whatever the task is.
        return None
    task = problem.level.hub_task
    if needs_custom_code(folder) and not _serves_pipelines(folder):
        return None
    trust = ", trust_remote_code=True" if needs_custom_code(folder) else ""
    lines = [
        *(["import re", ""] if form.as_x else []),
        "from transformers import pipeline",
        "",
        *form.lines(examples(record.task_spec)),
    ]
    if problem.level.by_residue:
        # By default it leaves out what is labelled "O".
        return "\n".join(
            [
                *lines,
                f'predict = pipeline("{task}", model={python_literal(location)}{trust}, ignore_labels=[])',
                f"answers = predict({form.arguments(problem.level.proteins)})",
                "assert len(answers) == len(sequence)  # one for each residue, in their order",
                "print(answers)",
            ]
        )
    every = "" if problem.kind == "regression" else ", top_k=None"
    return "\n".join(
        [
            *lines,
            f'predict = pipeline("{task}", model={python_literal(location)}{trust})',
            f"print(predict({form.arguments(problem.level.proteins)}{every}))",
        ]
    )


def _serves_pipelines(folder: Path) -> bool:
    """Whether the modelling file stands for a task class of transformers; earlier versions of bench did not say so."""
    mapped = read_json(folder / "config.json", str(folder)).get("auto_map")
    return isinstance(mapped, dict) and any(name.endswith("Classification") for name in mapped)


def _with_adapter(record: RunRecord, folder: str) -> list[str]:
    """Lines that load the base model, put the adapter on it, and bring the tokenizer."""
    base = record.identity.checkpoint
    assert base is not None
    inside = f", subfolder={python_literal(folder)}" if folder else ""
    revision = f", revision={python_literal(base.commit)}" if base.commit else ""
    return [
        f"tokenizer = AutoTokenizer.from_pretrained(MODEL{inside}, trust_remote_code=True)",
        f"config = AutoConfig.from_pretrained(MODEL{inside}, trust_remote_code=True)",
        "base = AutoModel.from_config(config, trust_remote_code=True)",
        f"base.load_encoder({python_literal(base.name)}{revision})",
        f"model = PeftModel.from_pretrained(base, MODEL{inside}).eval()",
    ]


def _form(record: RunRecord) -> CanonicalForm:
    """How the run read proteins."""
    usual = CanonicalForm(_family(record).spellings[0], (), STANDARD)
    return CanonicalForm.recorded(record.alignment, record.tokens, usual)


def examples(task: Task) -> tuple[str, ...]:
    """The sequences that the lines ask about: one, the two of a pair, or the chains of a protein."""
    if task.chains > 1:
        return tuple(EXAMPLE_PAIR[place % 2] for place in range(task.chains))
    return EXAMPLE_PAIR if task.problem.level.proteins > 1 else (EXAMPLE,)


def _family(record: RunRecord) -> Family:
    return family_named(record.checkpoint.family if record.checkpoint else "")


def _between(record: RunRecord) -> str:
    """The slice of a row of tokens that holds its residues: what lies between the special tokens."""
    proof = record.alignment
    if proof is not None and proof.special:
        before, after = proof.special
    else:
        before, after = _family(record).around
        before, after = before + len(_form(record).protocol), after + len(_form(record).ending)
    return f"[{before or ''}:{-after or ''}]"


def _many(record: RunRecord) -> bool:
    return len(record.task_spec.label_names) > MAX_LABELS_IN_CODE


def _thresholds(record: RunRecord) -> list[float]:
    return list((record.training.choices if record.training else {}).get("thresholds") or [])


def _labels(record: RunRecord, problem: Problem) -> list[str]:
    names = record.task_spec.label_names
    if problem.kind == "regression" or len(names) > MAX_LABELS_IN_CODE:
        return []
    thresholds = _thresholds(record)
    if problem.kind == "multilabel" and len(thresholds) == len(names):
        pairs = ", ".join(f"{python_literal(n)}: {t:.6g}" for n, t in zip(names, thresholds, strict=True))
        return [f"LABELS = {{{pairs}}}  # label: decision threshold, chosen on validation"]
    lines = [f"LABELS = [{', '.join(map(python_literal, names))}]"]
    positive = record.task_spec.metrics.positive
    if positive is not None and len(thresholds) == 1:
        lines.append(f"THRESHOLD = {thresholds[0]:.6g}  # of {python_comment(positive)}, chosen on validation")
    return lines


def _of_one(record: RunRecord, problem: Problem) -> list[str]:
    if problem.kind == "regression":
        unit = record.task_spec.unit
        return ['print(f"{logits.item():.3f}")' + (f"  # {python_comment(unit)}" if unit else "")]
    if _many(record):
        squash = "sigmoid()" if problem.kind == "multilabel" else "softmax(-1)"
        return [
            f"top = logits.{squash}.topk({SHOWN})",
            "for p, index in zip(top.values.tolist(), top.indices.tolist()):",
            '    print(f"{LABELS[index]}\\t{p:.3f}")',
        ]
    if problem.kind == "multilabel":
        if _thresholds(record):
            return [
                "for (label, threshold), p in zip(LABELS.items(), logits.sigmoid().tolist()):",
                "    print(f\"{label}\\t{p:.3f}\\t{'yes' if p >= threshold else 'no'}\")",
            ]
        return ["for label, p in zip(LABELS, logits.sigmoid().tolist()):", '    print(f"{label}\\t{p:.3f}")']
    lines = ["for label, p in zip(LABELS, logits.softmax(-1).tolist()):"]
    positive = record.task_spec.metrics.positive
    if positive is not None and _thresholds(record):
        decided = f" + (f\"\\t{{'yes' if p >= THRESHOLD else 'no'}}\" if label == {python_literal(positive)} else \"\")"
        return [*lines, f'    print(f"{{label}}\\t{{p:.3f}}"{decided})']
    return [*lines, '    print(f"{label}\\t{p:.3f}")']


def _of_residues(record: RunRecord, problem: Problem) -> list[str]:
    squash = {"regression": "flatten().tolist()", "multilabel": "sigmoid().tolist()"}.get(problem.kind, "softmax(-1)")
    candidates = record.task_spec.data.candidates
    only = [f"    if residue in {python_literal(candidates)}:"] if candidates else []
    indent = "        " if candidates else "    "
    row = "value" if problem.kind == "regression" else "row"
    lines = [
        f"values = logits{_between(record)}.{squash}  # without the special tokens",
        "assert len(values) == len(sequence)  # one for each residue",
        f"for position, (residue, {row}) in enumerate(zip(sequence, values), start=1):",
        *only,
    ]
    if problem.kind == "regression":
        return [*lines, f'{indent}print(f"{{residue}}{{position}}\\t{{value:.3f}}")']
    if problem.kind == "multilabel":
        each = 'f"{label} {p:.3f}" for label, p in zip(LABELS, row)'
        return [*lines, f'{indent}print(f"{{residue}}{{position}}", *({each}), sep="\\t")']
    positive = record.task_spec.metrics.positive
    if positive is not None and _thresholds(record):
        index = record.task_spec.label_names.index(positive)
        decision = f"{index} if row[{index}] >= THRESHOLD else {1 - index}"
    else:
        decision = "int(row.argmax())"
    return [
        *lines,
        f"{indent}best = {decision}",
        f'{indent}print(f"{{residue}}{{position}}\\t{{LABELS[best]}}\\t{{row[best]:.3f}}")',
    ]
