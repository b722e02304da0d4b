"""A real Grafana queries a trace store that the stack did not build, with its headers and the secret."""

from pathlib import Path

import httpx
import pytest

from checks.dashboards import own_grafana
from checks.dashboards.own_grafana import Provisioning
from contracts import endpoints
from dashboards.datasources import datasources
from stack.components.shared.external_store import ExternalStore
from stack.components.shared.store import query_access
from stack.components.trace_store.settings import CREDENTIALS
from tests.support.tls_store import tls_store


def test_grafana_sends_the_headers_and_the_secret(tmp_path: Path) -> None:
    home = own_grafana.installed()
    if home is None:
        pytest.skip("no grafana on PATH")
    with tls_store(tmp_path) as store:
        settings = ExternalStore(
            otlp_url=store.url,
            query_url=store.url,
            ca=store.ca,
            headers={"X-Scope-OrgID": "tracing"},
            authorize_queries=True,
        )
        document = datasources(
            backend="tempo",
            traces_url=settings.query_url,
            prometheus_url="http://127.0.0.1:9",
            loki_url=None,
            access={endpoints.TRACES_UID: query_access(settings, CREDENTIALS.query).grafana()},
        )
        provisioning = Provisioning(datasources=document, dashboards={}, runbooks={})
        environment = {"TRACES_QUERY_AUTHORIZATION": "Bearer token"}
        with own_grafana.running(home, provisioning, environment) as (url, password):
            address = f"{url}/api/datasources/proxy/uid/{endpoints.TRACES_UID}/api/search"
            answer = httpx.get(address, auth=("admin", password), timeout=30)
        assert answer.json() == {"traces": []}
        assert store.headers[-1]["authorization"] == "Bearer token"
        assert store.headers[-1]["x-scope-orgid"] == "tracing"
