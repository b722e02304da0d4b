"""The dashboards of every stack are complete and linked, and their queries can be parsed."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from checks.dashboards.panels import Panel, panels
from checks.dashboards.substitute import Window, built_in, substitute
from checks.dashboards.units import COUNT, UNITS
from contracts import endpoints
from dashboards.catalog import dashboards, runbooks
from dashboards.config import MonitoringConfig
from dashboards.dashboard import RUNBOOK_TAG, TAG
from dashboards.datasources import datasources
from dashboards.rules import AlertRule, groups, rule_file
from stack.deploy.render import render
from stack.settings import load
from stack.settings.monitoring import monitoring_config
from tests.support.grammars import mistakes
from tests.support.prometheus_process import PrometheusProcess

STACKS: Final = ("local", "dev", "staging", "prod")
WINDOW: Final = Window(start=0, end=900, step=15)
ALL: Final = {"service": ".+"} | built_in(WINDOW, 15)


def config(stack: str) -> MonitoringConfig:
    return monitoring_config(load(stack))


@cache
def models(stack: str) -> dict[str, dict[str, Any]]:
    return dashboards(config(stack))


def all_panels(stack: str) -> list[Panel]:
    return [panel for model in models(stack).values() for panel in panels(model) if panel.type != "row"]


def targets(stack: str, uid: str) -> list[dict[str, Any]]:
    """Return the targets of one datasource, with their variables replaced."""
    return [
        {
            key: substitute(value, ALL) if isinstance(value, str) and key != "legendFormat" else value
            for key, value in target.items()
        }
        for panel in all_panels(stack)
        for target in panel.targets
        if target["datasource"]["uid"] == uid
    ]


@pytest.mark.parametrize("stack", STACKS)
def test_every_panel_has_a_description_and_a_unit(stack: str) -> None:
    for panel in all_panels(stack):
        assert panel.title, panel.dashboard
        assert panel.question.endswith((".", "?")), panel.title
        if panel.type in ("timeseries", "stat"):
            assert panel.defaults["unit"] in UNITS or panel.defaults["unit"].startswith(COUNT), panel.title
        assert panel.targets, panel.title
        x, _, width, _ = panel.place
        assert x + width <= 24, panel.title


@pytest.mark.parametrize("stack", STACKS)
def test_panels_do_not_overlap(stack: str) -> None:
    for model in models(stack).values():
        taken: set[tuple[int, int]] = set()
        for panel in panels(model):
            x, y, width, height = panel.place
            cells = {(column, row) for column in range(x, x + width) for row in range(y, y + height)}
            assert not taken & cells, (model["title"], panel.title)
            taken |= cells


@pytest.mark.parametrize("stack", STACKS)
def test_dashboards_have_uids_links_and_variables(stack: str) -> None:
    by_uid = models(stack)
    assert len({model["title"] for model in by_uid.values()}) == len(by_uid)
    for uid, model in by_uid.items():
        assert model["uid"] == uid
        assert model["tags"] == [TAG]
        assert model["description"]
        assert all("placement" not in link for link in model["links"]), "newer versions of Grafana would hide them"
        menus = [link for link in model["links"] if link["type"] == "dashboards"]
        assert [menu["tags"] for menu in menus] == [[TAG], [RUNBOOK_TAG]]
        assert all(menu["keepTime"] and menu["includeVars"] for menu in menus)
        ids = [panel["id"] for panel in model["panels"]]
        assert len(set(ids)) == len(ids)
    assert json.dumps(dashboards(config(stack))) == json.dumps(by_uid), "rendering is deterministic"


@pytest.mark.parametrize("stack", STACKS)
def test_queries_name_only_variables_that_their_dashboard_has(stack: str) -> None:
    for model in models(stack).values():
        names = {variable["name"]: ".+" for variable in model["templating"].get("list", [])}
        for panel in panels(model):
            for target in panel.targets:
                for key, value in target.items():
                    if isinstance(value, str) and key != "legendFormat":
                        substitute(value, names | built_in(WINDOW, 15))


@pytest.mark.parametrize("stack", STACKS)
def test_panels_query_provisioned_datasources(stack: str) -> None:
    settings = load(stack)
    provisioned = datasources(
        backend=settings.traces.backend,
        traces_url="http://traces",
        prometheus_url="",
        loki_url="x" if settings.logs.enabled else None,
    )
    known = {source["uid"]: source["type"] for source in provisioned["datasources"]}
    for panel in all_panels(stack):
        for target in panel.targets:
            assert known[target["datasource"]["uid"]] == target["datasource"]["type"], panel.title


@pytest.mark.parametrize("stack", STACKS)
def test_links_of_alerts_lead_to_existing_dashboards_and_runbooks(stack: str) -> None:
    pages = {f"http://grafana/d/{uid}" for uid in (*models(stack), *runbooks(config(stack)))}
    for group in yaml.safe_load(rule_file(groups(config(stack)), "http://grafana"))["groups"]:
        for rule in group["rules"]:
            for link in ("runbook_url", "dashboard_url"):
                assert rule.get("annotations", {link: next(iter(pages))})[link] in pages, rule


@pytest.mark.parametrize("stack", ["dev", "staging", "prod"])
def test_grafana_has_all_dashboards_in_its_pod(stack: str) -> None:
    manifests = render(stack)
    files = {item["metadata"]["name"]: item["data"] for item in manifests if item["kind"] == "ConfigMap"}
    (grafana,) = [m for m in manifests if m["kind"] == "StatefulSet" and m["metadata"]["name"] == endpoints.GRAFANA]
    spec = grafana["spec"]["template"]["spec"]
    volumes = {v["name"]: v["configMap"]["name"] for v in spec["volumes"] if "configMap" in v}
    mounted = {
        m["mountPath"]: files[volumes[m["name"]]] for m in spec["containers"][0]["volumeMounts"] if m["name"] in volumes
    }
    providers = yaml.safe_load(mounted["/etc/grafana/provisioning/dashboards"]["providers.yaml"])["providers"]
    folders = {provider["folder"]: mounted[provider["options"]["path"]] for provider in providers}
    assert {name: len(json.loads(text)["panels"]) > 0 for name, text in folders["Tracing"].items()} == {
        f"{uid}.json": True for uid in models(stack)
    }
    assert set(folders["Runbooks"]) == {f"{uid}.json" for uid in runbooks(config(stack))}
    for content in folders.values():
        assert sum(map(len, content.values())) < 900_000, "a ConfigMap holds 1 MiB"


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusProcess]:
    process = PrometheusProcess(tmp_path_factory.mktemp("prometheus"))
    process.start()
    yield process
    process.kill()


@pytest.mark.parametrize("stack", STACKS)
def test_prometheus_parses_every_query(stack: str, prometheus: PrometheusProcess) -> None:
    queries = {target["expr"] for target in targets(stack, endpoints.PROMETHEUS_UID)}
    assert len(queries) > 50
    for query in sorted(queries):
        prometheus.query(query)


def test_grafanas_grammars_parse_every_query(tmp_path: Path) -> None:
    queries = {
        *(("logql", target["expr"]) for stack in STACKS for target in targets(stack, endpoints.LOGS_UID)),
        *(
            ("traceql", target["query"])
            for stack in STACKS
            for target in targets(stack, endpoints.TRACES_UID)
            if "query" in target
        ),
    }
    assert {language for language, _ in queries} == {"logql", "traceql"}
    broken = [("logql", '{service_name="x"'), ("traceql", "{ duration >> }")]
    assert len(mistakes(tmp_path, [*sorted(queries), *broken])) == len(broken)


def test_alert_rules_of_one_name_have_one_dashboard() -> None:
    for stack in STACKS:
        by_name: dict[str, set[str]] = {}
        for group in groups(config(stack)):
            for rule in group.rules:
                if isinstance(rule, AlertRule):
                    by_name.setdefault(rule.name, set()).add(rule.dashboard)
        assert all(len(uids) == 1 for uids in by_name.values())
