"""Which store answers for which datasource: Grafana's proxy if the check may query there, otherwise the store."""

from typing import Any

import httpx
import pytest

from checks.dashboards.connection import Clients, Login, password_login
from checks.dashboards.grafana import Grafana
from checks.dashboards.sources import LokiSource, PrometheusSource, TraceSource
from contracts import endpoints
from stack.settings import parse
from tests.support.configuration import config

UIDS = (endpoints.PROMETHEUS_UID, endpoints.TRACES_UID, endpoints.LOGS_UID)
YOURS = {"url": "https://grafana.example.com", "external": {"sidecar": {}, "prefix": "prod", "authorize": True}}


def clients(grafana: dict[str, Any], login: Login | None, *uids: str) -> Clients:
    settings = parse(config(grafana=grafana), "Pulumi.test.yaml")
    http = httpx.Client()
    return Clients(
        settings=settings,
        urls={uid: f"http://{uid}" for uid in uids},
        http=dict.fromkeys(uids, http),
        login=login,
        access={},
        variables={},
    )


@pytest.mark.parametrize(("grafana", "prefix"), [({}, ""), (YOURS, "prod-")])
def test_grafana_answers_for_metrics_and_logs_under_its_own_uids(grafana: dict[str, Any], prefix: str) -> None:
    sources = clients(grafana, Login(url="http://g", authorization="Bearer t"), *UIDS).sources()
    kinds = {uid: type(source) for uid, source in sources.items()}
    assert kinds == {f"{prefix}prometheus": Grafana, f"{prefix}logs": Grafana, f"{prefix}traces": TraceSource}


def test_without_a_login_the_stores_answer() -> None:
    sources = clients(YOURS, None, *UIDS).sources()
    kinds = {uid: type(source) for uid, source in sources.items()}
    assert kinds == {"prod-prometheus": PrometheusSource, "prod-logs": LokiSource, "prod-traces": TraceSource}


def test_a_stack_without_logs_has_no_source_of_lines() -> None:
    assert set(clients({}, None, *UIDS[:2]).sources()) == {"prometheus", "traces"}


def test_the_password_is_that_of_admin() -> None:
    request = httpx.Request("GET", "http://g")
    sent = next(httpx.BasicAuth("admin", "pä:ss").auth_flow(request))
    assert password_login("http://g", "pä:ss").authorization == sent.headers["Authorization"]
