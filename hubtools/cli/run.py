"""``bench run``: plan, run after run, a table at the end."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import Any

import click

from hubtools.runs.store import DEFAULT_ROOT
from hubtools.specs.errors import UserError


def parse_seeds(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> list[int]:
    """Seeds given as ``--seed 1 --seed 2`` or ``--seeds 1,2,3`` or ``1-5``."""
    seeds: list[int] = []
    for part in ",".join(value).split(","):
        if not part.strip():
            continue
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise UserError(
                f"{part!r} is not a seed", where="--seeds", fix="Give numbers: --seeds 1,2,3 or --seeds 1-5."
            )
        seeds += range(int(first), int(last) + 1) if dash else [int(first)]
    return list(dict.fromkeys(seeds))


def parse_settings(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> dict[str, Any]:
    """``--set key=value``, the value read as YAML would (numbers, true, null)."""
    import yaml

    settings = {}
    for text in value:
        key, equals, raw = text.partition("=")
        if not equals or not key.strip():
            raise UserError(f"{text!r} is not key=value", where="--set", fix="For example --set learning_rate=1e-4.")
        parsed = yaml.safe_load(raw)
        # YAML 1.1 reads 1e-4 as text; people mean the number.
        if isinstance(parsed, str):
            with contextlib.suppress(ValueError):
                parsed = float(parsed)
        settings[key.strip()] = parsed
    return settings


@click.command()
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    metavar="NAME",
    help="Hub id (also id@revision) or folder; repeatable.",
)
@click.option(
    "--task", "tasks", multiple=True, metavar="NAME", help="Task name or file; repeatable. Default: the suite's."
)
@click.option("--suite", metavar="NAME", help="Suite name or file. Default without --task: core.")
@click.option("--recipe", metavar="NAME", help="How to adapt and train. Default: the suite's, else full.")
@click.option(
    "--seed", "--seeds", "seeds", multiple=True, callback=parse_seeds, metavar="N", help="One seed, 1,2,3 or 1-5."
)
@click.option(
    "--set", "settings", multiple=True, callback=parse_settings, metavar="KEY=VALUE", help="Replace a recipe field."
)
@click.option("--baselines/--no-baselines", default=None, help="Trivial baselines beside. Default: with a suite.")
@click.option(
    "--subset",
    type=click.IntRange(min=10),
    metavar="N",
    help="At most N proteins of each split (kept apart on boards).",
)
@click.option(
    "--runs",
    "root",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_ROOT,
    show_default=True,
    help="Folder of runs.",
)
@click.option(
    "--data-mirror",
    "mirrors",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of files named by their sha256.",
)
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps.")
@click.option(
    "--token-budget", type=click.IntRange(min=64), metavar="N", help="Tokens of one padded batch; memory, not results."
)
@click.option("--gradient-checkpointing", is_flag=True, help="Less memory, more time.")
@click.option("--trust-remote-code", is_flag=True, help="Allow code of a Hub checkpoint pinned as name@<commit>.")
@click.option("--force", is_flag=True, help="Run again what is already done.")
@click.option("--dry-run", is_flag=True, help="Show the plan and stop.")
def run(
    checkpoints: tuple[str, ...],
    tasks: tuple[str, ...],
    suite: str | None,
    recipe: str | None,
    seeds: list[int],
    settings: dict[str, Any],
    baselines: bool | None,
    subset: int | None,
    root: Path,
    mirrors: tuple[Path, ...],
    device: str,
    token_budget: int | None,
    gradient_checkpointing: bool,
    trust_remote_code: bool,
    force: bool,
    dry_run: bool,
) -> None:
    """Fine-tune and evaluate checkpoints on tasks; record, score and write a card for each run.

    The same command twice does nothing new; an interrupted one goes on where it stopped.

    \b
    bench run --checkpoint Rostlab/prot_bert
    bench run --checkpoint Rostlab/prot_bert --task localisation
    bench run --checkpoint ./my-esm --task secondary-structure --recipe probe --seed 1
    """
    planned = _plan(checkpoints, tasks, suite, recipe, seeds, settings, baselines, subset)
    click.echo(f"{len(planned)} run{'s' if len(planned) != 1 else ''} planned:", err=True)
    for item in planned:
        click.echo(f"  {item.title}", err=True)
    if dry_run:
        click.echo("nothing was run (--dry-run)", err=True)
        return
    _check_writable(root)

    from hubtools.data import DataCache
    from hubtools.runs.unit import Session
    from hubtools.training.device import Execution

    cache = DataCache.default()
    if mirrors:
        for mirror in mirrors:
            if not mirror.is_dir():
                raise UserError(f"there is no folder {mirror}", where="--data-mirror")
        cache = DataCache(cache.root, [*mirrors, *cache.mirrors])
    execution = Execution.choose(device, token_budget, gradient_checkpointing)
    session = Session(root, cache, execution, trust_remote_code)
    _run_all(planned, session, force)


def _plan(
    checkpoints: tuple[str, ...],
    tasks: tuple[str, ...],
    suite_name: str | None,
    recipe_name: str | None,
    seeds: list[int],
    settings: dict[str, Any],
    baselines: bool | None,
    subset: int | None,
) -> list[Any]:
    from hubtools.runs.plan import expand
    from hubtools.specs.loading import load_recipe, load_suite, load_task

    if suite_name is None and not tasks:
        suite_name = "core"
    suite = load_suite(suite_name) if suite_name else None
    recipe = load_recipe(recipe_name or (suite.recipe if suite else "full"), settings)
    checkpoints = checkpoints or tuple(suite.checkpoints if suite else ())
    if not checkpoints and recipe.needs_checkpoint:
        raise UserError(
            f"the recipe {recipe.name} needs a checkpoint",
            fix="Name one: --checkpoint facebook/esm2_t6_8M_UR50D, a folder, or embedded.",
        )
    wanted = suite is not None if baselines is None else baselines
    names = suite.baselines if suite else load_suite("core").baselines
    return expand(
        [load_task(name) for name in tasks or (suite.tasks if suite else ())],
        checkpoints,
        recipe,
        seeds or (suite.seeds if suite else [1]),
        [name for name in names if name != recipe.name] if wanted else [],
        subset=subset,
        suite=suite.name if suite else None,
        overrides=settings,
    )


def _check_writable(root: Path) -> None:
    """Say it now, not after an hour of training."""
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make it ({error.strerror})", where=str(root), fix="Choose another --runs.") from None
    if not os.access(root, os.W_OK | os.X_OK):
        raise UserError("cannot write there", where=str(root), fix="Choose another --runs.")


def _run_all(planned: list[Any], session: Any, force: bool) -> None:
    from hubtools.runs.unit import Outcome, execute

    started = time.perf_counter()
    outcomes: list[Outcome] = []
    problems: list[str] = []
    for number, item in enumerate(planned, 1):
        click.echo(f"[{number}/{len(planned)}] {item.title}", err=True)
        try:
            outcome = execute(item, session, force=force)
        except UserError as error:
            if len(planned) == 1:
                raise
            problems.append(f"{item.title}: {error}")
            click.echo(f"    failed: {error}", err=True)
            continue
        except KeyboardInterrupt:
            click.echo("\nstopped; what is done is kept. The same command goes on.", err=True)
            sys.exit(130)
        outcomes.append(outcome)
        click.echo(f"    {_line(outcome)}", err=True)
        if outcome.record.status == "failed":
            problems.append(f"{item.title}: {outcome.record.failure.message if outcome.record.failure else ''}")
        elif item.recipe.needs_checkpoint:
            _write_card(outcome.folder, problems)
    _summary(outcomes, problems, session.root, time.perf_counter() - started)
    if problems:
        sys.exit(1)


def _line(outcome: Any) -> str:
    record = outcome.record
    if record.status == "failed":
        return f"failed: {record.failure.message}"
    score = record.score()
    value = "undefined" if score is None or score.value is None else f"{score.value:.4f}"
    interval = f" [{score.low:.4f}, {score.high:.4f}]" if score and score.low is not None else ""
    aligned = f"; {record.alignment}" if record.alignment else ""
    already = "already done: " if outcome.was_done else ""
    return f"{already}test {record.primary_metric} {value}{interval}{aligned}; {record.cost.wall_seconds:.0f} s"


def _write_card(folder: Path, problems: list[str]) -> None:
    from hubtools.reporting.card import build_card

    try:
        build_card(folder)
    except UserError as error:
        problems.append(f"card of {folder.name}: {error}")


def _summary(outcomes: list[Any], problems: list[str], root: Path, seconds: float) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, justify in (
        ("task", "left"), ("what", "left"), ("recipe", "left"), ("seed", "right"), ("metric", "left"),
        ("test", "right"), ("95 % interval", "left"), ("seconds", "right"),
    ):  # fmt: skip
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for outcome in outcomes:
        record = outcome.record
        if record.status != "complete":
            continue
        score = record.score()
        shown = "undefined" if score is None or score.value is None else f"{score.value:.3f}"
        interval = f"{score.low:.3f} – {score.high:.3f}" if score and score.low is not None else ""
        table.add_row(
            record.identity.task.name,
            record.identity.checkpoint.name if record.identity.checkpoint else "baseline",
            record.identity.recipe.name,
            str(record.identity.seed),
            record.primary_metric,
            shown,
            interval,
            f"{record.cost.wall_seconds:.0f}",
        )
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    if table.row_count:
        console.print(table)
    done = sum(outcome.was_done for outcome in outcomes)
    click.echo(
        f"\n{len(outcomes)} runs in {seconds:.0f} s" + (f", {done} of them done before" if done else "") + f": {root}/",
        err=True,
    )
    complete = [o for o in outcomes if o.record.status == "complete" and o.run.recipe.needs_checkpoint]
    if complete:
        last = complete[-1]
        option = "" if root == DEFAULT_ROOT else f" --runs {root}"
        click.echo(f"card   {last.folder / 'card' / 'README.md'}", err=True)
        click.echo(f"board  bench board{option}", err=True)
        click.echo(
            f"next   bench publish {last.folder} --repo YOU/{last.record.identity.task.name} --dry-run", err=True
        )
    for problem in problems:
        click.echo(f"failed: {problem}", err=True)
