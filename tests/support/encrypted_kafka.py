"""The stack's own Kafka with TLS, passwords and rights, as processes of this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from checks.harness.kafka import KafkaBrokers
from contracts import endpoints, secret_keys
from service.common.config import ServiceSettings
from service.common.kafka.client import client_configuration
from stack.components.encryption.authority import RENEWAL, Authority, Certificate
from stack.components.kafka.access import KafkaAccess, own_access
from stack.components.kafka.config import BrokerSecurity, certificate_hosts
from stack.components.kafka.rights import RIGHTS, single
from stack.components.kafka.settings import Kafka
from stack.kafka_users.administration import Administration
from stack.kafka_users.declared import Declared, Right
from tests.support.outputs import value

SEED = "a random text of the tests, which is long enough"
PASSWORDS = {user: f"password-of-{user}" for user in secret_keys.KAFKA_USER_PASSWORD}
DECLARED = Declared(passwords=PASSWORDS, rights=frozenset(Right(**item) for item in single(RIGHTS)))


@dataclass
class EncryptedKafka:
    """The brokers, and how clients reach them."""

    brokers: KafkaBrokers
    folder: Path
    seed: str = SEED
    issuer: Authority | None = None
    """Of the certificate that clients with a password see; None: that of the brokers themselves."""

    @property
    def authority(self) -> Authority:
        """Its certificate is what clients verify brokers with."""
        return Authority(self.seed)

    @property
    def security(self) -> BrokerSecurity:
        """The files of TLS."""
        return BrokerSecurity(
            key_and_certificate=str(self.folder / "tls-combined.pem"),
            authority=str(self.folder / "ca.crt"),
            for_clients=str(self.folder / "clients.pem") if self.issuer else None,
        )

    def renew(self, *, periods: int) -> Certificate:
        """Writes the certificate of another period, counted from this one, and returns it."""
        issued = self.authority.issue(endpoints.KAFKA, self._names, _moment(periods), is_client=True)
        Path(self.security.key_and_certificate).write_text(issued.combined)
        Path(self.security.authority).write_text(self.authority.certificate)
        return issued

    @property
    def _names(self) -> list[str]:
        return [*self.brokers.addresses, *certificate_hosts(len(self.brokers.addresses))]

    def renew_for_clients(self, *, periods: int, name: str = endpoints.KAFKA) -> Certificate:
        """Writes a certificate of the issuer, with a name in its subject, and returns it."""
        assert self.issuer
        assert self.security.for_clients
        issued = self.issuer.issue(name, self.brokers.addresses, _moment(periods))
        Path(self.security.for_clients).write_text(issued.combined)
        return issued

    @property
    def access(self) -> KafkaAccess:
        """How the stack's clients reach it."""
        shown_by = self.issuer or self.authority
        return own_access(self.brokers.bootstrap_servers, 20, shown_by.certificate)

    def admin(self, common_name: str = endpoints.KAFKA_USERS, signed_by: Authority | None = None) -> AdminClient:
        """A client with a certificate of this name, by default the pod that writes users and rights."""
        issued = (signed_by or self.authority).issue(common_name, [], datetime.now(UTC), is_client=True)
        return AdminClient(
            {
                "bootstrap.servers": self.brokers.tls_address(0),
                "security.protocol": "SSL",
                "ssl.ca.pem": self.authority.certificate,
                "ssl.certificate.pem": issued.certificate,
                "ssl.key.pem": issued.key,
                "log_level": 0,
            }
        )

    def create_topics(self, *topics: str) -> None:
        """Creates topics with the rights of the brokers. Kafka's own command would start a JVM for each of them."""
        admin = self.admin(endpoints.KAFKA)
        new = [NewTopic(topic, num_partitions=1, replication_factor=-1) for topic in topics]
        for creation in admin.create_topics(new, request_timeout=30.0).values():
            creation.result()

    def client(self, user: str, password: str | None = None, **changes: Any) -> dict[str, Any]:
        """The configuration of a service's client."""
        variables = self.access.service_variables(user, "secret")
        values = {str(item.name): value(item.value) for item in variables if item.value is not None}
        settings = ServiceSettings.from_env(values | {"KAFKA_PASSWORD": password or PASSWORDS[user]})
        return client_configuration(settings, user) | {"log_level": 0} | changes


def _moment(periods: int) -> datetime:
    return datetime.now(UTC) + periods * RENEWAL


@contextmanager
def encrypted_kafka(
    folder: Path, class_path: str, brokers: int = 1, issuer: Authority | None = None
) -> Iterator[EncryptedKafka]:
    """Runs the brokers, with the users and rights of the stack."""
    processes = KafkaBrokers(folder, class_path)
    kafka = EncryptedKafka(processes, folder, issuer=issuer)
    kafka.renew(periods=-1)  # a later one is not yet valid
    if issuer:
        kafka.renew_for_clients(periods=-1)
    processes.configure(Kafka(brokers=brokers, memory="1Gi"), security=kafka.security)  # type: ignore[arg-type]
    try:
        processes.start(*range(brokers))
        processes.wait(*range(brokers))
        Administration().apply(kafka.admin(), DECLARED)
        yield kafka
    finally:
        processes.kill()
