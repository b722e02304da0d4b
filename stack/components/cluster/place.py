"""Sets the placement in the specification of a pod."""

from typing import Any, Final

import pulumi_kubernetes as k8s

from stack.components.shared.placement import Placement, Toleration

core = k8s.core.v1

_NODES: Final = "kubernetes.io/hostname"
_ZONES: Final = "topology.kubernetes.io/zone"
_CONDITION: Final = {"preferred": "ScheduleAnyway", "required": "DoNotSchedule"}


def place(pod: Any, placement: Placement) -> None:
    """Set the placement in a pod's specification."""
    pod.node_selector = dict(placement.node_selector) or None
    keys = {item.key for item in placement.tolerations}
    # Of several tolerations of one taint, Kubernetes takes the shortest; the settings shall win.
    own = [item for item in pod.tolerations or () if item.key not in keys]
    pod.tolerations = [*own, *(_toleration(item) for item in placement.tolerations)] or None
    conditions = {_NODES: _CONDITION[placement.nodes], _ZONES: _CONDITION[placement.zones]}
    for constraint in pod.topology_spread_constraints:
        constraint.when_unsatisfiable = conditions[constraint.topology_key]


def _toleration(item: Toleration) -> core.TolerationArgs:
    return core.TolerationArgs(
        key=item.key,
        operator=item.operator,
        value=item.value,
        effect=item.effect,
        toleration_seconds=item.toleration_seconds,
    )
