"""The real Jaeger with the stack's configuration: what it acknowledged outlives a kill, and its age does not."""

import threading
import time
from functools import partial
from pathlib import Path

import grpc

from checks.chaos.requests import A_REQUEST, Requests
from checks.chaos.verify import verify
from checks.harness.collector import MissingProgram
from checks.harness.http import CLIENT
from checks.harness.jaeger import JaegerProcess
from lean_tracing.otlp_exporter import TRACES
from stack.polling import poll_until
from tests.support.programs import skipping

_SENDERS = 4


def test_what_was_acknowledged_is_there_after_kills(tmp_path: Path) -> None:
    with skipping("jaeger", MissingProgram):
        jaeger = JaegerProcess(tmp_path)
    requests = Requests("killed")
    acknowledged: list[int] = []
    refused: list[int] = []

    def send(sender: int, ending: threading.Event) -> None:
        with grpc.insecure_channel(jaeger.otlp) as channel:
            call = channel.unary_unary(TRACES)
            while not ending.is_set():
                number = sender + _SENDERS * len(sent[sender])
                sent[sender].append(number)
                try:
                    call(requests.encode(number), timeout=10)
                    acknowledged.append(number)
                except grpc.RpcError:
                    refused.append(number)
                    return

    def reached(count: int) -> bool:
        return len(acknowledged) >= count

    sent: list[list[int]] = [[] for _ in range(_SENDERS)]
    try:
        for _ in range(3):
            jaeger.start()
            enough, ending = len(acknowledged) + 20, threading.Event()
            threads = [threading.Thread(target=send, args=(index, ending)) for index in range(_SENDERS)]
            for thread in threads:
                thread.start()
            poll_until("acknowledged requests", partial(reached, enough), every=0.01)
            jaeger.kill()
            ending.set()
            for thread in threads:
                thread.join()
        jaeger.start()
        verdict = verify(requests, acknowledged, jaeger.store.trace)
    finally:
        jaeger.kill()
    assert refused, "no request was under way when Jaeger was killed"
    assert verdict.acknowledged == len(acknowledged) * A_REQUEST
    assert (verdict.lost, verdict.duplicates, verdict.foreign) == ([], 0, 0)


def test_a_span_sent_twice_is_stored_once_and_counted(tmp_path: Path) -> None:
    with skipping("jaeger", MissingProgram):
        jaeger = JaegerProcess(tmp_path)
    requests = Requests("twice")
    jaeger.start()
    try:
        payload = requests.encode(0)
        with grpc.insecure_channel(jaeger.otlp) as channel:
            for _ in range(2):
                channel.unary_unary(TRACES)(payload, timeout=10)
        verdict = verify(requests, [0], jaeger.store.trace)
        metrics = CLIENT.get(jaeger.metrics, timeout=5).text
    finally:
        jaeger.kill()
    assert (verdict.lost, verdict.duplicates) == ([], 0)
    stored = [line for line in metrics.splitlines() if line.startswith("otelcol_exporter_sent_spans_total{")]
    assert [float(line.rpartition(" ")[2]) for line in stored] == [2.0 * A_REQUEST]


def test_what_is_older_than_the_retention_is_gone(tmp_path: Path) -> None:
    with skipping("jaeger", MissingProgram):
        jaeger = JaegerProcess(tmp_path, retention="3s")
    requests = Requests("old")
    trace_id = next(iter(requests.traces(0)))
    jaeger.start()
    try:
        with grpc.insecure_channel(jaeger.otlp) as channel:
            channel.unary_unary(TRACES)(requests.encode(0), timeout=10)
        began = time.monotonic()
        assert jaeger.store.trace(trace_id)
        poll_until("the trace that is gone", lambda: not jaeger.store.trace(trace_id), every=0.2)
        assert time.monotonic() - began > 1.5
    finally:
        jaeger.kill()
