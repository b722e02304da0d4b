"""The SDK's form of a span, for exporters that are written for the SDK."""

from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import Link, Status
from opentelemetry.util.types import Attributes

from lean_tracing.redaction import Redactor
from lean_tracing.span import RecordedSpan

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan


def to_readable_span(span: RecordedSpan, resource: Resource, redactor: Redactor | None = None) -> "ReadableSpan":
    """The SDK's form of an ended span, redacted and cut as in OTLP.

    Args:
        span: an ended one.
        resource: that of the process.
        redactor: without one the hashes of this span agree with no others.
    """
    # Imported late: the SDK reads its own variables when it is imported, and fails on a wrong one before
    # `TracingSettings` can name it.
    from opentelemetry.sdk.trace import Event as ReadableEvent
    from opentelemetry.sdk.trace import ReadableSpan

    redactor = redactor or Redactor()

    def redact(attributes: Attributes) -> dict[str, Any]:
        length = span.limits.value_length
        return {redactor.text(key): redactor.named(key, value, length) for key, value in (attributes or {}).items()}

    events = [
        ReadableEvent(redactor.text(event.name), redact(event.attributes), event.timestamp) for event in span.events
    ]
    links = tuple(Link(link.context, redact(link.attributes)) for link in span.links)
    status = span.status
    if status.description:
        status = Status(status.status_code, redactor.text(status.description))
    values: dict[str, Any] = {"attributes": redact(span.attributes), "events": events, "links": links}
    return ReadableSpan(
        name=redactor.text(span.name),
        context=span.context,
        parent=span.parent,
        resource=resource,
        kind=span.kind,
        status=status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
        **values,
    )
