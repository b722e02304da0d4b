"""HTTP clients: one span a request sent, the context with it, and nothing secret in it."""

import asyncio
from typing import Any

import httpx
import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from lean_tracing import TracingSettings, start_tracing
from lean_tracing.httpx import AsyncTracingTransport, TracingTransport
from lean_tracing.testing import Recorder


def _attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


class Peer:
    """Answers by path, and keeps the headers that it received."""

    def __init__(self) -> None:
        self.received: list[httpx.Headers] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.received.append(httpx.Headers(request.headers))
        match request.url.path:
            case "/unavailable":
                raise httpx.ConnectError("refused by ada@example.com", request=request)
            case "/moved":
                return httpx.Response(302, headers={"location": "http://elsewhere.example/page"})
            case "/missing":
                return httpx.Response(404)
        return httpx.Response(200, extensions={"http_version": b"HTTP/1.1"})


def test_client_span_carries_the_context_and_hides_secrets(recorder: Recorder) -> None:
    peer = Peer()
    with httpx.Client(transport=TracingTransport(recorder.traces, httpx.MockTransport(peer))) as client:
        client.get("http://user:pass@site.example:81/page?token=hunter2")
        client.get("http://site.example/missing")
        with pytest.raises(httpx.ConnectError):
            client.get("http://site.example/unavailable")
    good, missing, unavailable = recorder.spans()
    assert (good.name, good.kind) == ("GET", SpanKind.CLIENT)
    assert trace.format_span_id(good.context.span_id) in peer.received[0]["traceparent"]
    assert _attributes(good)["server.port"] == 81
    assert _attributes(good)["network.protocol.version"] == "1.1"
    assert (missing.status.status_code, unavailable.status.status_code) == (StatusCode.ERROR, StatusCode.ERROR)
    assert (_attributes(missing)["error.type"], _attributes(unavailable)["error.type"]) == ("404", "httpx.ConnectError")
    for span in (good, unavailable):
        for secret in ("hunter2", "user:pass", "ada@example.com"):
            assert secret not in span.to_json()


def test_each_redirect_is_a_request_of_its_own_and_counted(recorder: Recorder) -> None:
    peer = Peer()
    transport = TracingTransport(recorder.traces, httpx.MockTransport(peer))
    with httpx.Client(transport=transport, follow_redirects=True) as client:
        client.get("http://site.example/moved")
        client.get("http://site.example/page")
    spans = recorder.spans()
    assert [_attributes(span).get("http.request.resend_count") for span in spans] == [None, 1, None]
    for span, headers in zip(spans, peer.received, strict=True):
        assert trace.format_span_id(span.context.span_id) in headers["traceparent"]


def test_untrusted_peers_get_ids_only(recorder: Recorder) -> None:
    peer = Peer()
    transport = TracingTransport(recorder.traces, httpx.MockTransport(peer), trusted=False)
    token = otel_context.attach(baggage.set_baggage("user", "ada"))
    with httpx.Client(transport=transport) as client:
        client.get("http://site.example/page")
    otel_context.detach(token)
    assert "traceparent" in peer.received[0]
    assert "baggage" not in peer.received[0]


def test_an_invented_method_makes_no_new_name(recorder: Recorder) -> None:
    with httpx.Client(transport=TracingTransport(recorder.traces, httpx.MockTransport(Peer()))) as client:
        client.request("BREW", "http://site.example/page")
    assert _attributes(recorder.one("HTTP"))["http.request.method_original"] == "BREW"


def test_asynchronous_client(recorder: Recorder) -> None:
    async def work() -> None:
        transport = AsyncTracingTransport(recorder.traces, httpx.MockTransport(Peer()))
        async with httpx.AsyncClient(transport=transport) as client:
            await client.get("http://site.example/page")
            with pytest.raises(httpx.ConnectError):
                await client.get("http://site.example/unavailable")

    asyncio.run(work())
    assert [span.status.status_code for span in recorder.spans()] == [StatusCode.UNSET, StatusCode.ERROR]


def test_disabled_tracing_sends_no_context_of_its_own() -> None:
    tracing = start_tracing(TracingSettings(enabled=False))
    peer = Peer()
    with httpx.Client(transport=TracingTransport(tracing.traces, httpx.MockTransport(peer))) as client:
        client.get("http://site.example/page")
    assert "traceparent" not in peer.received[0]
    tracing.shutdown()
