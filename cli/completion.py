"""Completion of the shell."""

import re
import shlex

import click
from click.shell_completion import get_completion_class

from cli.group import Command
from cli.options import ROOT
from contracts.errors import UserError


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL.

    For bash and zsh: `source <(./wct completion bash)`; for fish: `./wct completion fish | source`.
    """
    root = click.get_current_context().find_root()
    script = get_completion_class(shell)
    if script is None:
        raise UserError(f"click has no completion for {shell}")
    click.echo(_with_path(script(root.command, {}, "wct", "_WCT_COMPLETE").source()))


def _with_path(script: str) -> str:
    """Return a script that starts this clone's `wct`, which is not on PATH; the script for bash does so already."""
    script = script.replace("    (( ! $+commands[wct] )) && return 1\n", "")
    return re.sub(r"(_complete.* )wct\)", rf"\g<1>{shlex.quote(str(ROOT / 'wct'))})", script)
