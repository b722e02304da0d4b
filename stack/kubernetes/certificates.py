"""Certificates that cert-manager makes for the stack: why one is not there, and the Secrets that outlive them."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Self

import kubernetes

from contracts.metadata import AUTHORITY, AUTHORITY_FILE, ISSUED, PART_OF, Manifest
from stack.kubernetes.diagnosis import PodState
from stack.kubernetes.keys import ObjectKey
from stack.kubernetes.objects import Objects

_API_VERSION: Final = "cert-manager.io/v1"
_KIND: Final = "Certificate"


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """Certificates that are declared."""

    names: frozenset[str]
    """Of the objects, and of their Secrets."""
    authority: str | None
    """What clients trust, as PEM; None if it is not among the declared objects."""

    @classmethod
    def of(cls, manifests: Iterable[Manifest]) -> Self:
        """Return the certificates among some objects."""
        objects = list(manifests)
        authorities = (item["data"][AUTHORITY_FILE] for item in objects if _is_authority(item))
        names = frozenset(item["metadata"]["name"] for item in objects if item["kind"] == _KIND)
        return cls(names=names, authority=next(authorities, None))

    def unready(self, client: kubernetes.client.ApiClient, namespace: str) -> dict[str, PodState]:
        """Return the state of each one that cert-manager has not made as declared, or that clients will not trust."""
        if not self.names:
            return {}
        items = Objects(client, namespace).list_kind(_API_VERSION, _KIND)
        existing = {_name(item): item for item in items}
        states = {name: certificate_state(existing.get(name, {})) for name in sorted(self.names)}
        if self.authority and not any(states.values()):
            secrets = issued_secrets(client, namespace)
            states = {
                name: PodState("none of encryption.issuer.authority has signed it", cannot_start=True)
                for name in untrusted((item for item in secrets if _name(item) in self.names), self.authority)
            }
        return {f"certificate {name}": state for name, state in states.items() if state}


def _is_authority(manifest: Manifest) -> bool:
    return manifest["kind"] == "ConfigMap" and _name(manifest) == AUTHORITY


def _name(manifest: Manifest) -> str:
    return str(manifest["metadata"]["name"])


def issued_secrets(client: kubernetes.client.ApiClient, namespace: str) -> list[Manifest]:
    """Return the Secrets that cert-manager made for the stack."""
    labels = {"app.kubernetes.io/part-of": PART_OF, **ISSUED}
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    return Objects(client, namespace).list_kind("v1", "Secret", label_selector=selector)


def untrusted(secrets: Iterable[Manifest], authority: str) -> list[str]:
    """Return the names of the Secrets whose certificate was signed by none of these authorities.

    Args:
        secrets: with a certificate, and those of the intermediate authorities after it.
        authority: certificates of authorities, as PEM.
    """
    from cryptography import x509  # most commands need no certificates

    trusted = x509.load_pem_x509_certificates(authority.encode())
    names = []
    for secret in secrets:
        text = base64.b64decode((secret.get("data") or {}).get("tls.crt") or "")
        chain = x509.load_pem_x509_certificates(text) if text else []
        if chain and not any(_has_signed(one, other) for one in trusted for other in chain):
            names.append(_name(secret))
    return sorted(names)


def _has_signed(authority: Any, certificate: Any) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except Exception:  # it says in many ways that it has not: other names, other kinds of keys, another signature
        return False
    return True


def certificate_state(certificate: Manifest) -> PodState | None:
    """Return why a certificate is not ready; None if it is."""
    conditions = {item["type"]: item for item in (certificate.get("status") or {}).get("conditions") or []}
    generation = certificate.get("metadata", {}).get("generation")

    def condition(kind: str) -> dict[str, Any]:
        """Return a condition of what is declared now; empty if cert-manager has not looked at that yet."""
        item: dict[str, Any] = conditions.get(kind, {})
        return item if item.get("observedGeneration", generation) == generation else {}

    ready, issuing = condition("Ready"), condition("Issuing")
    if ready.get("status") == "True":
        return None
    # After a failure, cert-manager waits for an hour or longer before it tries again.
    if issuing.get("status") == "False":
        return PodState(str(issuing.get("message")), cannot_start=True)
    return PodState(str(issuing.get("message") or ready.get("message") or "cert-manager has not looked at it yet"))


def secret_of(key: ObjectKey) -> ObjectKey | None:
    """Return the Secret that cert-manager makes for an object, and does not delete with it; None for other kinds."""
    return ObjectKey("v1", "Secret", key.name) if key.kind == _KIND else None
