"""Tracing for any Python service: OpenTelemetry underneath, W3C context across HTTP and Kafka, personal data masked.

Typical use::

    tracing = start_tracing(load_settings())
    app = TracingMiddleware(app, tracing.traces)
    with tracing.traces.span("price order", attributes={"order.id": order_id}):
        ...
    tracing.shutdown()
"""

from service.tracing.config import SettingsError, TracingSettings, from_environment
from service.tracing.masking import Masker
from service.tracing.setup import Tracing, start_tracing
from service.tracing.spans import TraceManager

__all__ = [
    "Masker",
    "SettingsError",
    "TraceManager",
    "Tracing",
    "TracingSettings",
    "from_environment",
    "start_tracing",
]
