"""Draws the evidence of a rollout over time, as SVG: one panel for each check."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from stack.rollout.gate import Evidence

_WIDTH, _HEIGHT, _COLUMNS = 420, 170, 2
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 30, 24
_LOWEST, _HIGHEST = -3.0, 6.0
"""Powers of ten; evidence beyond them is drawn at the edge."""
_WORSE, _WITHIN = "#c4162a", "#37872d"
_LEGEND: Final = ((_WORSE, "that it is worse"), (_WITHIN, "that it is within the margin"))


@dataclass(frozen=True, kw_only=True)
class Point:
    """The evidence at one look."""

    seconds: float
    """Since the rollout's first look."""
    evidence: Evidence


def draw(curves: Mapping[str, Sequence[Point]], stages: Sequence[float]) -> str:
    """Returns the picture.

    Args:
        curves: check → its evidence, look after look.
        stages: the times at which stages began, in s since the rollout's first look.
    """
    longest = max((points[-1].seconds for points in curves.values() if points), default=1.0)
    rows = -(-len(curves) // _COLUMNS)
    width, height = _COLUMNS * _WIDTH, rows * _HEIGHT + 24
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        ' font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for index, (check, points) in enumerate(curves.items()):
        row, column = divmod(index, _COLUMNS)
        panel = _panel(check, points, stages, max(longest, 1.0))
        lines.append(f'<g transform="translate({column * _WIDTH},{row * _HEIGHT})">{panel}</g>')
    for index, (color, label) in enumerate(_LEGEND):
        lines.append(f'<text x="{_LEFT + index * 150}" y="{height - 8}" fill="{color}">evidence {label}</text>')
    lines.append(
        f'<text x="{_LEFT + 380}" y="{height - 8}" fill="#555">dashed: decides; upright: a stage begins</text></svg>'
    )
    return "\n".join(lines)


def _panel(check: str, points: Sequence[Point], stages: Sequence[float], longest: float) -> str:
    def x(seconds: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * seconds / longest

    def y(power: float) -> float:
        share = (min(max(power, _LOWEST), _HIGHEST) - _LOWEST) / (_HIGHEST - _LOWEST)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    parts = [f'<text x="{_LEFT}" y="18" font-weight="bold">{escape(check)}</text>']
    for power in range(int(_LOWEST), int(_HIGHEST) + 1, 3):
        label = f"{10**power:,}" if power >= 0 else f"1/{10**-power:,}"
        parts.append(f'<path d="M{_LEFT} {y(power):.1f}H{right}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 4}" y="{y(power) + 4:.1f}" text-anchor="end" font-size="9">{label}</text>')
    parts += [f'<path d="M{x(start):.1f} {_TOP}V{bottom}" stroke="#999"/>' for start in stages if start <= longest]
    parts += [
        f'<text x="{x(seconds):.1f}" y="{_HEIGHT - 10}" text-anchor="middle" font-size="9">{seconds:.0f} s</text>'
        for seconds in (0.0, longest / 2, longest)
    ]
    if points:
        last = points[-1].evidence
        for color, bound in ((_WORSE, last.worse_bound), (_WITHIN, last.within_bound)):
            parts.append(f'<path d="M{_LEFT} {y(bound):.1f}H{right}" stroke="{color}" stroke-dasharray="4 3"/>')
        for color, powers in (
            (_WORSE, [point.evidence.worse for point in points]),
            (_WITHIN, [point.evidence.within for point in points]),
        ):
            line = " ".join(
                f"{x(point.seconds):.1f},{y(power):.1f}" for point, power in zip(points, powers, strict=True)
            )
            parts.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="1.5"/>')
    return "".join(parts)
