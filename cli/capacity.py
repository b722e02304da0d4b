"""Commands about the sizes of a stack."""

from pathlib import Path

import click

from cli.group import Command, LazyGroup
from cli.options import AMOUNT, COUNT, Amount, StackName, as_json, console


@click.group(
    cls=LazyGroup,
    commands_at={name: f"cli.capacity:{name}" for name in ("plan", "document")},
)
def capacity() -> None:
    """Compute what a stack needs for a load, from what the benchmarks of this repository measured."""


provider_option = click.option(
    "--provider",
    type=click.Path(path_type=Path, dir_okay=False, exists=True, resolve_path=True),
    metavar="FILE",
    help="Your provider's prices and limits, such as examples/provider.yaml; without it no money is shown.",
)


@click.command(cls=Command)
@click.option("--load", "traces_per_second", type=AMOUNT, help="New traces per second, averaged over a day.")
@click.option("--spans", type=COUNT, help="Spans of a trace (16).")
@click.option("--peak", type=Amount(min=1), help="Load of the busiest minute, as a multiple of the average (5).")
@click.option("--retention", metavar="HOURS", help="How long traces, logs and metrics are kept, such as 336h.")
@click.option("--outage", type=AMOUNT, default=1, metavar="HOURS", help="How long a store may be unavailable (1).")
@click.option("--stack", type=StackName(), default="prod", help="The stack whose settings are the start (prod).")
@provider_option
@as_json
def plan(
    traces_per_second: float | None,
    spans: int | None,
    peak: float | None,
    retention: str | None,
    outage: float,
    stack: str,
    provider: Path | None,
    as_json: bool,
) -> None:
    """Show what a load needs, 10 times and 1,000 times as much: pods, cores, disks, Kafka, buckets, settings, cells.

    Options that are left out have the values of the stack's section `load`.
    """
    from stack.capacity.command import show_plan

    show_plan(
        console(160),
        stack,
        traces_per_second=traces_per_second,
        spans_per_trace=spans,
        peak=peak,
        retention=retention,
        outage_hours=outage,
        provider_file=provider,
        as_json=as_json,
    )


@click.command(cls=Command)
def document() -> None:
    """Write the tables of docs/capacity.md."""
    from stack.capacity.page import write

    click.echo(write())
