"""What `make rotations` changes of an encrypted stack."""

from datetime import UTC, datetime
from typing import Any

import pytest

from checks.rotation.certificates import issue_again, tls_ports
from checks.rotation.command import _changes
from checks.rotation.issued import asking
from checks.rotation.tokens import Token
from contracts import endpoints
from stack.components.encryption.authority import RENEWAL, Authority
from stack.components.encryption.peers import authority_group, peers_name
from stack.polling import CheckFailure
from stack.settings import parse
from stack.settings.certificates import BROKERS, certified
from tests.support.configuration import config

AUTHORITY = Authority("a random text of the tests, which is long enough")
NOW = datetime(2026, 11, 30, tzinfo=UTC)
TEMPO_IN_PARTS = {"objectStorage": {"s3": {"bucket": "abc", "endpoint": "s3.example.com"}}, "distributed": {}}
SERVICE_PASSWORD = "password of the task-manager at the database"
ALL: dict[str, Any] = {
    "encryption": {"kafka": True, "postgres": True, "telemetry": "preferred", "services": "preferred"},
    "traces": TEMPO_IN_PARTS,
    "kafka": {"brokers": 3},
    "collector": {"sampling": {"ratio": 0.5}},
}


@pytest.mark.parametrize("is_client", [False, True])
def test_a_certificate_is_issued_again_with_its_names_and_uses(is_client: bool) -> None:
    def issue(moment: datetime) -> str:
        return AUTHORITY.issue("kafka", ["kafka", "localhost", "127.0.0.1"], moment, is_client=is_client).certificate

    earlier = NOW - RENEWAL
    assert issue_again(AUTHORITY, issue(NOW), earlier).certificate == issue(earlier)
    assert issue_again(AUTHORITY, issue(earlier), NOW).certificate == issue(NOW)


def test_each_server_shows_its_certificate_at_some_port() -> None:
    servers = [item.name for item in certified(parse(config(**ALL), "Pulumi.test.yaml"))]
    assert {endpoints.KAFKA, endpoints.POSTGRES, endpoints.COLLECTOR, endpoints.TEMPO_QUERIER} < {*servers}
    without = [endpoints.KAFKA_USERS, endpoints.TEMPO_KAFKA, peers_name(endpoints.TEMPO)]
    assert [name for name in servers if not tls_ports(name)] == without


def test_the_ports_of_the_brokers_are_divided_among_their_two_certificates() -> None:
    issuer = {"name": "private", "authority": AUTHORITY.certificate}
    sections = {**ALL, "encryption": {**ALL["encryption"], "issuer": issuer}}
    settings = parse(config(**sections), "Pulumi.test.yaml")
    certificates = {item.name: item for item in certified(settings)}
    assert certificates[endpoints.KAFKA].is_issued
    assert not certificates[BROKERS].is_issued
    ports = [tls_ports(name, is_split=True) for name in (endpoints.KAFKA, BROKERS)]
    assert ports[0] == (endpoints.KAFKA_TLS_PORT,)
    assert {*ports[0], *ports[1]} == {*endpoints.KAFKA_TLS_PORTS}
    assert {name for name, item in certificates.items() if not item.is_issued} == {
        BROKERS,
        endpoints.KAFKA_USERS,
        endpoints.TEMPO_KAFKA,
        peers_name(endpoints.TEMPO),
    }


def test_cert_manager_is_asked_once_and_keeps_what_it_knows() -> None:
    ready = {"type": "Ready", "status": "True"}
    issuing = {"type": "Issuing", "status": "False", "reason": "Failed"}
    asked = asking(
        {
            "metadata": {"name": "kafka-issued", "generation": 3},
            "status": {"revision": 2, "conditions": [issuing, ready]},
        }
    )
    assert asked["status"]["revision"] == 2
    kept, condition = asked["status"]["conditions"]
    assert kept == ready
    assert (condition["type"], condition["status"], condition["observedGeneration"]) == ("Issuing", "True", 3)


def test_peers_have_an_authority_of_their_own() -> None:
    name = peers_name(endpoints.LOKI)
    assert authority_group(name) == name
    assert authority_group(endpoints.LOKI) is None


@pytest.mark.parametrize(
    ("encryption", "further"),
    [
        ({}, []),
        ({"postgres": True}, [SERVICE_PASSWORD, "certificates", "certificate authority"]),
        ({"kafka": True}, ["passwords of Kafka's users", "certificates", "certificate authority"]),
        (
            {"postgres": True, "issuer": {"name": "private", "authority": AUTHORITY.certificate}},
            [SERVICE_PASSWORD, "certificates"],
        ),
        ({"services": "preferred"}, ["certificates"]),
        ({"postgres": True, "services": "accepted"}, [SERVICE_PASSWORD, "certificates", "certificate authority"]),
        ({"postgres": True, "services": "preferred"}, [SERVICE_PASSWORD, "certificates"]),
        (
            {"telemetry": "preferred"},
            [
                "token of telemetry: add a second one",
                "token of telemetry: clients send it",
                "token of telemetry: remove the old one",
                "certificates",
            ],
        ),
    ],
)
def test_what_encryption_needs_is_changed(encryption: dict[str, Any], further: list[str]) -> None:
    titles = [title for title, _ in _changes(parse(config(encryption=encryption), "Pulumi.test.yaml"))]
    otlp = [f"OTLP token: {change}" for change in ("add a second one", "clients send it", "remove the old one")]
    assert titles == ["database password", *further, *otlp]


def token(*statuses: int) -> Token:
    """Returns a token to whose requests servers answer with these statuses."""
    return Token(title="token", key="key", other="other", answers=lambda _cluster, _value: iter(statuses))


@pytest.mark.parametrize(
    ("statuses", "accepted"), [((200, 401), True), ((200, 401), False), ((401, 401), True), ((), True), ((), False)]
)
def test_it_waits_until_all_servers_agree(
    statuses: tuple[int, ...], accepted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("checks.rotation.tokens.KNOWN_SECONDS", 0.0)
    with pytest.raises(CheckFailure, match=f"every server to {'accept' if accepted else 'refuse'} the token"):
        token(*statuses).wait(None, "value", accepted=accepted)  # type: ignore[arg-type]


@pytest.mark.parametrize(("statuses", "accepted"), [((200, 404), True), ((401, 401), False)])
def test_a_status_other_than_401_is_no_refusal(statuses: tuple[int, ...], accepted: bool) -> None:
    token(*statuses).wait(None, "value", accepted=accepted)  # type: ignore[arg-type]
