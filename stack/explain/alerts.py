"""The order of the active alerts: what began now comes before what an earlier fault may have left."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from stack.explain.change import seconds_of

NEW_SECONDS: Final = 180.0
"""An alert whose condition began to hold within this time is new."""
_SEVERITIES: Final = {"page": 0, "ticket": 1}


def by_start(
    alerts: Iterable[Mapping[str, Any]], now: float
) -> tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]:
    """Return the alerts that are new, and the older ones; each by urgency."""
    in_order = by_urgency(alerts)
    new = [alert for alert in in_order if now - start_of(alert) <= NEW_SECONDS]
    return new, [alert for alert in in_order if alert not in new]


def start_of(alert: Mapping[str, Any]) -> float:
    """Return the time at which the condition began to hold, in s since the epoch."""
    return seconds_of(alert["activeAt"][:19] + "Z")


def by_urgency(alerts: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Sort active alerts: pages first, firing ones before pending ones, and of equal ones that which began first.

    Alerts on an objective come last of their severity: they look back for hours, and so fire for faults that ended.
    """

    def urgency(alert: Mapping[str, Any]) -> tuple[int, bool, bool, str]:
        labels = alert["labels"]
        severity = _SEVERITIES.get(labels.get("severity", ""), len(_SEVERITIES))
        return (severity, "slo" in labels, alert["state"] != "firing", alert["activeAt"])

    return sorted((alert for alert in alerts if alert["labels"].get("severity") != "none"), key=urgency)
