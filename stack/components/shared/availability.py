"""Keeps a workload available while nodes are drained and its pods are replaced."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_kubernetes as k8s

from contracts.metadata import selector
from stack.components.shared.object_meta import object_meta

core = k8s.core.v1

DRAIN_SECONDS: Final = 5
"""A terminating pod serves for so long before SIGTERM: until all clients have learnt to use the other pods."""

LOST_NODE: Final = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
"""Taints of a node that Kubernetes no longer hears of."""
LEAVE_SECONDS: Final = 15
"""A pod without a volume stays so long on a lost node; by Kubernetes' default it would be 300 s."""


@dataclass(frozen=True, kw_only=True)
class Shutdown:
    """How a container ends."""

    command: Sequence[str] | None = None
    """Stops the program, if SIGTERM alone does not."""
    grace_seconds: int = 30
    """Time after which the kubelet kills it."""

    def lifecycle(self, drain_seconds: int) -> core.LifecycleArgs | None:
        """Return what happens before SIGTERM.

        Args:
            drain_seconds: how long clients may still send requests. The kubelet sleeps: some images have no program
                for that.
        """
        if self.command:
            action = core.LifecycleHandlerArgs(exec_=core.ExecActionArgs(command=list(self.command)))
            return core.LifecycleArgs(pre_stop=action)
        if drain_seconds:
            action = core.LifecycleHandlerArgs(sleep=core.SleepActionArgs(seconds=drain_seconds))
            return core.LifecycleArgs(pre_stop=action)
        return None


def spread(name: str) -> list[core.TopologySpreadConstraintArgs]:
    """Spread the pods of one name over nodes and zones; a pod that cannot be spread runs all the same."""
    return [
        core.TopologySpreadConstraintArgs(
            max_skew=1,
            topology_key=key,
            when_unsatisfiable="ScheduleAnyway",
            label_selector=k8s.meta.v1.LabelSelectorArgs(match_labels=selector(name)),
        )
        for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
    ]


def leave_lost_node() -> list[core.TolerationArgs]:
    """Let another pod take the place of one on a lost node soon. A pod with a volume cannot start elsewhere."""
    return [
        core.TolerationArgs(key=key, operator="Exists", effect="NoExecute", toleration_seconds=LEAVE_SECONDS)
        for key in LOST_NODE
    ]


def disruption_budget(
    name: str, component: str, namespace: pulumi.Input[str], opts: pulumi.ResourceOptions
) -> k8s.policy.v1.PodDisruptionBudget:
    """Let node drains evict one pod of this name at a time; pods that are not ready block no drain."""
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
