"""Long spans from the tracing library through the real Collector to a store: no span is lost for its length."""

from collections.abc import Iterator

import pytest

from checks.harness.collector import TOKEN, CollectorProcess
from checks.harness.receiver import Receiver, exhausted, receiving
from contracts import endpoints
from lean_tracing import TracingSettings
from stack.components.services.tracing import Tracing
from stack.polling import poll_until
from tests.support.exporting import account, make, numbers, start_towards

_TEXT = "lorem ipsum " * 1166  # 14 kB
_LONG = {"one": _TEXT, "two": _TEXT, "three": _TEXT}


@pytest.fixture
def store() -> Iterator[Receiver]:
    """A store that accepts at most the Collectors' largest batch."""
    with receiving(largest=endpoints.OTLP_BATCH_BYTES) as receiver:
        yield receiver


@pytest.mark.parametrize("most", [Tracing().max_request_bytes, endpoints.OTLP_MAX_MIB << 20])
def test_long_spans_arrive_with_all_batch_sizes(collector: CollectorProcess, store: Receiver, most: int) -> None:
    tracing = start_towards(
        store,
        endpoint=f"http://{collector.grpc}",
        headers={"authorization": f"Bearer {TOKEN}"},
        max_queue_size=50_000,
        max_batch_size=50_000,
        max_request_bytes=most,
        timeout_ms=60_000,
        delay_ms=60_000,
    )
    make(tracing, range(512), **_LONG)
    make(tracing, range(512, 518))
    make(tracing, range(518, 519), **{f"text {number}": _TEXT for number in range(100)})  # 1.4 MB
    try:
        assert tracing.flush(180)
        assert (account(tracing).exported, account(tracing).lost) == (519, 0)
        poll_until("all spans in the store", lambda: sorted(numbers(store)) == list(range(519)))
    finally:
        tracing.shutdown(1)


def test_the_librarys_limit_is_the_collectors() -> None:
    assert TracingSettings().max_request_bytes == Tracing().max_request_bytes <= 4 << 20
    most = min(item.le for item in Tracing.model_fields["max_request_bytes"].metadata if hasattr(item, "le"))
    assert most < endpoints.OTLP_BATCH_BYTES < endpoints.OTLP_MAX_MIB << 20


def test_a_store_without_room_is_given_the_rest(collector: CollectorProcess, store: Receiver) -> None:
    """After RESOURCE_EXHAUSTED with a delay, the Collector keeps its queue on disk and sends it later."""
    store.behave = exhausted(0.5)
    tracing = start_towards(
        store, endpoint=f"http://{collector.grpc}", headers={"authorization": f"Bearer {TOKEN}"}, delay_ms=60_000
    )
    try:
        make(tracing, range(10))
        assert tracing.flush(60)
        poll_until("a request at the store", lambda: store.asked >= 1)
        store.behave = lambda _context: b""
        poll_until("all spans in the store", lambda: sorted(numbers(store)) == list(range(10)))
    finally:
        tracing.shutdown(1)
