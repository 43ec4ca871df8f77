#!/usr/bin/env python3
"""Write docs/reference.md and docs/checkpoints.md from the code, so that they cannot go stale.

usage: python docs/generate.py [--check]
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from hubtools.cli.main import COMMANDS, cli
from hubtools.models.families import Published, papers, published_kinds
from hubtools.models.families.published.published_kind import EVERYTHING
from hubtools.runs.engines.ray_cluster import RayOptions
from hubtools.runs.engines.slurm import SlurmOptions
from hubtools.specs.level import LEVELS
from hubtools.specs.metric_names import METRICS
from hubtools.specs.problem import Problem
from hubtools.specs.recipe import Recipe
from hubtools.specs.record import RunRecord
from hubtools.specs.suite import Profile, Suite
from hubtools.specs.task import Task

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference.md"


def type_name(annotation: Any) -> str:
    """A type as a reader of YAML thinks of it."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_name(arguments[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in {Union, UnionType}:
        shown = [type_name(a) for a in arguments if a is not type(None)]
        return " or ".join(shown) + (" or null" if type(None) in arguments else "")
    if origin is list:
        return f"list of {type_name(arguments[0])}"
    if origin is dict:
        return f"mapping to {type_name(arguments[1])}"
    names = {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true or false",
        Path: "path",
        Any: "any",
        datetime: "date and time",
    }
    if annotation in names:
        return names[annotation]
    if annotation is Problem:
        return "one of the problem types"
    return f"[{annotation.__name__}](#{annotation.__name__.lower()})" if hasattr(annotation, "__name__") else "any"


def nested(annotation: Any) -> list[type[BaseModel]]:
    """Models inside an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in nested(argument)]


def model_tables(root: type[BaseModel], done: set[type]) -> list[str]:
    """A table of fields of a model and of all models inside it."""
    if root in done:
        return []
    done.add(root)
    lines = [f"### {root.__name__}", "", " ".join((root.__doc__ or "").split()), ""]
    lines += ["| field | type | default | meaning |", "| --- | --- | --- | --- |"]
    inner: list[str] = []
    for name, field in root.model_fields.items():
        default = field.default
        if field.is_required():
            shown = "required"
        elif isinstance(default, BaseModel) or default is PydanticUndefined:
            shown = "see there"
        else:
            shown = "none" if default in (None, [], {}, "") else f"`{default}`"
        meaning = " ".join((field.description or "").split()).replace("|", "\\|")
        lines.append(f"| `{name}` | {type_name(field.annotation)} | {shown} | {meaning} |")
        for model in nested(field.annotation):
            inner += model_tables(model, done)
    return [*lines, "", *inner]


def command_help() -> list[str]:
    """The help of every command."""
    lines = []
    context = click.Context(cli, info_name="bench")
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        parents = [(f"bench {name}", command, click.Context(command, info_name=f"bench {name}"))]
        if isinstance(command, click.Group):
            parents += [
                (f"bench {name} {sub}", inner, click.Context(inner, info_name=f"bench {name} {sub}"))
                for sub, inner in command.commands.items()
            ]
        for title, item, inner_context in parents:
            inner_context.terminal_width = inner_context.max_content_width = 110
            lines += [f"### {title}", "", "```", item.get_help(inner_context).rstrip(), "```", ""]
    return lines


def reference() -> str:
    """The whole page."""
    done: set[type] = set()
    lines = ["# Reference", "", "Generated from the code by `python docs/generate.py`; a test keeps it current.", ""]
    lines += ["## Problem types", "", "A level (what has one label) times a kind (what one label is).", ""]
    lines += ["| problem | one label for each | a row is a | the bootstrap draws |", "| --- | --- | --- | --- |"]
    for level in LEVELS.values():
        for ending in level.kinds:
            lines.append(f"| `{level.prefix}-{ending}` | {level.each} | {level.row} | {level.drawn} |")
    lines.append("")
    lines += ["## Metrics", "", "| name | title | for | better | bounds |", "| --- | --- | --- | --- | --- |"]
    for name, info in METRICS.shipped.items():
        better = "higher" if info.higher_is_better else "lower"
        lines.append(
            f"| `{name}` | {info.title} | {', '.join(sorted(info.kinds))} | {better} | {info.low:g} to {info.high:g} |"
        )
    of_two = [f"`{name}`" for name, info in METRICS.shipped.items() if info.needs_positive]
    means = {
        name: info.averaged
        for name, info in METRICS.shipped.items()
        if info.averaged and "classification" in info.kinds
    }
    averaged, said = [f"`{name}`" for name in means], dict.fromkeys(means.values())
    lines += ["", f"Of two classes {', '.join(of_two)} are about the one under `metrics.positive`."]
    lines[-1] += (
        f" Of more classes {' and '.join(averaged)} are {' or '.join(said)}; a class without a row, or with every row, is left out."
    )
    lines.append("")
    for title, model in (
        ("Task file", Task),
        ("Recipe file", Recipe),
        ("Suite file", Suite),
        ("Profile file", Profile),
        ("Options of a profile for Slurm", SlurmOptions),
        ("Options of a profile for Ray", RayOptions),
        ("Run record", RunRecord),
    ):
        lines += [f"## {title}", "", *model_tables(model, done)]
    lines += ["## Commands", "", *command_help()]
    return "\n".join(lines).rstrip() + "\n"


def checkpoints() -> str:
    """The page of kinds of checkpoints that people use."""
    kinds = published_kinds(own=True)
    lines = [
        "# Checkpoints",
        "",
        "Generated from the families (`hubtools/models/families/`) by `python docs/generate.py`; a test keeps it current, and holds each",
        "row against what a tiny checkpoint of that kind is seen to do (`tests/models/test_published_kinds.py`): loaded, aligned, two",
        "proteins embedded together and alone, one step of gradients under each way to adapt it, the likelihoods of a masked residue.",
        "",
        "A checkpoint that is not listed may well work: what a tokenizer and an encoder do is measured on them, and what cannot be read is",
        "refused in one line before anything is computed. A kind of your own: [extending.md](extending.md#a-checkpoint-family).",
        "",
        "## What works",
        "",
        "**Tried** says with what: *real weights*; *real vocabulary*, with random weights in the real class; *interface only*, the real",
        "class with a made vocabulary or, of code in a repository, a look-alike of its interface. *Per residue*: a token of its own for each residue, which tasks of residues need; without it there are",
        "tasks of whole proteins. *Zero-shot*: variant effects by the checkpoint's own language model. Contacts have no column: the categorical Jacobian",
        "needs a masked language model whose tokens are residues (not SaProt's), ESM's own head its trained weights, `attention-regression` an encoder that shows its attention, a probe any encoder ([tasks.md](tasks.md#contacts)).",
        "",
        f"| Checkpoint | model type | {' | '.join(EVERYTHING)} | tried | remarks |",
        f"| --- | --- | {' | '.join([':---:'] * len(EVERYTHING))} | --- | --- |",
    ]
    for kind in kinds:
        if kind.refused:
            continue
        cells = ["✓" if way in kind.works else "–" for way in EVERYTHING]
        around = [(" after", kind.protocol), (" before", kind.ending)]
        said = [f"{word} {' '.join(f'`{token}`' for token in tokens)}" for word, tokens in around if tokens]
        code = "its own code: `--trust-remote-code`" if kind.remote_code else ""
        remarks = "; ".join(filter(None, [f"written{','.join(said)}" if said else "", kind.notes, code]))
        lines.append(_row([kind.title, f"`{kind.model_type}`", *cells, kind.tried, remarks]))
    lines += [
        "",
        "## What is refused",
        "",
        "Seen on a folder laid out as theirs are, with `--trust-remote-code` where it says so; their own code was never run here.",
        "",
        "| Checkpoint | on the Hub | model type | the line |",
        "| --- | --- | --- | --- |",
    ]
    for kind in kinds:
        if kind.refused:
            asked = " (with `--trust-remote-code`)" if kind.remote_code else ""
            lines.append(_row([kind.title, _names(kind), f"`{kind.model_type}`", kind.refused + asked]))
    lines += [
        "",
        "## What their authors say",
        "",
        "**Until** is the last day, month or year of which something may be in the pre-training data: a card counts the test proteins that are newer,",
        "where a task knows their dates ([tasks.md](tasks.md#proteins-by-date)). A release of UniProt is named by its year; where no source for the",
        "day was found, its year is read to the end. *Not known*: no source says it. A checkpoint that others trained on is none of these,",
        "whatever its name.",
        "",
        "| Checkpoint | on the Hub | licence | cite | pre-trained on | until | source |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kind in kinds:
        learnt = kind.pretraining
        told = [learnt.data, learnt.until or "not known", learnt.source] if learnt else ["not known", "not known", "–"]
        cells = [kind.title, _names(kind), kind.licence or "not known", _cited(kind), *told]
        lines.append(_row(cells))
    return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    """A row of a table; a bar in a cell, also in code, would end it."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _names(kind: Published) -> str:
    return ", ".join(f"`{name}`" for name in kind.names) or "–"


def _cited(kind: Published) -> str:
    """The papers that a card cites checkpoints of these names by."""
    keys = [next((p.key for p in papers() if p.matches(name.split("/")[-1])), "") for name in kind.names]
    return ", ".join(f"`{key}`" for key in dict.fromkeys(filter(None, keys))) or "–"


PAGES = {REFERENCE: reference, ROOT / "docs" / "checkpoints.md": checkpoints}


def main() -> None:
    """Write, or check."""
    for page, written in PAGES.items():
        text = written()
        if "--check" not in sys.argv:
            page.write_text(text)
        elif not page.is_file() or page.read_text() != text:
            raise SystemExit(f"docs/{page.name} is not current: python docs/generate.py")


if __name__ == "__main__":
    main()
