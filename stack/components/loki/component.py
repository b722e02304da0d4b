"""Loki, the log store: one process, or several with the same parts that share a bucket.

Without a bucket, chunks and index are on its volume; the write-ahead log always is.
"""

from dataclasses import dataclass
from typing import Final

import pulumi
import yaml

from collector.pipeline import OtlpTarget
from contracts import endpoints, versions
from stack.components.encryption.clients import base_url, otlp_secrets, otlp_target, query_access, speaks_tls
from stack.components.encryption.protection import Protection
from stack.components.encryption.proxy.config import LOOPBACK
from stack.components.encryption.proxy.pod import ProxyOptions, protect
from stack.components.loki.config import ADDRESS_VARIABLE, CONFIG, DATA, loki_config
from stack.components.loki.settings import CREDENTIALS, Logs
from stack.components.shared.availability import Shutdown
from stack.components.shared.environment import field_variable, go_memory_limit
from stack.components.shared.object_meta import config_map
from stack.components.shared.object_storage import identity_annotations, identity_labels, storage_files
from stack.components.shared.object_storage_access import storage_secret_files, storage_variables
from stack.components.shared.pod import Container, Pod
from stack.components.shared.probes import Probes, http_probe, tcp_probe
from stack.components.shared.service import services
from stack.components.shared.storage import Storage
from stack.components.shared.store import QueryApi, StoreAddresses, external_addresses
from stack.components.shared.workload import Volume, stateful_set

_UID: Final = 10001
_PEER_PORTS: Final = {"grpc": endpoints.LOKI_GRPC_PORT, "gossip": endpoints.LOKI_GOSSIP_PORT}


@dataclass(frozen=True, kw_only=True)
class LokiArgs:
    namespace: pulumi.Input[str]
    settings: Logs
    retention: str
    storage_class: str | None
    secret: pulumi.Input[str]
    """Name of the Secret with the object storage's keys."""
    protection: Protection | None = None


def log_store(args: LokiArgs, opts: pulumi.ResourceOptions | None = None) -> StoreAddresses:
    """Return the addresses of the log store; create it, unless it is an external one."""
    if external := args.settings.external:
        return external_addresses(external, CREDENTIALS)
    loki = Loki("loki", args, opts)
    return StoreAddresses(
        otlp=loki.otlp_url.apply(lambda url: otlp_target(OtlpTarget(url, "http"), args.protection)),
        otlp_secrets=otlp_secrets(args.protection),
        queries=QueryApi(url=loki.query_url, access=query_access(args.protection)),
    )


class Loki(pulumi.ComponentResource):
    """Loki as one process, or as several that each have all parts of Loki."""

    otlp_url: pulumi.Output[str]
    """URL that accepts OTLP logs over HTTP, without `/v1/logs`."""
    query_url: pulumi.Output[str]
    """Base URL of its query API, for Grafana's datasource."""

    def __init__(self, name: str, args: LokiArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Loki", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        settings = args.settings
        several, storage = settings.replicas > 1, settings.object_storage
        peers = None
        if several and speaks_tls(args.protection):
            peers = args.protection.peers(endpoints.LOKI, "log-store", CONFIG, child)
        address = LOOPBACK if args.protection else None
        text = yaml.safe_dump(
            loki_config(settings, args.retention, address, peers.tls if peers else None), sort_keys=False
        )
        files: dict[str, pulumi.Input[str]] = {
            "loki.yaml": text,
            **storage_files(storage),
            **(peers.files if peers else {}),
        }
        config = config_map("loki-config", "log-store", args.namespace, files, child)
        pod = Pod(
            name=endpoints.LOKI,
            component="log-store",
            user=_UID,
            container=Container(
                image=versions.LOKI,
                size=settings,
                ports={"http": endpoints.LOKI_PORT, **(_PEER_PORTS if several else {})},
                args=[f"-config.file={CONFIG}/loki.yaml", *(["-config.expand-env=true"] if storage else [])],
                env=[
                    *go_memory_limit(settings),
                    *storage_variables(storage, args.secret),
                    *([field_variable(ADDRESS_VARIABLE, "status.podIP")] if several else []),
                ],
            ),
            storage=Storage(
                config_maps={CONFIG: config.metadata.name},
                configuration=files,
                secrets={
                    **storage_secret_files(storage, args.secret),
                    **(peers.secrets if peers else {}),
                },
                data=DATA,
            ),
            probes=Probes(
                readiness=http_probe(endpoints.LOKI_READY, endpoints.LOKI_PORT, period=2),
                # Not /ready: a Loki that replays its log is alive.
                liveness=tcp_probe(endpoints.LOKI_PORT),
            ),
            shutdown=Shutdown(grace_seconds=60),
            identity=identity_annotations(storage),
            identity_labels=identity_labels(storage),
        )
        gossip = peers.through_proxy(endpoints.LOKI_GOSSIP_PORT) if peers else None
        pod = protect(pod, args.protection, child, ProxyOptions(plain=_PEER_PORTS, gossip=gossip))
        services(pod, args.namespace, child)
        volume = Volume(size=settings.volume, storage_class=args.storage_class)
        stateful_set(pod, args.namespace, volume, child, replicas=settings.replicas)
        self.query_url = pulumi.Output.from_input(base_url(endpoints.LOKI, endpoints.LOKI_PORT, args.protection))
        self.otlp_url = self.query_url.apply(lambda url: f"{url}/otlp")
        self.register_outputs({"otlp_url": self.otlp_url, "query_url": self.query_url})
