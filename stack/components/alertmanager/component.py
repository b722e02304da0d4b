"""Alertmanager: notifies people of alerts, by severity, and of the cause instead of its symptoms."""

from dataclasses import dataclass
from typing import Any, Final

import pulumi
import yaml

from contracts import endpoints, versions
from stack.components.alertmanager.config import SECRETS, alertmanager_config
from stack.components.alertmanager.settings import Alerting
from stack.components.encryption.clients import base_url, speaks_tls
from stack.components.encryption.peers import PeerTls
from stack.components.encryption.protection import Protection
from stack.components.encryption.proxy.config import LOOPBACK
from stack.components.encryption.proxy.pod import ProxyOptions, protect
from stack.components.shared.environment import field_variable, go_memory_limit
from stack.components.shared.object_meta import config_map
from stack.components.shared.pod import Container, Pod
from stack.components.shared.probes import Probes, http_probe
from stack.components.shared.service import services
from stack.components.shared.storage import SecretFiles, Storage
from stack.components.shared.workload import Volume, stateful_set

_UID: Final = 65534
_CONFIG: Final = "/etc/alertmanager"
_DATA: Final = "/alertmanager"
_POD_IP: Final = "POD_IP"
_CLUSTER_TLS: Final = "cluster-tls.yml"


@dataclass(frozen=True, kw_only=True)
class AlertmanagerArgs:
    namespace: pulumi.Input[str]
    secret: pulumi.Input[str]
    """Name of the Secret with the receivers' URLs and keys."""
    settings: Alerting
    storage_class: str | None
    protection: Protection | None = None


class Alertmanager(pulumi.ComponentResource):
    """Alertmanager pods, each on its own volume; they share the silences, and which notifications they have sent."""

    url: pulumi.Output[str]

    def __init__(self, name: str, args: AlertmanagerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Alertmanager", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        settings = args.settings
        files: dict[str, pulumi.Input[str]] = {
            "alertmanager.yml": yaml.safe_dump(alertmanager_config(settings), sort_keys=False)
        }
        arguments = [*_arguments(settings), *_listen(args.protection), *cluster_arguments(settings.replicas)]
        peers = None
        if settings.replicas > 1 and speaks_tls(args.protection):
            peers = args.protection.peers(endpoints.ALERTMANAGER, "alerts", _CONFIG, child)
            files |= {_CLUSTER_TLS: yaml.safe_dump(cluster_tls(peers.tls)), **peers.files}
            arguments.append(f"--cluster.tls-config={_CONFIG}/{_CLUSTER_TLS}")
        config = config_map("alertmanager-config", "alerts", args.namespace, files, child)
        keys = {key: key for key in settings.needed_secrets}
        pod = Pod(
            name=endpoints.ALERTMANAGER,
            component="alerts",
            user=_UID,
            container=Container(
                image=versions.ALERTMANAGER,
                size=settings,
                ports={"http": endpoints.ALERTMANAGER_PORT, **_cluster_port(settings)},
                args=arguments,
                env=[
                    *go_memory_limit(settings),
                    *([field_variable(_POD_IP, "status.podIP")] if settings.replicas > 1 else []),
                ],
            ),
            storage=Storage(
                config_maps={_CONFIG: config.metadata.name},
                configuration=files,
                secrets={
                    **({SECRETS: SecretFiles(secret=args.secret, keys=keys)} if keys else {}),
                    **(peers.secrets if peers else {}),
                },
                data=_DATA,
            ),
            probes=Probes(
                readiness=http_probe(endpoints.ALERTMANAGER_READY, endpoints.ALERTMANAGER_PORT, period=2),
                liveness=http_probe(endpoints.ALERTMANAGER_LIVE, endpoints.ALERTMANAGER_PORT),
            ),
        )
        pod = protect(pod, args.protection, child, ProxyOptions(plain=("cluster",)))
        services(pod, args.namespace, child, one_pod_a_client=settings.replicas > 1)
        volume = Volume(size=settings.volume, storage_class=args.storage_class)
        stateful_set(pod, args.namespace, volume, child, replicas=settings.replicas)
        url = base_url(endpoints.ALERTMANAGER, endpoints.ALERTMANAGER_PORT, args.protection)
        self.url = pulumi.Output.from_input(url)
        self.register_outputs({"url": self.url})


def cluster_tls(tls: PeerTls) -> dict[str, Any]:
    """Return the file with which the pods talk over TLS alone, and refuse all without a certificate of their own."""
    files = {"cert_file": tls.certificate, "key_file": tls.key, "min_version": "TLS13"}
    return {
        "tls_server_config": {
            **files,
            "client_auth_type": "RequireAndVerifyClientCert",
            "client_ca_file": tls.authority,
        },
        "tls_client_config": {**files, "ca_file": tls.authority, "server_name": tls.name},
    }


def _arguments(settings: Alerting) -> list[str]:
    return [
        f"--config.file={_CONFIG}/alertmanager.yml",
        f"--storage.path={_DATA}",
        f"--web.external-url={settings.url}",
        # Not the path of that URL, which a proxy removes.
        "--web.route-prefix=/",
        # The metrics then name the receiver that fails, and have no series for the 15 kinds that are not configured.
        "--enable-feature=receiver-name-in-metrics",
    ]


def _listen(protection: Protection | None) -> list[str]:
    return [f"--web.listen-address={LOOPBACK}:{endpoints.ALERTMANAGER_PORT}"] if protection else []


def _cluster_port(settings: Alerting) -> dict[str, int]:
    return {"cluster": endpoints.ALERTMANAGER_CLUSTER_PORT} if settings.replicas > 1 else {}


def cluster_arguments(replicas: int) -> list[str]:
    """Return the arguments by which the pods find each other."""
    port = endpoints.ALERTMANAGER_CLUSTER_PORT
    if replicas == 1:
        return ["--cluster.listen-address="]
    return [
        f"--cluster.listen-address=0.0.0.0:{port}",
        # Alertmanager accepts only private addresses by itself, and the pods of some clusters have others.
        f"--cluster.advertise-address=$({_POD_IP}):{port}",
        *(f"--cluster.peer={endpoints.pod(endpoints.ALERTMANAGER, number)}:{port}" for number in range(replicas)),
    ]
