"""Writing pins into a task file: a few lines are added, and nothing else in it changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from hubtools.common.errors import UserError
from hubtools.common.files import replacing
from hubtools.specs.data_sources import HubData, UniProtData, UrlData
from hubtools.specs.lookup.spec_files import read_spec
from hubtools.specs.task import Task


def write_pins(path: Path, pinned: Task) -> list[str]:
    """Write into a task file what pins its sources; comments, order and everything else stay as they are.

    The new file is read again before it takes the old one's place, and must say what the old one said, with the pins.

    Args:
        path: the file.
        pinned: its task, with every source pinned.

    Returns:
        The lines that were added.

    Raises:
        UserError: the file is written in a form that lines cannot be added to; it is left as it was.
    """
    before = read_spec(path, Task)
    text = path.read_bytes().decode("utf-8")
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    newline = "\r\n" if "\r\n" in text else "\n"
    insertions = []
    for node, anchor, pins in _missing(root, before, pinned):
        insertions.append(_insertion(text, node, anchor, pins, newline))
    for at, added in sorted(insertions, reverse=True):
        text = text[:at] + added + text[at:]
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode())
        try:
            after = read_spec(temporary, Task)
        except UserError:
            after = None
        if after is None or after.model_dump() != pinned.model_dump():
            raise UserError(
                "the pins cannot be added to a file of this form",
                where=str(path),
                fix=f"Write them yourself: {'; '.join(' '.join(added.split()) for _, added in sorted(insertions))}",
            )
    return [line.strip() for _, added in sorted(insertions) for line in added.splitlines() if line.strip(" ,")]


def _missing(
    root: yaml.Node | None, before: Task, pinned: Task
) -> list[tuple[yaml.CollectionNode, str, dict[str, object]]]:
    """The mappings that lack a pin, the key after which it goes, and the pin."""
    data, now = _value(root, "data"), pinned.data
    if isinstance(now, UrlData) and isinstance(before.data, UrlData):
        files = _value(data, "files").value
        return [
            (node, "url", {"sha256": new.sha256})
            for node, old, new in zip(files, before.data.files, now.files, strict=True)
            if old.sha256 is None
        ]
    if isinstance(now, HubData) and isinstance(before.data, HubData) and before.data.revision is None:
        return [(data, "dataset", {"revision": now.revision})]
    if isinstance(now, UniProtData) and isinstance(before.data, UniProtData) and before.data.frozen is None:
        assert now.frozen is not None
        return [(data, "source", {"frozen": now.frozen.model_dump(exclude_none=True)})]
    return []


def _value(node: yaml.Node | None, key: str) -> Any:
    assert node is not None  # The file has been read as a task.
    return next(value for name, value in node.value if name.value == key)


def _insertion(
    text: str, node: yaml.CollectionNode, anchor: str, pins: dict[str, object], newline: str
) -> tuple[int, str]:
    """Where in the text a pin goes, and what is written there: behind the line of the key that it belongs to."""
    key, value = next((name, value) for name, value in node.value if name.value == anchor)
    if node.flow_style:
        return value.end_mark.index, "".join(f", {name}: {_inline(pin)}" for name, pin in pins.items())
    end = text.find("\n", value.end_mark.index)
    indent = " " * key.start_mark.column
    lines = []
    for name, pin in pins.items():
        if isinstance(pin, dict):
            lines += [f"{indent}{name}:", *(f"{indent}  {inner}: {_inline(part)}" for inner, part in pin.items())]
        else:
            lines.append(f"{indent}{name}: {_inline(pin)}")
    added = newline.join(lines) + newline
    return (end + 1, added) if end >= 0 else (len(text), newline + added)


def _inline(value: object) -> str:
    """A value on one line of YAML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_inline(part)}" for name, part in value.items()) + "}"
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n").strip()
