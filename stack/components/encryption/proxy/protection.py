"""Puts the proxy into pods, and tells clients how to reach the program behind it."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeGuard

import pulumi
import pulumi_kubernetes as k8s

from collector.pipeline import OtlpTarget
from contracts import endpoints, secret_keys
from contracts.metadata import AUTHORITY, AUTHORITY_FILE
from stack.components.encryption import peers
from stack.components.encryption.issuers import Issuers
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
from stack.components.encryption.server import COMBINED_FILE, Issuer, ServerCertificate, ServerCertificateArgs, Subject
from stack.components.encryption.settings import EncryptionStep
from stack.components.shared.environment import field_variable, variables
from stack.components.shared.object_meta import config_map
from stack.components.shared.pod import Pod
from stack.components.shared.probes import Probes, tcp_probe
from stack.components.shared.storage import SecretFiles, secret_volume, volume_name
from stack.components.shared.store import QueryAccess, environment_name

core = k8s.core.v1

_HTTPS: Final = "HTTPS"


@dataclass(frozen=True, kw_only=True)
class StackAuthorityArgs:
    namespace: pulumi.Input[str]
    issuer: Issuer
    """Of the servers' certificates."""


class StackAuthority(pulumi.ComponentResource):
    """The certificate with which clients verify the programs behind a proxy, as a ConfigMap."""

    certificate: pulumi.Output[str]
    """PEM."""

    def __init__(self, name: str, args: StackAuthorityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:StackAuthority", name, None, opts)
        self.certificate = args.issuer.authority
        child = pulumi.ResourceOptions(parent=self)
        config_map(AUTHORITY, "encryption", args.namespace, {AUTHORITY_FILE: self.certificate}, child)
        self.register_outputs({"certificate": self.certificate})


@dataclass(frozen=True, kw_only=True)
class Protection:
    """What the pods and the clients of encrypted programs need."""

    namespace: str
    """Of the stack."""
    secret: pulumi.Input[str]
    """Name of the stack's Secret, which has the tokens."""
    issuers: Issuers
    authority: pulumi.Output[str]
    """What clients verify the servers' certificates with, as PEM."""
    step: EncryptionStep
    """Whether servers take connections in clear as well, and whether clients use TLS."""
    needs_token: bool = True
    """Whether callers need a token of the telemetry; otherwise the programs themselves know their callers."""

    def certificate(self, server: str, component: str, hosts: Sequence[str], parent: pulumi.ResourceOptions) -> str:
        """Create the certificate of a workload, and return the name of its Secret.

        Args:
            server: name of the workload.
            component: value of its label.
            hosts: further names by which clients reach it.
            parent: options of the resource.
        """
        issuer, names = self.issuers.servers, [*_names(server, self.namespace), *hosts]
        subject = Subject(namespace=self.namespace, server=server, component=component, hosts=names)
        ServerCertificate(f"{server}-certificate", ServerCertificateArgs(subject=subject, issuer=issuer), parent)
        return issuer.secret_name(server)

    def peers(self, group: str, component: str, folder: str, parent: pulumi.ResourceOptions) -> peers.Peers:
        """Create the certificate by which the pods of one program know each other, and return what they get.

        Args:
            group: name of the program, and the name that the certificate is for.
            component: value of its label.
            folder: mount path of its configuration.
            parent: options of the resource.
        """
        server = peers.peers_name(group)
        subject = Subject(namespace=self.namespace, server=server, component=component, hosts=[group], is_client=True)
        args = ServerCertificateArgs(subject=subject, issuer=self.issuers.callers.of_group(server))
        certificate = ServerCertificate(f"{server}-certificate", args, parent)
        return peers.Peers(
            tls=peers.PeerTls(name=group, authority=f"{folder}/{peers.AUTHORITY_FILE}"),
            authority=certificate.authority,
            secret=certificate.secret,
        )


def _names(server: str, namespace: str) -> tuple[str, ...]:
    headless = endpoints.pods(server)
    return (
        server,
        f"{server}.{namespace}",
        f"{server}.{namespace}.svc",
        f"{server}.{namespace}.svc.cluster.local",
        headless,
        endpoints.SCRAPED,
    )


def speaks_tls(protection: Protection | None) -> TypeGuard[Protection]:
    """Return whether clients connect with TLS."""
    return protection is not None and protection.step.speaks_tls


def listen_address(protection: Protection | None, otherwise: str = "0.0.0.0") -> str:
    """Return the address on which a program listens for its clients."""
    return LOOPBACK if protection else otherwise


def listen_variables(protection: Protection | None) -> list[core.EnvVarArgs]:
    """Return the variables by which a program of the services' image listens for the proxy alone."""
    return variables(HOST=LOOPBACK) if protection else []


def query_access(protection: Protection | None) -> QueryAccess:
    """Return what clients of a store of the stack send and trust."""
    if not speaks_tls(protection):
        return QueryAccess()
    return QueryAccess(authorization=secret_keys.TELEMETRY_AUTHORIZATION, ca=protection.authority)


def base_url(host: str, port: int, protection: Protection | None) -> str:
    """Return the base URL of a program of the stack."""
    return endpoints.url(host, port, encrypted=speaks_tls(protection))


def trusted(protection: Protection | None) -> pulumi.Output[str] | None:
    """Return the authority that clients of a program trust, as PEM; None while they connect in clear."""
    return protection.authority if speaks_tls(protection) else None


def otlp_target(target: OtlpTarget, protection: Protection | None) -> pulumi.Output[OtlpTarget]:
    """Return where Collectors send OTLP, with what they send and trust."""
    if not speaks_tls(protection):
        return pulumi.Output.from_input(target)
    headers = {"Authorization": f"${{env:{environment_name(secret_keys.TELEMETRY_AUTHORIZATION)}}}"}
    return protection.authority.apply(
        lambda ca: dataclasses.replace(target, encrypted=True, ca=ca, headers={**target.headers, **headers})
    )


def otlp_secrets(protection: Protection | None) -> tuple[str, ...]:
    """Return the keys of the secrets in the headers of `otlp_target`."""
    return (secret_keys.TELEMETRY_AUTHORIZATION,) if speaks_tls(protection) else ()


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
