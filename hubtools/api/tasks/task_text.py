"""The words of a task file that is made of a user's table: its lines, in the order of keys of ``tasks/README.md``."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubtools.common.bounds import yaml_values
from hubtools.common.errors import UserError
from hubtools.common.readers import reads

if TYPE_CHECKING:
    from hubtools.data.rows.inspection import UserTable
    from hubtools.specs.problem import Problem


@dataclass(frozen=True)
class DecidedTask:
    """All that was decided of a task.

    Attributes:
        name, title, summary, licence, citation: for people.
        problem: what is predicted.
        columns: of the table, by their roles; None where there is none.
        label_separator, candidates, masked_value, masked_labels: how labels are read, None where nothing is said.
        splits: their lines.
        stratified: whether splits are drawn with each label in each in its share.
        clusters: whether relatives are kept on one side.
        labels: names by value.
        primary, also: metrics.
        positive: the class to be detected.
    """

    name: str
    title: str
    summary: str
    problem: Problem
    columns: dict[str, str | None]
    label_separator: str | None
    candidates: str | None
    masked_value: float | None
    masked_labels: list[str]
    splits: list[str]
    stratified: bool
    clusters: bool
    labels: dict[str, str]
    primary: str
    also: list[str]
    positive: str | None
    licence: str
    citation: str

    def text(self, sheet: UserTable, folder: Path) -> str:
        """The file.

        Args:
            sheet: the table.
            folder: where the file will lie.
        """
        from hubtools.common.hashing import file_sha256

        lines = [f"name: {_yaml(self.name)}", "version: 1  # raise it when data, labels or metrics change"]
        lines += [f"title: {_yaml(self.title)}", f"problem: {self.problem.value}", f"summary: {_yaml(self.summary)}"]
        lines += ["data:", "  source: file", "  files:"]
        for path, options in sheet.all_files:
            relative = _yaml(Path(os.path.relpath(path, folder)).as_posix())
            lines.append(f"    - path: {relative}  # relative to this file")
            lines += [f"      {key}: {_yaml(value)}" for key, value in options.items()]
            lines.append(f"      sha256: {file_sha256(path)}")
        roles = (f"{role}: {_yaml(column)}" for role, column in self.columns.items() if column)
        lines.append(f"  columns: {{{', '.join(roles)}}}")
        if self.label_separator:
            lines.append(f"  label_separator: {_yaml(self.label_separator)}")
        if self.candidates:
            lines.append(f"  candidates: {_yaml(self.candidates)}  # only these residues are scored")
        if self.masked_value is not None:
            lines.append(f"  masked_value: {self.masked_value:g}  # no label")
        if self.masked_labels:
            what = "not scored" if self.problem.level.by_residue else "left out"
            none = ", ".join(json.dumps(text, ensure_ascii=False) for text in self.masked_labels)
            lines.append(f"  masked_labels: [{none}]  # {what}")
        lines += self.splits
        if self.stratified:
            lines.append("  stratified: true  # each label in each drawn split in its share")
        if self.clusters:
            lines.append("  clusters: {k: 5, min_shared: 0.3}  # relatives: on one side of a draw, resampled together")
        if self.labels:
            lines += ["labels:  # value in the data: name, in the order of the model's outputs"]
            lines += [f"  {json.dumps(v, ensure_ascii=False)}: {_yaml(called)}" for v, called in self.labels.items()]
        lines += ["metrics:", f"  primary: {_yaml(self.primary)}"]
        lines.append(f"  also: [{', '.join(metric for metric in self.also if metric != self.primary)}]")
        if self.positive:
            lines.append(f"  positive: {_yaml(self.positive)}")
        lines += [f"licence: {_yaml(self.licence)}", f"citation: {_yaml(self.citation)}"]
        return "\n".join(lines) + "\n"


def _yaml(value: Any) -> str:
    """A value as YAML on one line: plain text where that reads back as the same text, else in quotes."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_yaml(key)}: {_yaml(entry)}' for key, entry in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(_yaml(entry) for entry in value)}]"
    text = str(value)
    plain = re.fullmatch(r"[\w./-][\w./ ()+-]*", text) and not text.endswith(" ")
    if plain and text != "-" and not text.startswith("- ") and _reads_back(text):
        return text
    return json.dumps(text, ensure_ascii=False)


def _reads_back(text: str) -> bool:
    import yaml

    try:
        return bool(yaml_values(text) == text)
    except yaml.YAMLError:
        # A date that no calendar has, a number of a thousand digits.
        return False


def ruled_splits(sheet: UserTable, column: str, flag: tuple[str, list[str], list[str]] | None) -> list[str]:
    """The lines about splits that a column names.

    Args:
        sheet: the table.
        column: that says train and test.
        flag: a column that marks validation, its values that do and those that do not.

    Raises:
        UserError: the column has no train and test.
    """
    from hubtools.data.rows.inspection import split_rules

    rules = split_rules(sheet, column)
    if not {"train", "test"} <= set(rules):
        values = ", ".join(sorted(set(sheet.texts(column)))[:8])
        raise UserError(
            f"the column {column!r} does not say train and test (it says {values})",
            where=str(sheet.path),
            fix="Name another --split-column, or let the splits be drawn: --split 80/10/10.",
        )
    where = {name: f"{_yaml(column)}: {_yaml(v[0] if len(v) == 1 else v)}" for name, v in rules.items()}
    if flag is not None and "validation" not in rules:
        mark, marking, rest = flag
        train = where.pop("train")
        where = {
            "train": f"{train}, {_yaml(mark)}: {_yaml(rest)}",
            "validation": f"{train}, {_yaml(mark)}: {_yaml(marking)}",
            **where,
        }
    made = [f"    {name}: {{where: {{{rule}}}}}" for name, rule in where.items()]
    return ["  splits:  # by the column of the data", *made]


@reads("option --split")
def drawn_splits(shares: str) -> list[str]:
    """The lines about splits that are drawn.

    Args:
        shares: of train/validation/test or train/test, such as ``80/10/10``.

    Raises:
        UserError: the shares make no sense.

    >>> drawn_splits("80/20")
    ['  split: {fractions: {train: 0.8, test: 0.2}, seed: 0}  # drawn, the same each time']
    """
    try:
        numbers = [float(part) for part in shares.split("/")]
    except ValueError:
        numbers = []
    if len(numbers) not in {2, 3} or min(numbers) <= 0:
        raise UserError(f"{shares!r} is not shares", where="--split", fix="Write train/validation/test: 80/10/10.")
    if not any(abs(sum(numbers) - whole) < 1e-6 for whole in (1, 100)):
        raise UserError(
            f"{shares!r} sums to {sum(numbers):g}, not to 100", where="--split", fix="For example 80/10/10."
        )
    names = ("train", "test") if len(numbers) == 2 else ("train", "validation", "test")
    fractions = ", ".join(f"{name}: {number / sum(numbers):g}" for name, number in zip(names, numbers, strict=True))
    return [f"  split: {{fractions: {{{fractions}}}, seed: 0}}  # drawn, the same each time"]
