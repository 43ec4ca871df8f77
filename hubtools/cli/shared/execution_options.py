"""The options of where and how a command computes: the same names, helps and defaults, whatever the command."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from hubtools.api.computing import ExecutionOptions
from hubtools.cli.shared.terminal import MIRRORS
from hubtools.common.errors import UserError
from hubtools.common.readers import reads

Command = Callable[..., Any]


@reads("option --token-budget")
def _budget(context: click.Context, parameter: click.Parameter, value: str | None) -> int | str | None:
    """A number of tokens, or ``auto``."""
    if value is None or value == "auto":
        return value
    if not re.fullmatch(r"[0-9]{1,9}", value) or int(value) < 64:
        raise UserError(
            f"{value!r} is neither auto nor a number of tokens from 64",
            where="--token-budget",
            fix="--token-budget 2048",
        )
    return int(value)


def _use_families(context: click.Context, parameter: click.Parameter, value: tuple[Path, ...]) -> None:
    """Files of families, named before anything is asked of a checkpoint."""
    if value:
        from hubtools.models.families import name_file

        for path in value:
            name_file(path)


FAMILY = click.option(
    "--family",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    expose_value=False,
    callback=_use_families,
    help="Run a file of Python that brings a family of checkpoints (docs/extending.md); may be repeated.",
)
# In the order of the help; each makes a new option, which belongs to one command.
OPTIONS = (
    MIRRORS,
    click.option("--device", default="auto", show_default=True, metavar="NAME", help="cpu, cuda, mps."),
    click.option(
        "--token-budget",
        callback=_budget,
        metavar="N",
        help="Tokens of one batch: memory and speed, not results. auto: measured on this device.",
    ),
    click.option(
        "--threads",
        type=click.IntRange(min=1),
        metavar="N",
        help="Threads of the processor: time, not results. Default: a thread for each core that is free; OMP_NUM_THREADS "
        "goes before.",
    ),
    click.option("--gradient-checkpointing", is_flag=True, help="Less memory, more time."),
    click.option(
        "--embedding-cache/--no-embedding-cache",
        default=None,
        help="Read and keep embeddings of frozen encoders (bench cache ls). Default: yes, but for a record made again, "
        "whose own they may be.",
    ),
    click.option(
        "--packing/--no-packing",
        default=True,
        show_default=True,
        help="Compute no padding, where the model passes the test that this changes nothing.",
    ),
    click.option(
        "--compile", "compiled", is_flag=True, help="Compile the encoder's layers: worth its minute in long runs."
    ),
    click.option("--shard", is_flag=True, help="Under torchrun: divide the weights among the processes, too (FSDP)."),
    click.option(
        "--track",
        metavar="NAME[:PROJECT]",
        help="Tell a tracker how runs go on: trackio, wandb, or one that a package brings. It changes no run.",
    ),
    click.option("--trust-remote-code", is_flag=True, help="Allow code of a Hub checkpoint pinned as name@<commit>."),
    FAMILY,
)
# Why what asks a trained model takes not all of them.
ASKING = {
    "mirrors": "no data of a task are read",
    "gradient_checkpointing": "nothing is trained, so that no activations are kept",
    "embedding_cache": "each protein is read by the whole model, and nothing is kept of it",
    "shard": "a model that is asked is on one device",
    "track": "nothing is trained, so that there is nothing to follow",
    "trust_remote_code": "no code that lies beside a model is run: bench has its own copy of the one file that it ships",
}


def execution_options(refused: Mapping[str, str] | None = None) -> Callable[[Command], Command]:
    """Give a command all of these options, as its one argument ``execution``.

    Args:
        refused: name of an option that cannot mean anything there -> why. It is not in the help; who gives it is told.
    """

    def decorate(function: Command) -> Command:
        @functools.wraps(function)
        def packed(**options: Any) -> Any:
            said = {field.name: options.pop(field.name) for field in fields(ExecutionOptions)}
            return function(execution=ExecutionOptions(**said), **options)

        before = len(getattr(packed, "__click_params__", []))
        for option in reversed(OPTIONS):
            option(packed)
        for parameter in packed.__click_params__[before:]:  # type: ignore[attr-defined]
            if (why := (refused or {}).get(parameter.name)) is not None:
                parameter.hidden, parameter.callback = True, functools.partial(_refuse, why)
        return packed

    return decorate


def _refuse(why: str, context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    if context.get_parameter_source(str(parameter.name)) is not ParameterSource.DEFAULT:
        names = "/".join([*parameter.opts, *parameter.secondary_opts])
        raise UserError(why, where=f"{names} of {context.command_path}", fix="Leave it out.")
    return value
