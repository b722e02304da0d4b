"""Tracing for any Python service: OpenTelemetry's API, W3C context in HTTP and Kafka, personal data redacted.

Example::

    tracing = start_tracing(TracingSettings.from_env())
    app = TracingMiddleware(app, tracing.traces)
    with tracing.traces.span("price order", attributes={"order.id": order_id}):
        ...
    pool = ContextExecutor(ThreadPoolExecutor())  # threads continue the trace as well
    tracing.shutdown()
"""

from lean_tracing.environment import SettingsError
from lean_tracing.own_attributes import OwnAttributes
from lean_tracing.propagation import Propagator
from lean_tracing.redaction import Redactor
from lean_tracing.settings import TracingSettings
from lean_tracing.shared_attributes import SharedAttributes
from lean_tracing.spans import TraceManager
from lean_tracing.start import Tracing, start_tracing
from lean_tracing.threads import ContextExecutor, carry

__all__ = [
    "ContextExecutor",
    "OwnAttributes",
    "Propagator",
    "Redactor",
    "SettingsError",
    "SharedAttributes",
    "TraceManager",
    "Tracing",
    "TracingSettings",
    "carry",
    "start_tracing",
]
