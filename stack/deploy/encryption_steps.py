"""What a deployment may change of the encryption of a running stack.

In a rolling update, pods of the former and of the new settings connect to each other. So each setting goes one step at
a time, and another authority takes over while clients trust both, or connect in clear. `stack.deploy.brokers` compares
the steps of Kafka's brokers.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

import kubernetes
from kubernetes.dynamic.exceptions import ApiException

from contracts import endpoints
from contracts.metadata import AUTHORITY, STEPPED, Manifest, encryption_step
from stack.components.encryption.own_authority import OWN_TITLE
from stack.components.encryption.settings import STEPS
from stack.deploy.noted_encryption import VALUES, Noted, Running, running_workloads
from stack.errors import DeployError
from stack.kubernetes.keys import ObjectKey, object_key
from stack.kubernetes.objects import Objects

_AUTHORITY: Final = ObjectKey("v1", "ConfigMap", AUTHORITY)
_COLLECTOR: Final = ObjectKey("apps/v1", "StatefulSet", endpoints.COLLECTOR)
_BROKERS: Final = ObjectKey("apps/v1", "StatefulSet", endpoints.KAFKA)
_KAFKA: Final = "kafka"
_SPEAKS_TLS: Final = [step.speaks_tls for step in STEPS.values()]
_IN_PARTS: Final = "The last deployment did not replace all pods, and some still have what was before. "


def check_encryption_steps(
    client: kubernetes.client.ApiClient, namespace: str, manifests: Iterable[Manifest]
) -> list[str]:
    """Raises an error if pods of a running stack would refuse each other's connections while they are replaced.

    Args:
        client: From `connect`.
        namespace: The stack's namespace, which need not exist.
        manifests: The declared objects.

    Returns:
        Lines about what could not be compared.

    Raises:
        DeployError: Names the setting, and what to deploy first; nothing was changed.
    """
    objects, declared = Objects(client, namespace), list(manifests)
    try:
        if objects.get(_COLLECTOR) is None:  # each stack has Collectors: this one is new
            return []
        live = objects.get(_AUTHORITY)
    except ApiException as error:
        if error.status != 403:  # a user without the right to read, as in a preview, is not refused for it
            raise
        return [f"encryption: its steps were not compared: no right to read ConfigMap {AUTHORITY}"]
    running = Running.of(running_workloads(objects))
    if problem := next(problems(live, declared, running), None):
        raise DeployError(f'{problem}: see "Encrypt a running stack" in docs/security.md')
    return [*_not_compared(live, declared)]


def _not_compared(live: Manifest | None, manifests: Iterable[Manifest]) -> Iterator[str]:
    """Yield a line for each setting of which the ConfigMap has no value, such as that of an earlier release."""
    now = Noted.of(live)
    then = Noted.of({object_key(item): item for item in manifests}.get(_AUTHORITY))
    for name in STEPPED:
        if name not in now.steps:
            yield (
                f"encryption.{name}: ConfigMap {AUTHORITY} does not say what runs now, so nothing was compared with "
                f"{VALUES[then.steps.get(name, 0)]}. Connections fail if pods have none of its neighbours"
            )


def problems(live: Manifest | None, manifests: Iterable[Manifest], running: Running | None = None) -> Iterator[str]:
    """Yield why a running stack must not get these manifests next.

    Args:
        live: Its ConfigMap of the authority; None if nothing is encrypted.
        manifests: The declared objects.
        running: What its pods may have, if the last deployment failed.
    """
    declared = {object_key(item): item for item in manifests}
    now = Noted.of(live)
    then = _with_own(Noted.of(declared.get(_AUTHORITY)), now)
    running = running or Running.of()
    if live is None and any(running.steps.values()):
        now = Noted(steps={})  # someone has deleted the ConfigMap, or nothing was encrypted: the workloads know more
    brokers = declared.get(_BROKERS)
    several_brokers = brokers is not None and brokers["spec"]["replicas"] > 1
    for name, value in now.wrong.items():
        yield (
            f"encryption.{name}: ConfigMap {AUTHORITY} has {value[:40]!r} in the annotation {encryption_step(name)}, "
            f"which no deployment writes. Nothing was changed. Write what the pods have: {', '.join(VALUES)}"
        )
    for name in STEPPED:
        if name not in now.steps and live is not None:  # an earlier release, or a user who wants no comparison
            continue
        values = running.steps[name] | ({now.steps[name]} if name in now.steps else set())
        if name != _KAFKA or (several_brokers and running.steps[name]):
            yield from _left_out(name, values, then.steps.get(name, 0))
    yield from _untrusted(now, then, running, several_brokers=several_brokers)


def _with_own(then: Noted, now: Noted) -> Noted:
    """Return what is declared, with the present authority of the stack if the declaration does not have it.

    A program with `TracingStack` is checked before its secrets are known, and so without what derives from the seed.
    """
    if then.issuer is None or then.own is not None or now.own is None:
        return then
    signing = {now.own} if then.issuer == OWN_TITLE else set()
    return replace(then, own=now.own, authorities=then.authorities | signing, trust=None)


def _left_out(name: str, values: frozenset[int], requested: int) -> Iterator[str]:
    """Yield why the value of a setting is no neighbour of all values that pods may have."""
    neighbours = [item for item in range(len(VALUES)) if all(abs(item - value) <= 1 for value in values)]
    # Without a neighbour of all, pods already refuse each other, and any value ends that.
    if not neighbours or requested in neighbours:
        return
    following = min(neighbours, key=lambda item: abs(item - requested))
    current = " and ".join(VALUES[value] for value in sorted(values))
    yield (
        f"encryption.{name}: it is {current} now, and {VALUES[requested]} is declared. "
        f"{_IN_PARTS if len(values) > 1 else ''}While pods are replaced, those of the one would refuse connections of "
        f"the other. Nothing was changed. Deploy with {VALUES[following]} first"
    )


def _untrusted(now: Noted, then: Noted, running: Running, *, several_brokers: bool) -> Iterator[str]:
    """Yield why the authority must not change, if clients with TLS trust only the former or only the new one."""
    if now.issuer is None or then.issuer is None:
        return
    trust = running.trust | ({now.trust} if now.trust else set())
    if then.trust and trust == {then.trust}:
        return
    has_other_issuer = now.issuer != then.issuer and now.authorities != then.authorities
    has_other_own = now.own is not None and now.own != then.own
    is_in_parts = len(trust) > 1 and then.trust is not None and then.trust not in trust
    if not (has_other_issuer or has_other_own or is_in_parts):
        return
    speaking = [
        name
        for name in STEPPED
        # With one broker, nothing works anyway while it is replaced, and its clients are replaced at the same time.
        if name != _KAFKA or several_brokers or has_other_issuer or is_in_parts
        if any(_SPEAKS_TLS[value] for value in _values(name, now, then, running))
    ]
    if not speaking:
        return
    if is_in_parts:
        yield (
            f"encryption.issuer and trustedAuthorities: {_IN_PARTS}Nothing was changed. Deploy with the same two "
            "settings as last time first, or with those from before"
        )
        return
    cause = "encryption.issuer" if has_other_issuer else OWN_TITLE
    settings = " and ".join(f"encryption.{name}" for name in speaking)
    first = f"{settings} at accepted, where clients connect in clear"
    if has_other_issuer:
        first = f"both authorities in encryption.trustedAuthorities, or with {first}"
    yield (
        f"{cause}: pods that are not replaced yet do not trust the new certificates, and new pods do not trust "
        f"the former ones. Nothing was changed. Deploy with {first}, before you change {cause}"
    )


def _values(name: str, now: Noted, then: Noted, running: Running) -> set[int]:
    """Return the values that pods have or get."""
    return {*running.steps[name], *(state.steps[name] for state in (now, then) if name in state.steps)}
