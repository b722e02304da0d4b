"""Links to where traces are explored: they exist where their target does, and keep the time range and the services."""

import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from dashboards import overview, services
from stack.settings import load
from stack.settings.monitoring import monitoring_config
from tests.support.panels import CONFIG


def links_of(model: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {link["title"]: link for link in model["links"] if link["type"] == "link"}


@pytest.mark.parametrize(("dashboard", "chosen"), [(services.DASHBOARD, "${service:pipe}"), (overview.DASHBOARD, ".+")])
def test_failed_spans_open_in_explore_with_the_time_range_and_the_services(dashboard: Any, chosen: str) -> None:
    url = urlsplit(links_of(dashboard.model(CONFIG))["Failed spans"]["url"])
    (pane,) = json.loads(parse_qs(url.query)["panes"][0]).values()
    assert url.path == "/explore"
    assert pane["range"] == {"from": "${__from}", "to": "${__to}"}
    (target,) = pane["queries"]
    assert target["query"].startswith(f'{{ resource.service.name =~ "{chosen}" && status = error && (')
    assert "status_code = nil ||" in target["query"], "without those that only refuse a wrong request"


def test_grafana_finds_its_variables_in_the_url() -> None:
    """It replaces `${name}` before the browser decodes the URL."""
    for link in links_of(services.DASHBOARD.model(replace(CONFIG, drilldown=True))).values():
        assert "${service:pipe}" in link["url"], link["title"]
        assert link["keepTime"] or ("${__from}" in link["url"] and "${__to}" in link["url"]), link["title"]


def test_jaeger_has_no_metrics_from_traces() -> None:
    assert not links_of(services.DASHBOARD.model(replace(CONFIG, trace_backend="jaeger")))


def test_the_drilldown_app_is_linked_where_grafana_downloads_it() -> None:
    settings = load("dev")
    assert not monitoring_config(settings).drilldown, "Grafana downloads nothing by default"
    online = settings.model_copy(update={"grafana": settings.grafana.model_copy(update={"internet": True})})
    config = monitoring_config(online)
    assert config.drilldown is (config.trace_backend == "tempo")
    link = links_of(services.DASHBOARD.model(replace(CONFIG, drilldown=True)))["Traces Drilldown"]
    parameters = parse_qs(urlsplit(link["url"]).query)
    assert parameters["var-filters"] == ["resource.service.name|=~|${service:pipe}"]
    assert link["keepTime"]
