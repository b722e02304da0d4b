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
    """Whether deleting it needs an explicit permission."""


class Namespace(pulumi.ComponentResource):
    """A namespace whose pods must run without privileges; the API server refuses all others."""

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
                extra_labels={**level, "environment": args.environment},
            ),
            # Deleting it deletes the claims of all volumes; the workloads can be created again.
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        self.name = namespace.metadata.name
        self.register_outputs({"name": self.name})
