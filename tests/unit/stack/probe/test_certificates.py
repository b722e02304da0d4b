"""When the certificates of a stack begin and end: in the probe's pod, and as its metrics."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from prometheus_client import CollectorRegistry

from contracts.metadata import Manifest
from stack.components.encryption.authority import RENEWAL, Authority
from stack.components.encryption.server import CERTIFICATE_FILE
from stack.probe import certificates
from stack.probe.certificates import Certificates
from tests.support.program import dev_with

TEMPO_IN_PARTS = {"objectStorage": {"s3": {"bucket": "abc", "endpoint": "s3.example.com"}}, "distributed": {}}
STACKS: dict[str, dict[str, Any]] = {
    "all": {
        "encryption": {"kafka": True, "postgres": True, "services": True, "telemetry": True},
        "traces": TEMPO_IN_PARTS,
    },
    "accepted": {"encryption": {"kafka": "accepted"}, "traces": TEMPO_IN_PARTS},
    "Jaeger": {"encryption": {"telemetry": True}, "traces": {"backend": "jaeger"}},
    "several": {
        "encryption": {"telemetry": True},
        "alerting": {"replicas": 2},
        "logs": {"replicas": 3, "objectStorage": {"s3": {"bucket": "abc", "endpoint": "s3.example.com"}}},
    },
    "none": {},
}


def issued(objects: dict[tuple[str, str], Manifest]) -> dict[str, dict[str, str]]:
    """Server → the files of its Secret."""
    return {
        name.removesuffix("-certificate"): item["stringData"]
        for (kind, name), item in objects.items()
        if kind == "Secret" and item.get("type") == "kubernetes.io/tls"
    }


@pytest.mark.parametrize("sections", STACKS.values(), ids=STACKS)
def test_the_probe_gets_each_certificate_and_no_key(sections: dict[str, Any]) -> None:
    objects = dev_with(**sections)
    spec = objects["Deployment", "probe"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    secrets = {item["name"]: item["secret"] for item in spec["volumes"] if "secret" in item}
    folders = {
        item["mountPath"]: secrets[item["name"]] for item in container["volumeMounts"] if item["name"] in secrets
    }
    servers = {folder.removeprefix("/etc/certificates/"): secret for folder, secret in folders.items()}
    assert {name: secret["secretName"] for name, secret in servers.items()} == {
        name: f"{name}-certificate" for name in issued(objects)
    }
    assert all(secret["items"] == [{"key": CERTIFICATE_FILE, "path": CERTIFICATE_FILE}] for secret in servers.values())
    variables = {item["name"]: item.get("value") for item in container["env"]}
    assert variables.get("CERTIFICATES") == ("/etc/certificates" if servers else None)


def test_the_metrics_follow_the_files(tmp_path: Path) -> None:
    assert certificates.CERTIFICATE_FILE == CERTIFICATE_FILE
    registry = CollectorRegistry()
    registry.register(Certificates(tmp_path))
    authority, other = Authority("a random text of the tests"), Authority("another one").certificate
    for moment in (datetime(2026, 11, 30, tzinfo=UTC), datetime(2026, 11, 30, tzinfo=UTC) + RENEWAL):
        for server in ("kafka", "postgres"):
            issued = authority.issue(server, [server], moment).certificate
            (tmp_path / server).mkdir(exist_ok=True)
            # Of an intermediate authority, the file has the certificate as well.
            (tmp_path / server / CERTIFICATE_FILE).write_text(issued + other)
            certificate = x509.load_pem_x509_certificate(issued.encode())
            for name, time in (("start", certificate.not_valid_before_utc), ("end", certificate.not_valid_after_utc)):
                metric = f"stack_certificate_{name}_timestamp_seconds"
                assert registry.get_sample_value(metric, {"server": server}) == time.timestamp()
