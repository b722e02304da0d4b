"""How the program of a Collector uses its memory."""

from typing import Final

from contracts.section import Quantity, quantity_bytes

_SHARE: Final = 0.55
"""Less than the share of the memory above which the memory limiter refuses data: garbage alone makes it refuse none."""
_GROWTH: Final = 300
"""Percent by which the heap grows before it is collected. With Go's default of 100, the garbage collector takes a
quarter of a Collector's CPU time, because little of what a Collector allocates is in use for long."""


def garbage_collection(memory: Quantity) -> dict[str, str]:
    """Return the environment variables for Go's garbage collector in a Collector with the limit `memory`."""
    return {"GOGC": str(_GROWTH), "GOMEMLIMIT": f"{int(quantity_bytes(memory) * _SHARE) // 2**20}MiB"}
