"""The pages of docs/ that are made from the table of connections."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from contracts.connections import CONNECTIONS, Connection
from stack.settings import ROOT, load
from stack.settings.network import network_plan

PAGE: Final = ROOT / "docs" / "connections.md"
_STACK: Final = "staging"
_HEAD: Final = """\
# Connections

Who talks to whom. `contracts/connections.py` declares it; `./wct connections --document` makes this page from it. A
stack has one NetworkPolicy that denies everything, and one for each component with its connections, in both
directions. `make network` tries each pair of pods of the local stack: what is declared connects, and nothing else.

Every pod reaches the DNS servers of the cluster as well. The crawler reaches the addresses of the internet, but no
private one; the page of the gateway that the smoke check crawls is the exception.
"""


def write() -> Path:
    """Write the page, and return its file."""
    PAGE.write_text(page())
    return PAGE


def page() -> str:
    """Return the page, in Markdown."""
    made = network_plan(load(_STACK)).connections()
    scrapes = [item for item in made if item.why == "scrapes"]
    return "\n".join(
        [
            _HEAD,
            "## Measured on the local stack",
            "![each pair of pods, and the ports that one reaches of the other](connections.svg)",
            "",
            f"## The stack `{_STACK}`",
            _diagram(item for item in made if item not in scrapes),
            f"Prometheus scrapes {len(scrapes)} of these components; the picture leaves that out.",
            "",
            "## All connections of all stacks",
            "| from | to | ports | why | exists |",
            "|---|---|---|---|---|",
            *map(_row, CONNECTIONS),
            "",
        ]
    )


def _diagram(made: Iterable[Connection]) -> str:
    """Return a diagram for Mermaid, with an arrow for each pair."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for item in made:
        reasons = arrows.setdefault((item.caller, item.target), [])
        if item.why not in reasons:
            reasons.append(item.why)
    lines = [f"    {caller} -->|{', '.join(why)}| {target}" for (caller, target), why in arrows.items()]
    return "\n".join(["```mermaid", "flowchart LR", *lines, "```", ""])


def _row(item: Connection) -> str:
    conditions = [*([f"with {item.needs}"] if item.needs else []), *(f"without {name}" for name in item.without)]
    ports = ", ".join(map(str, item.ports)) or "of the settings"
    protocol = f" ({', '.join(item.protocols)})" if item.protocols != ("TCP",) else ""
    return f"| {item.caller} | {item.target} | {ports}{protocol} | {item.why} | {', '.join(conditions)} |"
