"""What keeps a workload answering while nodes come and go and its pods are replaced."""

from collections.abc import Sequence
from typing import Final

import pulumi
import pulumi_kubernetes as k8s

from contracts.metadata import selector
from stack.components.shared.object_meta import object_meta

core = k8s.core.v1

# A pod that is asked to end goes on serving for so long: until everyone has heard that the others are to be used.
DRAIN_SECONDS: Final = 5


def spread(name: str) -> list[core.TopologySpreadConstraintArgs]:
    """Pods of one name go to different nodes and zones where there are several; never at the price of not running."""
    return [
        core.TopologySpreadConstraintArgs(
            max_skew=1,
            topology_key=key,
            when_unsatisfiable="ScheduleAnyway",
            label_selector=k8s.meta.v1.LabelSelectorArgs(match_labels=selector(name)),
        )
        for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
    ]


def before_end(stop: Sequence[str] | None, drain_seconds: int) -> core.LifecycleArgs | None:
    """What happens before SIGTERM.

    Args:
        stop: command that ends the program where SIGTERM alone does not.
        drain_seconds: how long others go on sending; the kubelet sleeps, since some images have no program for it.
    """
    if stop:
        return core.LifecycleArgs(pre_stop=core.LifecycleHandlerArgs(exec_=core.ExecActionArgs(command=list(stop))))
    if drain_seconds:
        return core.LifecycleArgs(pre_stop=core.LifecycleHandlerArgs(sleep=core.SleepActionArgs(seconds=drain_seconds)))
    return None


def disruption_budget(
    name: str, component: str, namespace: pulumi.Input[str], opts: pulumi.ResourceOptions
) -> k8s.policy.v1.PodDisruptionBudget:
    """Nodes are drained one pod of this name at a time; one that is not ready anyhow holds up nobody."""
    return k8s.policy.v1.PodDisruptionBudget(
        name,
        metadata=object_meta(name, namespace, component=component),
        spec=k8s.policy.v1.PodDisruptionBudgetSpecArgs(
            max_unavailable=1,
            unhealthy_pod_eviction_policy="AlwaysAllow",
            selector=k8s.meta.v1.LabelSelectorArgs(match_labels=selector(name)),
        ),
        opts=opts,
    )
