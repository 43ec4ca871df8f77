"""What it takes to make a run again: what to install, the command, and what the command needs that is not public or pinned."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hubtools.common.errors import UserError
from hubtools.common.escaping import code, markdown
from hubtools.common.registry import Registry, code_digest
from hubtools.common.version import __version__
from hubtools.models.checkpoint import EMBEDDED_NAME
from hubtools.models.families import bringer as family_bringer
from hubtools.runs.public_record import public_command, public_files, task_reference, words_of
from hubtools.specs.data_sources import OF_THIS_MACHINE, OWN_SOURCES
from hubtools.specs.head_kinds import HEADS
from hubtools.specs.lookup.content import catalogue
from hubtools.specs.lookup.source_packages import source_bringer
from hubtools.specs.lookup.spec_files import recipe_in, task_in
from hubtools.specs.lookup.trusted import TrustedSpecs
from hubtools.specs.metric_names import METRICS
from hubtools.specs.record import RunRecord

# More data files than this are told by the table of sources.
_MAX_FILES = 8
# How a run's identity says how batches were cut (hubtools.runs.session).
_BATCHES = re.compile(r"(?P<budget>\d+) tokens, (?P<layout>[\w ]+), processes: (?P<processes>\d+), (?P<device>\w+)")
_EXTRAS = {"qlora": "qlora"}


@dataclass(frozen=True)
class Repeating:
    """How a run is made again by whoever has nothing but its record.

    Attributes:
        install: the line that installs the code.
        command: the line that makes the run.
        needs: what these lines do not bring, one phrase each, in Markdown; empty where they are all.
    """

    install: str
    command: str
    needs: tuple[str, ...]


def repeating(record: RunRecord) -> Repeating:
    """What it takes to make a run again.

    A task or recipe is public where bench ships it, by its hash, or where it is on the Hub at a commit; a checkpoint where it
    is on the Hub at a commit, or is the one that bench ships.

    Args:
        record: of the run; it may come from anybody, and is not believed further than its hashes go.
    """
    task_ships, recipe_ships = _ships_task(record), _ships_recipe(record)
    needs = [
        *_code(record),
        *([] if task_ships else _task(record)),
        *_data(record),
        *([] if recipe_ships else _recipe(record)),
        *_weights(record),
        *_brought(record),
        *(f"access to {code(repo)} on the Hub, which is {markdown(why)}" for repo, why in record.closed.items()),
        *_device(record),
    ]
    return Repeating(_install(record), _command(record, task_ships, recipe_ships), tuple(needs))


def _install(record: RunRecord) -> str:
    adapter = record.recipe.get("adapter") or {}
    extra = _EXTRAS.get(str(adapter.get("kind")))
    packages = [f"plm-hubtools{f'[{extra}]' if extra else ''}=={record.environment.bench}"]
    if record.data and record.data.package:
        packages.append(record.data.package)
    return f"pip install {shlex.join(packages)}"


def _command(record: RunRecord, task_ships: bool, recipe_ships: bool) -> str:
    """The recorded command, with the names of what ships, and those of files as the needs call them."""
    words = words_of(public_command(record))
    identity = record.identity
    names = {"--task": (identity.task.name, task_ships), "--recipe": (identity.recipe.name, recipe_ships)}
    for index, option in enumerate(words[:-1]):
        if option not in names or (option == "--task" and task_reference(record)):
            continue
        name, ships = names[option]
        if words[index + 1] != name:
            words[index + 1] = name if ships else f"{name}.yaml"
    if (cut := _BATCHES.fullmatch(identity.batches or "")) and "--token-budget" not in words:
        words += ["--token-budget", cut["budget"], *(["--no-packing"] if cut["layout"] == "padded" else [])]
    return shlex.join(words)


def _ships_task(record: RunRecord) -> bool:
    asked, held = record.identity.task, TrustedSpecs()
    return held.holds("task", asked.name) and held.task(asked.name).hash == asked.hash


def _ships_recipe(record: RunRecord) -> bool:
    asked, held = record.identity.recipe, TrustedSpecs()
    try:
        return held.holds("recipe", asked.name) and held.recipe(asked.name, record.overrides).hash == asked.hash
    except UserError:  # A field that is set is none of this version's.
        return False


def _code(record: RunRecord) -> Iterator[str]:
    made = record.environment
    if made.git_commit:
        changed = ", **with changes that were not committed: the very code is not recorded**" if made.git_dirty else ""
        yield f"the code: commit {code(made.git_commit)} of bench, which need not be what is released as {markdown(made.bench)}{changed}"


def _task(record: RunRecord) -> Iterator[str]:
    if task_reference(record):
        return
    asked = record.identity.task
    said = f"version {asked.version}, hash `{asked.hash[:12]}`; all of it is in `run.json`, under `task`"
    yield _spec_file(record, "task", asked.name, asked.hash, said, lambda path: task_in(path).hash)


def _recipe(record: RunRecord) -> Iterator[str]:
    asked = record.identity.recipe
    said = f"hash `{asked.hash[:12]}`; all of it is in `run.json`, under `recipe`"
    yield _spec_file(
        record, "recipe", asked.name, asked.hash, said, lambda path: recipe_in(path, record.overrides).hash
    )


def _spec_file(record: RunRecord, kind: str, name: str, hashed: str, said: str, hash_of: Callable[[Path], str]) -> str:
    """A task or recipe that is not bench's: of a package that is installed here, else the author's file."""
    try:
        found = catalogue(kind).get(name)
        if found is not None and found.origin.startswith("package ") and hash_of(found.path) == hashed:
            return f"the {found.origin}, which brings the {kind} {code(name)} ({said})"
    except UserError:  # BENCH_TASKS names no folder, or the file of that name is another one.
        pass
    words = words_of(public_command(record))
    option = f"--{kind}"
    by_name = option in words[:-1] and words[words.index(option) + 1] == name
    folder = "tasks" if kind == "task" else "benchmarks/recipes"
    place = f", in {code(folder + '/')}" if by_name else ""
    unknown = by_name and record.environment.bench != __version__
    unless = f", unless bench {record.environment.bench} ships it" if unknown else ""
    return f"the {kind} file {code(name + '.yaml')}{place}{unless} ({said})"


def _data(record: RunRecord) -> Iterator[str]:
    data, source = record.data, str((record.task.get("data") or {}).get("source"))
    if data is not None:
        for finding in data.findings:
            if finding.startswith(("not pinned: ", "not frozen: ")):
                yield f"the data as they were, for the task pins them not: {markdown(finding.partition(': ')[2])}"
    if task_reference(record) or source in OWN_SOURCES.keys() - OF_THIS_MACHINE:
        return
    local = {path.name for path in record.task_spec.data.local_files} if record.task_spec.data else set()
    files = [file for file in public_files(record) if source == "file" or Path(file.location).name in local]
    if len(files) > _MAX_FILES:
        yield f"{len(files)} data files, beside the task file; their sha256 are above, under *Sources and checksums*"
        return
    for file in files:
        checksum = f", sha256 {code(file.sha256)}" if file.sha256 else ""
        yield f"the data file {code(Path(file.location).name)}, beside the task file{checksum}"


def _weights(record: RunRecord) -> Iterator[str]:
    checkpoint = record.identity.checkpoint
    if checkpoint is None:
        return
    if checkpoint.source == "local" and checkpoint.name != EMBEDDED_NAME:
        yield f"the checkpoint folder {code(checkpoint.name)}, sha256 of its files together {code(checkpoint.sha256)}"
    elif checkpoint.source == "hub" and checkpoint.commit is None:
        yield f"the commit of {code(checkpoint.name)} that was used, which is not recorded"
    if checkpoint.family is not None:
        family = checkpoint.family.rsplit(" ", 1)
        by = family_bringer(family[0])
        where = by or "the package that brings it, or its file named in `BENCH_FAMILIES`"
        yield f"the family of checkpoints {code(family[0])}, digest {code(family[-1])}: {where}"


def _brought(record: RunRecord) -> Iterator[str]:
    """Heads, metrics and sources that are not bench's own."""
    recipe, task = record.recipe_spec, record.task_spec
    head = str((record.recipe.get("head") or {}).get("kind") or "bench")
    if head not in HEADS.shipped:
        kind = HEADS.get(head)
        # The file as it is here is the one of the run where the recipe has the same hash with it.
        same = kind is not None and _hash(recipe) == record.identity.recipe.hash
        yield _of_package("head", head, HEADS, code_digest(kind.module) if kind is not None and same else None)
    for name in task.metrics.names if task.metrics else ():
        if name not in METRICS.shipped:
            metric = METRICS.get(name)
            same = metric is not None and _hash(task) == record.identity.task.hash
            yield _of_package("metric", name, METRICS, code_digest(metric.formula) if metric and same else None)
    source = str((record.task.get("data") or {}).get("source"))
    if source not in OWN_SOURCES:
        yield f"the source of data {code(source)}: {source_bringer(source) or 'the package that brings it'}"


def _hash(spec: object) -> str | None:
    """Of a spec as it is known here; None where it is known in part alone."""
    try:
        return str(spec.hash)  # type: ignore[attr-defined]
    except (AttributeError, KeyError, TypeError, UserError):
        return None


def _of_package(what: str, name: str, registry: Registry[Any], sha256: str | None) -> str:
    by = registry.bringer(name) or f"the package that brings it (entry point {code(registry.group)})"
    return f"the {what} {code(name)}: {by}{f', sha256 of its file {code(sha256)}' if sha256 else ''}"


def _device(record: RunRecord) -> Iterator[str]:
    """Where it computes, as far as that is part of which run it is."""
    identity, stated = record.identity, record.recipe.get("precision", "auto")
    if identity.checkpoint and identity.precision and stated in {"auto", "fastest"} and not _zero_shot(record):
        made = f"{markdown(record.environment.device_name)} did"
        yield f"a device that computes in {identity.precision} where the recipe says {code(f'precision: {stated}')}, as {made}"
    if cut := _BATCHES.fullmatch(identity.batches or ""):
        several = (
            f", {cut['processes']} processes of it (`torchrun --nproc-per-node`)" if cut["processes"] != "1" else ""
        )
        yield f"a {cut['device']} device{several}: with `encoder_dropout` how batches are cut is part of the run"


def _zero_shot(record: RunRecord) -> bool:
    return record.recipe.get("adaptation") == "zero-shot"
