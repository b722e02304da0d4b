"""The spans that the checks send themselves, in OTLP's JSON.

https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import httpx

from contracts.http import KEEP_KEY
from stack.probe.request import Send

INTERNAL: Final = 1
SERVER: Final = 2
CLIENT: Final = 3

_PATH: Final = "/v1/traces"
_ERROR: Final = 2
_SEND_SECONDS: Final = 5.0


def span(
    trace_id: str,
    span_id: str,
    name: str,
    kind: int,
    *,
    started: int,
    ended: int,
    attributes: Mapping[str, str],
    parent_id: str = "",
    error: str = "",
) -> dict[str, Any]:
    """Return a span that the samplers keep.

    Args:
        trace_id: in hex.
        span_id: in hex.
        name: of the operation.
        kind: INTERNAL, SERVER or CLIENT.
        started: in ns since the epoch.
        ended: in ns since the epoch.
        attributes: of the span.
        parent_id: in hex; empty for a root.
        error: why the operation failed; empty if it did not.
    """
    return {
        "traceId": trace_id,
        "spanId": span_id,
        **({"parentSpanId": parent_id} if parent_id else {}),
        "traceState": f"{KEEP_KEY}=1",
        "flags": 1,
        "name": name,
        "kind": kind,
        "startTimeUnixNano": str(started),
        "endTimeUnixNano": str(ended),
        "attributes": _attributes(attributes),
        **({"status": {"code": _ERROR, "message": error}} if error else {}),
    }


def export_request(service: str, spans: Sequence[Mapping[str, Any]], **resource: str) -> dict[str, Any]:
    """Return the export request of a service's spans.

    Args:
        service: `service.name` of its resource, and name of its scope.
        spans: as `span` returns them.
        resource: further attributes of the resource.
    """
    attributes = _attributes({"service.name": service, **resource})
    scope_spans = [{"scope": {"name": service}, "spans": list(spans)}]
    return {"resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": scope_spans}]}


def send(url: str, token: str, request: Mapping[str, Any], post: Send = httpx.post) -> httpx.Response:
    """Sends an export request to a Collector.

    Args:
        url: of its receiver of OTLP over HTTP.
        token: that it requires.
        request: as `export_request` returns it.
        post: sends it.

    Raises:
        httpx.HTTPError: the Collector does not accept it.
    """
    headers = {"Authorization": f"Bearer {token}"}
    return post(f"{url}{_PATH}", json=request, headers=headers, timeout=_SEND_SECONDS).raise_for_status()


def _attributes(values: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]
