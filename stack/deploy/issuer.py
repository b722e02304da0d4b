"""Checks the issuer of cert-manager that the settings name, before anything is changed."""

import ssl
import time
from typing import Any

import kubernetes
from kubernetes.dynamic.exceptions import ApiException, NotFoundError, ResourceNotFoundError

from contracts.metadata import PART_OF, Manifest
from stack.components.encryption.settings import ExternalIssuer
from stack.errors import DeployError
from stack.kubernetes.certificates import issued_secrets, untrusted
from stack.kubernetes.client import REQUEST_SECONDS
from stack.kubernetes.failures import api_message
from stack.kubernetes.objects import dynamic_client
from stack.settings import Settings


def require_issuer(client: kubernetes.client.ApiClient, settings: Settings, now: float | None = None) -> None:
    """Raises an error if the issuer does not exist, cannot sign, or is trusted by a certificate that has ended.

    Pods would wait for certificates that no one makes, or clients would refuse all of them. An issuer that the user has
    no right to read is accepted. So is a kind of cert-manager that the cluster does not know: `require_kinds` says so.

    Args:
        client: From `connect`.
        settings: Of the stack.
        now: Seconds since 1970; the time of this machine by default.

    Raises:
        DeployError: Names the setting and the reason. Nothing was changed.
    """
    issuer = settings.encryption.issuer
    if issuer is None:
        return
    _require_valid(issuer, time.time() if now is None else now)
    kind = _kind(client, issuer)
    if kind is None:
        if issuer.group == ExternalIssuer.model_fields["group"].default:
            return
        raise DeployError(
            f"encryption.issuer: the cluster has no kind {issuer.kind} of {issuer.group}; nothing was changed"
        )
    namespace = settings.cluster.namespace if kind.namespaced else None
    title = f"{issuer.kind} {issuer.name!r}" + (f" in namespace {namespace}" if namespace else "")
    try:
        existing = kind.get(name=issuer.name, namespace=namespace, _request_timeout=REQUEST_SECONDS).to_dict()
    except NotFoundError:
        hint = f". Create the namespace first, with the label app.kubernetes.io/part-of={PART_OF}" if namespace else ""
        raise DeployError(f"encryption.issuer: the cluster has no {title}; nothing was changed{hint}") from None
    except ApiException as error:
        if error.status == 403:
            return
        raise DeployError(f"encryption.issuer: {title} cannot be read: {api_message(error)}") from None
    if problem := _problem(existing, issuer):
        raise DeployError(f"encryption.issuer: {title} {problem}; nothing was changed")
    if names := untrusted(_issued_by(issuer, client, settings.cluster.namespace), issuer.authority):
        raise DeployError(
            f"encryption.issuer: none of authority has signed the certificates in {', '.join(names)}, so clients would "
            "refuse these servers; nothing was changed. While the authority of an issuer changes, clients need the old "
            "and the new one"
        )


def _kind(client: kubernetes.client.ApiClient, issuer: ExternalIssuer) -> Any:
    """Return the client of the issuer's kind; None if the cluster does not know it."""
    try:
        kinds = dynamic_client(client).resources.search(group=issuer.group, kind=issuer.kind)
    except ResourceNotFoundError:
        return None
    return kinds[0] if kinds else None


def _require_valid(issuer: ExternalIssuer, now: float) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=issuer.authority)
    authorities = context.get_ca_certs()
    starts, ends = ([str(item[key]) for item in authorities] for key in ("notBefore", "notAfter"))
    if all(ssl.cert_time_to_seconds(start) > now for start in starts):
        begin = min(starts, key=ssl.cert_time_to_seconds)
        raise DeployError(f"encryption.issuer.authority is not valid until {begin}; nothing was changed")
    if all(ssl.cert_time_to_seconds(end) <= now for end in ends):
        raise DeployError(
            f"encryption.issuer.authority ended on {max(ends, key=ssl.cert_time_to_seconds)}; nothing was changed"
        )


def _issued_by(issuer: ExternalIssuer, client: kubernetes.client.ApiClient, namespace: str) -> list[Manifest]:
    """Return the Secrets that the issuer has made for the stack; none if the user has no right to list Secrets."""
    try:
        secrets = issued_secrets(client, namespace)
    except ApiException as error:
        if error.status == 403:
            return []
        raise DeployError(f"encryption.issuer: Secrets cannot be listed: {api_message(error)}") from None
    expected = {"issuer-name": issuer.name, "issuer-kind": issuer.kind, "issuer-group": issuer.group}
    annotations = {f"cert-manager.io/{key}": value for key, value in expected.items()}
    return [item for item in secrets if annotations.items() <= (item["metadata"].get("annotations") or {}).items()]


def _problem(existing: dict[str, Any], issuer: ExternalIssuer) -> str | None:
    """Return why an issuer cannot sign; None if it can, or does not say."""
    conditions = {item["type"]: item for item in (existing.get("status") or {}).get("conditions") or []}
    if ready := conditions.get("Ready"):
        return None if ready["status"] == "True" else f"is not ready: {ready.get('message') or ready.get('reason')}"
    if issuer.group == ExternalIssuer.model_fields["group"].default:
        return "has no status: cert-manager's controller has not seen it"
    return None
