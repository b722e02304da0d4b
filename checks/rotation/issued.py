"""Lets cert-manager issue certificates again, as it does when a third of their time is left."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import kubernetes

from contracts.metadata import Manifest
from stack.components.encryption.issuers import Certified
from stack.components.encryption.server import CERTIFICATE_FILE
from stack.kubernetes.objects import read_secret
from stack.polling import poll_until

_CERTIFICATES: Final = ("cert-manager.io", "v1")
_PLURAL: Final = "certificates"
_CONFLICT: Final = 409
_SECONDS: Final = 120.0


def reissue(
    client: kubernetes.client.ApiClient, namespace: str, certificates: Sequence[Certified]
) -> Iterator[tuple[Certified, str]]:
    """Yield each certificate with its new value, as PEM. All are asked for at once.

    Raises:
        CheckFailure: cert-manager has not issued one in time.
    """
    previous = {item.secret: _value(client, namespace, item.secret) for item in certificates}
    for name in previous:
        poll_until(
            f"certificate {name} to be asked for again", partial(_ask, client, namespace, name), seconds=10, every=0.5
        )
    for item in certificates:
        value = poll_until(
            f"cert-manager to issue {item.secret} again",
            partial(_changed, client, namespace, item.secret, previous[item.secret]),
            seconds=_SECONDS,
            every=1,
            look_at=f"`kubectl -n {namespace} describe certificate {item.secret}`",
        )
        yield item, value


def _ask(client: kubernetes.client.ApiClient, namespace: str, name: str) -> bool:
    """Set the condition with which `cmctl renew` asks; return false if something else changed the object meanwhile."""
    api, key = kubernetes.client.CustomObjectsApi(client), (*_CERTIFICATES, namespace, _PLURAL, name)
    try:
        api.replace_namespaced_custom_object_status(*key, asking(api.get_namespaced_custom_object(*key)))
    except kubernetes.client.ApiException as error:
        if error.status != _CONFLICT:
            raise
        return False
    return True


def asking(certificate: Manifest) -> Manifest:
    """Return a `Certificate` with the condition that it is to be issued."""
    status: dict[str, Any] = certificate.get("status") or {}
    others = [item for item in status.get("conditions") or [] if item["type"] != "Issuing"]
    condition = {
        "type": "Issuing",
        "status": "True",
        "reason": "ManuallyTriggered",
        "message": "The check of rotations asks for a new certificate",
        "lastTransitionTime": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "observedGeneration": certificate["metadata"]["generation"],
    }
    return {**certificate, "status": {**status, "conditions": [*others, condition]}}


def _value(client: kubernetes.client.ApiClient, namespace: str, secret: str) -> str:
    return read_secret(client, namespace, secret)[CERTIFICATE_FILE]


def _changed(client: kubernetes.client.ApiClient, namespace: str, secret: str, previous: str) -> str | None:
    """Return the certificate in a Secret; None if it is still the previous one."""
    value = _value(client, namespace, secret)
    return value if value != previous else None
