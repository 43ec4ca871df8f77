"""``bench tasks new``: a task file from a user's table, checked before it is written."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hubtools.cli.tasks.tasks_check import show_data
from hubtools.common.errors import UserError
from hubtools.specs.level import trained_problems

if TYPE_CHECKING:
    from hubtools.data import TaskData
    from hubtools.data.rows.inspection import UserTable
    from hubtools.specs.problem import Problem

PROBLEMS = tuple(trained_problems())
_NONE = "none"


@click.command("new")
@click.argument("table", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--name", help="Of the task, and of its file.")
@click.option("--problem", type=click.Choice(PROBLEMS), metavar="PROBLEM", help="For example sequence-regression.")
@click.option("--sequence", metavar="COLUMN", help="Column of the sequences.")
@click.option("--partner", metavar="COLUMN", help="Column of the second protein, for pairs.")
@click.option("--label", metavar="COLUMN", help="Column of what is to be predicted.")
@click.option("--id", "row_id", metavar="COLUMN", help="Column of unique names, or none.")
@click.option("--split-column", metavar="COLUMN", help="Column that says train, validation, test.")
@click.option("--split", metavar="SHARES", help="Shares to be drawn, such as 80/10/10 (train/validation/test).")
@click.option("--clusters/--no-clusters", default=None, help="Keep similar sequences on one side. Default: yes.")
@click.option("--mask", metavar="COLUMN", help="Column of 0 and 1 per residue: which labels count.")
@click.option("--candidates", metavar="LETTERS", help="Only these residues are scored, such as Y.")
@click.option("--masked-value", type=float, metavar="NUMBER", help="Value per residue that means: no label.")
@click.option("--positive", metavar="LABEL", help="The class to be detected, of two; or none.")
@click.option("--primary", metavar="METRIC", help="The metric that ranks.")
@click.option("--licence", help="Of the data, such as CC-BY-4.0. Default: unknown.")
@click.option("--citation", help="Who made the data.")
@click.option("--title", help="For people. Default: the name.")
@click.option("--summary", help="What is predicted, in a sentence.")
@click.option("--header", metavar="NAMES", help="Names of the columns, with commas, where the file has none.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=Path("tasks"), show_default=True, help="Folder."
)
@click.option("--force", is_flag=True, help="Overwrite a task file of that name.")
def new(table: Path, output: Path, force: bool, header: str | None, **given: Any) -> None:
    """Write a task file for a CSV, TSV, Parquet or FASTA file, after loading the data as a run would.

    On a terminal it asks, with what the data suggest as default; elsewhere the options answer.

    \b
    bench tasks new proteins.csv --name solubility
    bench tasks new sites.parquet --name sites --label sites --split 80/10/10
    """
    from hubtools.common.files import write_atomic
    from hubtools.data import DataCache, load_task_data
    from hubtools.data.rows.inspection import read_sheet
    from hubtools.specs.lookup.spec_files import parse_spec
    from hubtools.specs.task import Task

    sheet = read_sheet(table, [name.strip() for name in header.split(",")] if header else None)
    for note in sheet.notes:
        click.echo(f"{table}: {note}", err=True)
    name = _ask(given["name"], "name of the task", _slug(table), "--name", must=True)
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        raise UserError(f"{name!r} is no name of a task", where="--name", fix=f"Write it as {_slug(Path(name))}.")
    path = output / f"{name}.yaml"
    if path.exists() and not force:
        raise UserError("this file is there already", where=str(path), fix="Choose another --name, or use --force.")
    text = _task_text(name, sheet, output, given)
    task = parse_spec(text, Task, str(path))
    # The folder of the task may not be there yet, so that a way through it would lead nowhere.
    files = [file.model_copy(update={"path": table}) for file in task.data.files]
    task = task.model_copy(update={"data": task.data.model_copy(update={"files": files})})
    data = load_task_data(task, DataCache.default())
    show_data(data)
    _show_power(data)
    write_atomic(path, text)
    called = name if output == Path("tasks") else path
    click.echo(f"written: {path}\nnext:    bench run --checkpoint embedded --task {called}")


def _show_power(data: TaskData) -> None:
    """What the test set could show, beside the task's margin, which stays what it is."""
    from hubtools.evaluation.statistics.power import power_of_split
    from hubtools.findings.wording import power_text
    from hubtools.training.trivial_baselines import labelled_rows

    power = power_of_split(data.task, labelled_rows(data.splits["test"], data.task))
    if power is not None:
        click.echo(f"power: {power_text(power, data.task.margin)}")


def _ask(
    given: str | None, question: str, proposal: str | None, flag: str, *, must: bool = False, known: str = ""
) -> str:
    """An answer: the option's, a person's, or what the data suggest.

    Args:
        given: the option's value.
        question, proposal: what is asked and suggested.
        flag: the option that answers it.
        must: whether, without a terminal, the suggestion is not enough.
        known: what may be answered.

    Raises:
        UsageError: nobody can be asked.
    """
    if given is not None:
        return given
    if sys.stdin.isatty():
        return str(click.prompt(f"{question}{f' ({known})' if known else ''}", default=proposal, err=True))
    if proposal is None or must:
        raise click.UsageError(f"{question}: give {flag}{f' ({known})' if known else ''}")
    return proposal


def _slug(path: Path) -> str:
    return re.sub(r"[^a-z0-9]+", "-", path.name.split(".")[0].lower()).strip("-") or "my-task"


def _task_text(name: str, sheet: UserTable, folder: Path, given: dict[str, Any]) -> str:
    """The task file, in the order of keys of ``tasks/README.md``."""
    from hubtools.common.hashing import file_sha256
    from hubtools.data.rows import inspection as look
    from hubtools.specs.problem import Problem

    columns = ", ".join(sheet.columns)
    proteins = look.sequence_columns(sheet) if given["sequence"] is None else []
    sequence = _ask(
        given["sequence"], "column of the sequences", proteins[0] if proteins else None, "--sequence", known=columns
    )
    look.refuse_nucleotides(sheet, sheet.require(sequence, "--sequence"))
    look.refuse_empty(sheet, sequence, "sequence")
    others = [column for column in proteins if column != sequence]
    asked = given["problem"]
    wants_pair = (asked is None or Problem(asked).level.proteins > 1) and given["label"] not in others
    partner = given["partner"] or (others[0] if len(others) == 1 and wants_pair else None)
    named = (sequence, partner, given["mask"], given["split_column"])
    taken: set[str] = {column for column in named if column is not None}
    row_id = _ask(given["row_id"], "column of unique names, or none", look.id_column(sheet, taken) or _NONE, "--id")
    if row_id != _NONE:
        taken.add(sheet.require(row_id, "--id"))
    split = given["split_column"] or look.split_column(sheet, taken)
    if split:
        taken.add(sheet.require(split, "--split-column"))
    if flag := look.validation_flag(sheet, taken):
        taken.add(flag[0])
    if given["split"]:
        split = None
    ids = {column for column in sheet.columns if column.lower() in {"id", "accession"}}
    likely = look.label_columns(sheet, taken | ids)
    if not likely and given["label"] is None:
        raise UserError(
            f"no column is left for the labels (there are: {columns})",
            where=str(sheet.path),
            fix="Add one; in a FASTA file write it into the headers, such as LABEL=nucleus.",
        )
    label = _ask(
        given["label"],
        "column of the labels",
        likely[0] if len(likely) == 1 else None,
        "--label",
        known=", ".join(likely),
    )
    look.refuse_label(sheet, sequence, sheet.require(label, "--label"))
    guessed = look.guess_problem(sheet, sequence, label, partner)
    proposal = guessed.value if guessed else None
    kind = _ask(given["problem"], "problem", proposal, "--problem", known=", ".join(PROBLEMS))
    if kind not in PROBLEMS:
        raise UserError(f"there is no problem {kind!r}", fix=f"Use one of: {', '.join(PROBLEMS)}.")
    problem = Problem(kind)
    separated = problem.kind == "multilabel" and not problem.level.by_residue
    if not separated:
        look.refuse_empty(sheet, label, "label")
    counts = look.label_values(sheet, label, problem)
    names = _label_names(counts, label)
    positive = _positive(given["positive"], names)
    primary, also = _metrics(problem, counts, positive)
    primary = _ask(given["primary"], "metric that ranks", primary, "--primary")
    # A pair needs both its proteins on one side: a share of the proteins is its square of the pairs.
    usual = "60/20/20" if problem.level.proteins > 1 else "80/10/10"
    shares = given["split"] or (None if split else _ask(None, "shares of train/validation/test", usual, "--split"))

    title = given["title"] or name.replace("-", " ").capitalize()
    what = f"of each {problem.level.each}"
    lines = [f"name: {name}", "version: 1  # raise it when data, labels or metrics change", f"title: {_yaml(title)}"]
    lines.append(f"problem: {problem.value}")
    lines.append(f"summary: {_yaml(given['summary'] or f'Predicts {label} {what}.')}")
    lines += ["data:", "  source: file", "  files:"]
    lines.append(f"    - path: {_yaml(Path(os.path.relpath(sheet.path, folder)).as_posix())}  # relative to this file")
    lines += [f"      {key}: {_yaml(value)}" for key, value in sheet.options.items()]
    lines.append(f"      sha256: {file_sha256(sheet.path)}")
    roles = {"id": None if row_id == _NONE else row_id, "sequence": sequence, "partner": partner, "label": label}
    roles["mask"] = given["mask"]
    if given["mask"]:
        sheet.require(given["mask"], "--mask")
    if partner:
        sheet.require(partner, "--partner")
    lines.append(f"  columns: {{{', '.join(f'{role}: {_yaml(column)}' for role, column in roles.items() if column)}}}")
    if separated and (separator := look.label_separator(sheet.texts(label))):
        lines.append(f"  label_separator: {_yaml(separator)}")
    if given["candidates"]:
        lines.append(f"  candidates: {_yaml(given['candidates'])}  # only these residues are scored")
    masked = given["masked_value"]
    if masked is not None:
        lines.append(f"  masked_value: {masked:g}  # no label")
    elif (
        problem.level.by_residue
        and problem.kind == "regression"
        and (odd := look.outlying_value(sheet, label)) is not None
    ):
        said = f"the value {odd:g} is far from all others. If it stands for no label: --masked-value {odd:g}"
        click.echo(f"{sheet.path}: {said}", err=True)
    lines += _splits(sheet, split, shares, flag)
    one_protein = look.variants_of_one(sheet, sequence)
    if given["clusters"] is None and one_protein:
        click.echo("the sequences are variants of one protein: they are not clustered (--clusters does it)", err=True)
    if given["clusters"] or (given["clusters"] is None and not one_protein):
        lines.append("  clusters: {k: 5, min_shared: 0.3}  # relatives: on one side of a draw, resampled together")
    if names:
        lines += ["labels:  # value in the data: name, in the order of the model's outputs"]
        lines += [f"  {json.dumps(value, ensure_ascii=False)}: {_yaml(called)}" for value, called in names.items()]
    lines += ["metrics:", f"  primary: {_yaml(primary)}"]
    lines.append(f"  also: [{', '.join(metric for metric in also if metric != primary)}]")
    if positive:
        lines.append(f"  positive: {_yaml(positive)}")
    lines.append(f"licence: {_yaml(_ask(given['licence'], 'licence of the data', 'unknown', '--licence'))}")
    lines.append(f"citation: {_yaml(_ask(given['citation'], 'who made the data', 'unpublished', '--citation'))}")
    return "\n".join(lines) + "\n"


def _yaml(value: Any) -> str:
    """A value as YAML on one line: plain text where that reads back as the same text, else in quotes."""
    import yaml

    if isinstance(value, list):
        return f"[{', '.join(_yaml(entry) for entry in value)}]"
    text = str(value)
    plain = re.fullmatch(r"[\w./-][\w./ ()+-]*", text) and not text.endswith(" ")
    if plain and text != "-" and not text.startswith("- ") and yaml.safe_load(text) == text:
        return text
    return json.dumps(text, ensure_ascii=False)


def _label_names(counts: dict[str, int], label: str) -> dict[str, str]:
    """Names for the values: their own, or for 0 and 1 what the column is called."""
    if set(counts) == {"0", "1"} and label.lower() not in {"label", "labels", "class", "target", "y"}:
        return {"0": f"not {label}", "1": label}
    return {value: value for value in counts}


def _positive(given: str | None, names: dict[str, str]) -> str | None:
    """The class to be detected, by its name or by its value in the data: only where a person says so."""
    if given is None:
        if len(names) != 2 or not sys.stdin.isatty():
            return None
        known = list(names.values())
        given = _ask(None, "class to be detected, or none", known[1], "--positive", known=", ".join(known))
    return None if given == _NONE else names.get(given, given)


def _metrics(problem: Problem, counts: dict[str, int], positive: str | None) -> tuple[str, list[str]]:
    """The metric that ranks, and further ones: not accuracy where one class is most of the data."""
    if problem.kind == "regression":
        return "spearman", ["pearson", "rmse", "r2"]
    if problem.kind == "multilabel":
        return "macro_f1", ["micro_f1", "mcc", "auprc"]
    rarest = min(counts.values()) / sum(counts.values())
    if positive is not None:
        return ("auprc" if rarest < 0.2 else "mcc"), ["mcc", "auprc", "auroc", "f1", "accuracy"]
    if len(counts) == 2 or max(counts.values()) > 0.6 * sum(counts.values()):
        return "mcc", ["balanced_accuracy", "macro_f1", "accuracy"]
    return "accuracy", ["macro_f1", "mcc"]


def _splits(
    sheet: UserTable, column: str | None, shares: str | None, flag: tuple[str, list[str], list[str]] | None
) -> list[str]:
    """The lines about splits.

    Raises:
        UserError: the column has no train and test, or the shares make no sense.
    """
    from hubtools.data.rows.inspection import split_rules

    if column is not None:
        rules = split_rules(sheet, column)
        if not {"train", "test"} <= set(rules):
            values = ", ".join(sorted(set(sheet.texts(column)))[:8])
            raise UserError(
                f"the column {column!r} does not say train and test (it says {values})",
                where=str(sheet.path),
                fix="Name another --split-column, or let the splits be drawn: --split 80/10/10.",
            )
        where = {name: f"{_yaml(column)}: {_yaml(value)}" for name, value in rules.items()}
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
    try:
        numbers = [float(part) for part in str(shares).split("/")]
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
