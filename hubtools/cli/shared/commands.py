"""Commands that refuse what click would pass over: an option that is taken once and given twice."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import click

from hubtools.common.errors import UserError

# Bytes of one part of a path, on the file systems that are in use.
LONGEST_FILE_NAME = 255


class StrictCommand(click.Command):
    """A command whose options are taken once, but for those that say that they repeat."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options, after a look at how often each is given: click keeps the last and says nothing.

        Raises:
            UserError: one is given twice, a number is not finite, or a file or folder has no name or one that is too long.
        """
        values, _, given = self.make_parser(ctx).parse_args(args=list(args))
        _refuse_repeated(ctx, given)
        for parameter in given:
            value = values.get(str(parameter.name))
            if isinstance(parameter.type, click.Path):
                _refuse_impossible(parameter, value if isinstance(value, list | tuple) else [value])
        rest = super().parse_args(ctx, args)
        for name, value in ctx.params.items():
            for number in value if isinstance(value, tuple) else (value,):
                if isinstance(number, float) and not math.isfinite(number):
                    raise UserError(
                        f"{number} is no number to compute with",
                        where=f"--{name.replace('_', '-')}",
                        fix="Give a finite one.",
                    )
        return rest


class StrictGroup(click.Group):
    """A group of such commands."""

    command_class = StrictCommand


def _refuse_impossible(parameter: click.Parameter, paths: Iterable[object]) -> None:
    """Raises UserError for names that no file can have."""
    for path in paths:
        # pathlib takes it for the current folder: what a shell makes of a variable that is not set.
        if path == "":
            raise UserError("the name of a file or folder is empty", where=parameter.opts[-1], fix="Write it out.")
        if isinstance(path, str) and any(len(os.fsencode(part)) > LONGEST_FILE_NAME for part in Path(path).parts):
            raise UserError(
                f"the name of a file or folder is longer than {LONGEST_FILE_NAME} bytes",
                where=parameter.opts[-1],
                fix="Shorten it.",
            )


def _refuse_repeated(ctx: click.Context, given: list[click.Parameter]) -> None:
    """Raises UserError for what is taken once, and for two that set the same; the same flag again says nothing new."""
    same: dict[str, list[click.Parameter]] = defaultdict(list)
    for parameter in given:
        if isinstance(parameter, click.Option) and not parameter.multiple and not parameter.count:
            same[str(parameter.name)].append(parameter)
    for options in same.values():
        names = list(dict.fromkeys(max(option.opts, key=len) for option in options))
        if len(names) > 1:
            raise UserError(
                f"{' and '.join(names)} exclude each other", where=ctx.command_path, fix="Give one of them."
            )
        option = options[0]
        assert isinstance(option, click.Option)
        if len(options) > 1 and (not option.is_flag or option.secondary_opts):
            shown = "/".join([*names, *option.secondary_opts])
            raise UserError(
                f"{shown} is given {len(options)} times, and taken once", where=ctx.command_path, fix="Give it once."
            )
