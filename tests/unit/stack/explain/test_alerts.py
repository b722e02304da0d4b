"""The order of active alerts."""

from typing import Any

from stack.explain.alerts import by_start, by_urgency
from tests.support.assistant import NOW


def _alert(name: str, severity: str, state: str, minute: int, **labels: str) -> dict[str, Any]:
    labels = {"alertname": name, "severity": severity, **labels}
    return {"labels": labels, "state": state, "activeAt": f"2027-01-15T07:{minute}:00.123456789Z"}


def test_the_order_is_severity_cause_state_and_time() -> None:
    alerts = [
        _alert("OldTicket", "ticket", "firing", 10),
        _alert("Burn", "page", "firing", 11, slo="requests"),
        _alert("Pending", "page", "pending", 12),
        _alert("Later", "page", "firing", 15),
        _alert("Earlier", "page", "firing", 14),
    ]
    names = [alert["labels"]["alertname"] for alert in by_urgency(alerts)]
    assert names == ["Earlier", "Later", "Pending", "Burn", "OldTicket"]


def test_what_began_within_three_minutes_is_apart_and_has_causes_before_objectives() -> None:
    alerts = [
        _alert("StalePage", "page", "firing", 50),
        _alert("NewBurn", "ticket", "firing", 58, slo="requests"),
        _alert("NewCause", "ticket", "pending", 59),
        _alert("Watchdog", "none", "firing", 59),
    ]
    new, older = by_start(alerts, NOW)
    assert [alert["labels"]["alertname"] for alert in new] == ["NewCause", "NewBurn"]
    assert [alert["labels"]["alertname"] for alert in older] == ["StalePage"]
