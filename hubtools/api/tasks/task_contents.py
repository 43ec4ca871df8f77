"""What the data of a task hold: splits, labels, assays, and what was done to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hubtools.common.notebook import line_html, lines_html, table_html

if TYPE_CHECKING:
    import pandas

    from hubtools.data import TaskData
    from hubtools.specs.task import Task

# Columns of lengths, and the shares of the proteins that are no longer.
LENGTHS = {"shortest": 0, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "95 %": 0.95, "longest": 1}


@dataclass(frozen=True)
class TaskContents:
    """The data of a task, loaded as a run loads them.

    Attributes:
        data: rows, split by split, and the facts about them.
    """

    data: TaskData

    @property
    def task(self) -> Task:
        """Whose data these are."""
        return self.data.task

    def splits(self) -> list[dict[str, Any]]:
        """One row a split: split, proteins, residues, scored (labels that count), clusters (None without), lengths in residues
        (shortest, 25 %, median, 75 %, 95 %, longest), other letters (each and how often).
        """
        import numpy as np

        from hubtools.data.rows.chain_breaks import residues_in
        from hubtools.data.rows.sequences import letters_outside

        rows = []
        for name, facts in self.data.facts.splits.items():
            sequences = self.data.sequences(name)
            sizes = np.quantile([residues_in(sequence) for sequence in sequences], list(LENGTHS.values()))
            rows.append(
                {
                    "split": name,
                    "proteins": facts.proteins,
                    "residues": facts.residues,
                    "scored": facts.labelled,
                    "clusters": facts.clusters,
                    **{column: round(size) for column, size in zip(LENGTHS, sizes.tolist(), strict=True)},
                    "other letters": dict(letters_outside(sequences)),
                }
            )
        return rows

    def labels(self, most: int | None = None) -> list[dict[str, Any]]:
        """One row a label: label, and of each split how many there are; nothing where values are predicted.

        Args:
            most: of more labels than this, the most frequent.
        """
        splits, shown = self.data.facts.splits, list(self.task.label_names)
        if most is not None and len(shown) > most:
            totals = {label: sum(split.label_counts.get(label, 0) for split in splits.values()) for label in shown}
            shown = sorted(shown, key=lambda label: -totals[label])[:most]
        return [
            {"label": label, **{name: split.label_counts.get(label, 0) for name, split in splits.items()}}
            for label in shown
        ]

    def assays(self) -> list[dict[str, Any]]:
        """One row an assay, where variants are compared within one: assay, protein, category, variants, single, multiple,
        positions, least, median, largest, functional (a share, None where nothing is said of it).
        """
        if self.task.problem.level.within != "assay":
            return []
        import pandas as pd

        from hubtools.data.rows.variants import depth, substitutions

        found = []
        for split in self.data.splits.values():
            rows = pd.DataFrame({name: split[name][:] for name in split.column_names if name not in {"id", "sequence"}})
            for name, part in rows.groupby("group", sort=False):
                many = depth(part)
                positions = {change.position for mutations in part["mutations"] for change in substitutions(mutations)}
                least, median, largest = part["label"].quantile([0, 0.5, 1])
                found.append(
                    {
                        "assay": str(name),
                        "protein": part["protein"].iloc[0],
                        "category": part["category"].iloc[0] or None,
                        "variants": len(part),
                        "single": int((many == 1).sum()),
                        "multiple": int((many > 1).sum()),
                        "positions": len(positions),
                        "least": float(least),
                        "median": float(median),
                        "largest": float(largest),
                        "functional": float(part["active"].mean()) if "active" in part else None,
                    }
                )
        return found

    @property
    def remarks(self) -> tuple[str, ...]:
        """Where validation came from, what a cluster is, dates, what was changed, left out and found, a line each."""
        facts = self.data.facts
        lines = [f"validation: {facts.validation}"]
        if facts.clusters:
            lines.append(f"clusters: {facts.clusters}")
        if facts.split_sha256:
            key = "split" if self.task.data.folds is None else "folds"
            lines.append(f"{key}.sha256: {facts.split_sha256}")
        lines += [f"changed: {count:,} sequences, {reason}" for reason, count in facts.changed.items()]
        lines += [f"left out: {count:,} rows, {reason}" for reason, count in facts.removed.items()]
        for name, days in self.data.dates.items():
            known = [day for day in days if day is not None]
            span = f"{min(known)} to {max(known)}" if known else "none is known"
            lines.append(f"dates of {name}: {span}, {len(days) - len(known):,} of {len(days):,} without")
        return (*lines, *(f"found: {line}" for line in facts.findings))

    @property
    def power(self) -> str | None:
        """What the test set could show beside the task's margin, in a sentence; None where that cannot be told."""
        from hubtools.evaluation.statistics.power import power_of_split
        from hubtools.findings.wording import power_text
        from hubtools.training.trivial_baselines import labelled_rows

        found = power_of_split(self.task, labelled_rows(self.data.splits["test"], self.task))
        return None if found is None else power_text(found, self.task.margin)

    def to_pandas(self) -> pandas.DataFrame:
        """One row a split: what :meth:`splits` says, other letters as text."""
        import pandas as pd

        return pd.DataFrame([{**row, "other letters": letters_text(row)} for row in self.splits()])

    def __repr__(self) -> str:
        splits = self.data.facts.splits.items()
        return f"{self.task.name}: {', '.join(f'{facts.proteins:,} proteins of {name}' for name, facts in splits)}"

    def _repr_html_(self) -> str:
        task, rows = self.task, self.splits()
        said = line_html(f"{task.name} version {task.version}, {task.problem.value}", strong=True)
        cells = [[letters_text(row) if key == "other letters" else _cell(row[key]) for key in row] for row in rows]
        said += table_html(tuple(rows[0]), cells, numbers=("proteins", "residues", "scored", "clusters", *LENGTHS))
        for table in (self.labels(), self.assays()):
            if table:
                columns = tuple(table[0])
                said += table_html(
                    columns, [[_cell(row[key]) for key in columns] for row in table], numbers=columns[1:]
                )
        return said + lines_html("Remarks", self.remarks)


def letters_text(row: dict[str, Any]) -> str:
    """Letters beside the twenty in a row of :meth:`TaskContents.splits`, as text."""
    return " ".join(f"{letter} {count:,}" for letter, count in row["other letters"].items()) or "none"


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
