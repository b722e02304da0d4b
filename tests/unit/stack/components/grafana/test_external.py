"""A Grafana that the stack did not build: what it gets in each way, and which settings cannot work."""

import json
import re
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import yaml
from cryptography import x509

from contracts import endpoints, secret_keys
from contracts.metadata import Manifest
from dashboards.names import MAX_UID
from stack.settings import parse
from stack.settings.missing_secrets import needed_secrets
from stack.settings.monitoring import monitoring_config
from tests.support.configuration import MINIMAL, config, refusal
from tests.support.program import dev_with

Objects = dict[tuple[str, str], Manifest]

URL: Final = "https://grafana.example.com"
SIDECAR: Final[dict[str, Any]] = {"sidecar": {}}
OPERATOR: Final = {"operator": {"instanceSelector": {"dashboards": "grafana"}}}
API: Final[dict[str, Any]] = {"api": {}}
MIMIR: Final = {
    "queryUrl": "https://mimir.example.com/prometheus",
    "headers": {"X-Scope-OrgID": "tracing"},
    "authorizeQueries": True,
    "remoteWrite": {"url": "https://mimir.example.com/api/v1/push"},
}


def external(way: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return the section `grafana` with a Grafana that gets its dashboards in this way."""
    return {"url": URL, "external": {**way, **fields}}


def built(way: dict[str, Any], **sections: Any) -> Objects:
    return dev_with(grafana=external(way), **sections)


def pages(objects: Objects) -> dict[str, dict[str, Any]]:
    """Return file → model of every dashboard and runbook."""
    files = {**objects["ConfigMap", "grafana-tracing"]["data"], **objects["ConfigMap", "grafana-runbooks"]["data"]}
    return {name: json.loads(text) for name, text in files.items()}


def sources(objects: Objects) -> dict[str, dict[str, Any]]:
    """Return uid → datasource of the sidecar's file."""
    file = objects["Secret", "grafana-datasources"]["stringData"]["tracing-datasources.yaml"]
    return {item["uid"]: item for item in yaml.safe_load(file)["datasources"]}


@pytest.mark.parametrize("way", [SIDECAR, OPERATOR, API])
def test_the_stack_builds_no_grafana(way: dict[str, Any]) -> None:
    objects = built(way)
    assert ("StatefulSet", endpoints.GRAFANA) not in objects
    assert ("Service", endpoints.GRAFANA) not in objects
    assert ("ConfigMap", "grafana-providers") not in objects


@pytest.mark.parametrize("way", [SIDECAR, OPERATOR, API])
def test_every_uid_and_every_reference_to_one_has_the_prefix(way: dict[str, Any]) -> None:
    models = pages(built(way))
    assert len(models) > 50
    for name, model in models.items():
        assert name == f"{model['uid']}.json"
        assert model["uid"].startswith("tracing-")
        assert len(model["uid"]) <= MAX_UID
        assert all(tag.startswith("tracing-") for tag in model["tags"])
        text = json.dumps(model)
        references = set(re.findall(r'"(?:uid|datasourceUid)": "([^"]+)"', text)) - {model["uid"]}
        assert references <= {f"tracing-{uid}" for uid in ("prometheus", "traces", "logs")}, name
        links = set(re.findall(r"(?<![\w/])/?d/([\w-]+)", text))
        assert all(f"{link}.json" in models for link in links), (name, links)
        menus = [link for link in model["links"] if link["type"] == "dashboards"]
        assert {tag for menu in menus for tag in menu["tags"]} == {
            "tracing-web-crawl-tracing",
            "tracing-web-crawl-tracing-runbook",
        }
        explore = [link["url"] for link in model["links"] if "/explore" in link.get("url", "")]
        assert all("tracing-traces" in url for url in explore)


def test_alerts_lead_to_the_pages_of_your_grafana() -> None:
    objects = built(SIDECAR)
    rules = yaml.safe_load(objects["ConfigMap", "prometheus-config"]["data"]["rules.yml"])
    models = pages(objects)
    urls = [
        rule["annotations"][name]
        for group in rules["groups"]
        for rule in group["rules"]
        if "alert" in rule
        for name in ("runbook_url", "dashboard_url")
    ]
    assert urls
    for url in urls:
        assert url.startswith(f"{URL}/d/")
        assert f"{url.removeprefix(f'{URL}/d/')}.json" in models
    marks = [rule["labels"]["runbook"] for group in rules["groups"] for rule in group["rules"] if "runbook" in str(rule)
             and rule.get("record") == "alert_runbook:info"]  # fmt: skip
    assert marks
    assert all(f"{uid}.json" in models for uid in marks)


def test_the_sidecars_find_their_files_by_label_and_the_folder_by_annotation() -> None:
    labels = {"dashboardLabels": {"team": "tracing"}, "folderAnnotation": "folder"}
    objects = dev_with(grafana=external({"sidecar": labels}, prefix="prod"))
    for name, title in (("tracing", "Tracing (prod)"), ("runbooks", "Runbooks (prod)")):
        metadata = objects["ConfigMap", f"grafana-{name}"]["metadata"]
        assert metadata["labels"]["team"] == "tracing"
        assert metadata["annotations"]["folder"] == title
    assert objects["Secret", "grafana-datasources"]["metadata"]["labels"]["grafana_datasource"] == "1"


def test_datasources_are_reached_from_other_namespaces_and_none_is_the_default() -> None:
    datasources = sources(built(SIDECAR))
    assert {uid: item["url"] for uid, item in datasources.items()} == {
        "tracing-prometheus": "http://prometheus.tracing:9090",
        "tracing-traces": "http://tempo.tracing:3200",
        "tracing-logs": "http://loki.tracing:3100",
        "tracing-alertmanager": "http://alertmanager.tracing:9093",
    }
    assert not any(item.get("isDefault") for item in datasources.values())
    assert all(item["name"].endswith(" (tracing)") for item in datasources.values())
    assert datasources["tracing-prometheus"]["jsonData"]["alertmanagerUid"] == "tracing-alertmanager"
    assert datasources["tracing-traces"]["jsonData"]["serviceMap"] == {"datasourceUid": "tracing-prometheus"}


def test_the_sidecars_file_has_the_secret_of_a_store() -> None:
    objects = built(SIDECAR, metrics={"external": MIMIR}, alerting={"enabled": False})
    source = sources(objects)["tracing-prometheus"]
    assert source["url"] == MIMIR["queryUrl"]
    assert source["jsonData"]["httpHeaderName2"] == "Authorization"
    assert source["secureJsonData"]["httpHeaderValue2"] == f"value-of-{secret_keys.METRICS_QUERY_AUTHORIZATION}"


def test_the_operator_reads_the_secret_of_a_store_itself() -> None:
    objects = built(OPERATOR, metrics={"external": MIMIR}, alerting={"enabled": False})
    spec = objects["GrafanaDatasource", "tracing-prometheus"]["spec"]
    (value,) = spec["valuesFrom"]
    reference = value["valueFrom"]["secretKeyRef"]
    assert reference == {"name": secret_keys.SECRET, "key": secret_keys.METRICS_QUERY_AUTHORIZATION}
    section, _, field = value["targetPath"].partition(".")
    assert spec["datasource"][section][field] == f"${reference['key']}"
    assert "valuesFrom" not in objects["GrafanaDatasource", "tracing-traces"]["spec"]


def test_the_operators_objects_belong_together() -> None:
    objects = built(OPERATOR)
    made: dict[str, dict[str, Manifest]] = {}
    for (kind, name), item in objects.items():
        if item["apiVersion"].startswith("grafana.integreatly.org/"):
            assert item["apiVersion"] == "grafana.integreatly.org/v1beta1"
            assert item["spec"]["instanceSelector"] == {"matchLabels": {"dashboards": "grafana"}}
            assert item["spec"]["allowCrossNamespaceImport"] is True
            assert item["spec"]["uid"] == name
            made.setdefault(kind, {})[name] = item["spec"]
    assert set(made["GrafanaFolder"]) == {"tracing-tracing", "tracing-runbooks"}
    assert {f"{name}.json" for name in made["GrafanaDashboard"]} == set(pages(objects))
    for name, spec in made["GrafanaDashboard"].items():
        reference = spec["configMapRef"]
        model = json.loads(objects["ConfigMap", reference["name"]]["data"][reference["key"]])
        assert model["uid"] == name
        assert spec["folderRef"] in made["GrafanaFolder"]
    for spec in made["GrafanaDatasource"].values():
        assert "$$" not in json.dumps(spec), "only files escape the dollar"


def test_the_publisher_has_the_token_and_the_secrets_of_the_stores() -> None:
    objects = built(API, metrics={"external": MIMIR}, alerting={"enabled": False})
    (container,) = objects["Deployment", endpoints.GRAFANA_PUBLISHER]["spec"]["template"]["spec"]["containers"]
    keys = {item["name"]: item["valueFrom"]["secretKeyRef"]["key"] for item in container["env"] if "valueFrom" in item}
    assert keys == {
        "GRAFANA_TOKEN": secret_keys.GRAFANA_TOKEN,
        "METRICS_QUERY_AUTHORIZATION": secret_keys.METRICS_QUERY_AUTHORIZATION,
    }
    document = json.loads(objects["ConfigMap", "grafana-content"]["data"]["content.json"])
    assert "tracing-alertmanager" in document["possible_datasources"]
    assert "$$" not in json.dumps(document)
    paths = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {folder["path"] for folder in document["folders"]} <= paths


@pytest.mark.parametrize(
    ("section", "needed"),
    [(external(SIDECAR), False), (external(SIDECAR, authorize=True), True), (external(API), True)],
)
def test_a_missing_token_is_named(section: dict[str, Any], needed: bool) -> None:
    keys = needed_secrets(parse(config(grafana=section), "Pulumi.test.yaml"))
    assert (secret_keys.GRAFANA_TOKEN in keys) == needed


def test_the_longest_prefix_leaves_room_for_the_longest_uid() -> None:
    settings = parse(config(grafana=external(SIDECAR, prefix="p" * 12)), "Pulumi.test.yaml")
    names = monitoring_config(settings).names
    # With `api` there is one more alert, and its runbook.
    longest = max(pages(built(API)), key=len).removesuffix(".json").removeprefix("tracing-")
    assert len(names.uid(longest)) <= MAX_UID


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (external({}), "set one of sidecar, operator and api"),
        (external({**SIDECAR, **API}), "set one of sidecar, operator and api"),
        ({"external": SIDECAR}, "external needs url"),
        (external(SIDECAR) | {"enabled": False}, "enabled is false, and external is set"),
        (external(SIDECAR) | {"internet": True}, "external is yours"),
        (external(API, apiUrl="http://grafana.monitoring"), "the secret would be sent in clear"),
        (external(SIDECAR, prefix="a-very-long-prefix"), "grafana.external.prefix"),
        (external({"operator": {"instanceSelector": {}}}), "grafana.external.operator.instanceSelector"),
    ],
)
def test_what_cannot_work_is_refused(section: dict[str, Any], message: str) -> None:
    assert message in refusal(grafana=section)


def test_the_api_needs_the_image_of_the_services() -> None:
    without = {key: value for key, value in MINIMAL.items() if key != "images"}
    sections = {**without, "services": {"enabled": False}, "images": None, "grafana": external(API)}
    assert "images.service is missing" in refusal(**sections)


def test_an_ingress_cannot_open_it() -> None:
    ingress = {"tls": {"secret": "tls"}, "grafana": {"reason": "for the tests"}}
    assert "grafana.external is yours" in refusal(grafana=external(SIDECAR), ingress=ingress)


def datasources_of(way: dict[str, Any], objects: Objects) -> list[dict[str, Any]]:
    """Return the datasources that a Grafana gets in one of the three ways."""
    if way is SIDECAR:
        return list(sources(objects).values())
    if way is API:
        content = json.loads(objects["ConfigMap", "grafana-content"]["data"]["content.json"])
        return list(content["datasources"])
    specs = [item["spec"] for (kind, _), item in objects.items() if kind == "GrafanaDatasource"]
    assert all(
        item["valuesFrom"]
        == [
            {
                "targetPath": "secureJsonData.httpHeaderValue1",
                "valueFrom": {"secretKeyRef": {"name": secret_keys.SECRET, "key": secret_keys.TELEMETRY_AUTHORIZATION}},
            }
        ]
        for item in specs
    )
    return [item["datasource"] for item in specs]


@pytest.mark.parametrize("way", [SIDECAR, OPERATOR, API])
def test_your_grafana_verifies_encrypted_stores_and_sends_the_token(way: dict[str, Any]) -> None:
    objects = built(way, encryption={"telemetry": "preferred"})
    datasources = datasources_of(way, objects)
    assert len(datasources) == 4
    for source in datasources:
        assert source["jsonData"]["tlsAuthWithCACert"] is True
        assert source["jsonData"]["httpHeaderName1"] == "Authorization"
        assert source["secureJsonData"]["tlsCACert"] == objects["ConfigMap", "stack-authority"]["data"]["ca.crt"]
        token = source["secureJsonData"]["httpHeaderValue1"]
        assert token.startswith("Bearer ") if way is SIDECAR else token.startswith("$")
        url = urlsplit(source["url"])
        assert url.scheme == "https"
        server = str(url.hostname).removesuffix(".tracing")
        assert url.hostname in names_of(objects, f"{server}-certificate")


def names_of(objects: Objects, secret: str) -> list[str]:
    """Return the names that a certificate is for."""
    certificate = x509.load_pem_x509_certificate(objects["Secret", secret]["stringData"]["tls.crt"].encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.DNSName)


def test_the_publisher_has_the_token_that_its_content_refers_to() -> None:
    objects = built(API, encryption={"telemetry": "preferred"})
    (container,) = objects["Deployment", endpoints.GRAFANA_PUBLISHER]["spec"]["template"]["spec"]["containers"]
    keys = {item["name"]: item.get("valueFrom", {}).get("secretKeyRef", {}).get("key") for item in container["env"]}
    for source in datasources_of(API, objects):
        variable = source["secureJsonData"]["httpHeaderValue1"].removeprefix("$")
        assert keys[variable] == secret_keys.TELEMETRY_AUTHORIZATION
