"""How the clients of Kafka reach it: the stack's own, or one that the stack did not build."""

from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_kubernetes as k8s

from collector.pipeline import KafkaTarget
from contracts import secret_keys
from stack.components.kafka.settings import ExternalKafka
from stack.components.shared.environment import secret_variable, variables
from stack.components.shared.store import environment_name

core = k8s.core.v1

_PASSWORD: Final = environment_name(secret_keys.KAFKA_PASSWORD)
_LOGIN: Final = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
}
"""Java's login module of each mechanism."""


@dataclass(frozen=True, kw_only=True)
class KafkaAccess:
    """Addresses and credentials, in the form that each kind of client takes."""

    bootstrap_servers: pulumi.Input[str]
    publish_seconds: int
    """How long a service waits for the acknowledgement of a message."""
    external: ExternalKafka | None = None

    def password(self, secret: pulumi.Input[str]) -> list[core.EnvVarArgs]:
        """Return the variable with the password, if there is one."""
        if self.external is None or self.external.mechanism is None:
            return []
        return [secret_variable(_PASSWORD, secret_keys.KAFKA_PASSWORD, secret)]

    def service_variables(self, secret: pulumi.Input[str]) -> list[core.EnvVarArgs]:
        """Return the variables from which a service connects."""
        shared = [
            core.EnvVarArgs(name="KAFKA_BOOTSTRAP_SERVERS", value=self.bootstrap_servers),
            *variables(KAFKA_PUBLISH_TIMEOUT_MS=1000 * self.publish_seconds),
        ]
        external = self.external
        if external is None:
            return shared
        optional = {"CA": external.ca, "SASL_MECHANISM": external.mechanism, "USERNAME": external.username}
        return [
            *shared,
            *variables(
                KAFKA_ENCRYPTED=external.encrypted,
                **{f"KAFKA_{name}": value for name, value in optional.items() if value is not None},
            ),
            *self.password(secret),
        ]

    def collector_target(self) -> pulumi.Output[KafkaTarget]:
        """Return what the configuration of Collectors has of it."""
        return pulumi.Output.from_input(self.bootstrap_servers).apply(lambda servers: target(servers, self.external))

    def client_properties(self) -> str | None:
        """Return the configuration of Kafka's own programs; None if the addresses are enough.

        It has no password: Kafka reads it from the variable.
        """
        external = self.external
        if external is None or not external.encrypted:
            return None
        lines = [f"security.protocol={'SASL_SSL' if external.mechanism else 'SSL'}"]
        if external.ca:
            certificates = external.ca.strip().replace("\n", "\\n")
            lines += ["ssl.truststore.type=PEM", f"ssl.truststore.certificates={certificates}"]
        if external.mechanism:
            lines += [
                "config.providers=env",
                "config.providers.env.class=org.apache.kafka.common.config.provider.EnvVarConfigProvider",
                f"sasl.mechanism={external.mechanism}",
                f"sasl.jaas.config={_LOGIN[external.mechanism]} required "
                f'username="{external.username}" password="${{env:{_PASSWORD}}}";',
            ]
        return "".join(f"{line}\n" for line in lines)


def target(bootstrap_servers: str, external: ExternalKafka | None) -> KafkaTarget:
    """Return where Collectors send and read spans."""
    if external is None:
        return KafkaTarget(bootstrap_servers)
    return KafkaTarget(
        bootstrap_servers, external.encrypted, external.ca, mechanism=external.mechanism, username=external.username
    )
