"""Sampling on the real cluster, from the Collectors through Kafka and two samplers to the store: whole traces."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import pytest

from checks.chaos.cluster import LocalCluster
from checks.chaos.deployment import with_settings
from contracts import endpoints, secret_keys
from lean_tracing.otlp_exporter import TRACES
from stack.clients.traces import TraceStoreClient
from stack.kubernetes.client import connect
from stack.kubernetes.objects import read_secret
from stack.polling import CheckFailure, poll_until
from stack.settings import load
from tests.support.sampled_traces import COUNT, RATIO, SPANS, assert_sampled, kind_of, missing, requests, trace_id

READERS = 4
"""Look-ups of traces at the same time."""


def spans_read(cluster: LocalCluster) -> float:
    """Return the number of spans that the samplers have read from Kafka."""
    total = 0.0
    for pod in cluster.ready(endpoints.SAMPLER):
        url = f"http://{pod.status.pod_ip}:{endpoints.COLLECTOR_TELEMETRY_PORT}/metrics"
        text = httpx.get(url, timeout=5).text
        total += sum(map(float, re.findall(r"^otelcol_receiver_accepted_spans_total{.*} (\S+)$", text, re.MULTILINE)))
    return total


@pytest.mark.nightly
def test_failed_slow_and_checked_traces_are_kept_whole_and_a_share_of_the_rest() -> None:
    run = time.time_ns()
    sampling = {"ratio": RATIO, "replicas": 2, "decisionWaitSeconds": 30}
    with with_settings("local", {"collector": {"sampling": sampling}}, lambda line: None) as settings:
        cluster = LocalCluster(settings)
        namespace = settings.cluster.namespace
        token = read_secret(connect(settings.cluster), namespace, secret_keys.SECRET)[secret_keys.OTLP_TOKEN]
        already = spans_read(cluster)
        with grpc.insecure_channel(f"{cluster.address(endpoints.COLLECTOR)}:{endpoints.OTLP_GRPC_PORT}") as channel:
            for request in requests(run):
                metadata = (("authorization", f"Bearer {token}"),)
                channel.unary_unary(TRACES)(request, timeout=10, metadata=metadata)
        poll_until("the samplers to read all spans", lambda: spans_read(cluster) >= already + COUNT * SPANS, seconds=60)
        # A sampler that is stopped decides on all that it has. It sends it then, or when it starts again.
        cluster.scale(endpoints.SAMPLER, 0)
        cluster.scale(endpoints.SAMPLER, 2)
        name, port = endpoints.TRACE_QUERY[settings.traces.backend]
        with httpx.Client() as client:
            store = TraceStoreClient(settings.traces.backend, f"http://{cluster.address(name)}:{port}", client.get)

            def look_up() -> dict[int, int]:
                """Returns the number of spans of each trace, once the store has the traces that are always kept."""
                with ThreadPoolExecutor(READERS) as pool:
                    spans = list(pool.map(lambda number: len(store.trace(trace_id(run, number).hex())), range(COUNT)))
                counts = dict(enumerate(spans))
                if lacking := missing(counts):
                    raise CheckFailure(f"{len(lacking)} traces are not whole, {kind_of(lacking[0])} first")
                return counts

            stored = poll_until("failed, slow and checked traces in the store", look_up, seconds=60, every=1)
    LocalCluster(load("local")).wait_ready(endpoints.COLLECTOR, 1)  # the stack is restored
    assert_sampled(stored)
