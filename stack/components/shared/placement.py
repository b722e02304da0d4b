"""The section `placement` of the settings: on which nodes the pods run."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from contracts.section import FromList, LabelKey, Labels, LabelValue, Section

Component = Literal[
    "service",
    "queue",
    "database",
    "collector",
    "trace-store",
    "log-store",
    "metrics",
    "alerts",
    "dashboards",
    "probe",
]
"""Value of the label `app.kubernetes.io/component` of a workload."""
Spread = Literal["preferred", "required"]


class Toleration(Section):
    """Lets pods run on nodes with a taint, as in Kubernetes."""

    key: LabelKey | None = None
    """Of the taint; all taints if unset, with `operator: Exists`."""
    operator: Literal["Equal", "Exists"] = "Equal"
    value: LabelValue | None = None
    """Of the taint, with `Equal`."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """All effects if unset."""
    toleration_seconds: Annotated[int, Field(ge=0)] | None = None
    """With `NoExecute`: how long pods stay on a node that gets the taint; for ever if unset."""

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        if self.operator == "Exists" and self.value is not None:
            raise ValueError("Exists compares no value: leave value unset, or set operator: Equal")
        if self.operator == "Equal" and self.key is None:
            raise ValueError("Equal needs a key; operator: Exists without one tolerates every taint")
        if self.toleration_seconds is not None and self.effect != "NoExecute":
            raise ValueError("tolerationSeconds needs effect: NoExecute")
        return self


class Placement(Section):
    """On which nodes pods run, and how those of one workload are spread."""

    node_selector: Labels = Field(default_factory=dict, examples=[{"pool": "tracing"}])
    """Labels that the nodes must have."""
    tolerations: Annotated[tuple[Toleration, ...], FromList] = ()
    """Taints that the nodes may have."""
    nodes: Spread = "preferred"
    """Whether pods of one workload must be spread over nodes (`required`: a pod that cannot be waits)."""
    zones: Spread = "preferred"
    """The same for zones."""


class StackPlacement(Placement):
    """The placement of all pods, and of some components."""

    components: dict[Component, Placement] = Field(
        default_factory=dict, examples=[{"queue": {"nodeSelector": {"disk": "fast"}, "nodes": "required"}}]
    )
    """By the label `app.kubernetes.io/component`: settings that take the place of the same settings above."""

    def of(self, component: str) -> Placement:
        """Return the placement of a component."""
        own = next((placement for name, placement in self.components.items() if name == component), Placement())
        values = {name: getattr(self, name) for name in Placement.model_fields}
        return Placement(**values | {name: getattr(own, name) for name in own.model_fields_set})
