"""How the clients of Kafka reach it: the stack's own, or one that the stack did not build."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import pulumi
import pulumi_kubernetes as k8s

from collector.pipeline import KafkaTarget
from contracts import secret_keys
from stack.components.encryption.own_authority import OwnAuthority
from stack.components.kafka.config import MECHANISM
from stack.components.kafka.settings import ExternalKafka
from stack.components.shared.environment import secret_variable, variables
from stack.components.shared.store import environment_name

core = k8s.core.v1

PASSWORD: Final = environment_name(secret_keys.KAFKA_PASSWORD)
"""The variable with the password of a client's user."""
_LOGIN: Final = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
}
"""Java's login module of each mechanism."""


@dataclass(frozen=True, kw_only=True)
class Login:
    """How a client authenticates."""

    mechanism: str
    """SASL's."""
    username: str
    key: str
    """Key of the password in the stack's Secret."""


@dataclass(frozen=True, kw_only=True)
class KafkaAccess:
    """Addresses and credentials, in the form that each kind of client takes."""

    bootstrap_servers: pulumi.Input[str]
    publish_seconds: int
    """How long a service waits for the acknowledgement of a message."""
    encrypted: bool = False
    ca: pulumi.Input[str] | None = None
    """Authority that signed the brokers' certificates, as PEM; the public ones if None."""
    logins: Mapping[str, Login] = field(default_factory=dict)
    """Name of a client's workload → how it authenticates; without one it does not."""
    callers: OwnAuthority | None = None
    """Of the stack's own brokers with TLS: issues the certificates by which they know clients behind a proxy."""

    def password(self, client: str, secret: pulumi.Input[str]) -> list[core.EnvVarArgs]:
        """Return the variable with the password of a client, if it has one."""
        login = self.logins.get(client)
        return [secret_variable(PASSWORD, login.key, secret)] if login else []

    def service_variables(self, client: str, secret: pulumi.Input[str]) -> list[core.EnvVarArgs]:
        """Return the variables from which a service connects."""
        login = self.logins.get(client)
        user = {"KAFKA_SASL_MECHANISM": login.mechanism, "KAFKA_USERNAME": login.username} if login else {}
        return [
            core.EnvVarArgs(name="KAFKA_BOOTSTRAP_SERVERS", value=self.bootstrap_servers),
            *variables(KAFKA_PUBLISH_TIMEOUT_MS=1000 * self.publish_seconds),
            *(variables(KAFKA_ENCRYPTED=True) if self.encrypted else []),
            *([core.EnvVarArgs(name="KAFKA_CA", value=self.ca)] if self.ca is not None else []),
            *variables(**user),
            *self.password(client, secret),
        ]

    def collector_target(self, client: str) -> pulumi.Output[KafkaTarget]:
        """Return what the configuration of Collectors has of it."""
        login = self.logins.get(client)
        return pulumi.Output.all(servers=self.bootstrap_servers, ca=self.ca).apply(
            lambda values: KafkaTarget(
                values["servers"],
                self.encrypted,
                values["ca"],
                mechanism=login.mechanism if login else None,
                username=login.username if login else None,
            )
        )

    def client_properties(self, client: str) -> pulumi.Output[str] | None:
        """Return the configuration of Kafka's own programs; None if the addresses are enough.

        It has no password: Kafka reads it from the variable `PASSWORD`.
        """
        if not self.encrypted:
            return None
        return pulumi.Output.from_input(self.ca).apply(lambda ca: _properties(ca, self.logins.get(client)))


def _properties(ca: str | None, login: Login | None) -> str:
    lines = [f"security.protocol={'SASL_SSL' if login else 'SSL'}"]
    if ca:
        certificates = ca.strip().replace("\n", "\\n")
        lines += ["ssl.truststore.type=PEM", f"ssl.truststore.certificates={certificates}"]
    if login:
        lines += [
            "config.providers=env",
            "config.providers.env.class=org.apache.kafka.common.config.provider.EnvVarConfigProvider",
            f"sasl.mechanism={login.mechanism}",
            f"sasl.jaas.config={_LOGIN[login.mechanism]} required "
            f'username="{login.username}" password="${{env:{PASSWORD}}}";',
        ]
    return "".join(f"{line}\n" for line in lines)


def external_access(external: ExternalKafka, publish_seconds: int) -> KafkaAccess:
    """Return the way to brokers that the stack did not build, where all clients are one user."""
    login = None
    if external.mechanism and external.username:
        login = Login(mechanism=external.mechanism, username=external.username, key=secret_keys.KAFKA_PASSWORD)
    return KafkaAccess(
        bootstrap_servers=external.bootstrap_servers,
        publish_seconds=publish_seconds,
        encrypted=external.encrypted,
        ca=external.ca,
        logins=dict.fromkeys(secret_keys.KAFKA_USER_PASSWORD, login) if login else {},
    )


def own_access(
    bootstrap_servers: pulumi.Input[str],
    publish_seconds: int,
    authority: pulumi.Input[str] | None,
    callers: OwnAuthority | None = None,
) -> KafkaAccess:
    """Return the way to the stack's own brokers.

    Args:
        bootstrap_servers: host:port at which clients ask for the brokers.
        publish_seconds: how long a service waits for the acknowledgement of a message.
        authority: what clients verify the brokers with, as PEM; each client is a user then. None without encryption.
        callers: issues the certificates by which brokers know clients behind a proxy.
    """
    if authority is None:
        return KafkaAccess(bootstrap_servers=bootstrap_servers, publish_seconds=publish_seconds)
    return KafkaAccess(
        bootstrap_servers=bootstrap_servers,
        publish_seconds=publish_seconds,
        encrypted=True,
        ca=authority,
        logins={
            user: Login(mechanism=MECHANISM, username=user, key=key)
            for user, key in secret_keys.KAFKA_USER_PASSWORD.items()
        },
        callers=callers,
    )
