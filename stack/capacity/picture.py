"""Draws how queues fill and empty, as SVG: one panel for each place, over the same time."""

from collections.abc import Callable, Sequence
from typing import Final
from xml.sax.saxutils import escape

from stack.capacity.figures import in_full
from stack.capacity.simulation import Depths, Result, Simulated

_WIDTH, _HEIGHT = 760, 120
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 26, 20
_LABEL: Final = 64
"""Width of the last label of the time, and half of the one of the outage; they would cover each other."""
_POINTS: Final = 380
"""Points of a curve, at most."""
_PLACES: Final[Sequence[tuple[str, Callable[[Depths], float]]]] = (
    ("at the senders", lambda item: item.senders),
    ("in the Collectors' queues", lambda item: item.collectors),
    ("in Kafka", lambda item: item.kafka),
    ("in Kafka's fullest partition", lambda item: item.hottest),
    ("in the samplers' queues", lambda item: item.samplers),
)


def picture_of(simulated: Simulated) -> str:
    """Return the picture of a simulation."""
    rate, cells = simulated.load.traces_per_second, simulated.cells
    title = f"{in_full(rate)} traces/s in {in_cells(cells)}{': one of them' if cells > 1 else ''}"
    return draw(simulated.result, simulated.outage_seconds, title)


def draw(result: Result, outage_seconds: float, title: str) -> str:
    """Return the picture; the time of the outage is grey.

    Args:
        result: of a simulation.
        outage_seconds: its outage, which begins at 0.
        title: of the picture.
    """
    height = len(_PLACES) * _HEIGHT + 44
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
        ' font-family="sans-serif" font-size="11">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="20" font-size="13" font-weight="bold">{escape(title)}</text>',
    ]
    for row, (name, depth) in enumerate(_PLACES):
        panel = _panel(name, [depth(item) for item in result.depths], outage_seconds)
        lines.append(f'<g transform="translate(0,{28 + row * _HEIGHT})">{panel}</g>')
    return "\n".join([*lines, "</svg>", ""])


def _panel(name: str, depths: Sequence[float], outage_seconds: float) -> str:
    most, seconds = max(depths), len(depths)
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def x(second: float) -> float:
        return _LEFT + (right - _LEFT) * second / seconds

    def y(depth: float) -> float:
        return bottom - (bottom - _TOP) * depth / max(most, 1.0)

    middle = min(x(outage_seconds), right - _LABEL)
    every = max(1, seconds // _POINTS)
    curve = " ".join(f"{x(second):.1f},{y(depths[second]):.1f}" for second in range(0, seconds, every))
    return "".join(
        [
            f'<rect x="{_LEFT}" y="{_TOP}" width="{x(outage_seconds) - _LEFT:.1f}" height="{bottom - _TOP}"'
            ' fill="#f1f3f5"/>',
            f'<text x="{_LEFT}" y="{_TOP - 6}">spans {escape(name)}</text>',
            f'<text x="{_LEFT - 6}" y="{_TOP + 8}" text-anchor="end">{in_units(most)}</text>',
            f'<path d="M{_LEFT} {bottom}H{right}" stroke="#999"/>',
            f'<polyline points="{curve}" fill="none" stroke="#1f60c4" stroke-width="1.5"/>',
            f'<text x="{middle:.1f}" y="{bottom + 14}" text-anchor="middle">{outage_seconds:,.0f} s</text>',
            f'<text x="{right}" y="{bottom + 14}" text-anchor="end">{seconds:,} s</text>',
        ]
    )


def in_cells(count: int) -> str:
    """Return a number of cells: 1 cell, 194 cells."""
    return "1 cell" if count == 1 else f"{count:,} cells"


def in_units(spans: float) -> str:
    """Return a number of spans: 950, 2.9 k, 480 M, 51.2 G."""
    for factor, unit in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if spans >= factor:
            return f"{spans / factor:.3g}{unit}"
    return f"{spans:.0f}"
