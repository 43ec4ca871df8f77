"""The options of where and how a command computes: the same names, helps and defaults, whatever the command."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from hubtools.cli.terminal import MIRRORS
from hubtools.common.errors import UserError

if TYPE_CHECKING:
    from hubtools.runs.plan import PlannedRun
    from hubtools.runs.session import Session
    from hubtools.training.compute.device import Execution

Command = Callable[..., Any]


@dataclass(frozen=True)
class ExecutionOptions:
    """What a user said of where and how to compute.

    Attributes:
        device: its name, or ``auto``.
        token_budget: tokens of a batch, ``auto`` to measure it, None for what is usual on the device.
        gradient_checkpointing, packing, compiled, shard: as of :class:`hubtools.training.compute.device.Execution`.
        embedding_cache: whether embeddings are read and kept; None for what the command does by itself.
        trust_remote_code: whether code of a checkpoint may run.
        mirrors: folders of data.
    """

    device: str
    token_budget: int | str | None
    gradient_checkpointing: bool
    packing: bool
    compiled: bool
    shard: bool
    embedding_cache: bool | None
    trust_remote_code: bool
    mirrors: tuple[Path, ...]

    def choose(self) -> Execution:
        """The device, with what was said of it.

        Raises:
            UserError: it cannot be used.
        """
        from hubtools.training.compute.device import Execution

        return Execution.choose(
            self.device, self.token_budget, self.gradient_checkpointing, self.packing, self.compiled, self.shard
        )

    def session(self, root: Path, planned: Sequence[PlannedRun] = (), *, cached: bool = True) -> Session:
        """Where, how and with which caches runs are done.

        Args:
            root: folder of runs.
            planned: all of them, in order.
            cached: whether embeddings are read and kept where nothing was said of it.

        Raises:
            UserError: the device cannot be used.
        """
        from hubtools.data import DataCache
        from hubtools.runs.session import Session

        kept = cached if self.embedding_cache is None else self.embedding_cache
        cache = DataCache.default(self.mirrors)
        return Session(root, cache, self.choose(), self.trust_remote_code, kept, tuple(planned))


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
    click.option("--trust-remote-code", is_flag=True, help="Allow code of a Hub checkpoint pinned as name@<commit>."),
)
# Why what asks a trained model takes not all of them.
ASKING = {
    "mirrors": "no data of a task are read",
    "gradient_checkpointing": "nothing is trained, so that no activations are kept",
    "embedding_cache": "each protein is read by the whole model, and nothing is kept of it",
    "shard": "a model that is asked is on one device",
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
