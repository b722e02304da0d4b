"""The faults of a full run, and their order."""

import random
from typing import Final

from checks.chaos.run import Step

_OTHERS: Final = (
    Step(fault="rolling-restart"),
    Step(fault="kill-store"),
    Step(fault="cut-from-store", seconds=30),
    Step(fault="kill-store"),
    Step(fault="disk-full", seconds=30),
    Step(fault="cut-from-senders", seconds=30),
    Step(fault="kill-store"),
)


def full(seed: int, *, kills: int, unavailable_seconds: float) -> list[Step]:
    """All faults, in an order that follows from the seed; the long outage of the store comes near the end."""
    others = list(_OTHERS)
    random.Random(seed).shuffle(others)
    steps: list[Step] = []
    for index in range(kills):
        steps.append(Step(fault="kill-collector"))
        if index % 2 and others:
            steps.append(others.pop())
    position = max(0, len(steps) - 4)
    return [*steps[:position], *others, Step(fault="store-unavailable", seconds=unavailable_seconds), *steps[position:]]
