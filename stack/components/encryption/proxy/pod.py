"""Puts the proxy into the pods of a program, which then listens for it alone."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pulumi
import pulumi_kubernetes as k8s

from contracts import endpoints, secret_keys
from stack.components.encryption import peers
from stack.components.encryption.protection import Protection
from stack.components.encryption.proxy.config import (
    ADDRESS_VARIABLE,
    CERTIFICATE,
    CERTIFICATE_NAME,
    CONFIG,
    LOOPBACK,
    MONITOR,
    TOKENS,
    TOKENS_NAME,
    ProxiedPort,
    proxy_config,
)
from stack.components.encryption.proxy.sidecar import files as sidecar_files
from stack.components.encryption.proxy.sidecar import sidecar
from stack.components.encryption.server import COMBINED_FILE
from stack.components.shared.environment import field_variable, variables
from stack.components.shared.object_meta import config_map
from stack.components.shared.pod import Pod
from stack.components.shared.probes import Probes, tcp_probe
from stack.components.shared.storage import SecretFiles, secret_volume, volume_name

core = k8s.core.v1

_HTTPS: Final = "HTTPS"


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """The files of the proxy in the pods of one workload, or of all versions of a service."""

    ports: tuple[int, ...]
    """Which the proxy takes."""
    files: Mapping[str, pulumi.Input[str]]
    """Its configuration."""
    config: pulumi.Input[str]
    """Name of the ConfigMap with that."""
    certificate: SecretFiles
    tokens: SecretFiles | None
    """None if callers need no token."""
    has_peers: bool = False
    """Whether it takes connections of pods with a certificate of peers."""


@dataclass(frozen=True, kw_only=True)
class ProxyOptions:
    """What differs for one program. Without, a proxy takes all of its ports."""

    plain: Collection[str] = ()
    """Names of the ports that the proxy leaves alone."""
    further: Mapping[str, int] = field(default_factory=dict)
    """Ports of the pod's sidecars that the proxy takes as well."""
    own_tls: Collection[int] = ()
    """Ports among `plain` at which the program has TLS itself."""
    hosts: Sequence[str] = ()
    """Further names by which clients reach the pods."""
    gossip: peers.ProxiedPeers | None = None
    """A port of `plain` that the proxy opens to pods with the certificate of peers, which the pod mounts."""


_DEFAULTS: Final = ProxyOptions()


def protect(
    pod: Pod,
    protection: Protection | None,
    parent: pulumi.ResourceOptions,
    options: ProxyOptions = _DEFAULTS,
) -> Pod:
    """Return the pod with a proxy before the ports of its program, which listens on the loopback interface.

    Args:
        pod: of the program.
        protection: None leaves the pod as it is.
        parent: options of the resources.
        options: what differs for this program.
    """
    return behind(pod, proxy(pod, protection, parent, options)) if protection else pod


def proxy(
    pod: Pod,
    protection: Protection,
    parent: pulumi.ResourceOptions,
    options: ProxyOptions = _DEFAULTS,
) -> Proxy:
    """Create the files of a proxy; the arguments are those of `protect`."""
    plain, gossip = options.plain, options.gossip
    numbers = {**{name: port for name, port in pod.container.ports.items() if name not in plain}, **options.further}
    ports = [
        ProxiedPort(
            number=number,
            probes=_probe_paths(pod, number),
            http2=number == endpoints.OTLP_GRPC_PORT,
            needs_token=protection.needs_token,
        )
        for number in numbers.values()
    ]
    files: dict[str, pulumi.Input[str]] = {
        **sidecar_files(
            proxy_config(
                ports,
                own_tls=options.own_tls,
                takes_plain=protection.step.takes_plain,
                peer_ports=[gossip.port] if gossip else (),
            )
        ),
        **({peers.AUTHORITY_FILE: gossip.authority} if gossip else {}),
    }
    config = config_map(f"{pod.name}-proxy", pod.component, protection.namespace, files, parent)
    tokens = SecretFiles(secret=protection.secret, keys={secret_keys.TELEMETRY_TOKENS: TOKENS_NAME})
    return Proxy(
        ports=tuple(numbers.values()),
        files=files,
        config=config.metadata.name,
        certificate=SecretFiles(
            secret=protection.certificate(pod.name, pod.component, options.hosts, parent),
            keys={COMBINED_FILE: CERTIFICATE_NAME},
        ),
        tokens=tokens if protection.needs_token else None,
        has_peers=gossip is not None,
    )


def behind(pod: Pod, proxy: Proxy) -> Pod:
    """Return the pod with the proxy before the ports of its program."""
    proxied = frozenset(proxy.ports)
    config = core.ConfigMapVolumeSourceArgs(name=proxy.config)
    return dataclasses.replace(
        pod,
        init=[_container(proxy), *(_with_probes(container, proxied) for container in pod.init)],
        volumes=[
            *pod.volumes,
            core.VolumeArgs(name=volume_name(CONFIG), config_map=config),
            secret_volume(CERTIFICATE, proxy.certificate),
            *([secret_volume(TOKENS, proxy.tokens)] if proxy.tokens else []),
        ],
        storage=dataclasses.replace(
            pod.storage, configuration={"program": pod.storage.configuration, "proxy": proxy.files}
        ),
        probes=Probes(
            readiness=_through_proxy(pod.probes.readiness, proxied),
            liveness=_through_proxy(pod.probes.liveness, proxied),
            own_startup=_through_proxy(pod.probes.own_startup, proxied) if pod.probes.own_startup else None,
        ),
    )


def listen_address(protection: Protection | None) -> str:
    """Return the address on which a program listens for its clients."""
    return LOOPBACK if protection else "0.0.0.0"


def listen_variables(protection: Protection | None) -> list[core.EnvVarArgs]:
    """Return the variables by which a program of the services' image listens for the proxy alone."""
    return variables(HOST=LOOPBACK) if protection else []


def _container(proxy: Proxy) -> core.ContainerArgs:
    """Return the sidecar. The probes of the other containers pass through it."""
    tokens = [TOKENS] if proxy.tokens else []
    of_peers = [peers.FOLDER] if proxy.has_peers else []
    return sidecar(
        "proxy",
        CONFIG,
        watched=[
            f"{CERTIFICATE}/{CERTIFICATE_NAME}",
            *(f"{folder}/{TOKENS_NAME}" for folder in tokens),
            *(f"{folder}/{COMBINED_FILE}" for folder in of_peers),
        ],
        mounts=(CONFIG, CERTIFICATE, *tokens, *of_peers),
        env=[field_variable(ADDRESS_VARIABLE, "status.podIP")],
        startup_probe=tcp_probe(proxy.ports[0], period=1, failures=60),
    )


def _probe_paths(pod: Pod, port: int) -> tuple[str, ...]:
    """Return the paths of the probes on a port: the kubelet has no token."""
    probes: list[Any] = [
        pod.probes.readiness,
        pod.probes.liveness,
        pod.probes.startup,
        *(container.startup_probe for container in pod.init if container.startup_probe),
    ]
    actions = [probe.http_get for probe in probes if probe.http_get]
    return tuple(dict.fromkeys(str(action.path) for action in actions if action.port == port))


def _with_probes(container: core.ContainerArgs, ports: frozenset[int]) -> core.ContainerArgs:
    if container.startup_probe:
        container.startup_probe = _through_proxy(container.startup_probe, ports)
    return container


def _through_proxy(probe: Any, ports: frozenset[int]) -> Any:
    """Return a probe that reaches the program through the proxy, which takes connections before the program does."""
    if probe.http_get and probe.http_get.port in ports:
        action = core.HTTPGetActionArgs(path=probe.http_get.path, port=probe.http_get.port, scheme=_HTTPS)
    elif probe.tcp_socket and probe.tcp_socket.port in ports:
        action = core.HTTPGetActionArgs(path=MONITOR, port=probe.tcp_socket.port, scheme=_HTTPS)
    else:
        return probe
    return core.ProbeArgs(
        http_get=action,
        period_seconds=probe.period_seconds,
        timeout_seconds=probe.timeout_seconds,
        failure_threshold=probe.failure_threshold,
    )
