"""The pauses between the probes of a stage."""

import pytest

from stack.rollout.analysis import probe_pauses


@pytest.mark.parametrize(
    ("soak_seconds", "largest_rate", "pauses"),
    [
        (300, 5, (10, 1)),
        (10, 5, (1, 1)),
        (604_800, 5, (30, 1)),
        (300, 0.2, (10, 5)),
        (300, 0.001, (10, 10)),
    ],
)
def test_probes_of_a_hurry_are_not_faster_than_the_largest_rate(
    soak_seconds: float, largest_rate: float, pauses: tuple[float, float]
) -> None:
    assert probe_pauses(soak_seconds, largest_rate) == pauses
