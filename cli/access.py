"""Commands about the people whose tasks a stack has, and about the callers of its gateway."""

import click
from click.exceptions import Exit

from cli.group import Command
from cli.options import console, stack_argument
from contracts.access import Role


@click.command(cls=Command)
@stack_argument
@click.option("--email", envvar="EMAIL", required=True, help="Address of the person; by default the variable EMAIL.")
def forget(stack: str, email: str) -> None:
    """Delete what STACK holds about one person: tasks, pages, handled messages. Print what remains until when.

    Exit code 1: some tasks have not ended; run it again. Traces and logs have a keyed hash in place of the address.
    """
    from stack.forget.command import forget

    raise Exit(0 if forget(stack, email, console(160)) else 1)


@click.command(cls=Command)
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default=Role.USER.value,
    help="What the caller may read (user).",
)
def access_key(name: str, role: str) -> None:
    """Make an API key for the caller NAME, and print its entry in the stack file.

    The key is printed this once, and stored nowhere; the stack file has its hash.
    """
    import json

    from pydantic import ValidationError

    from stack.components.services.access import AccessKey, new_key

    key, key_hash = new_key()
    try:
        entry = AccessKey(name=name, role=Role(role), hash=key_hash)
    except ValidationError:
        raise click.BadParameter("lower-case letters, digits and hyphens, at most 63", param_hint="NAME") from None
    click.echo(f"key (give it to the caller): {key}")
    click.echo(f"entry of access.keys:        {json.dumps(entry.model_dump(mode='json'))}")
