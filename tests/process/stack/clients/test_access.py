"""Clients of a store that the stack did not build send its headers and trust its authority: checks and probe."""

import json
from pathlib import Path

import httpx
import pytest

from stack.clients.access import Access
from stack.clients.traces import TraceStoreClient
from stack.probe.config import ProbeConfig
from tests.support.tls_store import tls_store

ENVIRONMENT = {
    "ENVIRONMENT": "test",
    "COLLECTOR_URL": "http://collector:4318",
    "OTLP_TOKEN": "t",
    "GATEWAY_URL": "http://gateway:8080",
    "PROMETHEUS_URL": "http://prometheus:9090",
    "TRACE_BACKEND": "tempo",
    "PROBE_INTERVAL_SECONDS": "60",
    "PROBE_VISIBLE_SECONDS": "60",
}


def test_the_probe_queries_with_headers_and_trusts_the_authority(tmp_path: Path) -> None:
    with tls_store(tmp_path) as store:
        config = ProbeConfig.from_env(
            {
                **ENVIRONMENT,
                "TRACES_URL": store.url,
                "TRACES_HEADERS": json.dumps({"X-Scope-OrgID": "tracing"}),
                "TRACES_AUTHORIZATION": "Bearer token",
                "TRACES_CA": store.ca,
            }
        )
        assert config.traces_access is not None
        assert config.loki_access is None
        with config.traces_access.client() as client:
            traces = TraceStoreClient("tempo", config.traces, client.get)
            assert traces.search({"query": "{}"}, start=0, end=1) == []
            assert traces.trace("a" * 32) == []
        assert len(store.headers) == 2
        for headers in store.headers:
            assert (headers["authorization"], headers["x-scope-orgid"]) == ("Bearer token", "tracing")


def test_another_authority_is_not_trusted(tmp_path: Path) -> None:
    with tls_store(tmp_path) as store, Access().client() as client, pytest.raises(httpx.ConnectError):
        client.get(store.url)


def test_the_stacks_own_store_needs_no_access() -> None:
    assert ProbeConfig.from_env({**ENVIRONMENT, "TRACES_URL": "http://tempo:3200"}).traces_access is None
