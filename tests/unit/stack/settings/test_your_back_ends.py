"""Settings of back ends that the stack does not build: what would fail later, or be ignored, is refused."""

from typing import Any

import pytest

from stack.settings import parse
from tests.support.authority import CA
from tests.support.configuration import config, refusal

KAFKA: dict[str, Any] = {"bootstrapServers": "a.example.com:9093,b.example.com:9093"}
STORE: dict[str, Any] = {"otlpUrl": "https://otlp.example.com:4317", "queryUrl": "https://query.example.com"}
METRICS: dict[str, Any] = {"queryUrl": "http://prometheus.monitoring:9090", "podMonitors": {}}
OWN_ALERTS: dict[str, Any] = {"external": {"urls": ["http://alertmanager.monitoring:9093"]}}
SIDECAR: dict[str, Any] = {"url": "https://grafana.example.com", "external": {"sidecar": {}}}
OPENED: dict[str, Any] = {"tls": {"issuer": "ca"}, "taskApi": {"host": "a.example.com", "reason": "for the tests"}}
BUCKET: dict[str, Any] = {"bucket": "traces", "endpoint": "s3.example.com"}
NO_SERVICES: dict[str, Any] = {"services": {"enabled": False}}


def traces(**changes: Any) -> dict[str, Any]:
    return {"traces": {"external": {**STORE, **changes}}}


def metrics(**changes: Any) -> dict[str, Any]:
    return {"metrics": {"external": {**METRICS, **changes}}, "alerting": OWN_ALERTS}


@pytest.mark.parametrize(
    ("sections", "part"),
    [
        ({"kafka": {"external": {"bootstrapServers": "a:99999"}}}, "bootstrapServers: port 99999 is not between 1 and"),
        (
            {"kafka": {"external": {"bootstrapServers": "kafka://a:9093"}}},
            "should have the form of 'a.example.com:9093,b.example.com:9093'",
        ),
        ({"kafka": {"external": {**KAFKA, "mechanism": "scram", "username": "a"}}}, "'SCRAM-SHA-512', 'SCRAM-SHA-256'"),
        ({"postgres": {"external": {"hosts": ["db:70000"]}}}, "hosts.0: port 70000 is not between 1 and 65535"),
        ({"postgres": {"external": {"hosts": "db:5432"}}}, "hosts: (value not shown): input should be a list"),
        (
            {"postgres": {"external": {"hosts": ["db"]}}},
            "hosts.0: 'db': should have the form of 'db-1.example.com:5432'",
        ),
        (metrics(queryUrl="http://prometheus:99999"), "queryUrl: needs a host, and a port between 1 and 65535"),
        (
            metrics(podMonitors={"labels": {"release": "a b"}}),
            "podMonitors.labels.release: 'a b': should have the form",
        ),
        (metrics(podMonitors={"labels": {"a b": "c"}}), "podMonitors.labels.a b: 'a b': should have the form"),
        (metrics(podMonitors={"labels": {"release": 1}}), "valid string; write it in quotes: '1'"),
        (traces(headers={"X-Tenant": "a$b"}), "headers.X-Tenant: the value of a header has printable ASCII characters"),
        (traces(headers={"X-Tenant": "a\nX-Other: b"}), "the value of a header has printable ASCII characters"),
        (traces(headers={"X Tenant": "a"}), "the name of a header has letters, digits"),
        (traces(receiverHeader="api-key"), "receiverHeader api-key is not used: authorize is off"),
        (
            traces(authorize=True, receiverHeader="X-Team", headers={"x-team": "a"}),
            "headers: X-Team is the header with the secret",
        ),
        (traces(otlpUrl="https://otlp.example.com:4317/v1"), "OTLP over gRPC has no path, such as /v1"),
        (traces(otlpUrl="https://a.example.com/v1/traces", protocol="http"), "leave /v1/traces or /v1/logs out"),
        ({"traces": {"objectStorage": {"s3": {**BUCKET, "endpoint": "s3:99999"}}}}, "endpoint: port 99999"),
        ({"traces": {"objectStorage": {"s3": {**BUCKET, "insecure": True, "ca": CA}}}}, "nothing is verified"),
        ({"placement": {"nodeSelector": {"disk": "a b"}}}, "nodeSelector.disk: 'a b': should have the form of"),
        ({"ingress": {**OPENED, "taskApi": {**OPENED["taskApi"], "host": "a..b"}}}, "'tasks.example.com'"),
        ({"ingress": {**OPENED, "taskApi": {**OPENED["taskApi"], "host": "10.0.0.1"}}}, "host: is an address"),
        ({"ingress": {**OPENED, "annotations": {"cert-manager.io/issuer": "b"}}}, "is set by tls.issuer"),
        ({"metrics": {"volume": "2000Ti"}}, "metrics.volume: '2000Ti' is more than 1024Ti"),
    ],
)
def test_values_that_would_fail_later(sections: dict[str, Any], part: str) -> None:
    assert part in refusal(**sections)


@pytest.mark.parametrize(
    "body", ["not base64 !!!", "MIIB", ""], ids=["no base64", "no certificate", "nothing between the lines"]
)
def test_a_file_without_a_certificate_is_no_authority(body: str) -> None:
    pem = f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"
    assert "external.ca: no certificate can be read from it" in refusal(kafka={"external": {**KAFKA, "ca": pem}})
    assert parse(config(kafka={"external": {**KAFKA, "ca": CA + CA}}), "file").kafka.external


def test_a_variable_of_a_pod_has_room_for_authorities() -> None:
    many = CA * (48 * 1024 // len(CA) + 1)
    assert "external.ca: it has more than 49152 characters" in refusal(kafka={"external": {**KAFKA, "ca": many}})
    assert "it has control characters" in refusal(kafka={"external": {**KAFKA, "ca": CA + "\0" + CA}})


@pytest.mark.parametrize(
    ("sections", "part"),
    [
        ({"kafka": {"brokers": 3, "external": KAFKA}}, "kafka: brokers 3 belong to a Kafka of the stack"),
        ({"metrics": {"replicas": 2, "external": METRICS}, "alerting": OWN_ALERTS}, "metrics: replicas 2 belong to"),
        ({"alerting": {"replicas": 2, **OWN_ALERTS}}, "alerting: replicas 2 belong to"),
        ({"alerting": {"enabled": False, **OWN_ALERTS}}, "alerting: enabled is false, and external is set"),
        ({"logs": {"replicas": 3, "external": STORE}}, "logs: objectStorage and replicas belong to"),
        ({"logs": {"enabled": False, "external": STORE}}, "logs: enabled is false, and external is set"),
        ({**NO_SERVICES, "kafka": {"external": KAFKA}}, "kafka.external is not used"),
        ({**NO_SERVICES, "postgres": {"external": {"hosts": ["db:5432"]}}}, "postgres.external is not used"),
        ({**NO_SERVICES, "postgres": {"cloudnativepg": {}}}, "postgres.cloudnativepg is not used"),
        ({"network": {"frontDoor": {"namespaces": ["infra"]}}}, "network.frontDoor is not used"),
    ],
)
def test_settings_that_would_be_ignored(sections: dict[str, Any], part: str) -> None:
    assert part in refusal(**sections)


def test_the_size_of_a_store_that_is_yours_is_not_checked() -> None:
    parse(config(retention="8760h", **metrics()), "file")
    parse(config(load={"tracesPerSecond": 1000}, **traces()), "file")


def test_an_annotation_may_name_a_secret_of_the_controller() -> None:
    annotation = "nginx.ingress.kubernetes.io/auth-secret"
    parse(config(ingress={**OPENED, "annotations": {annotation: "infra/basic-auth"}}), "file")
    for value in ("S3cr3t!", "h4unter2hunter2hunter2x"):
        assert "a secret in clear" in refusal(ingress={**OPENED, "annotations": {annotation: value}})


def test_a_message_about_several_sections_begins_with_a_setting() -> None:
    assert "\n  kafka.external is not used" in refusal(**NO_SERVICES, kafka={"external": KAFKA})
