"""Certificates of cert-manager: why one is not there, and whether clients will trust it."""

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from contracts.metadata import Manifest
from stack.components.encryption.authority import Authority
from stack.kubernetes.certificates import Certificates, certificate_state, secret_of, untrusted
from stack.kubernetes.keys import ObjectKey

NOW = datetime(2026, 11, 30, tzinfo=UTC)
ROOT, OTHER = Authority("a random text of the tests"), Authority("another one of the tests")


def certificate(*conditions: dict[str, Any], generation: int = 1) -> Manifest:
    """A `Certificate` as the API server has it."""
    return {
        "kind": "Certificate",
        "metadata": {"name": "kafka-issued", "generation": generation},
        "status": {"conditions": list(conditions)},
    }


def condition(kind: str, status: str, reason: str = "", message: str = "", observed: int = 1) -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": observed}


DENIED = condition("Issuing", "False", "Denied", "a policy denies it")
FAILED = condition("Issuing", "False", "Failed", "the issuer refuses localhost")


@pytest.mark.parametrize(
    ("item", "text", "is_final"),
    [
        ({}, "cert-manager has not looked at it yet", False),
        (certificate(), "cert-manager has not looked at it yet", False),
        (certificate(condition("Ready", "True", observed=1), generation=2), "has not looked at it yet", False),
        (certificate(condition("Ready", "False", message="no Secret")), "no Secret", False),
        (
            certificate(
                condition("Ready", "False", message="no Secret"), condition("Issuing", "True", message="asked")
            ),
            "asked",
            False,
        ),
        (certificate(condition("Ready", "False"), FAILED), "the issuer refuses localhost", True),
        (certificate(DENIED), "a policy denies it", True),
        (certificate(FAILED, generation=2), "has not looked at it yet", False),
    ],
)
def test_what_is_missing_is_named(item: Manifest, text: str, is_final: bool) -> None:
    state = certificate_state(item)
    assert state
    assert text in state.text
    assert state.cannot_start == is_final


def test_a_certificate_whose_renewal_fails_is_ready() -> None:
    assert certificate_state(certificate(condition("Ready", "True"), FAILED)) is None
    # Of an issuer's own controller.
    assert certificate_state(certificate({"type": "Ready", "status": "True"})) is None


def secret(name: str, *chain: str) -> Manifest:
    encoded = base64.b64encode("".join(chain).encode()).decode()
    return {"kind": "Secret", "metadata": {"name": name}, "data": {"tls.crt": encoded}}


def test_a_certificate_of_another_authority_is_named() -> None:
    signed, strange = (authority.issue("kafka", ["kafka"], NOW).certificate for authority in (ROOT, OTHER))
    secrets = [
        secret("good", signed),
        secret("bad", strange),
        secret("chain", strange, ROOT.certificate),
        secret("empty"),
    ]
    assert untrusted(secrets, ROOT.certificate) == ["bad"]
    assert untrusted(secrets, OTHER.certificate + ROOT.certificate) == []


def test_declared_certificates_come_with_what_clients_trust() -> None:
    authority = {"kind": "ConfigMap", "metadata": {"name": "stack-authority"}, "data": {"ca.crt": "PEM"}}
    other = {"kind": "ConfigMap", "metadata": {"name": "kafka-config"}, "data": {}}
    assert Certificates.of([other, certificate(), authority]) == Certificates(
        names=frozenset({"kafka-issued"}), authority="PEM"
    )
    assert Certificates.of([other]) == Certificates(names=frozenset(), authority=None)


def test_the_secret_goes_with_its_certificate() -> None:
    key = ObjectKey("cert-manager.io/v1", "Certificate", "kafka-issued")
    assert secret_of(key) == ObjectKey("v1", "Secret", "kafka-issued")
    assert secret_of(ObjectKey("v1", "ConfigMap", "kafka-issued")) is None
