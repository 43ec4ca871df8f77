"""Files of a model that anybody may have written: what they may say, and what loading them may do.

transformers does what a configuration says: it may name code of another repository to compute with (an attention "kernel"),
a thousand million layers, or files elsewhere. So configurations are looked at before anything is built from them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from hubtools.common.bounds import LARGEST_JSON, json_values, read_bounded
from hubtools.common.errors import UserError, in_brackets, library_words
from hubtools.common.inside import inside, why_not_inside
from hubtools.common.readers import reads

Loaded = TypeVar("Loaded")

# More than any protein language model has, by far. A configuration makes what it says before weights are compared with it.
_MOST_LAYERS, _MOST_LABELS, _MOST = 2_000, 1_000_000, 2**31
_LAYERS = re.compile(r"(num|n)_(\w+_)?(layers?|blocks?|experts)", re.ASCII)
# What computes attention, or a mixture of experts: a name, never a repository.
_IMPLEMENTATION = re.compile(r"_?(attn|experts)_implementation(_internal)?", re.ASCII)
_DTYPE = re.compile(r"(torch\.)?(auto|b?float\d+(_\w+)?|half|double|float|u?int\d+|bool)", re.ASCII)
_MORE_THAN_TENSORS = re.compile(r"(?:Unsupported global: GLOBAL|Unsupported class|GLOBAL) ([\w.]*\w)")
_PICKLED = re.compile(
    r"weights.only|unsupported operand|pickle|persistent.?id|magic number|storage has wrong byte|PytorchStreamReader"
    r"|central directory",
    re.IGNORECASE,
)


@reads("configuration of a model")
def read_json(path: Path, where: str) -> dict[str, Any]:
    """A configuration file of a model.

    Raises:
        UserError: it cannot be read, or it is not one object.
    """
    try:
        values = json_values(read_bounded(path, LARGEST_JSON).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"cannot read {path.name}{in_brackets(error)}", where=where, fix="Get the file again."
        ) from None
    if not isinstance(values, dict):
        raise UserError(f"{path.name} is not an object with keys", where=where, fix="Get the file again.")
    return values


@reads("configuration of a model")
def check_config(config: dict[str, Any], where: str) -> None:
    """Look at a configuration before anything is made of it.

    Raises:
        UserError: it names code to compute with, or something larger than any model.
    """
    for key, value in _entries(config):
        if _IMPLEMENTATION.fullmatch(key):
            named = value.values() if isinstance(value, dict) else [value]
            if not all(one is None or (isinstance(one, str) and re.fullmatch(r"\w*", one, re.ASCII)) for one in named):
                raise UserError(
                    f"its config.json has attention computed by code from elsewhere ({key}: {str(value)[:80]!r})",
                    where=where,
                    fix=f"bench runs no code that a configuration names: remove {key} from it.",
                )
        elif key in {"dtype", "torch_dtype"} and not (value is None or _is_dtype(value)):
            raise UserError(f"its config.json has no such {key}: {str(value)[:80]!r}", where=where, fix="Correct it.")
        elif isinstance(value, int) and not isinstance(value, bool):
            most = _MOST_LAYERS if _LAYERS.fullmatch(key) else _MOST_LABELS if key == "num_labels" else _MOST
            if abs(value) > most:
                raise UserError(
                    f"its config.json has a {key} of {str(value)[:20]}, and no model has more than {most:,}",
                    where=where,
                    fix="Correct it.",
                )


def _is_dtype(value: Any) -> bool:
    named = value.values() if isinstance(value, dict) else [value]
    return all(isinstance(one, str) and _DTYPE.fullmatch(one) for one in named)


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """All keys and their values, at any depth (JSON that was read is not deeper than the interpreter goes)."""
    pending = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, dict):
            for key, inner in one.items():
                yield str(key), inner
                pending.append(inner)
        elif isinstance(one, list):
            pending.extend(one)


@reads("index of weights")
def check_index(path: Path, where: str) -> None:
    """Look at an index of weights: the files that it names lie beside it.

    Raises:
        UserError: one does not, or it is no index.
    """
    named = read_json(path, where).get("weight_map")
    names = set(map(str, named.values())) if isinstance(named, dict) else {""}
    suffix = Path(path.name.removesuffix(".index.json")).suffix
    for name in sorted(names):
        if why_not_inside(name, 1) is not None or not name.endswith(suffix) or not inside(path.parent, name).is_file():
            raise UserError(
                f"{path.name} names the file {name[:80]!r}, which is not one of weights beside it",
                where=where,
                fix="Get it again.",
            )


def loaded(load: Callable[[], Loaded], where: str, model_type: object = None, *, code: str | None = None) -> Loaded:
    """Run a loader of transformers or peft; what it cannot load becomes one line.

    Args:
        load: the loader.
        where: what is loaded, for messages.
        model_type: of its configuration.
        code: what to do where its architecture is code of its own.

    Raises:
        UserError: it cannot be loaded.
    """
    import torch

    try:
        return load()
    except (UserError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        what, fix = _said(error, model_type, code)
    except BaseException as error:
        # What the tokenizers' own language raises where it gives up is no Exception.
        if type(error).__name__ != "PanicException":
            raise
        what, fix = "its tokenizer cannot be read", "Get it again."
    raise UserError(what, where=where, fix=fix) from None


def _said(error: Exception, model_type: object, code: str | None) -> tuple[str, str | None]:
    text = " ".join(str(error).split())
    if (found := _MORE_THAN_TENSORS.search(text)) is not None:
        # torch's own words advise to read it without restriction, which runs whatever is in it.
        return (
            f"its pickled weights (.bin) hold more than tensors ({found[1][:80]}), which could run code when it is read",
            "Use a checkpoint with safetensors weights, or ask its authors for them.",
        )
    if _PICKLED.search(text) or type(error).__name__ in {"EOFError", "UnpicklingError"}:
        return "its pickled weights (.bin) are damaged", "Get them again, or use a checkpoint with safetensors weights."
    if "trust_remote_code" in text or "contains custom code" in text:
        return "its architecture is code in its own repository", code
    if "Unrecognized" in text or "does not recognize this architecture" in text:
        return f"transformers does not know the architecture {str(model_type)[:80]!r}", "Upgrade it."
    if "size mismatch" in text or "ignore_mismatched_sizes" in text:
        return "its weights do not fit its config.json", "Check that both come from the same checkpoint."
    if "safetensor" in text.lower() or "deserializ" in text.lower() or "header" in text.lower():
        return "its weights are corrupt", "Download the checkpoint again."
    if said := library_words(error):
        return f"transformers cannot load it ({said})", None
    return (
        "transformers cannot load it: a value in its config.json is not what it expects",
        "Get it again, or upgrade transformers.",
    )
