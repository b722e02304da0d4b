"""All faults, by name: `make detect` measures the time to their alerts, `make drill` lets an engineer find them."""

from collections.abc import Mapping

from checks.faults import dependencies, requests, telemetry
from checks.faults.model import Fault


def faults(store: str) -> Mapping[str, Fault]:
    """Name → fault.

    Args:
        store: the trace store's workload.
    """
    return {
        **requests.FAULTS,
        **dependencies.FAULTS,
        **telemetry.FAULTS,
        "store-down": telemetry.store_down(store),
    }
