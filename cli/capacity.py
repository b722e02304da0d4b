"""Commands about the sizes of a stack."""

from pathlib import Path
from typing import Any, Final

import click

from cli.group import Command, LazyGroup
from cli.options import AMOUNT, COUNT, Amount, F, StackName, as_json, console, file_option

LONGEST_OUTAGE_HOURS: Final = 168
"""A week. A simulation takes a step for each second."""


@click.group(
    cls=LazyGroup,
    commands_at={name: f"cli.capacity:{name}" for name in ("plan", "simulate", "document")},
)
def capacity() -> None:
    """Compute what a stack needs for a load, from what the benchmarks of this repository measured."""


def load_options(command: F) -> F:
    """The options that describe the load and the stack."""
    for option in reversed(
        (
            click.option("--load", "traces_per_second", type=AMOUNT, help="New traces per second, on average."),
            click.option("--spans", "spans_per_trace", type=COUNT, help="Spans of a trace (16)."),
            click.option(
                "--peak", type=Amount(min=1), help="Load of the busiest minute, as a multiple of the average (5)."
            ),
            click.option(
                "--retention", metavar="HOURS", help="How long traces, logs and metrics are kept, such as 336h."
            ),
            click.option(
                "--outage",
                "outage_hours",
                type=Amount(min=0, min_open=True, max=LONGEST_OUTAGE_HOURS),
                default=1,
                metavar="HOURS",
                help="How long a store is unavailable (1).",
            ),
            click.option(
                "--stack", type=StackName(), default="prod", help="The stack whose settings are the start (prod)."
            ),
            click.option(
                "--provider",
                "provider_file",
                type=click.Path(path_type=Path, dir_okay=False, exists=True, resolve_path=True),
                metavar="FILE",
                help="Your provider's prices and limits, such as examples/provider.yaml; without it no money is shown.",
            ),
        )
    ):
        command = option(command)
    return command


@click.command(cls=Command)
@load_options
@as_json
def plan(as_json: bool, **request: Any) -> None:
    """Show what a load needs, 10 times and 1,000 times as much: pods, cores, disks, Kafka, buckets, settings, cells.

    Options that are left out have the values of the stack's section `load`.
    """
    from stack.capacity.command import Request, show_plan

    show_plan(console(160), Request(**request), as_json=as_json)


@click.command(cls=Command)
@load_options
@click.option("--skew", type=Amount(min=0, max=2), default=0, help="Keys of unequal weight: Zipf's exponent (0).")
@click.option("--seed", type=int, default=1, help="Decides to which partition each key belongs (1).")
@click.option("--at-peak", "is_at_peak", is_flag=True, help="With the load of the busiest minute all the time.")
@file_option("--picture", "Also draw the queues into this file, as SVG.")
@as_json
def simulate(as_json: bool, skew: float, seed: int, is_at_peak: bool, picture: Path | None, **request: Any) -> None:
    """Simulate an outage of the store with the sizes of the plan: how deep queues get, and when they are empty.

    With `--skew`, some partitions of Kafka get more than others.
    """
    from stack.capacity.command import Request, show_simulation

    show_simulation(
        console(120),
        Request(**request),
        skew=skew,
        seed=seed,
        is_at_peak=is_at_peak,
        picture=picture,
        as_json=as_json,
    )


@click.command(cls=Command)
def document() -> None:
    """Write the tables of docs/capacity.md, and its picture."""
    from stack.capacity.page import write

    for file in write():
        click.echo(file)
