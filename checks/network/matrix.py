"""The matrix of connections: what is declared, what was measured, and their picture."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Final

from contracts.connections import COMPONENTS, Connection

Edge = tuple[str, str, int]
"""Caller, target, port."""

_CELL: Final = 46
_LEFT: Final = 150
_TOP: Final = 120
_COLOURS: Final = {"open": "#2e8540", "closed": "#e9ecef", "own": "#ffffff", "wrong": "#c92a2a"}


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """Which pods reach which ports of which pods."""

    names: tuple[str, ...]
    """The components, in the order of the table."""
    ports: Mapping[str, frozenset[int]]
    """Component → the ports that it listens on."""
    declared: frozenset[Edge]
    measured: frozenset[Edge]
    pairs: int
    """Pairs of pods that were tried."""
    attempts: int
    """Connections that were tried."""

    @property
    def missing(self) -> list[Edge]:
        """Declared connections that were not made."""
        return sorted(self.declared - self.measured)

    @property
    def forbidden(self) -> list[Edge]:
        """Connections that were made, and are not declared."""
        return sorted(self.measured - self.declared)


def declared_edges(made: Iterable[Connection], ports: Mapping[str, frozenset[int]]) -> frozenset[Edge]:
    """Return the declared connections between pods, to ports that a program listens on."""
    return frozenset(
        (item.caller, item.target, port)
        for item in made
        if item.caller in ports and item.target in ports
        for port in ports[item.target].intersection(item.ports)
    )


def ordered(names: Iterable[str]) -> tuple[str, ...]:
    """Return components in the order of the table."""
    return tuple(sorted(names, key=COMPONENTS.index))


def svg(matrix: Matrix) -> str:
    """Draw the matrix: a row for each caller, a column for each target, in each cell the open ports of all."""
    width = _LEFT + _CELL * len(matrix.names) + 10
    height = _TOP + _CELL * len(matrix.names) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for number, name in enumerate(matrix.names):
        middle = number * _CELL + _CELL / 2
        parts.append(f'<text x="{_LEFT - 8}" y="{_TOP + middle + 4:g}" text-anchor="end">{escape(name)}</text>')
        corner = f"{_LEFT + middle + 4:g} {_TOP - 8}"
        x, y = corner.split()
        parts.append(f'<text x="{x}" y="{y}" transform="rotate(-50 {corner})">{escape(name)}</text>')
    for row, caller in enumerate(matrix.names):
        for column, target in enumerate(matrix.names):
            parts += _cell(matrix, caller, target, _LEFT + column * _CELL, _TOP + row * _CELL)
    parts.append(
        f'<text x="8" y="{height - 10}">row: who connects; column: to whom; '
        "number: a port of the target that it reaches; grey: none; red: other than declared</text>"
    )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _cell(matrix: Matrix, caller: str, target: str, x: int, y: int) -> list[str]:
    reached = sorted(port for one, other, port in matrix.measured if (one, other) == (caller, target))
    expected = sorted(port for one, other, port in matrix.declared if (one, other) == (caller, target))
    state = "wrong" if reached != expected else "open" if reached else "own" if caller == target else "closed"
    rectangle = f'<rect x="{x + 1}" y="{y + 1}" width="{_CELL - 2}" height="{_CELL - 2}" fill="{_COLOURS[state]}"/>'
    if state in ("closed", "own"):
        return [rectangle]
    texts = [
        f'<text x="{x + _CELL / 2:g}" y="{y + 14 + 11 * line}" text-anchor="middle" font-size="10" fill="#ffffff">'
        f"{port}</text>"
        for line, port in enumerate(reached[:3])
    ]
    return [rectangle, *texts]
