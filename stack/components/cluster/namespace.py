"""The stack's namespace, with PodSecurity `restricted` enforced."""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from contracts.metadata import PROTECTED, STACK
from stack.components.shared.object_meta import object_meta


@dataclass(frozen=True, kw_only=True)
class NamespaceArgs:
    name: str
    stack: str
    environment: str
    protect: bool
    """Whether it can be deleted only by somebody who says that it may be."""


class Namespace(pulumi.ComponentResource):
    """A namespace whose pods must run unprivileged; a pod that asks for more is refused by the API server."""

    name: pulumi.Output[str]

    def __init__(self, name: str, args: NamespaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Namespace", name, None, opts)
        level = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
        namespace = k8s.core.v1.Namespace(
            args.name,
            metadata=object_meta(
                args.name,
                None,
                component="namespace",
                annotations={STACK: args.stack, **({PROTECTED: "true"} if args.protect else {})},
                more_labels={**level, "environment": args.environment},
            ),
            # With it go all volumes' claims; the workloads may go and come back.
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        self.name = namespace.metadata.name
        self.register_outputs({"name": self.name})
