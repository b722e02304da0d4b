"""Creates the NetworkPolicies of a stack."""

from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from stack.components.network.policies import Plan, policies
from stack.components.shared.object_meta import object_meta


@dataclass(frozen=True, kw_only=True)
class NetworkPoliciesArgs:
    namespace: pulumi.Input[str]
    plan: Plan


class NetworkPolicies(pulumi.ComponentResource):
    """One NetworkPolicy that denies everything, and one for each component with what it needs."""

    names: pulumi.Output[list[str]]
    """Of the policies."""

    def __init__(self, name: str, args: NetworkPoliciesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:NetworkPolicies", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        made = policies(args.plan)
        for policy, specification in made.items():
            spec: Any = specification
            k8s.networking.v1.NetworkPolicy(
                policy, metadata=object_meta(policy, args.namespace, component="network"), spec=spec, opts=child
            )
        self.names = pulumi.Output.from_input(list(made))
        self.register_outputs({"names": self.names})
