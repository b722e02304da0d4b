"""Numbers as people read them."""

import math

import pytest

from checks.dashboards.units import formatted


@pytest.mark.parametrize(
    ("value", "unit", "decimals", "expected"),
    [
        (0.25, "percentunit", None, "25%"),
        (0.99912, "percentunit", 2, "99.91%"),
        (0.0042, "s", None, "4.2 ms"),
        (90, "s", None, "1.5 min"),
        (7200, "s", None, "2 h"),
        (0, "s", None, "0 s"),
        (1500, "ms", None, "1.5 s"),
        (0.25, "ms", None, "250 µs"),
        (12.345, "count:tasks/s", None, "12.3 tasks/s"),
        (1234, "short", None, "1.23 K"),
        (2_500_000, "short", None, "2.5 Mil"),
        (0.005, "short", None, "0.005"),
        (512 * 2**20, "bytes", None, "512 MiB"),
        (-3, "short", None, "-3"),
        (math.nan, "s", None, "no number"),
    ],
)
def test_numbers_have_their_unit(value: float, unit: str, decimals: int | None, expected: str) -> None:
    assert formatted(value, unit, decimals) == expected


def test_an_unknown_unit_is_an_error() -> None:
    with pytest.raises(ValueError, match="parsecs"):
        formatted(1, "parsecs")
