"""Numbers as Grafana writes them, for the units that the dashboards use."""

import math
import time
from collections.abc import Sequence
from typing import Final

_SECONDS: Final = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_SHORT: Final = ((1e12, " T"), (1e9, " Bil"), (1e6, " Mil"), (1e3, " K"), (1.0, ""))
_BYTES: Final = ((2.0**40, " TiB"), (2.0**30, " GiB"), (2.0**20, " MiB"), (2.0**10, " KiB"), (1.0, " B"))

UNITS: Final = frozenset({"s", "ms", "percentunit", "short", "bytes", "dateTimeFromNow"})
COUNT: Final = "count:"
"""Begins a unit that is the word after it: `count:tasks/s`."""


def formatted(value: float, unit: str, decimals: int | None = None) -> str:
    """`0.25` of `percentunit` is `25%`.

    Raises:
        ValueError: the unit is not one of `UNITS`.
    """
    if math.isnan(value):
        return "no number"
    if unit.startswith(COUNT):
        return f"{_scaled(value, _SHORT, decimals, '')} {unit.removeprefix(COUNT)}"
    match unit:
        case "s":
            return _scaled(value, _SECONDS, decimals, " ")
        case "ms":
            return _scaled(value / 1000, _SECONDS, decimals, " ")
        case "percentunit":
            return f"{_digits(value * 100, decimals)}%"
        case "dateTimeFromNow":
            return f"{_scaled(time.time() - value / 1000, _SECONDS, 0, ' ')} ago"
        case "short":
            return _scaled(value, _SHORT, decimals, "")
        case "bytes":
            return _scaled(value, _BYTES, decimals, "")
        case _:
            raise ValueError(f"unit {unit!r} is not one of {', '.join(sorted(UNITS))}")


def _scaled(value: float, steps: Sequence[tuple[float, str]], decimals: int | None, gap: str) -> str:
    size = abs(value)
    factor, name = next((step for step in steps if size >= step[0]), steps[-1])
    if size == 0:
        factor, name = next(step for step in steps if step[0] == 1.0)
    return f"{_digits(value / factor, decimals)}{gap}{name}"


def _digits(value: float, decimals: int | None) -> str:
    """Three significant digits, unless `decimals` is set."""
    if decimals is not None:
        return f"{value:.{decimals}f}"
    if value == int(value) or abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:.3g}"
