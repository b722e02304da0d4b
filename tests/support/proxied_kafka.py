"""The proxy of a client that knows no TLS, before an encrypted Kafka, as a process of this machine."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from checks.harness.server import ServerProcess
from contracts import endpoints
from stack.components.encryption.authority import RENEWAL
from stack.components.encryption.proxy.sidecar import CONFIG_FILE, SERVE
from stack.components.encryption.server import COMBINED_FILE
from stack.components.kafka.config import AUTHORITY_FILE, hosts
from stack.components.kafka.proxy import CERTIFICATE, CONFIG, ProxiedBroker, proxy_config
from tests.support.encrypted_kafka import EncryptedKafka
from tests.support.proxied import haproxy_environment


class KafkaProxyProcess(ServerProcess):
    """The proxy of one pod."""

    def __init__(self, folder: Path, kafka: EncryptedKafka, brokers: int, *, names: list[str] | None = None) -> None:
        """Prepares it.

        Args:
            folder: for its files.
            kafka: the brokers.
            brokers: their number.
            names: those that it verifies in the brokers' certificates.
        """
        self._kafka, self._certificate = kafka, folder / COMBINED_FILE
        addresses = kafka.brokers.addresses[:brokers]
        proxied = [
            ProxiedBroker(name=name, host=host) for name, host in zip(names or hosts(brokers), addresses, strict=True)
        ]
        text = proxy_config(proxied, is_looked_up=False).replace("127.0.0.1:", f"{kafka.brokers.local_host}:")
        for path in (CERTIFICATE, CONFIG):
            text = text.replace(f"{path}/", f"{folder}/")
        (folder / CONFIG_FILE).write_text(text)
        (folder / AUTHORITY_FILE).write_text(kafka.authority.certificate)
        self.show(endpoints.TEMPO_KAFKA)
        command = ["sh", str(SERVE), str(folder / CONFIG_FILE), str(self._certificate)]
        super().__init__("kafka-proxy", command, folder, self._listens, haproxy_environment())

    @property
    def address(self) -> str:
        """host:port at which the client asks for brokers."""
        return f"{self._kafka.brokers.local_host}:{endpoints.KAFKA_LOCAL_PORT}"

    def show(self, client: str, *, periods: int = 0) -> None:
        """Writes the certificate of a client, of a period that is counted from this one."""
        moment = datetime.now(UTC) + periods * RENEWAL
        issued = self._kafka.authority.issue(client, [client], moment, is_client=True)
        new = self._certificate.with_suffix(".new")
        new.write_text(issued.combined)
        new.rename(self._certificate)

    def _listens(self) -> bool:
        with socket.socket() as connection:
            return connection.connect_ex((self._kafka.brokers.local_host, endpoints.KAFKA_LOCAL_PORT)) == 0


@contextmanager
def kafka_proxy(
    folder: Path, kafka: EncryptedKafka, brokers: int, *, names: list[str] | None = None
) -> Iterator[KafkaProxyProcess]:
    """Runs the proxy."""
    folder.mkdir(exist_ok=True)
    process = KafkaProxyProcess(folder, kafka, brokers, names=names)
    try:
        process.start()
        yield process
    finally:
        process.stop()
