"""Commands that write files which are made from the code."""

import click

from cli.group import Command


@click.command(cls=Command)
@click.option("--page", "as_page", is_flag=True, help="Print docs/settings.md, the page of all settings, instead.")
def schema(as_page: bool) -> None:
    """Print the JSON Schema of the stack files."""
    import json

    from stack.settings.reference import page
    from stack.settings.schema import json_schema

    click.echo(page() if as_page else json.dumps(json_schema(), indent=2), nl=not as_page)


@click.command(cls=Command)
def telemetry() -> None:
    """Write docs/telemetry.md from the telemetry contract."""
    from checks.contract.command import run

    run()
