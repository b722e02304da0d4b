"""Certificates are a function of the random text and the period, and verify as the field's rules ask."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from stack.components.encryption.authority import LIFETIME, RENEWAL, Authority, Certificate

SEED = "a random text that is long enough for tests"
NOW = datetime(2027, 3, 4, 5, 6, 7, tzinfo=UTC)
HOSTS = ["postgres", "postgres.tracing"]


def loaded(issued: Certificate) -> x509.Certificate:
    return x509.load_pem_x509_certificate(issued.certificate.encode())


def verify(issued: Certificate, authority: Authority, host: str, moment: datetime = NOW) -> None:
    """Raises VerificationError unless a client that connects to the host accepts the certificate."""
    store = Store([x509.load_pem_x509_certificate(authority.certificate.encode())])
    PolicyBuilder().store(store).time(moment).build_server_verifier(x509.DNSName(host)).verify(loaded(issued), [])


def test_the_same_text_gives_the_same_bytes() -> None:
    assert Authority(SEED).certificate == Authority(SEED).certificate
    issued = Authority(SEED).issue("postgres", HOSTS, NOW)
    assert issued == Authority(SEED).issue("postgres", HOSTS, NOW + timedelta(minutes=1))


def test_the_key_belongs_to_the_certificate() -> None:
    issued = Authority(SEED).issue("postgres", HOSTS, NOW)
    key = serialization.load_pem_private_key(issued.key.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert loaded(issued).public_key() == key.public_key()


@pytest.mark.parametrize("host", HOSTS)
def test_clients_accept_it_under_each_of_its_names(host: str) -> None:
    verify(Authority(SEED).issue("postgres", HOSTS, NOW), Authority(SEED), host)


def test_clients_refuse_another_name_another_authority_and_another_time() -> None:
    authority, other = Authority(SEED), Authority(SEED + ".")
    issued = authority.issue("postgres", HOSTS, NOW)
    for verifying, host, moment in (
        (authority, "kafka", NOW),
        (other, "postgres", NOW),
        (authority, "postgres", NOW + LIFETIME),
        (authority, "postgres", NOW - RENEWAL - timedelta(hours=2)),
    ):
        with pytest.raises(VerificationError):
            verify(issued, verifying, host, moment)


@pytest.mark.parametrize("is_client", [False, True])
def test_only_a_client_may_say_who_it_is(*, is_client: bool) -> None:
    issued = Authority(SEED).issue("kafka", HOSTS, NOW, is_client=is_client)
    store = Store([x509.load_pem_x509_certificate(Authority(SEED).certificate.encode())])
    verifier = PolicyBuilder().store(store).time(NOW).build_client_verifier()
    if is_client:
        assert verifier.verify(loaded(issued), []).subjects
    else:
        with pytest.raises(VerificationError):
            verifier.verify(loaded(issued), [])


def test_a_server_cannot_issue_certificates() -> None:
    constraints = loaded(Authority(SEED).issue("postgres", HOSTS, NOW)).extensions.get_extension_for_class(
        x509.BasicConstraints
    )
    assert constraints.critical
    assert not constraints.value.ca


def test_keys_and_serial_numbers_differ_between_servers_periods_and_texts() -> None:
    issued = [
        Authority(seed).issue(name, HOSTS, moment)
        for seed in (SEED, SEED + ".")
        for name in ("postgres", "kafka")
        for moment in (NOW, NOW + RENEWAL)
    ]
    assert len({item.key for item in issued}) == len(issued)
    assert len({loaded(item).serial_number for item in issued}) == len(issued)


def test_every_deployment_gets_a_certificate_that_is_valid_for_months() -> None:
    authority = Authority(SEED)
    for day in range(2 * RENEWAL.days):
        moment = NOW + timedelta(days=day)
        issued = loaded(authority.issue("postgres", HOSTS, moment))
        assert issued.not_valid_before_utc < moment
        assert issued.not_valid_after_utc > moment + timedelta(days=360)
