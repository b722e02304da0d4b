"""Groups whose commands are imported when they are used, and the one place where errors become messages."""

import errno
import importlib
import os
import select
import signal
import sys
from collections.abc import Mapping
from typing import Any

import click

from cli.options import ROOT, StackName, stack_names
from contracts.errors import UserError
from stack.kubernetes.failures import cluster_problem

INTERRUPTED = 130
TERMINATED = 143
_WHOLE = 1000
"""More characters than a summary of a command has."""


class LazyGroup(click.Group):
    """A group that knows its commands as `module:attribute`.

    `--help` imports the modules of the commands, which import nothing but click; what a command needs is imported when
    the command runs. The SDKs of Pulumi and Kubernetes take seconds to import.
    """

    def __init__(self, *args: Any, commands_at: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._commands_at = commands_at

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._commands_at)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._commands_at:
            return None
        module, _, attribute = self._commands_at[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; for the name of one below another group, say so: `make chaos` is `wct check chaos`."""
        if self.get_command(ctx, args[0]) is None:
            for name in self.list_commands(ctx):
                group = self.get_command(ctx, name)
                if isinstance(group, click.Group) and args[0] in group.list_commands(ctx):
                    ctx.fail(f"No such command {args[0]!r}. Did you mean `{ctx.command_path} {name} {args[0]}`?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each command with its whole first sentence; click cuts it at the width of the terminal."""
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        rows = [(name, command.get_short_help_str(limit=_WHOLE)) for name, command in commands.items() if command]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class Command(click.Command):
    """A command that prints an error the user can act on without a traceback.

    Args:
        failure_code: exit code of such an error; 1, unless 1 is one of the command's answers.
    """

    def __init__(self, *args: Any, failure_code: int = 1, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._failure_code = failure_code

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write which stacks there are, if the command takes one, and the one that it takes without the argument."""
        for parameter in self.params:
            if isinstance(parameter.type, StackName):
                default = "" if parameter.required else f" (default: {parameter.default})"
                formatter.write_paragraph()
                formatter.write_text(f"STACK is one of {', '.join(stack_names())}{default}.")
        super().format_epilog(ctx, formatter)

    def invoke(self, ctx: click.Context) -> Any:
        # Paths among the arguments are resolved by now. Reports and settings have their places below the repository.
        os.chdir(ROOT)
        try:
            return super().invoke(ctx)
        except UserError as error:
            _fail(str(error), INTERRUPTED if _follows_interrupt(error) else self._failure_code)
        except KeyboardInterrupt:
            _fail("interrupted; run the same command again to go on from here", INTERRUPTED)
        except Exception as error:
            if isinstance(error, BrokenPipeError) and _is_output_closed():
                raise  # `wct … | head`: click ends the program without a message
            if _follows_interrupt(error):
                _fail(f"interrupted, and the end of what was under way failed: {_first_line(error)}", INTERRUPTED)
            if (problem := _disk_problem(error) or cluster_problem(error)) is None:
                raise
            _fail(f"{problem}. Run the same command again to go on from here", self._failure_code)


def _fail(message: str, code: int) -> None:
    click.echo(f"error: {message}", err=True)
    raise click.exceptions.Exit(code)


def _follows_interrupt(error: BaseException) -> bool:
    """Whether the error occurred while the command ended what an interrupt had stopped."""
    context = error.__context__
    while context is not None and not isinstance(context, KeyboardInterrupt):
        context = context.__context__
    return context is not None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _disk_problem(error: Exception) -> str | None:
    """Return which file cannot be written for want of rights or room; None if the error is of another kind."""
    if not isinstance(error, OSError):
        return None
    if error.errno in (errno.ENOSPC, errno.EDQUOT):  # a write that fails does not say which file it is
        return error.strerror
    is_refused = error.filename is not None and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
    return f"{error.filename} cannot be used: {error.strerror}" if is_refused else None


def _is_output_closed() -> bool:
    """Whether the program that reads the standard output has ended."""
    poll = select.poll()
    poll.register(1, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def exit_on_termination() -> None:
    """Make SIGTERM, or a closed terminal, end the program as an interrupt does, so that it releases what it holds."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(TERMINATED))
