"""What a deployment may change of the encryption of a running stack.

In a rolling update, pods of the former and of the new settings connect to each other. So each setting goes one step at
a time, and another authority takes over while clients trust both, or connect in clear. `stack.deploy.brokers` compares
the steps of Kafka's brokers.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Self

import kubernetes
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from kubernetes.dynamic.exceptions import ApiException

from contracts import endpoints
from contracts.metadata import (
    AUTHORITY,
    AUTHORITY_FILE,
    ISSUER,
    OWN_AUTHORITY_FILE,
    STEPPED,
    Manifest,
    encryption_step,
)
from stack.components.encryption.own_authority import OWN_TITLE
from stack.components.encryption.settings import STEPS, setting_text
from stack.errors import DeployError
from stack.kubernetes.keys import ObjectKey, object_key
from stack.kubernetes.objects import Objects

_AUTHORITY: Final = ObjectKey("v1", "ConfigMap", AUTHORITY)
_COLLECTOR: Final = ObjectKey("apps/v1", "StatefulSet", endpoints.COLLECTOR)
_BROKERS: Final = ObjectKey("apps/v1", "StatefulSet", endpoints.KAFKA)
_KAFKA: Final = "kafka"
_VALUES: Final = [setting_text(value) for value in STEPS]
_SPEAKS_TLS: Final = [step.speaks_tls for step in STEPS.values()]


@dataclass(frozen=True, kw_only=True)
class _State:
    """The encryption of a stack."""

    steps: Mapping[str, int]
    """Setting → index of its value."""
    issuer: str | None = None
    """Who signs the certificates of servers; None if no one does."""
    authorities: frozenset[bytes] = frozenset()
    """What clients trust."""
    own: str = ""
    """The certificate of the stack's own authority, as PEM."""

    @classmethod
    def of(cls, config_map: Manifest | None) -> Self | None:
        """Return what a ConfigMap has; None if an earlier release wrote it, which noted nothing."""
        if config_map is None:
            return cls(steps=dict.fromkeys(STEPPED, 0))
        annotations = config_map["metadata"].get("annotations") or {}
        values = {name: annotations.get(encryption_step(name)) for name in STEPPED}
        if not {*values.values()} <= {*_VALUES}:
            return None
        authorities = x509.load_pem_x509_certificates(config_map["data"][AUTHORITY_FILE].encode())
        return cls(
            steps={name: _VALUES.index(value) for name, value in values.items() if value},
            issuer=annotations.get(ISSUER),
            own=config_map["data"].get(OWN_AUTHORITY_FILE, ""),
            authorities=frozenset(item.fingerprint(hashes.SHA256()) for item in authorities),
        )


def require_encryption_steps(
    client: kubernetes.client.ApiClient, namespace: str, manifests: Iterable[Manifest]
) -> None:
    """Raises an error if pods of a running stack would refuse each other's connections while they are replaced.

    Args:
        client: From `connect`.
        namespace: The stack's namespace, which need not exist.
        manifests: The declared objects.

    Raises:
        DeployError: Names the setting, and what to deploy first; nothing was changed.
    """
    objects = Objects(client, namespace)
    try:
        if objects.get(_COLLECTOR) is None:  # each stack has Collectors: this one is new
            return
        live = objects.get(_AUTHORITY)
    except ApiException as error:
        if error.status != 403:  # a user without the right to read, as in a preview, is not refused for it
            raise
        return
    if problem := next(problems(live, manifests), None):
        raise DeployError(f'{problem}: see "Encrypt a running stack" in docs/security.md')


def problems(live: Manifest | None, manifests: Iterable[Manifest]) -> Iterator[str]:
    """Yield why a running stack must not get these manifests next.

    Args:
        live: Its ConfigMap of the authority; None if nothing is encrypted.
        manifests: The declared objects.
    """
    declared = {object_key(item): item for item in manifests}
    now, then = _State.of(live), _State.of(declared.get(_AUTHORITY))
    if now is None or then is None:
        return
    for name in STEPPED:
        current, requested = now.steps[name], then.steps[name]
        if name != _KAFKA and abs(requested - current) > 1:
            following = current + (1 if requested > current else -1)
            yield (
                f"encryption.{name}: it is {_VALUES[current]} now, and {_VALUES[requested]} is declared. While pods "
                "are replaced, those of the one would refuse connections of the other. Nothing was changed. Deploy "
                f"with {_VALUES[following]} first"
            )
    brokers = declared.get(_BROKERS)
    yield from _untrusted(now, then, several_brokers=brokers is not None and brokers["spec"]["replicas"] > 1)


def _untrusted(now: _State, then: _State, *, several_brokers: bool) -> Iterator[str]:
    """Yield why the authority must not change, if clients with TLS trust only the former or only the new one."""
    if now.issuer is None or then.issuer is None:
        return
    has_other_issuer = now.issuer != then.issuer and now.authorities != then.authorities
    if not has_other_issuer and now.own == then.own:
        return
    speaking = [
        name
        for name in STEPPED
        # With one broker, nothing works anyway while it is replaced, and its clients are replaced at the same time.
        if name != _KAFKA or several_brokers or has_other_issuer
        if any(_SPEAKS_TLS[state.steps[name]] for state in (now, then))
    ]
    if speaking:
        cause = "encryption.issuer" if has_other_issuer else OWN_TITLE
        settings = " and ".join(f"encryption.{name}" for name in speaking)
        first = f"{settings} at accepted, where clients connect in clear"
        if has_other_issuer:
            first = f"both authorities in encryption.trustedAuthorities, or with {first}"
        yield (
            f"{cause}: pods that are not replaced yet do not trust the new certificates, and new pods do not trust "
            f"the former ones. Nothing was changed. Deploy with {first}, before you change {cause}"
        )
