"""Commands that write files which are made from the code."""

import click

from cli.group import Command


@click.command(cls=Command)
def schema() -> None:
    """Print the JSON Schema of the stack files."""
    import json

    from stack.settings.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


@click.command(cls=Command)
def telemetry() -> None:
    """Write docs/telemetry.md from the telemetry contract."""
    from checks.contract.command import run

    run()
