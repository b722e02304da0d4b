"""The pod that writes the users and rights of the stack's own Kafka, and lets brokers read renewed certificates.

A pod, and not a Job: a Job runs once, and cannot be changed. And no container in the brokers' pods: it runs from the
image of the services, each release of which would restart the brokers.
"""

import json
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_kubernetes as k8s

from contracts import endpoints, http, secret_keys
from stack.components.encryption.issuers import Issuers
from stack.components.encryption.server import (
    CERTIFICATE_FILE,
    KEY_FILE,
    ServerCertificate,
    ServerCertificateArgs,
    Subject,
)
from stack.components.kafka.config import AUTHORITY_FILE, CLIENT_KEYSTORE, KEYSTORE
from stack.components.kafka.rights import RIGHTS, single
from stack.components.shared.environment import secret_variable, variables
from stack.components.shared.object_meta import config_map
from stack.components.shared.pod import Container, Pod
from stack.components.shared.probes import Probes, http_probe
from stack.components.shared.settings import Size
from stack.components.shared.storage import SecretFiles, Storage
from stack.components.shared.workload import deployment

_UID: Final = 10001
_CONFIG: Final = "/etc/kafka-users"
_CERTIFICATE: Final = "/etc/kafka-users-certificate"
_BROKER_CERTIFICATE: Final = "/etc/kafka-certificate"
_CLIENT_CERTIFICATE: Final = "/etc/kafka-client-certificate"
_CLIENT_AUTHORITY_FILE: Final = "clients-ca.crt"
_DECLARED: Final = "declared.json"
_SIZE: Final = Size(cpu="20m", memory="128Mi")
COMPONENT: Final = "queue"


@dataclass(frozen=True, kw_only=True)
class KafkaUsersArgs:
    namespace: pulumi.Input[str]
    secret: pulumi.Input[str]
    """Name of the Secret with the users' passwords."""
    image: str
    """Image of the services."""
    issuers: Issuers
    address: str
    """host:port at which brokers take connections of brokers."""
    broker_certificate: pulumi.Input[str]
    """Name of the Secret with the brokers' certificate."""


class KafkaUsers(pulumi.ComponentResource):
    """One pod. It is ready when all users and rights are written."""

    certificate: pulumi.Output[str]
    """Name of the Secret with its certificate, by which the brokers know it."""

    def __init__(self, name: str, args: KafkaUsersArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:KafkaUsers", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        subject = Subject(
            namespace=args.namespace,
            server=endpoints.KAFKA_USERS,
            component=COMPONENT,
            hosts=[endpoints.KAFKA_USERS],
            is_client=True,
        )
        certificate_args = ServerCertificateArgs(subject=subject, issuer=args.issuers.callers)
        own = ServerCertificate("kafka-users-certificate", certificate_args, child)
        files: dict[str, pulumi.Input[str]] = {
            _DECLARED: json.dumps(_declared(), indent=1),
            AUTHORITY_FILE: own.authority,
            **({} if args.issuers.is_one else {_CLIENT_AUTHORITY_FILE: args.issuers.servers.authority}),
        }
        config = config_map("kafka-users-config", COMPONENT, args.namespace, files, child)
        pod = Pod(
            name=endpoints.KAFKA_USERS,
            component=COMPONENT,
            user=_UID,
            container=Container(
                image=args.image,
                size=_SIZE,
                ports={"http": endpoints.SERVICE_PORT},
                command=["python3", "-m", "stack.kafka_users"],
                env=_environment(args),
            ),
            storage=Storage(
                config_maps={_CONFIG: config.metadata.name},
                configuration=files,
                secrets={
                    _CERTIFICATE: SecretFiles(
                        secret=own.secret, keys={name: name for name in (CERTIFICATE_FILE, KEY_FILE)}
                    ),
                    _BROKER_CERTIFICATE: SecretFiles(
                        secret=args.broker_certificate, keys={CERTIFICATE_FILE: CERTIFICATE_FILE}
                    ),
                    **_client_certificate(args.issuers),
                },
            ),
            probes=Probes(
                readiness=http_probe(http.READY, endpoints.SERVICE_PORT),
                liveness=http_probe(http.LIVE, endpoints.SERVICE_PORT),
            ),
        )
        deployment(pod, args.namespace, 1, child)
        self.certificate = own.secret
        self.register_outputs({"certificate": self.certificate})


def _client_certificate(issuers: Issuers) -> dict[str, SecretFiles]:
    """Return the certificate that clients see, if it is another one than the brokers see."""
    if issuers.is_one:
        return {}
    secret = issuers.servers.secret_name(endpoints.KAFKA)
    return {_CLIENT_CERTIFICATE: SecretFiles(secret=secret, keys={CERTIFICATE_FILE: CERTIFICATE_FILE})}


def _of_clients(issuers: Issuers) -> dict[str, str]:
    """Return the variables for that certificate."""
    if issuers.is_one:
        return {}
    return {
        "CLIENT_CERTIFICATE": f"{_CLIENT_CERTIFICATE}/{CERTIFICATE_FILE}",
        "CLIENT_AUTHORITY": f"{_CONFIG}/{_CLIENT_AUTHORITY_FILE}",
        "CLIENT_KEYSTORE": CLIENT_KEYSTORE,
    }


def _variable(user: str) -> str:
    return f"PASSWORD_OF_{user.upper().replace('-', '_')}"


def _declared() -> dict[str, object]:
    """Return the file that `stack.kafka_users` reads."""
    return {"users": {user: _variable(user) for user in secret_keys.KAFKA_USER_PASSWORD}, "rights": single(RIGHTS)}


def _environment(args: KafkaUsersArgs) -> list[k8s.core.v1.EnvVarArgs]:
    return [
        *variables(
            PORT=endpoints.SERVICE_PORT,
            DECLARED_FILE=f"{_CONFIG}/{_DECLARED}",
            KAFKA_BOOTSTRAP_SERVERS=args.address,
            KAFKA_AUTHORITY=f"{_CONFIG}/{AUTHORITY_FILE}",
            KAFKA_CERTIFICATE=f"{_CERTIFICATE}/{CERTIFICATE_FILE}",
            KAFKA_KEY=f"{_CERTIFICATE}/{KEY_FILE}",
            BROKER_CERTIFICATE=f"{_BROKER_CERTIFICATE}/{CERTIFICATE_FILE}",
            BROKER_KEYSTORE=KEYSTORE,
            **_of_clients(args.issuers),
        ),
        *(secret_variable(_variable(user), key, args.secret) for user, key in secret_keys.KAFKA_USER_PASSWORD.items()),
    ]
