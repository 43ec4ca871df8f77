"""Writing pins into a task file: lines are added, pins that changed are replaced, and nothing else in it changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from hubtools.common.bounds import yaml_nodes
from hubtools.common.errors import UserError
from hubtools.common.files import replacing
from hubtools.common.readers import reads
from hubtools.specs.base import Spec
from hubtools.specs.data_sources import SourceData
from hubtools.specs.files.table_file import TableFile
from hubtools.specs.lookup.spec_files import read_spec
from hubtools.specs.task import Task


@reads("task file that pins are added to")
def write_pins(path: Path, pinned: Task) -> list[str]:
    """Write into a task file what pins its sources; comments, order and everything else stay as they are.

    A pin that is there and says something else is replaced, with the comments inside it.

    The new file is read again before it takes the old one's place, and must say what the old one said, with the pins.

    Args:
        path: the file.
        pinned: its task as it was loaded, with every source pinned.

    Returns:
        The lines that were added or replaced.

    Raises:
        UserError: the file is written in a form that lines cannot be added to; it is left as it was.
    """
    before = read_spec(path, Task)
    text = path.read_bytes().decode("utf-8")
    root = yaml_nodes(text, yaml.SafeLoader)
    newline = "\r\n" if "\r\n" in text else "\n"
    edits = []
    for node, anchor, pins in _changed(root, before, pinned):
        place = _replacement if all(_has(node, key) for key in pins) else _insertion
        edits.append(place(text, node, anchor, pins, newline))
    for start, end, added in sorted(edits, reverse=True):
        text = text[:start] + added + text[end:]
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode())
        try:
            after = read_spec(temporary, Task)
        except UserError:
            after = None
        if after is None or after.located_at(path.parent).model_dump() != pinned.model_dump():
            raise UserError(
                "the pins cannot be added to a file of this form",
                where=str(path),
                fix=f"Write them yourself: {'; '.join(' '.join(added.split()) for _, _, added in sorted(edits))}",
            )
    return [line.strip() for _, _, added in sorted(edits) for line in added.splitlines() if line.strip(" ,")]


def _changed(
    root: yaml.Node | None, before: Task, pinned: Task
) -> list[tuple[yaml.CollectionNode, str, dict[str, object]]]:
    """The mappings that lack a pin or have another, the key after which it goes, and the pin."""
    data, now = _value(root, "data"), pinned.data
    parts: list[tuple[yaml.CollectionNode, SourceData | TableFile, SourceData | TableFile]] = [(data, before.data, now)]
    if any(file.pinned_by for file in now.files):
        parts += zip(_value(data, "files").value, before.data.files, now.files, strict=True)
    changed = []
    for node, was, pinned_now in parts:
        key, anchor = pinned_now.pinned_by or ("", "")
        pin = getattr(pinned_now, key) if key else None
        if pin is not None and getattr(was, key) != pin:
            changed.append((node, anchor, {key: pin.model_dump(exclude_none=True) if isinstance(pin, Spec) else pin}))
    return changed


def _value(node: yaml.Node | None, key: str) -> Any:
    assert node is not None  # The file has been read as a task.
    return next(value for name, value in node.value if name.value == key)


def _has(node: yaml.CollectionNode, key: str) -> bool:
    """Whether the key is there, and says something."""
    return any(name.value == key and value.tag != "tag:yaml.org,2002:null" for name, value in node.value)


def _replacement(
    text: str, node: yaml.CollectionNode, anchor: str, pins: dict[str, object], newline: str
) -> tuple[int, int, str]:
    """Where in the text a pin is, to the end of its value, and the pin that takes its place."""
    ((key, pin),) = pins.items()
    name, value = next((name, value) for name, value in node.value if name.value == key)
    start, end = name.start_mark.index, value.end_mark.index
    if isinstance(value, yaml.MappingNode) and not value.flow_style:
        # A block ends where the next key begins: what stands between belongs to that.
        end = max(part.end_mark.index for _, part in value.value)
    if isinstance(pin, dict) and not node.flow_style and not getattr(value, "flow_style", True):
        indent = " " * value.start_mark.column
        return (
            start,
            end,
            newline.join([f"{key}:", *(f"{indent}{inner}: {_inline(part)}" for inner, part in pin.items())]),
        )
    return start, end, f"{key}: {_inline(pin)}"


def _insertion(
    text: str, node: yaml.CollectionNode, anchor: str, pins: dict[str, object], newline: str
) -> tuple[int, int, str]:
    """Where in the text a pin goes, and what is written there: behind the line of the key that it belongs to."""
    key, value = next((name, value) for name, value in node.value if name.value == anchor)
    if node.flow_style:
        return (
            value.end_mark.index,
            value.end_mark.index,
            "".join(f", {name}: {_inline(pin)}" for name, pin in pins.items()),
        )
    end = text.find("\n", value.end_mark.index)
    indent = " " * key.start_mark.column
    lines = []
    for name, pin in pins.items():
        if isinstance(pin, dict):
            lines += [f"{indent}{name}:", *(f"{indent}  {inner}: {_inline(part)}" for inner, part in pin.items())]
        else:
            lines.append(f"{indent}{name}: {_inline(pin)}")
    added = newline.join(lines) + newline
    return (end + 1, end + 1, added) if end >= 0 else (len(text), len(text), newline + added)


def _inline(value: object) -> str:
    """A value on one line of YAML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_inline(part)}" for name, part in value.items()) + "}"
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n").strip()
