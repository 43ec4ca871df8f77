"""What transformers.js, and a fast tokenizer of transformers, read beside a graph: configuration and tokens, made from the same table.

Of a model that sorts residues into classes alone: the pipeline of proteins gives a graph no mask of residues, and takes no windows.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubtools.exporting.token_table import token_table

if TYPE_CHECKING:
    from hubtools.inference.predictor import Predictor

# A protein is never cut in silence: one that is too long for the graph is an error of it.
_NO_LIMIT = 10**9


def write_pipeline_files(predictor: Predictor, folder: Path) -> None:
    """Write ``config.json``, ``tokenizer.json`` and ``tokenizer_config.json`` beside the graph of a model of residues.

    Args:
        predictor: the model; of another than a classifier of residues nothing is written.
        folder: that holds ``model.onnx``.
    """
    if not (predictor.problem.level.by_residue and predictor.problem.kind == "classification"):
        return
    labels = dict(enumerate(predictor.labels))
    config = {
        # Of the architecture, which is in the graph, a pipeline needs to know that it takes tokens and a mask: as ESM does.
        "model_type": "esm",
        "architectures": ["EsmForTokenClassification"],
        "id2label": labels,
        "label2id": {label: number for number, label in labels.items()},
    }
    tokens, padding = _tokens(token_table(predictor.tokeniser))
    about = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": padding,
        "model_max_length": _NO_LIMIT,
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
    }
    texts = {"config.json": _json(config), "tokenizer.json": tokens, "tokenizer_config.json": _json(about)}
    for name, text in texts.items():
        (folder / name).write_text(f"{text}\n", encoding="utf-8")


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=1, ensure_ascii=False)


def _tokens(table: dict[str, Any]) -> tuple[str, str]:
    """``tokenizer.json`` of a table of :func:`hubtools.exporting.token_table.token_table`, and what its padding is called.

    Letters are read in upper case and white space is dropped. A letter that shares its token becomes the one that it is read as. A
    character that has no token is an error, as it is for bench.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, normalizers, pre_tokenizers, processors
    from tokenizers.models import WordLevel

    letters: dict[str, int] = table["letters"]
    vocabulary: dict[int, str] = {}
    for letter in sorted(letters, key=lambda one: one in table["unknown"]):
        vocabulary.setdefault(letters[letter], letter)
    special = dict.fromkeys([*table["before"], *table["after"], table["padding"]])
    names = {token: f"<{token}>" for token in special}
    made = Tokenizer(
        WordLevel({**{name: i for i, name in vocabulary.items()}, **{name: i for i, name in names.items()}})
    )
    become = {letter: vocabulary[token] for letter, token in letters.items()}
    made.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(r"\s+"), ""),
            *(normalizers.Replace(letter.lower(), letter) for letter in become),
            *(normalizers.Replace(letter, read) for letter, read in become.items() if letter != read),
        ]
    )
    made.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    around = [" ".join(names[token] for token in table[place]) for place in ("before", "after")]
    made.post_processor = processors.TemplateProcessing(
        single=f"{around[0]} $A {around[1]}".strip(), special_tokens=[(name, i) for i, name in names.items()]
    )
    made.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names.values()])
    return made.to_str(pretty=True), names[table["padding"]]
