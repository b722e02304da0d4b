"""Spans in OTLP's JSON, whose ids are hexadecimal, as a request for a receiver of gRPC."""

import base64
import copy
from typing import Any

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


def encode(resources: list[dict[str, Any]], trace_id: str) -> bytes:
    """Return the export request of `resourceSpans`; all of their spans become those of one trace."""
    resources = copy.deepcopy(resources)
    for resource in resources:
        for span in resource["scopeSpans"][0]["spans"]:
            ids = {"traceId": trace_id, "spanId": span["spanId"], "parentSpanId": span.get("parentSpanId", "")}
            # The mapping of protobuf has bytes in base64.
            span |= {key: base64.b64encode(bytes.fromhex(value)).decode() for key, value in ids.items()}
    return bytes(ParseDict({"resourceSpans": resources}, ExportTraceServiceRequest()).SerializeToString())
