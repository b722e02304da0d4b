"""Back ends that a stack on the local cluster did not build: real servers on this machine, which its pods reach."""

import contextlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import kubernetes

from checks.harness.certificates import self_signed
from checks.harness.ports import free_port
from checks.harness.postgres_servers import PASSWORD as POSTGRES_PASSWORD
from checks.harness.postgres_servers import MissingProgram, postgres_servers
from contracts import secret_keys
from tests.support.grafana import YourGrafana, your_grafana
from tests.support.kafka_process import libraries
from tests.support.programs import skipping
from tests.support.prometheus_process import PrometheusProcess
from tests.support.relay import relay
from tests.support.secure_kafka import PASSWORD as KAFKA_PASSWORD
from tests.support.secure_kafka import secure_kafka

_SECONDS: Final = 5
"""Scrape and evaluation interval."""


@dataclass(frozen=True, kw_only=True)
class BackEnds:
    """Kafka, Postgres, Prometheus and Grafana."""

    sections: dict[str, Any]
    """Of the settings."""
    secrets: dict[str, str]
    prometheus: PrometheusProcess
    """Not started: it reads `rules` then."""
    rules: Path
    grafana: YourGrafana

    def load_rules(self, rules: str) -> None:
        """Start Prometheus with the rules of the stack, as its owner does."""
        self.rules.write_text(rules)
        self.prometheus.start()


@contextlib.contextmanager
def back_ends(directory: Path, client: kubernetes.client.ApiClient) -> Iterator[BackEnds]:
    """Run them.

    Args:
        directory: for their files.
        client: of the cluster, whose node is this machine.
    """
    (node,) = kubernetes.client.CoreV1Api(client).list_node().items
    host = next(item.address for item in node.status.addresses if item.type == "InternalIP")
    key, certificate = self_signed(host)
    (directory / "key.pem").write_bytes(key)
    (directory / "certificate.pem").write_bytes(certificate)
    ca = certificate.decode()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(directory / "certificate.pem", directory / "key.pem")
    folders = {name: directory / name for name in ("kafka", "prometheus", "grafana")}
    for folder in folders.values():
        folder.mkdir()
    with contextlib.ExitStack() as running:

        def reached(target: int, *, encrypt: bool = False) -> int:
            """Return the port of the node that leads to one of this machine."""
            port = free_port() if encrypt else target
            running.enter_context(relay(host, port, target, tls if encrypt else None))
            return port

        kafka = running.enter_context(secure_kafka(folders["kafka"], libraries(), host))
        running.enter_context(skipping("initdb", MissingProgram))
        postgres = running.enter_context(postgres_servers(host))
        for address in (kafka.external.bootstrap_servers, *postgres.external.hosts):
            reached(_port(address))
        prometheus = _prometheus(folders["prometheus"])
        running.callback(prometheus.kill)
        metrics = f"https://{host}:{reached(_port(prometheus.url), encrypt=True)}"
        grafana = running.enter_context(your_grafana(folders["grafana"]))
        dashboards = f"https://{host}:{reached(_port(grafana.url), encrypt=True)}"
        store = {"queryUrl": metrics, "ca": ca, "remoteWrite": {"url": f"{metrics}/api/v1/write"}}
        yield BackEnds(
            sections={
                "kafka": {"external": kafka.external.model_dump(by_alias=True)},
                "postgres": {"external": {"hosts": [*postgres.external.hosts], "ca": postgres.external.ca}},
                "metrics": {"external": store, "scrapeIntervalSeconds": _SECONDS},
                "grafana": {"url": dashboards, "external": {"api": {}, "ca": ca}},
            },
            secrets={
                secret_keys.KAFKA_PASSWORD: KAFKA_PASSWORD,
                secret_keys.POSTGRES_EXTERNAL_PASSWORD: POSTGRES_PASSWORD,
                secret_keys.GRAFANA_TOKEN: grafana.token("Admin"),
            },
            prometheus=prometheus,
            rules=folders["prometheus"] / "rules.yml",
            grafana=grafana,
        )


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


def _prometheus(directory: Path) -> PrometheusProcess:
    intervals = {"scrape_interval": f"{_SECONDS}s", "evaluation_interval": f"{_SECONDS}s"}
    return PrometheusProcess(
        directory,
        config={"global": intervals, "rule_files": ["rules.yml"]},
        features="exemplar-storage",
        arguments=["--web.enable-remote-write-receiver"],
    )
