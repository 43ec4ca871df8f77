"""The command ``bench``: commands are imported only when called, so that help is instant."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
from pathlib import Path
from typing import Any

import click

from hubtools.cli.shared.guarded import guarded_streams
from hubtools.common import garbage, telling
from hubtools.common.errors import SeveralErrors, UserError
from hubtools.common.secrets import holds_secret, scrub
from hubtools.common.texts import control_character
from hubtools.common.version import __version__

COMMANDS = {
    "run": ("hubtools.cli.run:run", "Fine-tune and evaluate checkpoints on tasks."),
    "estimate": ("hubtools.cli.estimate:estimate", "Time, memory and cost of runs before they are started."),
    "status": ("hubtools.cli.status:status", "How far the runs are: done, running, failed, waiting."),
    "merge": ("hubtools.cli.merge:merge", "Make one folder of runs of several."),
    "cancel": ("hubtools.cli.engines.cancel:cancel", "Stop what a cluster has of the runs."),
    "board": ("hubtools.cli.board:board", "What the runs say: a table of results with intervals."),
    "compare": ("hubtools.cli.compare:compare", "Better, worse or cannot tell: two sides of runs, task by task."),
    "check": (
        "hubtools.cli.check:check",
        "Check a candidate against a baseline: no loss that counts, worse, or cannot tell.",
    ),
    "baseline": ("hubtools.cli.baseline:baseline", "Freeze runs to be compared with."),
    "reproduce": ("hubtools.cli.reproduce:reproduce", "Make a recorded or a published result again."),
    "sweep": ("hubtools.cli.sweep:sweep", "Choose recipe fields on validation, run the best."),
    "curve": ("hubtools.cli.curve:curve", "Draw learning curves: score against training data."),
    "card": ("hubtools.cli.card:card", "Write the model card of a run."),
    "cite": ("hubtools.cli.cite:cite", "BibTeX of all that runs used."),
    "publish": ("hubtools.cli.publish:publish", "Push a run's model, card and record to the Hub."),
    "submissions": ("hubtools.cli.submissions:submissions", "Hand in results, and check what is handed in."),
    "materialise": ("hubtools.cli.materialise:materialise", "Put the whole model of a run together."),
    "predict": ("hubtools.cli.predict:predict", "Predict on a FASTA file."),
    "embed": ("hubtools.cli.proteins.embed:embed", "Embeddings of the proteins of a file."),
    "scan": ("hubtools.cli.proteins.scan:scan", "Score every substitution of a protein."),
    "fold": ("hubtools.cli.proteins.fold:fold", "Predict the structure of each protein."),
    "view": ("hubtools.cli.proteins.view:view", "Structures as a page, coloured by confidence or predictions."),
    "demo": ("hubtools.cli.demo:demo", "A model as a page on this machine."),
    "export": ("hubtools.cli.export:export", "A model as ONNX, proven against torch."),
    "tasks": ("hubtools.cli.tasks.group:tasks", "List, show and check tasks."),
    "data": ("hubtools.cli.data:data", "Pin, fetch and list the data of tasks."),
    "cache": ("hubtools.cli.cache:cache", "List and remove embeddings that probes left."),
    "recipes": ("hubtools.cli.listing:recipes", "List and show recipes."),
    "suites": ("hubtools.cli.listing:suites", "List and show suites."),
    "explain": ("hubtools.cli.words.explain:explain", "What a word means: mcc, cluster, margin, probe."),
}
# What bench starts by itself; no help lists it.
HIDDEN = {"run-job": "hubtools.cli.engines.run_job:run_job"}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called; the help needs only their names."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order people meet them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import one command."""
        if name not in COMMANDS and name not in HIDDEN:
            return None
        module, attribute = (HIDDEN.get(name) or COMMANDS[name][0]).split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[Any, Any, list[str]]:
        """Name near misses when a command is misspelt."""
        import difflib

        if args and args[0] not in {*COMMANDS, *HIDDEN} and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"Did you mean {close[0]}?" if close else f"Known: {', '.join(COMMANDS)}."
            raise UserError(f"there is no command {args[0]!r}", fix=hint)
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bench")
@click.pass_context
def cli(context: click.Context) -> None:
    """Trustworthy, publishable benchmark numbers for protein language models.

    \b
    bench run --checkpoint facebook/esm2_t6_8M_UR50D --task secondary-structure
    bench board
    bench publish runs/RUN --repo me/my-model --dry-run
    """
    context.with_resource(telling.on_stderr())


def main() -> None:
    """Entry point: a user's mistake is one line on stderr and exit code 2, never a traceback."""
    # Quiet by default: the libraries' own chatter is about them, not about the user's run.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    # A stream that was closed (>&-) is one that nobody reads.
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115 - for as long as the process lives
    # A terminal or pipe that knows few letters gets question marks for the others, not a traceback.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    with garbage.sought_seldom(), guarded_streams():
        code = _called()
        # What is still to be written may find nobody who reads, too.
        try:
            sys.stdout.flush()
        except (OSError, ValueError) as error:
            code = _unexpected(error)
    sys.exit(code)


def _called() -> int:
    """Run what the command line says; its exit code."""
    try:
        if sys.platform == "win32":
            raise UserError(
                "bench does not run on Windows itself", fix="Use it in WSL 2, whose Linux sees the GPU, too."
            )
        require_folder()
        _refuse_arguments(sys.argv[1:])
        code = cli.main(prog_name="bench", standalone_mode=False)
    except UserError as error:
        # Several things that are wrong are a line each.
        said = "\n".join(error.lines) if isinstance(error, SeveralErrors) else str(error)
        click.echo(f"error: {said}", err=True)
        return 2
    except click.ClickException as error:
        _show(error)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        return 130
    except SystemExit as ended:
        # Rich and click end the process where nobody reads what they print.
        if not getattr(sys.stdout, "broken", False):
            raise
        return _unexpected(ended)
    except Exception as error:
        return _unexpected(error)
    return code if isinstance(code, int) else 0


def _unexpected(error: BaseException) -> int:
    """Say in one line what no command expected; its exit code."""
    from hubtools.cli.shared import failures

    if failures.nobody_reads():
        return failures.BROKEN_PIPE
    if os.environ.get(failures.VARIABLE):
        raise error
    with contextlib.suppress(OSError):
        click.echo(f"error: {failures.told(error)}", err=True)
    return failures.ERROR


def require_folder() -> None:
    """Refuse to start where the current folder was deleted.

    Raises:
        UserError: it was.
    """
    try:
        Path.cwd()
    except OSError:
        raise UserError("the current folder is not there any more", fix="Change to another: cd ~.") from None


def _refuse_arguments(arguments: list[str]) -> None:
    """What is written on the command line is recorded and shown: no control characters, and no secrets. A separator may be a tab.

    Raises:
        UserError: an argument holds one.
    """
    for argument in arguments:
        if (character := control_character(argument.replace("\t", ""))) is not None:
            raise UserError(f"an argument holds the character {character}, which may not be shown", fix="Remove it.")
        if holds_secret(argument):
            raise UserError(
                f"an argument holds a password or a token ({scrub(argument)}), and what is written here is recorded",
                fix="Leave it out: a token goes into HF_TOKEN, a password into ~/.netrc.",
            )


def _show(error: click.ClickException) -> None:
    """A wrong option in one line too; a group without a command shows its help."""
    if not isinstance(error, click.UsageError) or "\n" in error.format_message():
        error.show()
        return
    named = [name for name in sys.argv[1:2] if name in COMMANDS]
    command = error.ctx.command_path if error.ctx else " ".join(["bench", *named])
    click.echo(f"error: {error.format_message().rstrip('.')}. See {command} --help.", err=True)


if __name__ == "__main__":
    main()
