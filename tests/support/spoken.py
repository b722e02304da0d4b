"""How the clients of rendered manifests connect to servers of the stack."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import yaml

from contracts import endpoints
from contracts.connections import CLIENTS, TEMPO_PARTS, TEMPO_WITH_KAFKA
from contracts.metadata import AUTHORITY, AUTHORITY_FILE
from contracts.services import CRAWLER, GATEWAY, SERVICES
from tests.support.pod_template import environment
from tests.support.proxied_pods import Objects, pod
from tests.support.taken import Call, broker_properties, configuration, protocols

Spoken = tuple[str, str, Call]
"""Client, server, and how the one connects to the other."""
_UNTRUSTED = ""
"""What a client trusts that has no authority of the stack: TLS, and no certificate that it accepts."""


def calls(objects: Objects) -> list[Spoken]:
    """Return all connections of a stack's programs to each other, and those of a Gateway that opens them."""
    names = {name for kind, name in objects if kind in ("Deployment", "StatefulSet")}
    made = [
        *_of_services(objects),
        *_of_collectors(objects, names),
        *_of_kafka(objects, names),
        *_of_prometheus(objects),
        *_of_grafana(objects),
        *_of_probe(objects),
        *_of_gateway_api(objects),
        *_of_peers(objects, names),
    ]
    return [(client, server, call) for client, server, call in made if client in names | {CLIENTS}]


def page(objects: Objects) -> str:
    """Return the scheme of the page that the probe asks the crawler to fetch at the gateway."""
    return urlsplit(_variables(objects, endpoints.PROBE)["GATEWAY_URL"]).scheme


def fetch(objects: Objects, scheme: str) -> Call:
    """Return how the crawler fetches a page of the gateway."""
    trusted = _variables(objects, CRAWLER).get("CRAWLER_CA", _UNTRUSTED)
    return Call(port=endpoints.SERVICE_PORT, trusted=trusted if scheme == "https" else None)


def _of_services(objects: Objects) -> Iterator[Spoken]:
    for name in SERVICES:
        variables = _variables(objects, name)
        brokers = variables["KAFKA_BOOTSTRAP_SERVERS"].rpartition(":")[2]
        trusted = variables["KAFKA_CA"] if variables.get("KAFKA_ENCRYPTED") == "true" else None
        yield name, endpoints.KAFKA, Call(port=int(brokers), trusted=trusted)
        folder = variables.get("OTEL_EXPORTER_OTLP_CERTIFICATE", "").rpartition("/")[0]
        yield name, *_to(variables["OTEL_EXPORTER_OTLP_ENDPOINT"], _config_map(objects, name, folder))
    variables = _variables(objects, GATEWAY)
    yield GATEWAY, *_to(variables["TASK_MANAGER_URL"], variables.get("TASK_MANAGER_CA"))
    yield CRAWLER, GATEWAY, fetch(objects, page(objects))


def _of_collectors(objects: Objects, names: set[str]) -> Iterator[Spoken]:
    for name in {endpoints.COLLECTOR, endpoints.SAMPLER} & names:
        document = yaml.safe_load(objects["ConfigMap", f"{name}-config"]["data"]["config.yaml"])
        for key, part in {**document["exporters"], **document["receivers"]}.items():
            if "brokers" in part:
                number = int(part["brokers"][0].rpartition(":")[2])
                yield name, endpoints.KAFKA, Call(port=number, trusted=part.get("tls", {}).get("ca_pem"))
            elif key.startswith("otlp_") and "127.0.0.1" not in part["endpoint"]:
                is_plain = part.get("tls", {}).get("insecure", False)
                endpoint = part["endpoint"].rpartition("://")
                scheme = endpoint[0] or ("http" if is_plain else "https")
                trusted = part.get("tls", {}).get("ca_pem")
                has_token = "Authorization" in part.get("headers", {})
                yield name, *_to(f"{scheme}://{endpoint[2]}", trusted, has_token=has_token)


def _of_kafka(objects: Objects, names: set[str]) -> Iterator[Spoken]:
    authority = objects["ConfigMap", "kafka-config"]["data"].get(AUTHORITY_FILE)
    for broker in range(objects["StatefulSet", "kafka"]["spec"]["replicas"]):
        properties, ports = broker_properties(objects, broker), protocols(objects, broker)
        (among_brokers,) = (
            int(item.rpartition(":")[2])
            for item in properties["listeners"].split(",")
            if item.startswith(f"{properties['inter.broker.listener.name']}:")
        )
        controllers = {int(item.rpartition(":")[2]) for item in properties["controller.quorum.voters"].split(",")}
        for number in (among_brokers, *controllers):
            trusted = None if ports[number] == "PLAINTEXT" else authority
            yield endpoints.KAFKA, endpoints.KAFKA, Call(port=number, trusted=trusted)
    if endpoints.KAFKA_USERS in names:
        address = _variables(objects, endpoints.KAFKA_USERS)["KAFKA_BOOTSTRAP_SERVERS"]
        trusted = objects["ConfigMap", "kafka-users-config"]["data"][AUTHORITY_FILE]
        yield endpoints.KAFKA_USERS, endpoints.KAFKA, Call(port=int(address.rpartition(":")[2]), trusted=trusted)
    for name in {*TEMPO_WITH_KAFKA} & names:
        host, _, number = configuration(objects, endpoints.TEMPO)["ingest"]["kafka"]["address"].partition(":")
        if host != "127.0.0.1":
            yield name, endpoints.KAFKA, Call(port=int(number))
            continue
        assert "kafka-proxy" in {item["name"] for item in pod(objects, name)["initContainers"]}
        proxy = objects["ConfigMap", "tempo-kafka-proxy"]["data"]
        assert f"bind {host}:{number}\n" in proxy["haproxy.cfg"]
        yield name, endpoints.KAFKA, Call(port=endpoints.KAFKA_PROXIED_PORT, trusted=proxy[AUTHORITY_FILE])


def _of_prometheus(objects: Objects) -> Iterator[Spoken]:
    document = yaml.safe_load(objects["ConfigMap", "prometheus-config"]["data"]["prometheus.yml"])
    trusted = _config_map(objects, endpoints.PROMETHEUS, "/etc/prometheus-authority")
    for job in [*document["scrape_configs"], *document["alerting"]["alertmanagers"]]:
        for discovery in job.get("dns_sd_configs", []):
            for name in discovery["names"]:
                call = Call(
                    port=discovery["port"],
                    trusted=trusted if job.get("scheme") == "https" else None,
                    has_token="authorization" in job,
                )
                server = name.partition(".")[0].removesuffix("-pods")
                if not server.endswith(("-baseline", "-canary")):
                    yield endpoints.PROMETHEUS, server, call


def _of_grafana(objects: Objects) -> Iterator[Spoken]:
    if ("ConfigMap", "grafana-datasources") not in objects:
        return
    document = yaml.safe_load(objects["ConfigMap", "grafana-datasources"]["data"]["datasources.yaml"])
    for source in document["datasources"]:
        secrets = source.get("secureJsonData", {})
        has_token = secrets.get("httpHeaderValue1") == "$TELEMETRY_AUTHORIZATION"
        yield endpoints.GRAFANA, *_to(source["url"], secrets.get("tlsCACert"), has_token=has_token)


def _of_probe(objects: Objects) -> Iterator[Spoken]:
    variables = _variables(objects, endpoints.PROBE)
    for prefix in ("GATEWAY", "COLLECTOR", "TRACES", "PROMETHEUS", "LOKI"):
        has_token = f"{prefix}_AUTHORIZATION" in variables
        yield endpoints.PROBE, *_to(variables[f"{prefix}_URL"], variables.get(f"{prefix}_CA"), has_token=has_token)


def _of_gateway_api(objects: Objects) -> Iterator[Spoken]:
    """A Gateway connects with TLS if a policy says so, and in clear otherwise."""
    for (kind, name), item in objects.items():
        if kind != "HTTPRoute":
            continue
        policy = objects.get(("BackendTLSPolicy", f"{name}-tls"))
        trusted = objects["ConfigMap", AUTHORITY]["data"][AUTHORITY_FILE] if policy else None
        (backend,) = item["spec"]["rules"][0]["backendRefs"]
        yield CLIENTS, backend["name"], Call(port=backend["port"], trusted=trusted)


def _of_peers(objects: Objects, names: set[str]) -> Iterator[Spoken]:
    """Pods of one program among each other: they have the authority of their group, or connect in clear."""
    (container,) = pod(objects, endpoints.ALERTMANAGER)["containers"]
    files = objects["ConfigMap", "alertmanager-config"]["data"]
    if any(item.startswith("--cluster.peer=") for item in container["args"]):
        call = Call(port=endpoints.ALERTMANAGER_CLUSTER_PORT, trusted=files.get("peers-ca.crt"))
        yield endpoints.ALERTMANAGER, endpoints.ALERTMANAGER, call
    groups: list[tuple[str, tuple[str, ...], str, int]] = [
        (endpoints.LOKI, (endpoints.LOKI,), "ingester_client", endpoints.LOKI_GRPC_PORT)
    ]
    if endpoints.TEMPO_DISTRIBUTOR in names:
        groups.append((endpoints.TEMPO, TEMPO_PARTS, "live_store_client", endpoints.TEMPO_GRPC_PORT))
    for program, pods, client, number in groups:
        document, files = configuration(objects, program), objects["ConfigMap", f"{program}-config"]["data"]
        if "join_members" not in document.get("memberlist", {}):
            continue
        gossip = endpoints.LOKI_GOSSIP_PORT if program == endpoints.LOKI else endpoints.TEMPO_GOSSIP_PORT
        of_grpc = document.get(client, {}).get("grpc_client_config", {})
        for section, port in ((of_grpc, number), (document["memberlist"], gossip)):
            trusted = files["peers-ca.crt"] if section.get("tls_enabled") else None
            yield from ((one, other, Call(port=port, trusted=trusted)) for one in pods for other in pods)


def _to(url: str, trusted: str | None, *, has_token: bool = False) -> tuple[str, Call]:
    """Return the server of a URL, and how a client connects that trusts an authority."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    encrypted = parts.scheme == "https"
    trusted = (trusted or _UNTRUSTED) if encrypted else None
    return parts.hostname, Call(port=parts.port, trusted=trusted, has_token=has_token)


def _variables(objects: Objects, name: str) -> dict[str, str]:
    (container,) = pod(objects, name)["containers"]
    return environment(container)


def _config_map(objects: Objects, workload: str, folder: str) -> str | None:
    """Return the certificates of the authority in a ConfigMap that a workload mounts; None without one."""
    spec: dict[str, Any] = pod(objects, workload)
    mounts = {item["mountPath"]: item["name"] for item in spec["containers"][0].get("volumeMounts", [])}
    if folder not in mounts:
        return None
    (volume,) = (item for item in spec["volumes"] if item["name"] == mounts[folder])
    return str(objects["ConfigMap", volume["configMap"]["name"]]["data"][AUTHORITY_FILE])
