"""Commands about the callers of the gateway."""

import click

from cli.group import Command
from contracts.access import Role


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
