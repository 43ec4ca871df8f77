"""The lines of Python that a stranger copies from a card: plain transformers, runnable as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from hubtools.specs.problem import Problem
from hubtools.specs.record import RunRecord

# Human ubiquitin: short, real, and with a tyrosine for tasks about those.
EXAMPLE = "MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEGIPPDQQRLIFAGKQLEDGRTLSDYNIQKESTLHLVLRLRGG"
# The two chains of human insulin, which are held together by disulfide bonds.
EXAMPLE_PAIR = ("GIVEQCCTSICSLYQLENYCN", "FVNQHLCGSHLVEALYLVCGERGFFYTPKT")
CUSTOM_CODE = "modeling_protein_task.py"
# What of a run with an adapter is published: the merged model, the adapter with its head, or both.
Weights = Literal["merged", "adapter", "both"]
# How residues are written for the tokenizer, by the rendering that the alignment proof found.
_WRITTEN = {
    "plain": "sequence",
    "spaced": '" ".join(sequence)',
    "pieces": "list(sequence), is_split_into_words=True",
    "prostt5": '"<AA2fold> " + " ".join(sequence)',
    "saprot": '"".join(residue + "#" for residue in sequence)',
}
# More than these are read from the model's configuration, and the likeliest shown.
MAX_LABELS_IN_CODE, SHOWN = 30, 10
_SPACED_FAMILIES = {"bert", "t5"}


def has_model(folder: Path) -> bool:
    """Whether the run kept a model (baselines have none)."""
    return (folder / "config.json").is_file()


def needs_custom_code(folder: Path) -> bool:
    """Whether the model is loaded through the modelling file beside it rather than a class of transformers."""
    return (folder / CUSTOM_CODE).is_file()


def usage_snippet(record: RunRecord, folder: Path, location: str, adapter: str | None = None) -> str:
    """Python that loads the model and prints labels with probabilities, or values, for one sequence or one pair.

    Args:
        record: of the run.
        folder: the model's folder on this machine.
        location: where readers find the model: a Hub id, or a path.
        adapter: of the adapter, put on its base by peft: its folder in there, empty at the root. None for the merged
            model.
    """
    problem = Problem(record.task["problem"])
    custom = needs_custom_code(folder)
    head = "AutoModelForTokenClassification" if problem.per_residue else "AutoModelForSequenceClassification"
    loader = "AutoModel" if custom else head
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
        "import torch",
        *imports,
        "",
        f"MODEL = {json.dumps(location)}",
        *_labels(record, problem),
        f"pair = {json.dumps(EXAMPLE_PAIR)}  # in any order" if problem.is_pair else f'sequence = "{EXAMPLE}"',
        "",
        *loading,
        *(["LABELS = list(model.config.id2label.values())"] if _many(record) else []),
        "",
        f'tokens = tokenizer({_written(record, problem)}, return_tensors="pt", return_special_tokens_mask=True)',
        "with torch.no_grad():",
        '    logits = model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).logits[0]',
        *(_per_residue(record, problem) if problem.per_residue else _per_protein(record, problem)),
    ]
    return "\n".join(lines)


def pipeline_snippet(record: RunRecord, folder: Path, location: str) -> str | None:
    """The same through ``pipeline``, in four lines; None where that would read sequences in another way than bench.

    Args:
        record, folder, location: as for :func:`usage_snippet`.
    """
    problem = Problem(record.task["problem"])
    theirs = record.identity.checkpoint is not None and record.identity.checkpoint.trust_remote_code
    if problem.is_pair or theirs or _rendering(record) not in {_WRITTEN["plain"], _WRITTEN["spaced"]}:
        return None
    if problem.per_residue and problem.kind != "classification":
        # It gives the likeliest label of each token, whatever the task is.
        return None
    task = "token-classification" if problem.per_residue else "text-classification"
    if needs_custom_code(folder) and not _serves_pipelines(folder):
        return None
    trust = ", trust_remote_code=True" if needs_custom_code(folder) else ""
    every = "" if problem.per_residue or problem.kind == "regression" else ", top_k=None"
    return "\n".join(
        [
            "from transformers import pipeline",
            "",
            f'predict = pipeline("{task}", model={json.dumps(location)}{trust})',
            f'sequence = "{EXAMPLE}"',
            f"print(predict({_rendering(record)}{every}))",
        ]
    )


def _serves_pipelines(folder: Path) -> bool:
    """Whether the modelling file stands for a task class of transformers; earlier versions of bench did not say so."""
    mapped = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("auto_map") or {}
    return any(name.endswith("Classification") for name in mapped)


def _with_adapter(record: RunRecord, folder: str) -> list[str]:
    """Lines that load the base model, put the adapter on it, and bring the tokenizer."""
    base = record.identity.checkpoint
    assert base is not None
    inside = f", subfolder={json.dumps(folder)}" if folder else ""
    return [
        f"tokenizer = AutoTokenizer.from_pretrained(MODEL{inside}, trust_remote_code=True)",
        f"config = AutoConfig.from_pretrained(MODEL{inside}, trust_remote_code=True)",
        "base = AutoModel.from_config(config, trust_remote_code=True)",
        f'base.load_encoder("{base.name}", revision="{base.commit}")',
        f"model = PeftModel.from_pretrained(base, MODEL{inside}).eval()",
    ]


def _written(record: RunRecord, problem: Problem) -> str:
    """What the tokenizer is given: a sequence, or both of a pair as one padded batch."""
    rendering = _rendering(record)
    if not problem.is_pair:
        return rendering
    each, *options = rendering.rsplit(", ", 1) if rendering.endswith("=True") else [rendering]
    batch = "list(pair)" if each == "sequence" else f"[{each} for sequence in pair]"
    return ", ".join([batch, *options, "padding=True"])


def _rendering(record: RunRecord) -> str:
    rendering = record.alignment.rendering if record.alignment else ""
    if not rendering:
        family = record.checkpoint.family if record.checkpoint else ""
        rendering = "spaced" if family in _SPACED_FAMILIES else "plain"
    return _WRITTEN[rendering]


def _many(record: RunRecord) -> bool:
    return len(set(record.task["labels"].values())) > MAX_LABELS_IN_CODE


def _thresholds(record: RunRecord) -> list[float]:
    return list((record.training.choices if record.training else {}).get("thresholds") or [])


def _labels(record: RunRecord, problem: Problem) -> list[str]:
    names = list(dict.fromkeys(record.task["labels"].values()))
    if problem.kind == "regression" or len(names) > MAX_LABELS_IN_CODE:
        return []
    thresholds = _thresholds(record)
    if problem.kind == "multilabel" and len(thresholds) == len(names):
        pairs = ", ".join(
            f"{json.dumps(n, ensure_ascii=False)}: {t:.6g}" for n, t in zip(names, thresholds, strict=True)
        )
        return [f"LABELS = {{{pairs}}}  # label: decision threshold, chosen on validation"]
    lines = [f"LABELS = {json.dumps(names, ensure_ascii=False)}"]
    positive = record.task["metrics"].get("positive")
    if positive is not None and len(thresholds) == 1:
        lines.append(f"THRESHOLD = {thresholds[0]:.6g}  # of {positive}, chosen on validation")
    return lines


def _per_protein(record: RunRecord, problem: Problem) -> list[str]:
    if problem.kind == "regression":
        return ['print(f"{logits.item():.3f}")' + (f"  # {record.task['unit']}" if record.task.get("unit") else "")]
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
    positive = record.task["metrics"].get("positive")
    if positive is not None and _thresholds(record):
        decided = f" + (f\"\\t{{'yes' if p >= THRESHOLD else 'no'}}\" if label == {json.dumps(positive, ensure_ascii=False)} else \"\")"
        return [*lines, f'    print(f"{{label}}\\t{{p:.3f}}"{decided})']
    return [*lines, '    print(f"{label}\\t{p:.3f}")']


def _per_residue(record: RunRecord, problem: Problem) -> list[str]:
    # A prefix before the sequence may not count as special: the residues are the last tokens that remain.
    lines = [
        'residues = (tokens["special_tokens_mask"][0] == 0).nonzero().flatten()[-len(sequence):]',
    ]
    candidates = (record.task.get("data") or {}).get("candidates")
    only = [f'    if residue in "{candidates}":'] if candidates else []
    indent = "        " if candidates else "    "
    if problem.kind == "regression":
        return [
            *lines,
            "values = logits[residues].flatten().tolist()",
            "for position, (residue, value) in enumerate(zip(sequence, values), start=1):",
            *only,
            f'{indent}print(f"{{residue}}{{position}}\\t{{value:.3f}}")',
        ]
    if problem.kind == "multilabel":
        return [
            *lines,
            "probabilities = logits[residues].sigmoid().tolist()",
            "for position, (residue, row) in enumerate(zip(sequence, probabilities), start=1):",
            *only,
            f'{indent}print(f"{{residue}}{{position}}", *(f"{{label}} {{p:.3f}}" for label, p in zip(LABELS, row)), sep="\\t")',
        ]
    lines += [
        "probabilities = logits[residues].softmax(-1)",
        "for position, (residue, row) in enumerate(zip(sequence, probabilities), start=1):",
    ]
    positive = record.task["metrics"].get("positive")
    if positive is not None and _thresholds(record):
        index = list(dict.fromkeys(record.task["labels"].values())).index(positive)
        decision = f"{index} if row[{index}] >= THRESHOLD else {1 - index}"
    else:
        decision = "int(row.argmax())"
    return [
        *lines,
        *only,
        f"{indent}best = {decision}",
        f'{indent}print(f"{{residue}}{{position}}\\t{{LABELS[best]}}\\t{{row[best]:.3f}}")',
    ]
