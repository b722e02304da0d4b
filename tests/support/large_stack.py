"""A stack with all that has several pods, or peers that know each other."""

from typing import Any, Final

_BUCKET: Final = {"s3": {"bucket": "abc", "endpoint": "s3.example.com"}}
LARGE: Final[dict[str, Any]] = {
    "traces": {"objectStorage": _BUCKET, "distributed": {}},
    "logs": {"replicas": 3, "objectStorage": _BUCKET},
    "alerting": {"replicas": 2},
    "kafka": {"brokers": 3},
    "collector": {"sampling": {"ratio": 0.5}},
}
"""Sections of its settings."""
