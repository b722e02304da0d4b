"""Tracing for any Python service: OpenTelemetry's API, W3C context in HTTP and Kafka, personal data redacted.

Example::

    tracing = start_tracing(TracingSettings.from_env())
    app = TracingMiddleware(app, tracing.traces)
    with tracing.traces.span("price order", attributes={"order.id": order_id}):
        ...
    pool = ContextExecutor(ThreadPoolExecutor())  # threads continue the trace as well
    tracing.shutdown()
"""

from service.tracing.environment import SettingsError
from service.tracing.propagation import Propagator
from service.tracing.redaction import Redactor
from service.tracing.settings import TracingSettings
from service.tracing.setup import Tracing, start_tracing
from service.tracing.spans import TraceManager
from service.tracing.threads import ContextExecutor, carry

__all__ = [
    "ContextExecutor",
    "Propagator",
    "Redactor",
    "SettingsError",
    "TraceManager",
    "Tracing",
    "TracingSettings",
    "carry",
    "start_tracing",
]
