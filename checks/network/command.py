"""`wct check network`: tries each pair of pods, and prints what differs from the table of connections."""

from pathlib import Path

from rich.console import Console

from checks.network.matrix import svg
from checks.network.stack import measure, outside, pods
from contracts.connections import INTERNET
from contracts.services import CRAWLER
from local.paths import Home
from stack.settings import load


def run(console: Console, picture: Path | None) -> bool:
    """Prints the result, and writes the picture; returns whether everything is as declared.

    Raises:
        UserError: the local stack does not run.
    """
    settings, home = load("local"), Home.default()
    matrix = measure(settings, home)
    console.print(f"{matrix.attempts} connections between {matrix.pairs} pairs of pods were tried")
    console.print(f"{len(matrix.measured)} were made, {len(matrix.declared)} are declared")
    for caller, target, port in matrix.missing:
        console.print(f"[red]{caller} does not reach {target}:{port}")
    for caller, target, port in matrix.forbidden:
        console.print(f"[red]{caller} reaches {target}:{port}, which is not declared")
    reached = outside(pods(settings, home))
    allowed = {name: {"dns", *([INTERNET] if name == CRAWLER else [])} for name in reached}
    for name, targets in allowed.items():
        if reached[name] != targets:
            console.print(f"[red]{name} reaches {', '.join(sorted(reached[name])) or 'nothing'} outside of the stack")
    if picture:
        picture.write_text(svg(matrix))
    return not matrix.missing and not matrix.forbidden and reached == allowed
