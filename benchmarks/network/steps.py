"""The steps that publish nothing: data, checkpoints, published numbers, UniProt."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from catalogue import COUNTS, Catalogue
from journal import Journal, Outcome, State

import hubtools
from hubtools.common.errors import UserError
from hubtools.common.files import write_atomic

# UniProt has changed since the notebook asked in 2022: annotation was corrected, structures were added.
LEAST, MOST = 0.85, 1.3  # of what the notebook counted
SUBSET = 20  # proteins a split, of the small probes


class Network:
    """The steps.

    Args:
        catalogue: what is tried.
        folder: where files and runs are kept.
        journal: where outcomes are.
    """

    def __init__(self, catalogue: Catalogue, folder: Path, journal: Journal) -> None:
        self.catalogue, self.folder, self.journal = catalogue, folder, journal

    @property
    def groups(self) -> tuple[Callable[[], None], ...]:
        """Each does the steps of a group."""
        return self._data, self._checkpoints, self._published, self._uniprot

    def _data(self) -> None:
        counts = self.catalogue.counts()
        for path in sorted((self.catalogue.root / "tasks").glob("*.yaml")):
            self.journal.do(f"data {path.stem}", lambda name=path.stem: self.load(name, counts.get(name)))

    def _checkpoints(self) -> None:
        for name in self.catalogue.checkpoints:
            self.journal.do(f"checkpoints {name}", lambda name=name: self.read(name))

    def _published(self) -> None:
        for cell, seeds in self.catalogue.cells.items():
            self.journal.do(f"published {cell}", lambda cell=cell, seeds=seeds: self.reproduce(cell, seeds))

    def _uniprot(self) -> None:
        for name, counted in self.catalogue.notebook.items():
            self.journal.do(f"uniprot {name}", lambda name=name, counted=counted: self.ask(name, counted))

    def pinned(self, name: str) -> Path:
        """A copy of a task file in which everything is pinned."""
        copy = self.folder / "tasks" / f"{name}.yaml"
        if not copy.is_file():
            write_atomic(copy, self.catalogue.task(name).read_bytes())
        hubtools.freeze_data(copy)
        return copy

    def load(self, name: str, expected: Mapping[str, tuple[int, int]] | None) -> Outcome:
        """A task from its source, its counts held against those that are known."""
        found = {
            row["split"]: (row["proteins"], row["scored"]) for row in hubtools.check_task(self.pinned(name)).splits()
        }
        facts = {"counts": {split: list(both) for split, both in found.items()}}
        line = ", ".join(f"{split} {proteins:,} ({labelled:,} labels)" for split, (proteins, labelled) in found.items())
        if expected is None:
            return Outcome(f"loaded for the first time: {line}", facts=facts)
        if found != expected:
            known = ", ".join(
                f"{split} {proteins:,} ({labelled:,})" for split, (proteins, labelled) in expected.items()
            )
            return Outcome(f"{line}, where {known} is known", "failed", facts)
        return Outcome(f"as known: {line}", facts=facts)

    def read(self, checkpoint: str) -> Outcome:
        """A checkpoint: what ``bench tasks check`` proves of it, and a small probe."""
        task = self.catalogue.task(self.catalogue.probed)
        proofs = hubtools.check_task(task, checkpoint).proofs
        (done,) = self.probes(checkpoint, [1])
        return Outcome(
            f"probe of {SUBSET} proteins: {_score(done)}; {proofs[0].split(' (')[0]}", facts={"proofs": list(proofs)}
        )

    def probes(self, checkpoint: str, seeds: Sequence[int]) -> list[Any]:
        """Small runs of a checkpoint, one a seed.

        Raises:
            UserError: one did not come to its end.
        """
        task = str(self.catalogue.task(self.catalogue.probed))
        runs = self.folder / "runs" / checkpoint.replace("/", "--")
        done = hubtools.run(checkpoint, task, "probe", seeds=seeds, subset=SUBSET, baselines=False, runs=runs)
        if len(done.complete) < len(seeds):
            raise UserError(done.problems[0] if done.problems else "the run did not come to its end", where=str(runs))
        return list(done)

    def reproduce(self, cell: str, seeds: Sequence[int]) -> Outcome:
        """A published number, made again."""
        made = hubtools.reproduce(
            cell, seeds=list(seeds) or None, project=self.catalogue.root, runs=self.folder / "reproduced"
        )
        found: Any = made.done
        line = f"published {found.finding.before:g}, here {found.finding.after:.4f}: {found.finding.reason}"
        states: dict[str, State] = {"agree": "passed", "cannot tell": "cannot tell"}
        return Outcome(line, states.get(made.verdict, "failed"), json.loads(made.json()))

    def ask(self, name: str, counted: Mapping[str, int]) -> Outcome:
        """A query to UniProt: asked twice it gives the same, about as much as the notebook saw."""
        copy = self.pinned(name)
        again = hubtools.freeze_data(copy, refresh=True, on_change=lambda line: None)
        if again.changed:
            return Outcome(f"asked twice, it gives two answers: {again.changed[0]}", "failed")
        contents = hubtools.check_task(copy)
        splits = [row["split"] for row in contents.splits()]
        found = {row["label"]: sum(row[split] for split in splits) for row in contents.labels()}
        found |= {"proteins": sum(row["proteins"] for row in contents.splits())}
        release = again.task.data.frozen.release  # type: ignore[union-attr]
        said = ", ".join(f"{found[what]:,} {what} ({then:,} in 2022)" for what, then in counted.items())
        far = [what for what, then in counted.items() if not LEAST * then <= found[what] <= MOST * then]
        facts = {"release": release, "found": found, "notebook": dict(counted)}
        if far:
            bounds = f"{LEAST:.0%} to {MOST:.0%}"
            return Outcome(f"release {release}: {said}; {far[0]} is not {bounds} of that", "failed", facts)
        return Outcome(f"release {release}: {said}", facts=facts)

    def patch(self) -> str:
        """What pins the templates that were loaded, and counts them, as a unified diff of the project."""
        known, new = self.catalogue.counts(), {}
        parts = []
        for path in sorted((self.folder / "tasks").glob("*.yaml")):
            step = self.journal.steps.get(f"data {path.stem}")
            if step is None or step.state != "passed" or path.stem in known:
                continue
            new[path.stem] = step.facts["counts"]
            was = self.catalogue.task(path.stem).read_text(encoding="utf-8")
            # It has been loaded now, which is all that the line said.
            now = [
                line for line in path.read_text(encoding="utf-8").splitlines(True) if not line.startswith("template:")
            ]
            parts += _diff(f"tasks/{path.stem}.yaml", was.splitlines(True), now)
        if new:
            rows = {task: {split: list(both) for split, both in splits.items()} for task, splits in known.items()} | new
            was = (self.catalogue.root / "tasks" / COUNTS).read_text(encoding="utf-8").splitlines(True)
            parts += _diff(f"tasks/{COUNTS}", was, [was[0], *_count_lines(rows)])
        return "".join(parts)


def _diff(name: str, was: Sequence[str], now: Sequence[str]) -> list[str]:
    return list(difflib.unified_diff(was, now, f"a/{name}", f"b/{name}"))


def _count_lines(counts: Mapping[str, Mapping[str, Sequence[int]]]) -> list[str]:
    return [
        f"{task},{split},{proteins},{labelled}\n"
        for task in sorted(counts)
        for split, (proteins, labelled) in counts[task].items()
    ]


def _score(run: Any) -> str:
    score = run.record.score()
    return f"{run.record.primary_metric} {score.value:.3f}"
