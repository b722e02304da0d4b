"""Settings with every kind of receiver."""

from stack.components.alertmanager.settings import Alerting

EVERYTHING = Alerting.model_validate(
    {
        "page": {"webhook": True, "slack": True, "pagerduty": True, "email": ["oncall@example.com", "b@example.com"]},
        "ticket": {"webhook": True, "slack": True, "pagerduty": True, "email": ["team@example.com"]},
        "heartbeatMinutes": 5,
        "smtp": {"host": "smtp.example.com:587", "sender": "alerts@example.com", "username": "alerts"},
        "pagerdutyRegion": "eu",
    }
)
