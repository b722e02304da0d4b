"""Every image the stack runs, in one place; environments differ by size and switches, never by version."""

from types import MappingProxyType
from typing import Final

KAFKA: Final = "docker.io/apache/kafka:4.1.1"
KAFKA_PREVIOUS: Final = f"{KAFKA.partition(':')[0]}:4.0.0"
"""From which `make ha` upgrades. No stack runs it, so Renovate must not raise it."""
POSTGRES: Final = "docker.io/library/postgres:15-bookworm"
COLLECTOR: Final = "docker.io/otel/opentelemetry-collector-contrib:0.155.0"
TEMPO: Final = "docker.io/grafana/tempo:3.0.3"
JAEGER: Final = "docker.io/jaegertracing/jaeger:2.13.0"
PROMETHEUS: Final = "docker.io/prom/prometheus:v3.13.5"
ALERTMANAGER: Final = "docker.io/prom/alertmanager:v0.35.0"
GRAFANA: Final = "docker.io/grafana/grafana:12.4.0"
PYTHON: Final = "docker.io/library/python:3.11-slim-bookworm"
PROXY: Final = "docker.io/library/haproxy:2.6-bookworm"
LOKI: Final = "docker.io/grafana/loki:3.7.8"

KUBERNETES: Final = ("1.32", "1.33", "1.34", "1.35", "1.36", "1.37")
"""Versions of Kubernetes whose schemas every stack's manifests are checked against. Below the first, a pod's end has no
`sleep` and a StatefulSet no say about its volumes that could be relied on."""

# The service's image is built from this repository, so its reference is a setting (`images.service`).
SERVICE_REPOSITORY: Final = "localhost/web-crawl-service"

IMAGES: Final = MappingProxyType(
    {
        "kafka": KAFKA,
        "postgres": POSTGRES,
        "collector": COLLECTOR,
        "tempo": TEMPO,
        "jaeger": JAEGER,
        "prometheus": PROMETHEUS,
        "alertmanager": ALERTMANAGER,
        "grafana": GRAFANA,
        "loki": LOKI,
        "python": PYTHON,
        "proxy": PROXY,
    }
)
