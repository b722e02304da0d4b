"""Lets a check's own pods through the NetworkPolicies of a stack."""

import contextlib
from collections.abc import Iterator
from typing import Any

import kubernetes

from stack.components.network.policies import DENY_ALL


@contextlib.contextmanager
def admitted(
    client: kubernetes.client.ApiClient,
    namespace: str,
    name: str,
    peer: dict[str, Any],
    *,
    sender: dict[str, Any] | None = None,
) -> Iterator[None]:
    """Add policies while the context is open. Without policies of the stack, nothing is added: it would close the rest.

    Args:
        client: of the cluster.
        namespace: of the stack.
        name: of the policies.
        peer: who may connect to all pods of the stack, as in the rule of a NetworkPolicy.
        sender: selects the peer's pods, if they are in the namespace and its policies limit them.
    """
    api = kubernetes.client.NetworkingV1Api(client)
    specifications: dict[str, Any] = {
        f"{name}-in": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [peer]}]},
        **({f"{name}-out": {"podSelector": sender, "policyTypes": ["Egress"], "egress": [{}]}} if sender else {}),
    }
    declared = {item.metadata.name for item in api.list_namespaced_network_policy(namespace).items}
    if DENY_ALL not in declared:
        yield
        return
    for policy in specifications.keys() & declared:  # of a check that was killed
        api.delete_namespaced_network_policy(policy, namespace)
    for policy, spec in specifications.items():
        api.create_namespaced_network_policy(namespace, {"metadata": {"name": policy}, "spec": spec})
    try:
        yield
    finally:
        for policy in specifications:
            api.delete_namespaced_network_policy(policy, namespace)
