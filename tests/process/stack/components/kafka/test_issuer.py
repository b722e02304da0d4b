"""A broker that shows clients what another authority signed: that authority says where it is, and not who may call."""

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from contracts import endpoints
from contracts.services import GATEWAY
from contracts.topics import STATUS_TOPIC
from stack.components.encryption.authority import Authority
from stack.components.kafka.access import own_access
from stack.kafka_users.__main__ import _renew
from stack.kafka_users.certificates import LISTENERS
from stack.polling import poll_until
from tests.support.encrypted_kafka import EncryptedKafka, encrypted_kafka

ISSUER = Authority("the authority of a whole cluster, in these tests")


@pytest.fixture(scope="module")
def kafka(class_path: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EncryptedKafka]:
    with encrypted_kafka(tmp_path_factory.mktemp("kafka"), class_path, issuer=ISSUER) as started:
        started.create_topics(STATUS_TOPIC)
        yield started


def is_reached(kafka: EncryptedKafka, **changes: str) -> bool:
    """Whether the gateway verifies the broker, and signs in."""
    try:
        return bool(AdminClient(kafka.client(GATEWAY) | changes).list_topics(timeout=10).brokers)
    except KafkaException:
        return False


def shown(kafka: EncryptedKafka, listener: str) -> bytes | None:
    """Return the certificate that a listener shows."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((kafka.brokers.addresses[0], LISTENERS[listener]), timeout=10) as plain,
        context.wrap_socket(plain) as encrypted,
    ):
        return encrypted.getpeercert(binary_form=True)


def test_clients_verify_what_the_issuer_signed_and_nothing_else(kafka: EncryptedKafka) -> None:
    assert is_reached(kafka)
    assert not is_reached(kafka, **{"ssl.ca.pem": kafka.authority.certificate})
    # While the authority of the issuer changes, clients have both.
    access = own_access(kafka.brokers.bootstrap_servers, 20, Authority("a new one").certificate + ISSUER.certificate)
    assert access.ca
    assert is_reached(kafka, **{"ssl.ca.pem": str(access.ca)})


@pytest.mark.parametrize("name", [endpoints.KAFKA, endpoints.KAFKA_USERS])
def test_a_certificate_of_the_issuer_makes_no_one_a_broker(kafka: EncryptedKafka, name: str) -> None:
    assert kafka.admin(name).list_topics(timeout=20).topics
    with pytest.raises(KafkaException):
        kafka.admin(name, signed_by=ISSUER).list_topics(timeout=5)


def test_brokers_read_what_the_issuer_signs_again(
    kafka: EncryptedKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with another name in its subject, and where the listener showed a certificate of the own authority."""
    admin, security = kafka.admin(), kafka.security
    assert security.for_clients
    own, expected, authority = (tmp_path / name for name in ("own.crt", "tls.crt", "ca.crt"))
    own.write_text(kafka.renew(periods=-1).certificate)
    authority.write_text(ISSUER.certificate)
    without_issuer = {
        "BROKER_CERTIFICATE": own,
        "KAFKA_AUTHORITY": security.authority,
        "BROKER_KEYSTORE": security.key_and_certificate,
    }
    of_clients = {
        "CLIENT_CERTIFICATE": expected,
        "CLIENT_AUTHORITY": authority,
        "CLIENT_KEYSTORE": security.for_clients,
    }
    for name, value in without_issuer.items():
        monkeypatch.setenv(name, str(value))
    poll_until("all listeners as they are without an issuer", lambda: not _renew(admin), seconds=90, every=1)
    assert not is_reached(kafka)
    for name, value in of_clients.items():
        monkeypatch.setenv(name, str(value))
    for periods, subject in ((-1, endpoints.KAFKA), (-2, "kafka of the issuer")):
        issued = kafka.renew_for_clients(periods=periods, name=subject)
        # After it, the file has the certificates of intermediate authorities.
        expected.write_text(issued.certificate + ISSUER.certificate)
        poll_until("the certificate of the issuer", lambda: not _renew(admin), seconds=90, every=1)
        poll_until("each network thread to show it", lambda: all(is_reached(kafka) for _ in range(3)), seconds=90)
    assert shown(kafka, "broker_tls") == ssl.PEM_cert_to_DER_cert(own.read_text())
