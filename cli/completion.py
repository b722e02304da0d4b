"""Completion of the shell."""

import click
from click.shell_completion import get_completion_class

from cli.group import Command
from contracts.errors import UserError


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL.

    For bash: `source <(./wct completion bash)`.
    """
    root = click.get_current_context().find_root()
    script = get_completion_class(shell)
    if script is None:
        raise UserError(f"click has no completion for {shell}")
    click.echo(script(root.command, {}, "wct", "_WCT_COMPLETE").source())
