"""NetworkPolicies of pods that reach servers outside of the namespace, or have ports for each other alone.

A cluster whose network plugin does not know NetworkPolicies ignores them.
"""

from collections.abc import Collection

import pulumi
import pulumi_kubernetes as k8s

from contracts.metadata import PART_OF, selector
from stack.components.shared.object_meta import object_meta
from stack.components.shared.object_storage import HTTPS_PORT, ObjectStorage
from stack.components.shared.pod import Pod

networking = k8s.networking.v1

_DNS_PORT = 53
_CLOUD_IDENTITY = "169.254.0.0/16"
"""Where clouds serve pods their identity."""


def storage_egress(
    component: str,
    namespace: pulumi.Input[str],
    storage: ObjectStorage,
    other_ports: Collection[int],
    opts: pulumi.ResourceOptions,
) -> networking.NetworkPolicy:
    """Let the pods of a component reach pods of the namespace, DNS, and the port of the object storage.

    Args:
        component: the pods' label `app.kubernetes.io/component`.
        namespace: of the stack.
        storage: that they use; with an identity of the cloud also what hands it out.
        other_ports: TCP ports of other servers outside of the namespace.
        opts: of the resource.
    """
    own_identity = storage.identity is not None
    tcp = sorted({storage.port, *other_ports, *((HTTPS_PORT,) if own_identity else ())})
    rules = [
        _egress([networking.NetworkPolicyPeerArgs(pod_selector=k8s.meta.v1.LabelSelectorArgs())]),
        _egress(None, [_port(_DNS_PORT, "UDP"), _port(_DNS_PORT), *map(_port, tcp)]),
    ]
    if own_identity:
        block = networking.IPBlockArgs(cidr=_CLOUD_IDENTITY)
        rules.append(_egress([networking.NetworkPolicyPeerArgs(ip_block=block)]))
    labels = {"app.kubernetes.io/part-of": PART_OF, "app.kubernetes.io/component": component}
    name = f"{component}-egress"
    return networking.NetworkPolicy(
        name,
        metadata=object_meta(name, namespace, component=component),
        spec=networking.NetworkPolicySpecArgs(
            pod_selector=k8s.meta.v1.LabelSelectorArgs(match_labels=labels), policy_types=["Egress"], egress=rules
        ),
        opts=opts,
    )


def peer_ports(
    pod: Pod, namespace: pulumi.Input[str], open_ports: Collection[str], opts: pulumi.ResourceOptions
) -> networking.NetworkPolicy:
    """Let other pods reach the open ports of these pods only; these reach each other at all of them."""
    own = k8s.meta.v1.LabelSelectorArgs(match_labels=selector(pod.name))
    rules = [
        networking.NetworkPolicyIngressRuleArgs(ports=[_port(pod.container.ports[name]) for name in open_ports]),
        networking.NetworkPolicyIngressRuleArgs(from_=[networking.NetworkPolicyPeerArgs(pod_selector=own)]),
    ]
    name = f"{pod.name}-peers"
    return networking.NetworkPolicy(
        name,
        metadata=object_meta(name, namespace, component=pod.component),
        spec=networking.NetworkPolicySpecArgs(pod_selector=own, policy_types=["Ingress"], ingress=rules),
        opts=opts,
    )


def _egress(
    to: list[networking.NetworkPolicyPeerArgs] | None, ports: list[networking.NetworkPolicyPortArgs] | None = None
) -> networking.NetworkPolicyEgressRuleArgs:
    return networking.NetworkPolicyEgressRuleArgs(to=to, ports=ports)


def _port(number: int, protocol: str = "TCP") -> networking.NetworkPolicyPortArgs:
    return networking.NetworkPolicyPortArgs(port=number, protocol=protocol)
