"""Services: one that clients use, and a headless one through which each pod is reached."""

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as k8s

from contracts import endpoints
from contracts.metadata import SKIP_AWAIT, labels, selector
from stack.components.shared.object_meta import object_meta
from stack.components.shared.pod import Pod

core = k8s.core.v1


def services(
    pod: Pod,
    namespace: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
    *,
    one_pod_a_client: bool = False,
    annotations: Mapping[str, str] | None = None,
) -> None:
    """Create the Service for clients, which selects the pods of both tracks, and the headless one.

    Args:
        pod: what runs.
        namespace: of the stack.
        opts: of the resources.
        one_pod_a_client: whether a client stays with one pod while that pod is ready. For pods that hold the same data,
            but not to the last sample: with each request to another pod, a graph would jump back and forth.
        annotations: of the Service for clients.
    """
    core.Service(
        pod.name,
        metadata=object_meta(pod.name, namespace, component=pod.component, annotations=annotations),
        spec=core.ServiceSpecArgs(
            type="ClusterIP",
            selector=selector(pod.name),
            ports=_ports(pod),
            session_affinity="ClientIP" if one_pod_a_client else None,
        ),
        opts=opts,
    )
    headless_service(pod, namespace, opts)


def headless_service(pod: Pod, namespace: pulumi.Input[str], opts: pulumi.ResourceOptions) -> None:
    """Create the Service through which each pod of one track is reached, for scraping and for stable names."""
    name = endpoints.pods(pod.workload)
    core.Service(
        name,
        metadata=k8s.meta.v1.ObjectMetaArgs(
            name=name,
            namespace=namespace,
            labels=labels(pod.name, pod.component),
            # Pulumi would wait for a ready pod; Prometheus scrapes pods that are not ready as well.
            annotations=SKIP_AWAIT,
        ),
        spec=core.ServiceSpecArgs(
            type="ClusterIP",
            cluster_ip="None",
            publish_not_ready_addresses=True,
            selector=pod.own_selector,
            ports=_ports(pod),
        ),
        opts=opts,
    )


def _ports(pod: Pod) -> list[core.ServicePortArgs]:
    return [core.ServicePortArgs(name=name, port=port, target_port=name) for name, port in pod.container.ports.items()]
