"""What a deployment may change of Kafka's brokers: their number and their encryption, by one step at a time."""

from collections.abc import Iterable
from typing import Final

import kubernetes
from kubernetes.dynamic.exceptions import ApiException

from contracts import endpoints
from contracts.metadata import Manifest
from stack.components.encryption.settings import STEPS, setting_text
from stack.components.kafka.component import ENCRYPTION
from stack.errors import DeployError
from stack.kubernetes.keys import ObjectKey, object_key
from stack.kubernetes.objects import Objects

_KEY: Final = ObjectKey("apps/v1", "StatefulSet", endpoints.KAFKA)
_README: Final = "stack/components/kafka/README.md"
_ENCRYPTION: Final = [setting_text(value) for value in STEPS]
"""The values of `encryption.kafka`, in the order in which a running stack takes them."""


def require_broker_steps(client: kubernetes.client.ApiClient, namespace: str, manifests: Iterable[Manifest]) -> None:
    """Raises an error if a deployment would add two brokers at once, remove one, or leave out a step of encryption.

    The controllers elect their leader by majority. Two new ones, which know nothing, would be a majority of three, and
    could forget all topics. A removed broker has replicas that the others may not have. Brokers that leave out a step
    have no listener in common with those that have not been restarted yet.

    Raises:
        DeployError: Names both numbers or steps; nothing was changed.
    """
    declared = next((item for item in manifests if object_key(item) == _KEY), None)
    live = _live(client, namespace)
    if declared is None or live is None:
        return
    brokers, requested = live["spec"].get("replicas", 1), declared["spec"].get("replicas", 1)
    if requested > brokers + 1:
        raise DeployError(
            f"kafka.brokers: there is {brokers} now, and {requested} are declared. Nothing was changed. Deploy with "
            f"{brokers + 1} first, then with {requested}: see {_README}"
        )
    if requested < brokers:
        raise DeployError(
            f"kafka.brokers: there are {brokers} now, and {requested} declared. A removed broker would take replicas "
            f"and a vote with it. Nothing was changed. Set it back to {brokers}"
        )
    if brokers > 1:
        _require_neighbour(_step(live), _step(declared))


def _require_neighbour(current: int | None, requested: int | None) -> None:
    if current is None or requested is None or abs(requested - current) <= 1:
        return
    following = current + (1 if requested > current else -1)
    raise DeployError(
        f"encryption.kafka: it is {_ENCRYPTION[current]} now, and {_ENCRYPTION[requested]} is declared. In a rolling "
        f"update, brokers would not reach each other. Nothing was changed. Deploy with {_ENCRYPTION[following]} first: "
        f"see {_README}"
    )


def _step(stateful_set: Manifest) -> int | None:
    """Return the number of the step of encryption that the brokers have; None if someone has edited it."""
    containers = stateful_set["spec"]["template"]["spec"]["containers"]
    variables = [item for container in containers for item in container.get("env") or []]
    values = [item.get("value") for item in variables if item["name"] == ENCRYPTION] or [setting_text(False)]
    return _ENCRYPTION.index(values[0]) if values[0] in _ENCRYPTION else None


def _live(client: kubernetes.client.ApiClient, namespace: str) -> Manifest | None:
    try:
        return Objects(client, namespace).get(_KEY)
    except ApiException as error:
        if error.status != 403:  # a user without the right to read, as in a preview, is not refused for it
            raise
        return None
