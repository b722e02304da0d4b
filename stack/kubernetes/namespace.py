"""Checks which stack a namespace belongs to: a stack deploys only into its own."""

import kubernetes
from kubernetes.dynamic.exceptions import ApiException

from contracts import metadata
from stack.errors import DeployError
from stack.kubernetes.failures import api_message
from stack.kubernetes.keys import ObjectKey
from stack.kubernetes.objects import Objects, read_object


def namespace_key(namespace: str) -> ObjectKey:
    return ObjectKey("v1", "Namespace", namespace)


def namespace_exists(client: kubernetes.client.ApiClient, namespace: str) -> bool:
    """Whether the namespace exists.

    Raises:
        DeployError: It cannot be read.
    """
    return read_object(client, namespace, namespace_key(namespace)) is not None


def require_own_namespace(
    client: kubernetes.client.ApiClient, namespace: str, stack: str, *, lenient: bool = False
) -> None:
    """Raises an error if the namespace exists and is not this stack's.

    A namespace of this project without a stack's name was made by an earlier release; the stack takes it over.

    Args:
        client: From `connect`.
        namespace: The stack's namespace.
        stack: Its name.
        lenient: Accept a namespace that the user has no right to read, as in a preview.

    Raises:
        DeployError: It belongs to another stack, or to something else: a deployment would overwrite objects of the
            same names.
    """
    try:
        existing = Objects(client, namespace).get(namespace_key(namespace))
    except ApiException as error:
        if lenient and error.status == 403:
            return
        raise DeployError(f"namespace {namespace} cannot be read: {api_message(error)}. Nothing was changed") from None
    if existing is None:
        return
    if (existing["metadata"].get("labels") or {}).get("app.kubernetes.io/part-of") != metadata.PART_OF:
        raise DeployError(
            f"namespace {namespace} exists and is not of {metadata.PART_OF}: nothing was changed. Name another one in "
            f"`cluster.namespace`, or hand it over with "
            f"`kubectl label namespace {namespace} app.kubernetes.io/part-of={metadata.PART_OF}`"
        )
    owner = (existing["metadata"].get("annotations") or {}).get(metadata.STACK, stack)
    if owner != stack:
        raise DeployError(
            f"namespace {namespace} belongs to stack {owner}, not to {stack}: nothing was changed. Give stack {stack} "
            f"a `cluster.namespace` of its own; or, if stack {owner} no longer exists, hand the namespace over with "
            f"`kubectl annotate namespace {namespace} {metadata.STACK}-`"
        )
