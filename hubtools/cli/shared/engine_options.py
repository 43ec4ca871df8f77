"""The options of who does what is asked for: the same names and helps for each command that can be divided."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

import click
from click.core import ParameterSource

from hubtools.api.engines.dispatch import EngineChoice, Workers
from hubtools.common.errors import UserError
from hubtools.common.readers import reads


@reads("option --workers")
def parse_workers(context: click.Context, parameter: click.Parameter, value: str | None) -> Workers | None:
    """A number of processes, or ``auto``."""
    if value is None or value == "auto":
        return value  # type: ignore[return-value]
    if not re.fullmatch(r"[0-9]{1,4}", value) or int(value) < 1:
        raise UserError(f"{value!r} is neither auto nor a number from 1", where="--workers", fix="--workers 4")
    return int(value)


def engine_options(parts: str, default: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command these options, as its one argument ``by``.

    Args:
        parts: what is divided, in words.
        default: what is done where nothing is said of workers, in words.
    """
    options = (
        click.option(
            "--workers",
            callback=parse_workers,
            envvar="BENCH_WORKERS",
            metavar="N",
            help=f"Processes of this machine that divide the {parts}; auto: one a GPU, or one a core where memory suffices. "
            f"Default: {default}.",
        ),
        click.option(
            "--on",
            "engine",
            metavar="ENGINE",
            help="Who does the work: slurm, ray (docs/clusters.md). Default: this machine.",
        ),
        click.option(
            "--profile", metavar="NAME", help="What that engine is asked for: name or file. Default: that of its name."
        ),
    )

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def packed(*, workers: Workers | None, engine: str | None, profile: str | None, **others: Any) -> Any:
            return function(by=_chosen(workers, engine, profile), **others)

        for option in reversed(options):
            option(packed)
        return packed

    return decorate


def _chosen(workers: Workers | None, engine: str | None, profile: str | None) -> EngineChoice:
    """Who is meant: an engine by its name or by its profile, or workers.

    Raises:
        UserError: there is no such profile; workers are asked for, too; torchrun's processes are to do it.
    """
    if engine is None and profile is None and workers in {None, 1}:
        return EngineChoice(workers)
    from hubtools.training.compute import distributed

    if distributed.started():
        raise UserError(
            "torchrun's processes work on one run together, and those of an engine or of --workers on a run each",
            where="--on" if engine else "--profile" if profile else "--workers",
            fix="Leave one of them out.",
        )
    if engine is None and profile is None:
        return EngineChoice(workers)
    # What the environment says is of this machine.
    given = click.get_current_context().get_parameter_source("workers") is ParameterSource.COMMANDLINE
    if given and workers is not None:
        raise UserError("workers are processes of this machine", where="--workers", fix="Leave it out, or --on.")
    if engine is None:
        from hubtools.specs.lookup.content import find
        from hubtools.specs.lookup.spec_files import profile_in

        engine = profile_in(find("profile", str(profile))).engine
    return EngineChoice(None, engine, profile)
