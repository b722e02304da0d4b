"""The number of Kafka's brokers, which may grow by one in a deployment and never shrink."""

from collections.abc import Iterable
from typing import Final

import kubernetes
from kubernetes.dynamic.exceptions import ApiException

from contracts import endpoints
from contracts.metadata import Manifest
from stack.errors import DeployError
from stack.kubernetes.keys import ObjectKey, object_key
from stack.kubernetes.objects import Objects

_KEY: Final = ObjectKey("apps/v1", "StatefulSet", endpoints.KAFKA)
_README: Final = "stack/components/kafka/README.md"


def require_broker_steps(client: kubernetes.client.ApiClient, namespace: str, manifests: Iterable[Manifest]) -> None:
    """Raises an error if a deployment would add two brokers at once, or remove one.

    The controllers elect their leader by majority. Two new ones, which know nothing, would be a majority of three, and
    could forget all topics. A removed broker has replicas that the others may not have.

    Raises:
        DeployError: Names both numbers; nothing was changed.
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


def _live(client: kubernetes.client.ApiClient, namespace: str) -> Manifest | None:
    try:
        return Objects(client, namespace).get(_KEY)
    except ApiException as error:
        if error.status != 403:  # a user without the right to read, as in a preview, is not refused for it
            raise
        return None
