"""A proxy (HAProxy) in the pods of a program that knows no TLS: the program reaches the brokers on its loopback
interface, and the proxy connects with TLS and a client certificate.

Clients of Kafka connect to the addresses that brokers tell them. Brokers tell those on the listener of proxies that
each of them is at a port of 127.0.0.1, which is where the proxy in the client's own pod takes connections.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_kubernetes as k8s

from contracts import endpoints
from stack.components.encryption.proxy.sidecar import files as sidecar_files
from stack.components.encryption.proxy.sidecar import sidecar
from stack.components.encryption.server import COMBINED_FILE, Issuer, ServerCertificate, ServerCertificateArgs, Subject
from stack.components.kafka.config import AUTHORITY_FILE, hosts, local_port
from stack.components.shared.object_meta import config_map
from stack.components.shared.pod import Pod
from stack.components.shared.storage import SecretFiles, secret_volume, volume_name

core = k8s.core.v1

LOCAL_ADDRESS: Final = f"127.0.0.1:{endpoints.KAFKA_LOCAL_PORT}"
"""host:port at which the program asks for the brokers."""
CONFIG: Final = "/etc/kafka-proxy"
CERTIFICATE: Final = "/etc/kafka-proxy-certificate"
_DOMAIN: Final = "${SEARCH_DOMAIN}"
"""Variable of `serve.sh`: HAProxy completes no name by itself."""

_HEAD: Final = f"""\
global
  log stdout format raw local0 notice
  maxconn 500
  # Connections of a process that has loaded its files again: clients then open new ones.
  hard-stop-after 5m
  ssl-default-server-options ssl-min-ver TLSv1.3

# A broker has another address after each restart.
resolvers cluster
  parse-resolv-conf
  hold valid 1s
  accepted_payload_size 8192

defaults
  mode tcp
  log global
  option dontlognull
  # A client whose broker is unavailable sees a reset, and tries again. After a mere end it would not.
  option nolinger
  option redispatch 1
  retries 2
  timeout connect 2s
  # Longer than brokers keep a connection that is not in use: 10 minutes.
  timeout client 11m
  timeout server 11m
  default-server ssl verify required ca-file {CONFIG}/{AUTHORITY_FILE} crt {CERTIFICATE}/{COMBINED_FILE}
"""


@dataclass(frozen=True, kw_only=True)
class ProxiedBroker:
    """A broker behind the proxy."""

    name: str
    """In its certificate."""
    host: str
    """Where it is: a name that the configuration completes, or an IP address."""
    port: int = endpoints.KAFKA_PROXIED_PORT

    def server(self, *, is_looked_up: bool) -> str:
        """Return the line of HAProxy's configuration."""
        look_up = " resolvers cluster init-addr last,libc,none" if is_looked_up else ""
        return f'  server {self.name} "{self.host}:{self.port}" verifyhost {self.name}{look_up}'


def proxy_config(brokers: Sequence[ProxiedBroker], *, is_looked_up: bool = True) -> str:
    """Return HAProxy's configuration.

    Args:
        brokers: in the order of their ordinals.
        is_looked_up: whether their hosts are names.
    """
    servers = [broker.server(is_looked_up=is_looked_up) for broker in brokers]
    sections = [
        _section("brokers", endpoints.KAFKA_LOCAL_PORT, servers),
        *(_section(f"broker-{ordinal}", local_port(ordinal), [server]) for ordinal, server in enumerate(servers)),
    ]
    return "\n".join([_HEAD, *sections])


def _section(name: str, port: int, servers: Sequence[str]) -> str:
    return "\n".join([f"listen {name}", f"  bind 127.0.0.1:{port}", *servers, ""])


@dataclass(frozen=True, kw_only=True)
class KafkaProxyArgs:
    namespace: pulumi.Input[str]
    client: str
    """As whom the program connects."""
    component: str
    """Value of the label `app.kubernetes.io/component`."""
    brokers: int
    """Number of brokers."""
    issuer: Issuer
    """Of the certificates by which the program and the brokers know each other."""


class KafkaProxy(pulumi.ComponentResource):
    """The certificate and the configuration of a program's proxies."""

    certificate: pulumi.Output[str]
    """Name of the Secret with the certificate, by which the brokers know the program."""

    def __init__(self, name: str, args: KafkaProxyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:KafkaProxy", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        subject = Subject(
            namespace=args.namespace,
            server=args.client,
            component=args.component,
            hosts=[args.client],
            is_client=True,
        )
        certificate_args = ServerCertificateArgs(subject=subject, issuer=args.issuer)
        own = ServerCertificate(f"{args.client}-certificate", certificate_args, child)
        brokers = [ProxiedBroker(name=host, host=f"{host}.{_DOMAIN}") for host in hosts(args.brokers)]
        self._files: dict[str, pulumi.Input[str]] = {
            **sidecar_files(proxy_config(brokers)),
            AUTHORITY_FILE: own.authority,
        }
        config = config_map(f"{args.client}-proxy", args.component, args.namespace, self._files, child)
        self._config = config.metadata.name
        self.certificate = own.secret
        self.register_outputs({"certificate": self.certificate})

    def attach(self, pod: Pod) -> Pod:
        """Return the pod with a proxy; its containers find the brokers at `LOCAL_ADDRESS`."""
        file = f"{CERTIFICATE}/{COMBINED_FILE}"
        container = sidecar("kafka-proxy", CONFIG, watched=[file], mounts=(CONFIG, CERTIFICATE))
        certificate = SecretFiles(secret=self.certificate, keys={COMBINED_FILE: COMBINED_FILE})
        configuration = core.ConfigMapVolumeSourceArgs(name=self._config)
        return dataclasses.replace(
            pod,
            init=[container, *pod.init],
            volumes=[
                *pod.volumes,
                core.VolumeArgs(name=volume_name(CONFIG), config_map=configuration),
                secret_volume(CERTIFICATE, certificate),
            ],
            storage=dataclasses.replace(
                pod.storage, configuration={"program": pod.storage.configuration, "kafka-proxy": self._files}
            ),
        )
