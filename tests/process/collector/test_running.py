"""The real Collector: authentication, span metrics, and the durability of acknowledged spans."""

import re
import threading

import grpc
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from checks.chaos.requests import A_REQUEST, Requests
from checks.harness.collector import TOKEN, CollectorProcess
from checks.harness.http import CLIENT
from checks.harness.receiver import Receiver, refuse
from collector.pipeline import TOKEN_FILE
from contracts import endpoints
from lean_tracing.otlp_exporter import TRACES
from stack.polling import poll_until

REQUESTS = Requests("collector")
RETRYABLE = {"CANCELLED", "DEADLINE_EXCEEDED", "UNAVAILABLE"}


def ids(store: Receiver) -> list[str]:
    """Return the span ids in the store, in lower-case hex."""
    return [span.span_id.hex() for span in store.spans()]


def expected(*numbers: int) -> list[str]:
    """Return the span ids of these requests."""
    return [span for number in numbers for spans in REQUESTS.traces(number).values() for span in spans]


def test_requests_without_the_token_are_refused(collector: CollectorProcess, store: Receiver) -> None:
    payload = REQUESTS.encode(1)
    for token in ("wrong", TOKEN[:-1]):
        with pytest.raises(grpc.RpcError) as refused:
            collector.send(payload, token=token)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        answer = CLIENT.post(
            f"{collector.http}/v1/traces",
            content=payload,
            headers={"content-type": "application/x-protobuf", "authorization": f"Bearer {token}"},
        )
        assert answer.status_code == httpx.codes.UNAUTHORIZED
    collector.send(payload)
    poll_until("the spans in the store", lambda: len(store.spans()) == A_REQUEST)


def test_a_token_is_replaced_without_a_restart_and_without_a_refusal(collector: CollectorProcess) -> None:
    def good(token: str) -> bool:
        try:
            collector.send(REQUESTS.encode(1), token=token)
        except grpc.RpcError:
            return False
        return True

    old = collector.token_file.read_text().strip()
    assert collector.token_file.name == TOKEN_FILE
    collector.token_file.write_text(f"{old}\nnew\n")
    poll_until("the new token to be accepted", lambda: good("new"), every=0.1)
    assert good(old)
    collector.token_file.write_text("new\n")
    poll_until("the old token to be refused", lambda: not good(old), every=0.1)
    assert good("new")


def test_every_span_is_counted_before_its_export(collector: CollectorProcess, store: Receiver) -> None:
    store.behave = refuse(grpc.StatusCode.UNAVAILABLE)

    def counted() -> str | None:
        calls = re.search(r"^traces_span_metrics_calls_total{([^}]*)} (\S+)", collector.span_metrics(), re.MULTILINE)
        return calls[1] if calls and float(calls[2]) == 3 * A_REQUEST else None

    def exemplars() -> set[str]:
        # An exemplar is visible from one flush to the next, so each look follows new spans.
        collector.send(REQUESTS.encode(0))
        return set(re.findall(r'# {[^}]*trace_id="([0-9a-f]{32})"', collector.span_metrics()))

    for number in range(3):
        collector.send(REQUESTS.encode(number))
    labels = poll_until("span metrics of all spans", counted)
    assert 'service_name="chaos"' in labels
    assert 'span_name="process chaos"' in labels
    assert poll_until("exemplars", exemplars) <= {trace for number in range(3) for trace in REQUESTS.traces(number)}


def test_ids_in_span_names_do_not_make_span_metrics_grow_without_bound(collector: CollectorProcess) -> None:
    request = ExportTraceServiceRequest.FromString(REQUESTS.encode(1))
    spans = request.resource_spans[0].scope_spans[0].spans
    for number in range(8000 // len(spans)):
        for index, span in enumerate(spans):
            span.name = f"GET /tasks/{number}-{index}"
        collector.send(request.SerializeToString())
    poll_until(
        "all spans to be accepted",
        lambda: collector.metric("otelcol_receiver_accepted_spans_total") == 8000,
    )

    def series() -> list[str]:
        return re.findall(r"^traces_span_metrics_calls_total{.*}", collector.span_metrics(), re.MULTILINE)

    poll_until("the series of the rest", lambda: any("overflow" in name for name in series()), every=0.2)
    assert len(series()) <= 5001


def test_spans_that_do_not_fit_are_refused_with_a_code_that_allows_a_retry(
    collector: CollectorProcess, store: Receiver
) -> None:
    store.behave = refuse(grpc.StatusCode.UNAVAILABLE)
    acknowledged: list[int] = []
    codes: list[grpc.StatusCode] = []

    def send(number: int) -> None:
        try:
            collector.send(REQUESTS.encode(number), timeout=2)
            acknowledged.append(number)
        except grpc.RpcError as error:
            codes.append(error.code())

    # 16,000 spans for a queue of 10,000, forty requests at a time.
    for first in range(0, 160, 40):
        threads = [threading.Thread(target=send, args=(number,)) for number in range(first, first + 40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    # A sender waits for free space until its timeout. All of these codes allow a retry.
    assert codes
    assert {code.name for code in codes} <= RETRYABLE
    assert 50 <= len(acknowledged) <= 150
    store.behave = lambda _: b""
    sent = set(expected(*acknowledged))
    poll_until("all acknowledged spans", lambda: sent <= set(ids(store)), every=0.2)


def test_acknowledged_spans_survive_a_kill_and_arrive_once(collector: CollectorProcess, store: Receiver) -> None:
    store.behave = refuse(grpc.StatusCode.UNAVAILABLE)
    for number in range(30):
        collector.send(REQUESTS.encode(number))
    for _ in range(2):
        collector.kill()
        collector.start()
    collector.send(REQUESTS.encode(30))
    store.behave = lambda _: b""
    sent = sorted(expected(*range(31)))
    poll_until("as many spans as were sent", lambda: len(ids(store)) >= len(sent), every=0.1)
    poll_until("an empty queue", lambda: collector.metric("otelcol_exporter_queue_size", data_type="traces") == 0)
    assert sorted(ids(store)) == sent


def test_a_request_that_the_store_refuses_for_good_does_not_hold_up_the_others(
    collector: CollectorProcess, store: Receiver
) -> None:
    store.behave = refuse(grpc.StatusCode.INVALID_ARGUMENT)
    collector.send(REQUESTS.encode(1))
    poll_until(
        "the failure to be counted",
        lambda: collector.metric("otelcol_exporter_send_failed_spans_total") == A_REQUEST,
    )
    store.behave = lambda _: b""
    collector.send(REQUESTS.encode(2))
    poll_until("the next request", lambda: sorted(ids(store)) == sorted(expected(2)))
    assert store.requests[TRACES]


def test_large_spans_that_waited_together_are_sent_apart(collector: CollectorProcess, store: Receiver) -> None:
    store.behave = refuse(grpc.StatusCode.UNAVAILABLE)
    sent = set()
    for number in range(4):
        request = ExportTraceServiceRequest()
        spans = request.resource_spans.add().scope_spans.add().spans
        for index in range(500):
            span = spans.add(trace_id=bytes([1 + number] * 16), span_id=(number * 500 + index + 1).to_bytes(8, "big"))
            span.attributes.add(key="text").value.string_value = "v" * 20_000
            sent.add(span.span_id.hex())
        collector.send(request.SerializeToString())
    store.behave = lambda _: b""
    poll_until("all spans", lambda: sent <= set(ids(store)), every=0.2)
    assert collector.metric("otelcol_exporter_send_failed_spans_total") == 0
    assert max(map(len, store.requests[TRACES])) <= endpoints.OTLP_BATCH_BYTES
